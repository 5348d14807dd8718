//! Files that lines are appended to, and that can be opened anew while lines are written.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Gid, Mode, OFlags, Uid, fchown, fstat, open};

use crate::sink::Sink;

/// A file by its path. Workers and master hold the same one and each opens it anew on its own; whatever else is to become
/// of files, as a rotation by size, is to rename one and then to call [`LogFile::reopen`] in every process.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    sink: Sink,
    /// Whether the open file was made by us, and so is ours to give away.
    made: AtomicBool,
    /// Whether the last opening failed, which was told.
    failed: AtomicBool,
}

/// To whom files are given: whom there is no word of keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// What could not be done with a file, in words.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl LogFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, sink: Sink::default(), made: AtomicBool::new(false), failed: AtomicBool::new(false) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Opens what is at the path now. If that fails, what was open before stays, and the failure is given unless the last
    /// opening failed, too.
    pub(crate) fn reopen(&self, owner: Owner) -> Option<Failure> {
        let (descriptor, made) = match open_to_append(&self.path) {
            Ok(opened) => opened,
            Err(error) => {
                let told = self.failed.swap(true, Ordering::Relaxed);
                return (!told)
                    .then(|| Failure(format!("{} cannot be opened: {error}", self.path.display())));
            }
        };
        self.failed.store(false, Ordering::Relaxed);
        if self.is_open_at(&descriptor) {
            return None; // nobody has moved it
        }
        self.made.store(made, Ordering::Relaxed);
        self.sink.redirect(descriptor);
        self.give_to(owner)
    }

    /// Whether what is open is the very file that this descriptor refers to.
    fn is_open_at(&self, other: &OwnedFd) -> bool {
        let identity = |file: &OwnedFd| fstat(file).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        self.sink.with_descriptor(identity).is_some_and(|own| own.is_some() && own == identity(other))
    }

    /// Gives the file to its owner if it was made by us. A file that was there before is somebody's, who knows why; and a
    /// directory is never given away, as who may rename files in it could have the master write to any file.
    pub(crate) fn give_to(&self, owner: Owner) -> Option<Failure> {
        if owner == Owner::default() || !self.made.load(Ordering::Relaxed) {
            return None;
        }
        let (uid, gid) = (owner.uid.map(Uid::from_raw), owner.gid.map(Gid::from_raw));
        let error = self.sink.with_descriptor(|descriptor| fchown(descriptor, uid, gid))?.err()?;
        Some(Failure(format!("{} cannot be given to {owner}: {error}", self.path.display())))
    }
}

/// Opens a file; also whether it was made thereby. It is not waited for: a FIFO without a reader is an error (open(2),
/// ENXIO).
fn open_to_append(path: &Path) -> io::Result<(OwnedFd, bool)> {
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::CLOEXEC
        | OFlags::NOCTTY
        | OFlags::NONBLOCK;
    let mode = Mode::from_raw_mode(0o644);
    match open(path, flags | OFlags::EXCL, mode) {
        Ok(descriptor) => Ok((descriptor, true)),
        Err(_) => Ok((open(path, flags, mode)?, false)),
    }
}

impl Failure {
    /// The directory of log files is not there and cannot be made.
    pub(crate) fn of_directory(path: &Path, error: &io::Error) -> Self {
        Self(format!("the directory {} cannot be made: {error}", path.display()))
    }

    /// A standard stream is not open.
    pub(crate) fn of_stream(name: &str, error: &io::Error) -> Self {
        Self(format!("{name} cannot be used: {error}"))
    }

