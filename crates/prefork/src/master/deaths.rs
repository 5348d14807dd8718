//! Why workers end: told apart, named and counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use settings::Choice;

use crate::arbiter::{Cause, Death, ExitStatus, Retirement, Wish};
use crate::ids::{MemorySize, Pid};
use crate::worker::EXIT_ABORTED;

settings::choice! {
    /// Why a worker has ended. The names are for logs and figures, and stay.
    pub(crate) enum CauseOfDeath {
        /// A newer generation has taken its place.
        Reload = "reload",
        /// It had served `max_requests`.
        MaxRequests = "max_requests",
        /// Somebody who is not the master sent it SIGTERM, and it was replaced.
        ForeignTerm = "foreign_term",
        /// An operator asked for its replacement.
        Restart = "restart",
        /// There were more workers than wanted.
        Surplus = "surplus",
        /// No workers were wanted.
        Halt = "halt",
        /// The master was stopping, or did not need it any more.
        Stop = "stop",
        /// A request held it for longer than `timeout`.
        TimeoutTurn = "timeout_turn",
        /// It was silent for longer than `timeout`.
        TimeoutSilent = "timeout_silent",
        /// It was not ready within `boot_timeout`.
        BootTimeout = "boot_timeout",
        /// It was told to leave, and was still there at the end of its grace.
        GraceOver = "grace_over",
        /// It exited, and nobody had asked for that.
        Exit = "exit",
        /// A fault of its own: a signal such as SIGSEGV or SIGABRT.
        OwnSignal = "own_signal",
        /// A signal that the master did not send.
        ForeignSignal = "foreign_signal",
        /// The kernel killed it, as memory was out: that of its cgroup or, which is not told apart, of the machine.
        OutOfMemory = "out_of_memory",
    }
}

/// Who sent a SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Killer {
    Master,
    /// The kernel, as memory was out.
    OutOfMemory,
    Stranger,
}

/// What the master knows of a worker's end, and the arbiter does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    /// Who killed it, if SIGKILL is what it died of.
    pub(super) killer: Option<Killer>,
    pub(super) pid: Pid,
    pub(super) peak_rss: MemorySize,
}

impl CauseOfDeath {
    /// The cause that a death is counted under. What cuts a worker short goes before what it was told, and what the master had
    /// decided before how it then ended.
    pub(super) fn of(death: &Death, killer: Option<Killer>) -> Self {
        match (killer, death.cause, death.status) {
            (Some(Killer::OutOfMemory), _, _) => Self::OutOfMemory,
            (Some(Killer::Stranger), _, _) => Self::ForeignSignal,
            (_, Cause::Turn(_), _) => Self::TimeoutTurn,
            (_, Cause::Silent(_), _) => Self::TimeoutSilent,
            (_, Cause::Boot(_), _) => Self::BootTimeout,
            (_, Cause::GraceOver, _) => Self::GraceOver,
            // It was stuck when its drain was over, and cut by its own clock, which is the earlier one.
            (_, Cause::Retired(_) | Cause::Stopped, ExitStatus::Code(EXIT_ABORTED)) => Self::GraceOver,
            (_, Cause::Retired(why), ExitStatus::Code(0))
            | (Some(Killer::Master), Cause::Retired(why), _) => Self::of_retirement(why),
            (_, Cause::Stopped, ExitStatus::Code(0)) | (Some(Killer::Master), Cause::Stopped, _) => {
                Self::Stop
            }
            (_, Cause::Own | Cause::Retired(_) | Cause::Stopped, ExitStatus::Code(_)) => Self::Exit,
            (_, Cause::Own | Cause::Retired(_) | Cause::Stopped, status) if status.is_foreign() => {
                Self::ForeignSignal
            }
            (_, Cause::Own | Cause::Retired(_) | Cause::Stopped, ExitStatus::Signal(_)) => Self::OwnSignal,
        }
    }

    fn of_retirement(why: Retirement) -> Self {
        match why {
            Retirement::Reload => Self::Reload,
            Retirement::Wish(Wish::MaxRequests) => Self::MaxRequests,
            Retirement::Wish(Wish::ForeignTerm) => Self::ForeignTerm,
            Retirement::Wish(Wish::Restart) => Self::Restart,
            Retirement::Surplus => Self::Surplus,
            Retirement::Halt => Self::Halt,
        }
    }

    /// Whether it ended as it was told.
    pub(super) fn was_asked_for(self) -> bool {
        match self {
            Self::Reload | Self::MaxRequests | Self::ForeignTerm | Self::Restart => true,
            Self::Surplus | Self::Halt | Self::Stop => true,
            Self::TimeoutTurn | Self::TimeoutSilent | Self::BootTimeout | Self::GraceOver => false,
            Self::Exit | Self::OwnSignal | Self::ForeignSignal | Self::OutOfMemory => false,
        }
    }
}

/// How many workers have ended, by cause, since the master's start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(into = "BTreeMap<String, u64>", from = "BTreeMap<String, u64>")]
pub(crate) struct Deaths([u64; CauseOfDeath::ALL.len()]);

impl From<Deaths> for BTreeMap<String, u64> {
    fn from(deaths: Deaths) -> Self {
        deaths.iter().map(|(cause, count)| (cause.as_str().to_owned(), count)).collect()
    }
}

