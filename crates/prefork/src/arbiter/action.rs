//! What an arbiter wants done, and what it wants said.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{Generation, Moment, Slot};

use super::event::{ExitStatus, Wish};
use super::{EXIT_BOOT, EXIT_BUILD, UpgradeWay};

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
    /// Let it be known that the server is about to stop: it is not ready any more, and every answer is a connection's last.
    AnnounceStop,
    /// Let go of the listeners: what comes now is for the workers alone.
    CloseListeners,
    /// Run this hook, and answer with `HooksEnded` when it and all others before it have ended.
    AwaitHooks(Milestone),
    /// Start a second master; answered by `SuccessorServes` and `SuccessorEnded`.
    StartSuccessor,
    /// End the second master, as it serves nobody and this one stops.
    StopSuccessor,
    /// Ask the program on disk whether it could take over; answered by `ProgramChecked`.
    CheckProgram,
    /// End the process that does so.
    KillCheck,
    /// Execute the program on disk, with all that there is; answered by `HandOverFailed`, if at all.
    HandOver,
    /// Execute the program that this one came from; answered by `HandOverFailed`, if at all.
    GoBack,
    /// Tell the operator.
    Report(Report),
    /// The end. Comes once, and last.
    Exit(i32),
}

/// What a worker can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Finish what runs, take nothing new, leave (SIGTERM).
    Drain {
        /// At the latest then.
        until: Moment,
    },
    /// Leave (SIGQUIT).
    Quit,
    /// Answer 504 to what is stuck, say what it was, leave (SIGABRT).
    Abort,
    /// SIGKILL: the last resort, after a grace.
    Kill,
}

/// The ends of a server's life, at which its hooks are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Milestone {
    /// Before the first fork.
    Start,
    /// After the last worker.
    End,
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
    /// Nobody serves, and nobody can be booted: the next try comes after this delay.
    CrashLoop {
        /// Failures in a row.
        failures: u32,
        /// Until the next try.
        delay: Duration,
    },
    /// The same, and the master ends for it.
    CrashLoopEnds {
        /// Failures in a row.
        failures: u32,
    },
    /// Somebody serves again.
    CrashLoopOver,
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
    /// All workers are retired until the next reload.
    Halted,
    /// They come back.
    Resumed,
    /// A drain was cut short, as another worker waits to drain.
    Hurried(Slot, Generation),
    /// A new program is about to take over.
    UpgradeStarted(UpgradeWay),
    /// It is not.
    UpgradeRefused(UpgradeRefusal),
    /// It did not, and all is as it was.
    UpgradeFailed(UpgradeFailure),
    /// The second master has a worker that serves.
    SuccessorServes,
    /// The second master, which had served, has ended.
    SuccessorEnded(ExitStatus),
    /// This program has taken over from another one, beginning with this generation.
    Upgraded(Generation),
    /// This program cannot serve, and the one before it cannot be executed: an errno of execve(2).
    NoWayBack(i32),
    /// The master did not run for this long: nobody is blamed for it.
    Slept(Duration),
    /// The stop is announced, and begins after this delay.
    Leaving(Duration),
    /// The stop has begun.
    Stopping {
        /// Whether what runs is cut.
        quick: bool,
    },
}

/// Why a healthy worker is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Retirement {
    /// A newer generation has taken its place.
    Reload,
    /// Its own wish.
    Wish(Wish),
    /// There are more workers than wanted.
    Surplus,
    /// None are wanted.
    Halt,
}

/// Why the arbiter ended a worker, if it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Why no upgrade begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpgradeRefusal {
    /// One is running.
    Running,
    /// Nobody serves yet.
    Starting,
    /// This master is one itself, and the one before it still runs.
    Unfinished,
}

/// Why an upgrade came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpgradeFailure {
    /// The second master ended so before it served.
    Successor(ExitStatus),
    /// It could not be started: an errno of fork(2).
    Fork(i32),
    /// The new program's look at its configuration and at this one's state ended so.
    Check(ExitStatus),
    /// It ended well, and did not say that it had read the state.
    NotUnderstood,
    /// It took longer than `boot_timeout`.
    CheckTimeout(Duration),
    /// The new program could not be executed: an errno of execve(2).
    Exec(i32),
    /// The new program could not prove a worker, and has gone back.
    Trial(Failure),
}

/// Why the first start ends, or a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
