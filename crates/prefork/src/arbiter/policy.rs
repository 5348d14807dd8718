//! The settings that decisions depend on.

use std::time::Duration;

/// What a generation's settings say of the pool, and of each worker in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How many workers; at least 1.
    pub(crate) workers: u16,
    /// How many live workers there may be beyond that while some are replaced; at least 1.
    pub(crate) surge: u16,
    /// How many may boot at once; at least 1.
    pub(crate) boot_concurrency: u16,
    /// What its workers go by.
    pub(crate) limits: Limits,
}

/// The time limits that a worker was forked with. It goes by them until its end, so it is judged by them and not by what
/// a reload says since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long a turn or a silence may last.
    pub(crate) timeout: Option<Duration>,
    /// From fork to ready.
    pub(crate) boot_timeout: Duration,
    /// How long a drain may last.
    pub(crate) graceful_timeout: Duration,
}

impl Limits {
    /// How often a worker says that it lives, and wants to be looked at.
    pub(crate) fn tick(&self) -> Duration {
        let second = Duration::from_secs(1);
        self.timeout.map_or(second, |timeout| (timeout / 4).clamp(Duration::from_millis(20), second))
    }

    /// A tick of the master's that is later than this says that the machine or the master slept.
    pub(super) fn oversleep(&self) -> Duration {
        self.tick() + self.timeout.map_or(Duration::ZERO, |timeout| timeout / 4).max(Duration::from_secs(1))
    }
}
