//! What can happen to a pool.

use serde::{Deserialize, Serialize};

use crate::ids::{Moment, Slot};

use super::Policy;

/// Something that happened, as the master saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// An operator's signal to the master.
    Signal(Signal),
    /// The helper that ran `App::prepare` has ended.
    HelperExited(ExitStatus),
    /// A worker could not be forked.
    SpawnFailed {
        /// The place it was meant for.
        slot: Slot,
        /// What fork(2) said.
        errno: i32,
    },
    /// A worker said that it can serve.
    Ready(Slot),
    /// What a ready worker's cell of the scoreboard says of its health.
    Beat {
        /// Whose.
        slot: Slot,
        /// Its last heartbeat.
        beat: Moment,
        /// When the request that holds its turn began, if one does.
        turn: Option<Moment>,
    },
    /// A worker asks for its replacement.
    RetireWanted(Slot, Wish),
    /// A worker has ended and was reaped.
    Exited {
        /// Whose place is free again.
        slot: Slot,
        /// How it ended.
        status: ExitStatus,
    },
    /// The settings that [`super::Action::ReadSettings`] asked for are good.
    SettingsAccepted(Policy),
    /// They are not, or could not be read; the master has said why.
    SettingsRefused,
    /// So many workers are wanted.
    Scale(u16),
    /// The hooks that [`super::Action::AwaitHooks`] asked for have ended.
    HooksEnded,
    /// The second master has a worker that serves.
    SuccessorServes,
    /// The second master has ended; an errno if it could not be forked.
    SuccessorEnded(Result<ExitStatus, i32>),
    /// The master that started this one has gone.
    PredecessorGone,
    /// The new program has looked at its configuration and at this one's state.
    ProgramChecked {
        /// How it ended.
        status: ExitStatus,
        /// Whether it said that it had read the state.
        understood: bool,
    },
    /// The new program, or on the way back the old one, could not be executed: an errno of execve(2).
    HandOverFailed(i32),
    /// Time has passed.
    Tick,
}

/// The signals to the master that decide something about the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Stop gracefully.
    Term,
    /// Stop quickly.
    Int,
    /// Stop quickly.
    Quit,
    /// Reload.
    Hup,
    /// One worker more.
    Ttin,
    /// One worker fewer.
    Ttou,
    /// Retire all workers.
    Winch,
    /// A new program is to take over.
    Usr2,
}

/// Why a worker is to be replaced, though nothing is wrong with its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wish {
    /// It has served `max_requests`.
    MaxRequests,
    /// Somebody who is not the master sent it a TERM.
    ForeignTerm,
    /// An operator asked for it.
    Restart,
}

/// How a process ended (wait(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExitStatus {
    /// It called exit with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl ExitStatus {
    /// Whether the end came from outside. The signals that a process raises by a fault of its own (signal(7): SEGV,
    /// BUS, ILL, FPE, ABRT, TRAP, SYS) are its own doing.
    pub(crate) fn is_foreign(self) -> bool {
        const OWN_FAULTS: [i32; 7] = [11, 7, 4, 8, 6, 5, 31];
        matches!(self, Self::Signal(number) if !OWN_FAULTS.contains(&number))
    }
}