    /// One line that tells of all of them, and what follows.
    pub(crate) fn warn(failures: &[Self], consequence: &str) {
        let Some((first, others)) = failures.split_first() else { return };
        let others = match others.len() {
            0 => String::new(),
            count => format!(" (and {count} more failures)"),
        };
        tracing::warn!("log files: {first}{others}; {consequence}");
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.uid, self.gid) {
            (Some(uid), Some(gid)) => write!(f, "user {uid} and group {gid}"),
            (Some(uid), None) => write!(f, "user {uid}"),
            (None, Some(gid)) => write!(f, "group {gid}"),
            (None, None) => f.write_str("nobody else"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn nobody() -> Owner {
        Owner::default()
    }

    fn write(file: &LogFile, line: &str) {
        file.sink().write(line, |lost| format!("lost {lost}\n"));
    }

    fn in_a_directory() -> (TempDir, LogFile) {
        let directory = TempDir::new().unwrap();
        let file = LogFile::new(directory.path().join("a.log"));
        assert!(file.reopen(nobody()).is_none());
        (directory, file)
    }

    #[test]
    fn lines_go_to_the_new_file_once_the_old_one_was_moved_and_it_was_opened_anew() {
        let (directory, file) = in_a_directory();
        write(&file, "one\n");
        let moved = directory.path().join("moved");
        fs::rename(file.path(), &moved).unwrap();
        write(&file, "two\n");
        assert!(file.reopen(nobody()).is_none());
        write(&file, "three\n");
        assert_eq!(fs::read_to_string(moved).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "three\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_anew_keeps_its_descriptor_and_is_told_of_once() {
        let (directory, file) = in_a_directory();
        let moved = directory.path().join("moved");
        fs::rename(file.path(), &moved).unwrap();
        fs::create_dir(file.path()).unwrap();
        let failure = file.reopen(nobody()).unwrap().to_string();
        assert!(failure.contains("a.log cannot be opened"), "{failure}");
        assert!(file.reopen(nobody()).is_none());
        write(&file, "kept\n");
        assert_eq!(fs::read_to_string(moved).unwrap(), "kept\n");
        fs::remove_dir(file.path()).unwrap();
        assert!(file.reopen(nobody()).is_none());
        fs::remove_file(file.path()).unwrap();
        fs::create_dir(file.path()).unwrap();
        assert!(file.reopen(nobody()).is_some(), "it had succeeded in between");
    }

    #[test]
    fn a_file_that_was_never_open_takes_nothing_until_it_can_be_opened() {
        let directory = TempDir::new().unwrap();
        let file = LogFile::new(directory.path().join("later/a.log"));
        assert!(file.reopen(nobody()).is_some() && !file.sink().is_open());
        fs::create_dir(directory.path().join("later")).unwrap();
        assert!(file.reopen(nobody()).is_none() && file.sink().is_open());
    }

    #[test]
    fn lines_that_a_full_disk_did_not_take_are_told_of_in_the_next_file() {
        let (directory, file) = in_a_directory();
        fs::remove_file(file.path()).unwrap();
        std::os::unix::fs::symlink("/dev/full", file.path()).unwrap();
        file.reopen(nobody());
        write(&file, "dropped\n");
        fs::remove_file(file.path()).unwrap();
        file.reopen(nobody());
        write(&file, "after\n");
        assert_eq!(fs::read_to_string(directory.path().join("a.log")).unwrap(), "lost 1\nafter\n");
    }

    #[test]
    fn opening_anew_disturbs_no_writer() {
        let (directory, file) = in_a_directory();
        let writers = 3;
        let lines = 2000;
        std::thread::scope(|scope| {
            let (file, path) = (&file, directory.path());
            let threads: Vec<_> = (0..writers)
                .map(|writer| {
                    scope
                        .spawn(move || (0..lines).for_each(|line| write(file, &format!("{writer}.{line}\n"))))
                })
                .collect();
            let mut number = 0;
            while threads.iter().any(|thread| !thread.is_finished()) {
                number += 1;
                let _ = fs::rename(file.path(), path.join(format!("a.log.{number}")));
                file.reopen(nobody());
            }
        });
        let files = fs::read_dir(directory.path()).unwrap();
        let text: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        let mut found: Vec<&str> = text.lines().collect();
        found.sort_unstable();
        let mut expected: Vec<String> =
            (0..writers).flat_map(|writer| (0..lines).map(move |line| format!("{writer}.{line}"))).collect();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
