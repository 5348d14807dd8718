//! A new program takes over: beside this one as a second master, or in its place.
//!
//! ```text
//! fork:  None ──► Successor ── it ends ──► None          in the second master: Beside ── the first ends ──► None
//! exec:  None ──► Waiting ──► Checking ──► Handing ══ exec ══► OnTrial ── promoted ──► None
//!                                │            └── exec failed ──► None  │
//!                                └── refused ──► None                   └── failed ──► GoingBack ══ exec ══► None
//! ```

use serde::{Deserialize, Serialize};

use crate::ids::{Generation, Moment};

use super::action::{Action, Failure, Report, UpgradeFailure, UpgradeRefusal};
use super::event::ExitStatus;
use super::reload::{Candidate, Reload};
use super::{Actions, Arbiter, Phase, Policy, UpgradeWay};

/// How far an upgrade has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Upgrade {
    None,
    /// This is the second master, and the first still runs: it may have to go back to that one.
    Beside,
    /// A second master runs.
    Successor {
        /// Whether one of its workers serves.
        ready: bool,
    },
    /// A reload has to end first.
    Waiting,
    /// The new program is asked whether it can read its configuration and this state.
    Checking {
        since: Moment,
        until: Moment,
        late: bool,
    },
    /// The next thing is the exec.
    Handing,
    /// This is the new program: what runs was made by the old one, and the first worker of its own has to prove itself.
    OnTrial,
    /// It did not: the next thing is the exec of the old one.
    GoingBack(Failure, Candidate),
}

impl Arbiter {
    pub(super) fn upgrade_wanted(&mut self, out: &mut Actions) {
        let refusal = match self.upgrade {
            Upgrade::None if !self.ever_ready => UpgradeRefusal::Starting,
            Upgrade::None => {
                let way = self.policy.upgrade;
                out.push(Action::Report(Report::UpgradeStarted(way)));
                self.upgrade = match way {
                    UpgradeWay::Exec => Upgrade::Waiting,
                    UpgradeWay::Fork => {
                        out.push(Action::StartSuccessor);
                        Upgrade::Successor { ready: false }
                    }
                };
                return;
            }
            Upgrade::Beside => UpgradeRefusal::Unfinished,
            _ => UpgradeRefusal::Running,
        };
        out.push(Action::Report(Report::UpgradeRefused(refusal)));
    }

    /// Begins to look at the new program, once no reload keeps it waiting.
    pub(super) fn advance_upgrade(&mut self, now: Moment, out: &mut Actions) {
        if self.upgrade == Upgrade::Waiting && self.has_room_for_plans() {
            self.overtake_the_reload(out);
            let until = now + self.policy.limits.boot_timeout;
            self.upgrade = Upgrade::Checking { since: now, until, late: false };
            out.push(Action::CheckProgram);
        }
    }

    pub(super) fn program_checked(&mut self, status: ExitStatus, understood: bool, out: &mut Actions) {
        let Upgrade::Checking { since, until, late } = self.upgrade else { return };
        self.upgrade = Upgrade::None;
        let failure = match status {
            _ if self.phase != Phase::Running => return, // nobody waits for it any more
            _ if late => UpgradeFailure::CheckTimeout(until.since(since)),
            ExitStatus::Code(0) if understood => {
                self.upgrade = Upgrade::Handing;
                return out.push(Action::HandOver);
            }
            ExitStatus::Code(0) => UpgradeFailure::NotUnderstood,
            status => UpgradeFailure::Check(status),
        };
        out.push(Action::Report(Report::UpgradeFailed(failure)));
    }

    /// The generation that a program which takes over begins with.
    pub(crate) fn next_generation(&self) -> Generation {
        self.latest.next()
    }

    /// Whether [`Action::HandOver`] or [`Action::GoBack`] is still wanted: the master finishes what it has at hand first, and
    /// that may be the order to stop.
    pub(crate) fn hands_over(&self) -> bool {
        !self.is_stopping() && matches!(self.upgrade, Upgrade::Handing | Upgrade::GoingBack(..))
    }

    /// The exec failed; this program goes on.
    pub(super) fn hand_over_failed(&mut self, errno: i32, out: &mut Actions) {
        match std::mem::replace(&mut self.upgrade, Upgrade::None) {
            Upgrade::Handing => {
                out.push(Action::Report(Report::UpgradeFailed(UpgradeFailure::Exec(errno))));
            }
            // There is no way back. What serves goes on, and this program's own workers are tried until they serve too.
            Upgrade::GoingBack(_, Candidate { generation, policy }) => {
                (self.generation, self.policy) = (generation, policy);
                out.push(Action::Report(Report::NoWayBack(errno)));
                out.push(Action::Promote(generation));
            }
            other => self.upgrade = other,
        }
    }

