//! The master as a process of the machine.

use std::io;
use std::path::PathBuf;

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
        let start = start_directory();
        if let Some(chdir) = &self.chdir {
            let path = start.join(chdir);
            std::env::set_current_dir(&path).map_err(|error| DirectoryError { path, error })?;
        }
        if let Some(mask) = self.umask {
            umask(Mode::from_bits_truncate(mask.bits()));
        }
        Ok(())
    }

    /// Does something in the directory that is wanted, and comes back: what is only tried must not move the process.
    ///
    /// # Errors
    /// The directory is not there, or not accessible.
    pub(crate) fn visit<T>(&self, act: impl FnOnce() -> T) -> Result<T, DirectoryError> {
        let Some(chdir) = &self.chdir else { return Ok(act()) };
        let path = start_directory().join(chdir);
        let failed = |error| DirectoryError { path: path.clone(), error };
        // Held open, as it may have no name any more.
        let here = open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, FileMode::empty());
        let here = here.map_err(|errno| failed(errno.into()))?;
        std::env::set_current_dir(&path).map_err(failed)?;
        let done = act();
        fchdir(&here).map_err(|errno| failed(errno.into()))?;
        Ok(done)
    }

    /// The way that an upgrade goes. A second master would end with process 1, and the container with it.
    pub(crate) fn upgrade(&self) -> UpgradeWay {
        if std::process::id() == 1 { UpgradeWay::Exec } else { self.upgrade }
    }
}
