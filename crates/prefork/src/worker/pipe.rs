//! The pipe on which a worker tells its master something: single bytes, readiness first of all.

use std::os::fd::OwnedFd;

use crate::arbiter::Wish;

/// Something that a worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// It can serve.
    Ready,
    /// It wants to be replaced.
    Retire(Wish),
}

impl Message {
    const ALL: [Self; 4] = [
        Self::Ready,
        Self::Retire(Wish::MaxRequests),
        Self::Retire(Wish::ForeignTerm),
        Self::Retire(Wish::Restart),
    ];

    const fn byte(self) -> u8 {
        match self {
            Self::Ready => b'R',
            Self::Retire(Wish::MaxRequests) => b'M',
            Self::Retire(Wish::ForeignTerm) => b'T',
            Self::Retire(Wish::Restart) => b'S', // none says so by itself
        }
    }

    /// The message of a byte; a worker that has lost its mind may send any.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|message| message.byte() == byte)
    }
}

/// The writing end of the pipe.
pub(super) struct MasterPipe(OwnedFd);

impl MasterPipe {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self(pipe)
    }

    pub(super) fn send(&self, message: Message) {
        // A full pipe means that the master has not read a thousand messages; a broken one, that it is gone, which the
        // lifeline tells better.
        let _ = rustix::io::write(&self.0, &[message.byte()]);
    }
}
