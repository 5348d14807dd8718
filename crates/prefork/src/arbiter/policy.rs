//! The settings that decisions depend on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a generation's settings say of the pool, and of each worker in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// How many workers; at least 1.
    pub(crate) workers: u16,
    /// How many live workers there may be beyond that while some are replaced; at least 1.
    pub(crate) surge: u16,
    /// How many may drain at once; at least 1.
    pub(crate) max_draining: u16,
    /// How many may boot at once; at least 1.
    pub(crate) boot_concurrency: u16,
    /// How many failed boots in a row are a crash loop, if nobody serves; `None`: none are.
    pub(crate) boot_failures_max: Option<u32>,
    /// What a crash loop leads to.
    pub(crate) on_crash_loop: OnCrashLoop,
    /// Between the announcement of a stop and its beginning.
    pub(crate) drain_delay: Duration,
    /// How a new program takes over.
    pub(crate) upgrade: UpgradeWay,
    /// What its workers go by.
    pub(crate) limits: Limits,
}

settings::choice! {
    /// What becomes of a pool in which nobody serves and nobody can be booted.
    #[derive(Serialize, Deserialize)]
    pub enum OnCrashLoop {
        /// One more try now and then.
        Wait = "wait",
        /// The master ends: whoever supervises it decides.
        Exit = "exit",
    }
}

settings::choice! {
    /// How a new program takes over.
    #[derive(Serialize, Deserialize)]
    pub enum UpgradeWay {
        /// As a second master on the same sockets.
        Fork = "fork",
        /// In the place of this one, which keeps its process id.
        Exec = "exec",
    }
}

/// The time limits that a worker was forked with. It goes by them until its end, so it is judged by them and not by what
/// a reload says since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
