//! A reload: read, prepare, prove one worker, then go through the pool slot by slot.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{Generation, Moment};

use super::action::{Action, Failure, Report};
use super::pool::{State, Worker};
use super::{Actions, Arbiter, Policy};

/// How long the first worker of a new generation has to serve before the old generation may go.
pub(super) const PROOF: Duration = Duration::from_secs(1);
/// How often a first worker that somebody else killed is tried again.
const TRIES: u32 = 3;

/// How far a reload has come. One more may wait behind the running one, however many were asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Reload {
    Idle,
    Reading,
    Preparing(Candidate),
    Proving {
        candidate: Candidate,
        tries: u32,
    },
    /// The new settings are in force since then, and the pool is gone through.
    Rolling {
        since: Moment,
    },
}

/// Settings that have not proved themselves yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Candidate {
    pub(super) generation: Generation,
    pub(super) policy: Policy,
}

impl Arbiter {
    /// A reload was asked for. It brings a halted pool back, whatever becomes of it.
    pub(super) fn reload_wanted(&mut self, out: &mut Actions) {
        self.resume(out);
        if self.reload_waits {
            return;
        }
        self.reload_waits = true;
        if self.reload != Reload::Idle {
            out.push(Action::Report(Report::ReloadWaits));
        }
    }

    /// Whether another reload or an upgrade may begin. One that has proved itself, but whose workers fail to boot since, does
    /// not keep the next one waiting: that one may bring the cure.
    pub(super) fn has_room_for_plans(&self) -> bool {
        match self.reload {
            Reload::Idle => true,
            Reload::Rolling { since } => self.gate.failed_after(since),
            Reload::Reading | Reload::Preparing(_) | Reload::Proving { .. } => false,
        }
    }

    /// Gives up on finishing a reload, if one runs.
    pub(super) fn overtake_the_reload(&mut self, out: &mut Actions) {
        if std::mem::replace(&mut self.reload, Reload::Idle) != Reload::Idle {
            out.push(Action::Report(Report::ReloadOvertaken(self.generation)));
        }
    }

    /// Starts the waiting reload, if it may. The first start comes first: what it says of a broken application is the
    /// operator's answer then, and there is no worker yet that could be kept.
    pub(super) fn begin_reload(&mut self, out: &mut Actions) {
        if !self.reload_waits || !self.has_room_for_plans() || !self.ever_ready || self.is_being_replaced() {
            return;
        }
        self.overtake_the_reload(out);
        self.reload_waits = false;
        self.reload = Reload::Reading;
        out.push(Action::Report(Report::ReloadStarted(self.latest.next())));
        out.push(Action::ReadSettings { candidate: self.latest.next() });
    }

    pub(super) fn settings_accepted(&mut self, policy: Policy, now: Moment, out: &mut Actions) {
        if self.reload != Reload::Reading {
            out.push(Action::Discard(self.latest.next())); // a stop has begun meanwhile
            return;
        }
        self.latest = self.latest.next();
        let candidate = Candidate { generation: self.latest, policy };
        self.prepare(candidate.generation, candidate.policy.limits.boot_timeout, now, out);
        self.reload = Reload::Preparing(candidate);
    }

    pub(super) fn settings_refused(&mut self, out: &mut Actions) {
        if self.reload == Reload::Reading {
            self.reload = Reload::Idle;
            out.push(Action::Report(Report::ReloadFailed(self.latest.next(), Failure::Settings)));
        }
    }

    /// The candidate's `App::prepare` has ended well.
    pub(super) fn candidate_prepared(&mut self) {
        if let Reload::Preparing(candidate) = &self.reload {
            self.reload = Reload::Proving { candidate: candidate.clone(), tries: 0 };
        }
    }

    /// The generation whose first worker is wanted or on trial.
    pub(super) fn on_trial(&self) -> Option<&Candidate> {
        match &self.reload {
            Reload::Proving { candidate, .. } => Some(candidate),
            _ => None,
        }
    }

    /// Whether nobody of it was forked yet.
    pub(super) fn trial_is_new(&self) -> bool {
        matches!(self.reload, Reload::Proving { tries: 0, .. })
    }

    /// A worker of the candidate has ended, or was given up on.
    pub(super) fn trial_ended(&mut self, failure: Failure, now: Moment, out: &mut Actions) {
        let Reload::Proving { tries, .. } = &mut self.reload else { return };
        *tries += 1;
        if matches!(failure, Failure::Died(status) if status.is_foreign()) && *tries < TRIES {
            self.gate.died(now);
        } else {
            self.fail_reload(failure, out);
        }
    }

    /// Gives up on the candidate; the running generation stays as it is.
    pub(super) fn fail_reload(&mut self, failure: Failure, out: &mut Actions) {
        let candidate = match std::mem::replace(&mut self.reload, Reload::Idle) {
            Reload::Preparing(candidate) | Reload::Proving { candidate, .. } => candidate,
            other @ (Reload::Idle | Reload::Reading | Reload::Rolling { .. }) => {
                self.reload = other;
                return;
            }
        };
        out.push(Action::Report(Report::ReloadFailed(candidate.generation, failure)));
        if self.is_foreign() {
            self.go_back(failure, candidate, out);
        } else {
            out.push(Action::Discard(candidate.generation));
        }
    }

    /// Takes the candidate's settings once its first worker has served for a second.
    pub(super) fn advance_reload(&mut self, now: Moment, out: &mut Actions) {
        if let Reload::Proving { candidate, .. } = &self.reload
            && self.pool.iter().any(|worker| proved(worker, candidate.generation, now))
        {
            let Candidate { generation, policy } = candidate.clone();
            let from = self.target();
            if policy.workers != self.policy.workers {
                self.offset = 0;
            }
            self.policy = policy;
            self.generation = generation;
            self.reload = Reload::Rolling { since: now };
            self.gate.forget_failures();
            self.has_replaced(out);
            out.push(Action::Promote(generation));
            self.tell_the_size(from, out);
        }
    }

    /// Ends a reload once none of the old generation takes anything new, and tells when the last of it has gone.
    pub(super) fn end_reload(&mut self, out: &mut Actions) {
        if matches!(self.reload, Reload::Rolling { .. })
            && self.pool.iter().all(|worker| self.has_arrived(worker))
        {
            self.reload = Reload::Idle;
            out.push(Action::Report(Report::ReloadDone(self.generation)));
        }
        if self.reload == Reload::Idle
            && self.alone < self.generation
            && self.pool.iter().all(|worker| worker.generation >= self.generation)
        {
            self.alone = self.generation;
            out.push(Action::Report(Report::ServesAlone(self.generation)));
        }
    }

    /// When the worker on trial will have proved itself.
    pub(super) fn proof_due(&self) -> Option<Moment> {
        let candidate = self.on_trial()?;
        self.pool.iter().find_map(|worker| match worker.state {
            State::Ready { since, .. } if worker.generation == candidate.generation => Some(since + PROOF),
            _ => None,
        })
    }

    fn has_arrived(&self, worker: &Worker) -> bool {
        worker.generation >= self.generation || !worker.is_live()
    }
}

fn proved(worker: &Worker, generation: Generation, now: Moment) -> bool {
    worker.generation == generation
        && matches!(worker.state, State::Ready { since, .. } if now.since(since) >= PROOF)
}
