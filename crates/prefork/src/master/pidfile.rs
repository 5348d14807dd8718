//! The pidfile. Whether a master lives is decided by a lock on the file, not by the number in it: a number outlives its
//! process and may be another's by now, a lock (flock(2)) does neither.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::ids::Pid;
use crate::settings::Identity;

/// A pidfile that is ours for as long as this is not dropped. Dropping it lets go of the lock and leaves the file, as a forked
/// child must; [`Self::remove`] removes it.
#[derive(Debug)]
pub(crate) struct Pidfile {
    path: PathBuf,
    file: File,
}

/// Why a pidfile cannot be ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PidfileError {
    /// Another master lives.
    #[error(
        "server.pidfile: {path} is held by a running master{}; stop it, or give another pidfile",
        .pid.map(|pid| format!(", pid {pid}")).unwrap_or_default(),
        path = .path.display()
    )]
    Held {
        /// The file.
        path: PathBuf,
        /// The number in it.
        pid: Option<i32>,
    },
    /// It is a symbolic link, or no file to write to.
    #[error("server.pidfile: {} is a symbolic link or no plain file; remove it, or give another path", .0.display())]
    NotAFile(PathBuf),
    /// The file cannot be opened, locked or written.
    #[error("server.pidfile: cannot {step} {path}: {error}", path = .path.display())]
    Io {
        /// What failed.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        error: io::Error,
    },
}

impl Pidfile {
    /// Takes the file and writes this process's id into it.
    ///
    /// # Errors
    /// Another master holds it, or it cannot be written.
    pub(crate) fn take(path: &Path, identity: &Identity) -> Result<Self, PidfileError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let failed = |step| {
            let path = path.clone();
            move |error: io::Error| PidfileError::Io { step, path, error }
        };
        let file = loop {
            let file = match open(&path) {
                Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
                    return Err(PidfileError::NotAFile(path));
                }
                opened => opened.map_err(failed("open"))?,
            };
            if !file.metadata().map_err(failed("look at"))?.is_file() {
                return Err(PidfileError::NotAFile(path));
            }
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(PidfileError::Held { pid: number_in(&file), path }),
                Err(errno) => return Err(failed("lock")(errno.into())),
            }
            // Whoever held it may have removed it between our open and our lock: then another file has its name, or none.
            if is_at(&file, &path) {
                break file;
            }
        };
        let number = format!("{}\n", std::process::id());
        if let Err(error) = file.set_len(0).and_then(|()| (&file).write_all(number.as_bytes())) {
            let failed = failed("write")(error);
            Self { path, file }.remove(); // it says nothing, or half a number
            return Err(failed);
        }
        let (uid, gid) = identity.owner();
        if let Err(error) = fchown(&file, uid, gid) {
            tracing::warn!("{} cannot be given to server.user: {error}", path.display());
        }
        Ok(Self { path, file })
    }

    /// The file that a program before this one has taken, with its lock.
    pub(super) fn inherit(file: File, path: PathBuf) -> Self {
        Self { path, file }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it another name, which may be that of a dead master's.
    ///
    /// # Errors
    /// What rename(2) says.
    pub(crate) fn rename(&mut self, to: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, to)?;
        self.path = to.into();
        Ok(())
    }

    /// Removes the file, if it is still the one that was taken.
    pub(crate) fn remove(self) {
        if is_at(&self.file, &self.path)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!("the pidfile {} cannot be removed: {error}", self.path.display());
        }
    }
}

impl AsFd for Pidfile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The name of the pidfile of a second master, as Gunicorn has it.
pub(crate) fn second(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".2");
    name.into()
}

/// Removes what a second master that was killed has left, which is its number: a script would signal whoever has it next.
pub(super) fn sweep(path: &Path, pid: Pid) {
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    if is_file
        && std::fs::read_to_string(path).is_ok_and(|text| text.trim() == pid.to_string())
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::warn!("the pidfile {} of a killed master cannot be removed: {error}", path.display());
    }
}

fn open(path: &Path) -> io::Result<File> {
    // No link is followed: whoever may write to its directory, as a worker's user may, could have root write to any file, and
    // give it away. Not truncated: the number in it is somebody's until the lock says otherwise.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644).custom_flags(flags).open(path)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn number_in(file: &File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse::<i32>().ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("prefork-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a directory");
        folder
    }

    #[test]
    fn a_lock_decides_and_not_the_number() {
        let folder = folder("pidfile");
        let path = folder.join("server.pid");
        std::fs::write(&path, "1\n").expect("writable");
        let taken = Pidfile::take(&path, &Identity::default()).expect("a number alone holds nothing");
        let own = format!("{}\n", std::process::id());
        assert_eq!(std::fs::read_to_string(&path).ok(), Some(own));
        let error = Pidfile::take(&path, &Identity::default()).expect_err("it is held");
        assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
        taken.remove();
        assert!(!path.exists());
        std::fs::remove_dir_all(folder).expect("removable");
    }

    #[test]
    fn only_what_was_taken_is_removed() {
        let folder = folder("pidfile-other");
        let path = folder.join("server.pid");
        let mut taken = Pidfile::take(&path, &Identity::default()).expect("it is free");
        std::fs::remove_file(&path).expect("removable");
        let other = Pidfile::take(&path, &Identity::default()).expect("another file by that name");
        let moved = second(&path);
        assert!(taken.rename(&moved).is_ok() && moved.exists(), "whatever has the name is moved");
        drop(other);
        taken.remove();
        assert!(moved.exists(), "it is not the file that was taken");
        std::fs::remove_dir_all(folder).expect("removable");
    }
}
