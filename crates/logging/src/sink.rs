//! A descriptor that lines go to, and that never makes the writer wait.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::SendFlags;

use crate::loss::Loss;

/// Where lines go.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    /// `None` as long as nothing was opened. It is exchanged without a lock: whoever is writing meanwhile keeps the old
    /// one, which is closed after its last write, so that no line ever meets a number that belongs to another file.
    output: ArcSwapOption<Output>,
    loss: Loss,
}

/// An open descriptor.
#[derive(Debug)]
struct Output {
    descriptor: OwnedFd,
    way: Way,
}

/// How to write without waiting. O_NONBLOCK is a property of the open file description (open(2)), which we share
/// with whoever started us: to set it on an inherited descriptor would break the shell's `cat` beside us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is an open file description of our own that does not block.
    Own,
    /// Ask with poll(2) first: a pipe is writable if PIPE_BUF bytes fit, and no line is longer. Another
    /// process may fill it in between; where reopening is impossible this is as good as it gets.
    Polled,
    /// Each send says that it does not wait.
    Socket,
    /// A file does not block. Its offset is shared with other writers, which a new description's would not be.
    Plain,
}

impl Sink {
    /// Takes a duplicate of the descriptor, or a new description of what it refers to.
    ///
    /// # Errors
    /// The descriptor is not open, or there are too many.
    pub(crate) fn open(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let (way, own) = match FileType::from_raw_mode(rustix::fs::fstat(descriptor)?.st_mode) {
            FileType::Fifo | FileType::CharacterDevice => match reopen(descriptor) {
                Ok(own) => (Way::Own, Some(own)),
                // No /proc; or a pipe or terminal of another user.
                Err(_) => (Way::Polled, None),
            },
            FileType::Socket => (Way::Socket, None),
            _ => (Way::Plain, None),
        };
        let descriptor = match own {
            Some(own) => own,
            None => descriptor.try_clone_to_owned()?,
        };
        Ok(Self::over(Output { descriptor, way }))
    }

    fn over(output: Output) -> Self {
        Self { output: ArcSwapOption::from_pointee(output), loss: Loss::default() }
    }

    /// Lets further lines go to another file, of which this is a description of our own that does not block.
    pub(crate) fn redirect(&self, descriptor: OwnedFd) {
        self.loss.take_cut(); // the line that was cut short is in the old one
        self.output.store(Some(Arc::new(Output { descriptor, way: Way::Own })));
    }

    /// Whether lines have ever had a place to go to.
    pub(crate) fn is_open(&self) -> bool {
        self.output.load().is_some()
    }

    /// Does something with the descriptor, if there is one.
    pub(crate) fn with_descriptor<T>(&self, act: impl FnOnce(&OwnedFd) -> T) -> Option<T> {
        self.output.load().as_ref().map(|output| act(&output.descriptor))
    }

    /// Writes a line, or counts it as dropped. After losses, `report` makes the line that tells of them.
    pub(crate) fn write(&self, line: &str, report: impl FnOnce(u32) -> String) {
        let lost = self.loss.take_count();
        if lost > 0 && !self.put(report(lost).as_bytes()) {
            self.loss.add(lost.saturating_add(1));
        } else if !self.put(line.as_bytes()) {
            self.loss.add(1);
        }
    }

    /// Writes a line, or counts it as dropped, where no line of another kind may come in between. Gives how many were
    /// dropped before a line that went out: the caller tells of them elsewhere.
    pub(crate) fn write_alone(&self, line: &str) -> u32 {
        let written = self.put(line.as_bytes());
        let lost = self.loss.take_count();
        if written {
            return lost;
        }
        self.loss.add(lost.saturating_add(1));
        0
    }

    /// Writes a line as a whole, or says that it could not.
    ///
    /// Lines fit into PIPE_BUF, so that a pipe takes them as a whole or not at all. A stream socket, a terminal
    /// or a file on a full disk may take a part; if it does not take the rest at once, the next line begins
    /// with a newline, so that the two are not taken for one. That is as much as can be done without a lock: on
    /// such a descriptor the line of another thread or process may come in between.
    fn put(&self, line: &[u8]) -> bool {
        let output = self.output.load();
        let Some(output) = output.as_ref() else { return false };
        let was_cut = self.loss.take_cut();
        let begun_anew;
        let bytes = if was_cut {
            begun_anew = [b"\n", line].concat();
            &begun_anew
        } else {
            line
        };
        let first = output.write_some(bytes).unwrap_or(0);
        let written = match first {
            0 => 0,
            all if all == bytes.len() => all,
            part => part + output.write_some(&bytes[part..]).unwrap_or(0),
        };
        if written < bytes.len() && (written > 0 || was_cut) {
            self.loss.set_cut();
        }
        written == bytes.len()
    }
}

impl Output {
    fn write_some(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match self.way {
            Way::Own | Way::Plain => {}
            Way::Polled => self.is_writable()?,
            Way::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                return retry_on_intr(|| rustix::net::send(&self.descriptor, bytes, flags));
            }
        }
        retry_on_intr(|| rustix::io::write(&self.descriptor, bytes))
    }

    fn is_writable(&self) -> rustix::io::Result<()> {
        let mut waiting = [PollFd::new(&self.descriptor, PollFlags::OUT)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match retry_on_intr(|| poll(&mut waiting, Some(&at_once)))? {
            0 => Err(Errno::AGAIN),
            // Writable, or broken: then the write says how.
            _ => Ok(()),
        }
    }
}

fn reopen(descriptor: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(format!("/proc/self/fd/{}", descriptor.as_raw_fd()), flags, Mode::empty())
}

#[cfg(test)]
mod tests;