impl From<BTreeMap<String, u64>> for Deaths {
    /// By name: another version may know other causes, and those that this one does not know are left out.
    fn from(mut counts: BTreeMap<String, u64>) -> Self {
        let mut deaths = Self::default();
        for cause in CauseOfDeath::ALL {
            deaths.add(*cause, counts.remove(cause.as_str()).unwrap_or(0));
        }
        deaths
    }
}

impl Deaths {
    fn add(&mut self, cause: CauseOfDeath, count: u64) {
        if let Some(place) = self.0.get_mut(cause.index()) {
            *place = place.saturating_add(count);
        }
    }

    pub(super) fn note(&mut self, cause: CauseOfDeath) {
        self.add(cause, 1);
    }

    /// Every cause, also those that nobody died of, with its count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CauseOfDeath, u64)> {
        CauseOfDeath::ALL.iter().copied().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::libc::SIGKILL;

    use super::*;
    use crate::ids::{Generation, Slot};

    const AGE: Duration = Duration::from_secs(3);

    fn death(cause: Cause, status: ExitStatus) -> Death {
        Death { slot: Slot(0), generation: Generation(1), status, cause, booting: false, age: AGE }
    }

    #[test]
    fn every_end_has_its_cause() {
        use CauseOfDeath as D;
        use ExitStatus::{Code, Signal};
        const RELOAD: Cause = Cause::Retired(Retirement::Reload);
        const MAX_REQUESTS: Cause = Cause::Retired(Retirement::Wish(Wish::MaxRequests));
        const FOREIGN_TERM: Cause = Cause::Retired(Retirement::Wish(Wish::ForeignTerm));
        const SURPLUS: Cause = Cause::Retired(Retirement::Surplus);
        const BY_US: Option<Killer> = Some(Killer::Master);
        const KILLED: ExitStatus = Signal(SIGKILL);
        for (cause, status, killer, expected) in [
            // As it was told.
            (RELOAD, Code(0), None, D::Reload),
            (MAX_REQUESTS, Code(0), None, D::MaxRequests),
            (FOREIGN_TERM, Code(0), None, D::ForeignTerm),
            (SURPLUS, Code(0), None, D::Surplus),
            (Cause::Stopped, Code(0), None, D::Stop),
            // A quick stop has its kill too.
            (Cause::Stopped, KILLED, BY_US, D::Stop),
            (RELOAD, KILLED, BY_US, D::Reload),
            // Given up, whatever came of it.
            (Cause::Turn(AGE), Code(EXIT_ABORTED), None, D::TimeoutTurn),
            (Cause::Turn(AGE), Code(0), None, D::TimeoutTurn),
            (Cause::Turn(AGE), KILLED, BY_US, D::TimeoutTurn),
            (Cause::Silent(AGE), KILLED, BY_US, D::TimeoutSilent),
            (Cause::Boot(AGE), KILLED, BY_US, D::BootTimeout),
            (Cause::Boot(AGE), Code(EXIT_ABORTED), None, D::BootTimeout),
            (Cause::GraceOver, KILLED, BY_US, D::GraceOver),
            (RELOAD, Code(EXIT_ABORTED), None, D::GraceOver),
            (Cause::Stopped, Code(EXIT_ABORTED), None, D::GraceOver),
            // By itself.
            (Cause::Own, Code(0), None, D::Exit),
            (Cause::Own, Code(EXIT_ABORTED), None, D::Exit),
            (Cause::Own, Signal(11), None, D::OwnSignal),
            (RELOAD, Code(7), None, D::Exit),
            (Cause::Stopped, Signal(6), None, D::OwnSignal),
            // By others.
            (Cause::Own, Signal(37), None, D::ForeignSignal),
            (SURPLUS, Signal(14), None, D::ForeignSignal),
            (Cause::Own, KILLED, Some(Killer::Stranger), D::ForeignSignal),
            (RELOAD, KILLED, Some(Killer::Stranger), D::ForeignSignal),
            (Cause::Turn(AGE), KILLED, Some(Killer::Stranger), D::ForeignSignal),
            (Cause::Own, KILLED, Some(Killer::OutOfMemory), D::OutOfMemory),
            (Cause::Stopped, KILLED, Some(Killer::OutOfMemory), D::OutOfMemory),
            (Cause::Silent(AGE), KILLED, Some(Killer::OutOfMemory), D::OutOfMemory),
        ] {
            let found = CauseOfDeath::of(&death(cause, status), killer);
            assert_eq!(found, expected, "{cause:?}, {status:?}, {killer:?}");
        }
    }

    #[test]
    fn deaths_are_counted_by_cause() {
        let mut deaths = Deaths::default();
        for cause in [CauseOfDeath::Exit, CauseOfDeath::OutOfMemory, CauseOfDeath::Exit] {
            deaths.note(cause);
        }
        assert_eq!(deaths.0[CauseOfDeath::Exit.index()], 2);
        assert_eq!(deaths.0[CauseOfDeath::Reload.index()], 0);
        let told: Vec<_> = deaths.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(told, [(CauseOfDeath::Exit, 2), (CauseOfDeath::OutOfMemory, 1)]);
        assert_eq!(deaths.iter().count(), CauseOfDeath::ALL.len());
    }
}
