//! Numbers that must not be swapped, each a type of its own.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point of the monotonic clock (`CLOCK_MONOTONIC`, clock_gettime(2)), which is the same in every process of
/// the machine and stands still while it is suspended. Only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// The moment `since_origin` after the clock's origin.
    pub(crate) const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// Nanoseconds since the clock's origin: the form in which the scoreboard keeps a moment.
    pub(crate) const fn as_nanos(self) -> u64 {
        self.0.as_nanos() as u64 // 584 years of uptime
    }

    /// The moment that [`Self::as_nanos`] gave.
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// A place in the pool, and its cell of the scoreboard. A worker is its tenant for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub(crate) u16);

/// How many places there are.
pub(crate) const SLOTS: u16 = 1024;

/// Which settings a worker was started with: each reload starts the next generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub(crate) u32);

impl Generation {
    /// The generation of the first start.
    pub(crate) const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A process id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Pid(pub(crate) i32);

/// Bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemorySize(pub(crate) u64);

impl MemorySize {
    /// As getrusage(2) tells it, in KiB.
    pub(crate) fn from_kibibytes(kibibytes: i64) -> Self {
        Self(u64::try_from(kibibytes).unwrap_or_default().saturating_mul(1024))
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

macro_rules! shown_as_its_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

shown_as_its_number!(Slot, Generation, Pid);
