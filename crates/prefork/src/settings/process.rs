//! The master as a process of the machine.

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use nix::sys::stat::{Mode, umask};
use rustix::fs::{Mode as FileMode, OFlags, open};
use rustix::process::fchdir;
use settings::{Octal, start_directory};

use crate::arbiter::UpgradeWay;

settings::section! {
    /// The master as a process.
    pub struct Process("server") {
        /// The directory that the server works in; relative paths of the configuration mean files below it.
        pub chdir: Option<PathBuf> = None,
        /// The bits that new files, and Unix sockets among them, do not get: an octal string. The process's own umask unless
        /// given.
        pub umask ['m']: Option<Octal> = None,
        /// A file that holds the master's process id, and a lock for as long as it lives.
        pub pidfile ["pid", 'p']: Option<PathBuf> = None,
        /// For development: whether a change of the configuration file, or of `reload_extra_files`, reloads the server.
        pub reload: bool = false,
        /// Other files that `reload` watches.
        pub reload_extra_files ["reload-extra-file"]: Vec<PathBuf> = vec![],
        /// How SIGUSR2 brings a new program in: "fork" starts it as a second master beside this one, "exec" puts it in the place of
        /// this one, which keeps its process id. Process 1 of a container always does the latter.
        pub upgrade: UpgradeWay = UpgradeWay::Fork,
    }
}

/// The directory of `server.chdir` cannot be worked in.
#[derive(Debug, thiserror::Error)]
#[error("server.chdir: cannot work in {}: {error}; give a directory that is there", .path.display())]
pub struct DirectoryError {
    path: PathBuf,
    error: io::Error,
}

impl Process {
    /// Makes this process work in the directory and with the umask that are wanted. [`Ready::run`](crate::Ready::run) does so; a
    /// program that opens files before, its logs for instance, calls it first. A relative directory means one below that in
    /// which the process was started, however often this is called.
    ///
    /// # Errors
    /// The directory is not there, or not accessible.
    pub fn enter(&self) -> Result<(), DirectoryError> {
        let original = original_umask();
        let path = self.directory();
        if let Err(error) = std::env::set_current_dir(&path)
            && self.chdir.is_some()
        {
            return Err(DirectoryError { path, error });
        }
        umask(self.umask.map_or(original, |mask| Mode::from_bits_truncate(mask.bits())));
        Ok(())
    }

    /// Does something in the directory and with the umask that are wanted, and comes back: what is only tried must not change the
    /// process.
    ///
    /// # Errors
    /// The directory is not there, or not accessible.
    pub(crate) fn visit<T>(&self, act: impl FnOnce() -> T) -> Result<T, DirectoryError> {
        let failed = |error| DirectoryError { path: self.directory(), error };
        // Held open, as it may have no name any more.
        let here = open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, FileMode::empty());
        let here = here.map_err(|errno| failed(errno.into()))?;
        let mask = current_umask();
        self.enter()?;
        let done = act();
        umask(mask);
        fchdir(&here).map_err(|errno| failed(errno.into()))?;
        Ok(done)
    }

    fn directory(&self) -> PathBuf {
        self.chdir.as_ref().map_or_else(|| start_directory().into(), |chdir| start_directory().join(chdir))
    }

    /// The way that an upgrade goes. A second master would end with process 1, and the container with it.
    pub(crate) fn upgrade(&self) -> UpgradeWay {
        if std::process::id() == 1 { UpgradeWay::Exec } else { self.upgrade }
    }
}

/// Makes this process as it was when it was started, for a program that takes its place: in the directory and with the umask of
/// then. Where that directory is gone, whoever is called by absolute paths does not need it.
pub(crate) fn leave() {
    umask(original_umask());
    let _ = std::env::set_current_dir(start_directory());
}

/// The umask that this process was started with: asked for first before any setting has changed it.
fn original_umask() -> Mode {
    static ORIGINAL: OnceLock<Mode> = OnceLock::new();
    *ORIGINAL.get_or_init(current_umask)
}

/// umask(2) tells it only by changing it, which nobody sees in a process with one thread.
fn current_umask() -> Mode {
    let mask = umask(Mode::empty());
    umask(mask);
    mask
}
