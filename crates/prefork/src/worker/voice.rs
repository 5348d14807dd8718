//! What a worker says to its master: single bytes on a pipe.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::arbiter::Wish;

/// Something that a worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It can serve.
    Ready,
    /// It wants to be replaced.
    Retire(Wish),
}

impl Word {
    const ALL: [Self; 3] = [Self::Ready, Self::Retire(Wish::MaxRequests), Self::Retire(Wish::ForeignTerm)];

    const fn byte(self) -> u8 {
        match self {
            Self::Ready => b'R',
            Self::Retire(Wish::MaxRequests) => b'M',
            Self::Retire(Wish::ForeignTerm) => b'T',
        }
    }

    /// The word of a byte; a worker that has lost its mind may send any.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.byte() == byte)
    }
}

/// The writing end of the pipe.
pub(super) struct Voice(OwnedFd);

impl Voice {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self(pipe)
    }

    pub(super) fn say(&self, word: Word) {
        // A full pipe means that the master has not read a thousand words; a broken one, that it is gone, which the
        // lifeline tells better.
        let _ = rustix::io::write(&self.0, &[word.byte()]);
    }
}

/// Counts requests towards `max_requests`.
pub(crate) struct Recycling {
    voice: Arc<Voice>,
    quota: Option<u64>,
    served: AtomicU64,
}

impl Recycling {
    /// With a quota of `most` and up to `jitter` more, drawn by `random`; 0 means none.
    pub(super) fn new(voice: Arc<Voice>, most: u64, jitter: u64, random: u64) -> Self {
        let extra = jitter.checked_add(1).map_or(random, |range| random % range);
        let quota = (most > 0).then(|| most.saturating_add(extra));
        Self { voice, quota, served: AtomicU64::new(0) }
    }

    /// A request was served; at the quota, the worker asks for its replacement and serves on until it is there.
    pub(crate) fn served(&self) {
        if Some(self.served.fetch_add(1, Ordering::Relaxed) + 1) == self.quota {
            self.voice.say(Word::Retire(Wish::MaxRequests));
        }
    }
}

/// Gives every request a number that no other worker's request has.
pub(crate) struct RequestIds {
    seed: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> u64 {
        self.seed.wrapping_add(self.count.fetch_add(1, Ordering::Relaxed))
    }
}
