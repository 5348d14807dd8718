//! What an arbiter wants done, and what it wants said.

use std::time::Duration;

use crate::ids::{Generation, Slot};

use super::event::{ExitStatus, Wish};
use super::{EXIT_BOOT, EXIT_BUILD};

/// Something that the master is to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Fork the helper that runs `App::prepare` with this generation's settings.
    Prepare(Generation),
    /// End that helper.
    KillHelper,
    /// Fork a worker into a free place.
    Spawn {
        /// The place.
        slot: Slot,
        /// The settings it gets.
        generation: Generation,
    },
    /// Send a worker a signal.
    Signal(Slot, Order),
    /// Read the settings anew, without using them yet; answered by `SettingsAccepted` or `SettingsRefused`.
    ReadSettings {
        /// The generation that they would be.
        candidate: Generation,
    },
    /// The candidate has proved itself: its settings are the settings now.
    Promote(Generation),
    /// The candidate has failed: forget its settings.
    Discard(Generation),
    /// Let go of the listeners: what comes now is for the workers alone.
    CloseListeners,
    /// Tell the operator.
    Report(Report),
    /// The end. Comes once, and last.
    Exit(i32),
}

/// What a worker can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Finish what runs, take nothing new, leave (SIGTERM).
    Drain,
    /// Leave (SIGQUIT).
    Quit,
    /// Answer 504 to what is stuck, say what it was, leave (SIGABRT).
    Abort,
    /// SIGKILL: the last resort, after a grace.
    Kill,
}

/// What is worth a line in the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Report {
    /// The first worker serves.
    Started,
    /// A worker serves, so long after its fork.
    Ready(Slot, Generation, Duration),
    /// A worker was told to drain.
    Retiring(Slot, Generation, Retirement),
    /// A worker was given up on.
    GivenUp(Slot, Cause),
    /// A worker has ended.
    Dead(Death),
    /// Workers fail to boot: the next try comes after this delay.
    BootBackOff {
        /// Failures in a row.
        failures: u32,
        /// Until the next try.
        delay: Duration,
    },
    /// No worker could be started at the first start; the master ends.
    StartFailed(Failure),
    /// fork(2) failed with this errno; the next try comes after this delay.
    ForkFailed(i32, Duration),
    /// A reload has begun.
    ReloadStarted(Generation),
    /// A reload is running already: one more will follow it.
    ReloadWaits,
    /// A reload has ended badly; nothing has changed.
    ReloadFailed(Generation, Failure),
    /// A reload, whose settings are in force, could not go through the pool as its workers fail to boot: the next one
    /// begins instead.
    ReloadOvertaken(Generation),
    /// A reload has ended well: all that serve are of this generation, and older ones only finish what they have.
    ReloadDone(Generation),
    /// The last worker of an older generation has gone.
    ServesAlone(Generation),
    /// The wanted number of workers has changed.
    Scaled {
        /// Before.
        from: u16,
        /// Now.
        to: u16,
    },
    /// The master did not run for this long: nobody is blamed for it.
    Slept(Duration),
    /// The stop has begun.
    Stopping {
        /// Whether what runs is cut.
        quick: bool,
    },
}

/// Why a healthy worker is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retirement {
    /// A newer generation has taken its place.
    Reload,
    /// Its own wish.
    Wish(Wish),
    /// There are more workers than wanted.
    Surplus,
}

/// Why the arbiter ended a worker, if it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nobody asked for it.
    Own,
    /// It was retired.
    Retired(Retirement),
    /// The master is stopping, or its probe was no longer needed.
    Stopped,
    /// A request held the turn for this long.
    Turn(Duration),
    /// No heartbeat for this long.
    Silent(Duration),
    /// Not ready for this long.
    Boot(Duration),
    /// It did not leave within its grace.
    GraceOver,
}

/// A worker's end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Death {
    /// Where it was.
    pub(crate) slot: Slot,
    /// Of which generation.
    pub(crate) generation: Generation,
    /// How the kernel says it ended.
    pub(crate) status: ExitStatus,
    /// Why, as far as the arbiter had a hand in it.
    pub(crate) cause: Cause,
    /// Whether it had never been ready.
    pub(crate) booting: bool,
    /// Since its fork.
    pub(crate) age: Duration,
}

/// Why the first start ends, or a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The settings were refused, or could not be read.
    Settings,
    /// `App::prepare` ended so.
    Prepare(ExitStatus),
    /// `App::prepare` took longer than `boot_timeout`.
    PrepareTimeout(Duration),
    /// `App::build` returned an error.
    Build,
    /// A worker ended so before it was ready; the first of a reload, before it had served for a second.
    Died(ExitStatus),
    /// A worker was not ready in this time (`boot_timeout`).
    BootTimeout(Duration),
    /// The first worker of a reload could not be forked: an errno of fork(2).
    Fork(i32),
}

impl Failure {
    /// The master's exit code, if that is how its first start ends. What the preparation says it is, it is.
    pub(super) fn exit_code(self) -> i32 {
        match self {
            Self::Prepare(ExitStatus::Code(code)) => code,
            Self::Build => EXIT_BUILD,
            _ => EXIT_BOOT,
        }
    }
}