    /// Goes on in the new program: from here on, what runs is an older generation, and the new one is on trial.
    pub(super) fn take_over(&mut self, policy: Policy, now: Moment, out: &mut Actions) {
        self.upgrade = Upgrade::OnTrial;
        self.latest = self.latest.next();
        let candidate = Candidate { generation: self.latest, policy };
        out.push(Action::Report(Report::ReloadStarted(candidate.generation)));
        self.prepare(candidate.generation, candidate.policy.limits.boot_timeout, now, out);
        self.reload = Reload::Preparing(candidate);
    }

    /// This program cannot serve: back to the one that it came from.
    pub(super) fn go_back(&mut self, failure: Failure, candidate: Candidate, out: &mut Actions) {
        self.upgrade = Upgrade::GoingBack(failure, candidate);
        out.push(Action::GoBack);
    }

    /// This program cannot even begin: the one before it is to go on.
    pub(crate) fn refuse_to_take_over(&mut self) {
        self.latest = self.latest.next();
        let candidate = Candidate { generation: self.latest, policy: self.policy.clone() };
        self.upgrade = Upgrade::GoingBack(Failure::Settings, candidate);
    }

    /// Goes on in the old program.
    pub(super) fn came_back(&mut self, out: &mut Actions) {
        if let Upgrade::GoingBack(failure, _) = std::mem::replace(&mut self.upgrade, Upgrade::None) {
            out.push(Action::Report(Report::UpgradeFailed(UpgradeFailure::Trial(failure))));
        }
    }

    /// Whether the generation that is wanted was made by another program, whose workers this one cannot fork.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self.upgrade, Upgrade::OnTrial | Upgrade::GoingBack(..))
    }

    /// Whether this program is about to be replaced in its process, or to prove that it may stay.
    pub(super) fn is_being_replaced(&self) -> bool {
        !matches!(self.upgrade, Upgrade::None | Upgrade::Beside | Upgrade::Successor { .. })
    }

    /// How far an upgrade is, if one runs.
    pub(crate) fn upgrade_in_words(&self) -> Option<&'static str> {
        match self.upgrade {
            Upgrade::None => None,
            Upgrade::Beside => Some("the master before this one still runs"),
            Upgrade::Successor { ready: false } => Some("a second master starts"),
            Upgrade::Successor { ready: true } => Some("a second master serves beside this one"),
            Upgrade::Waiting => Some("a reload has to end first"),
            Upgrade::Checking { .. } => Some("the new program is checked"),
            Upgrade::Handing => Some("the new program takes over"),
            Upgrade::OnTrial => Some("the new program has to prove itself"),
            Upgrade::GoingBack(..) => Some("the program before this one comes back"),
        }
    }

    /// Whether two masters run on the same sockets.
    pub(crate) fn is_one_of_two(&self) -> bool {
        matches!(self.upgrade, Upgrade::Successor { .. } | Upgrade::Beside)
    }

    /// The first worker has proved itself: if it was a new program's, that one stays.
    pub(super) fn has_replaced(&mut self, out: &mut Actions) {
        if self.upgrade == Upgrade::OnTrial {
            self.upgrade = Upgrade::None;
            out.push(Action::Report(Report::Upgraded(self.generation)));
        }
    }

    /// The server that begins is a second master.
    pub(crate) fn stand_beside_another(&mut self) {
        self.upgrade = Upgrade::Beside;
    }

    pub(super) fn predecessor_gone(&mut self) {
        if self.upgrade == Upgrade::Beside {
            self.upgrade = Upgrade::None;
        }
    }

    pub(super) fn successor_serves(&mut self, out: &mut Actions) {
        if let Upgrade::Successor { ready: ready @ false } = &mut self.upgrade {
            *ready = true;
            out.push(Action::Report(Report::SuccessorServes));
        }
    }

    /// The second master has ended, or could not be started. Workers that were retired for its sake come back.
    pub(super) fn successor_ended(&mut self, status: Result<ExitStatus, i32>, out: &mut Actions) {
        let Upgrade::Successor { ready } = self.upgrade else { return };
        self.upgrade = Upgrade::None;
        out.push(Action::Report(match status {
            Ok(status) if ready => Report::SuccessorEnded(status),
            Ok(status) => Report::UpgradeFailed(UpgradeFailure::Successor(status)),
            Err(errno) => Report::UpgradeFailed(UpgradeFailure::Fork(errno)),
        }));
        self.resume(out);
    }
}
