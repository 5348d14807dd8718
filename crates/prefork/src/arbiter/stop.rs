//! The end of workers and of the whole: every grace has its bound.

use std::time::Duration;

use crate::ids::{Generation, Moment, Slot};

use super::action::{Action, Cause, Failure, Milestone, Order, Report};
use super::drain::DRAIN_MARGIN;
use super::pool::{State, Worker};
use super::reload::Reload;
use super::upgrade::Upgrade;
use super::{Actions, Arbiter, EXIT_STOPPED, Phase, Signal};

/// Between an abort or a quick stop and the kill.
pub(super) const LAST_GRACE: Duration = Duration::from_secs(2);
/// How long hooks are waited for at the start and at the end, should whoever runs them not see to it.
pub(super) const HOOKS_GRACE: Duration = Duration::from_secs(15);

impl Arbiter {
    /// Whether a signal means anything now: a server that is on its way out does not change its mind.
    pub(crate) fn heeds(&self, signal: Signal) -> bool {
        match self.phase {
            Phase::Starting { .. } | Phase::Preparing | Phase::Running => true,
            Phase::Leaving { .. } => matches!(signal, Signal::Term | Signal::Int | Signal::Quit),
            Phase::Stopping { quick: false, .. } | Phase::Farewell { .. } => {
                matches!(signal, Signal::Int | Signal::Quit)
            }
            Phase::Stopping { quick: true, .. } | Phase::Ended => false,
        }
    }

    /// SIGTERM: announces the stop, and begins it `drain_delay` later; a second one does not wait.
    pub(super) fn term(&mut self, now: Moment, out: &mut Actions) {
        let delay = self.policy.drain_delay;
        if self.phase != Phase::Running || delay.is_zero() || !self.ever_ready {
            return self.stop(false, EXIT_STOPPED, now, out);
        }
        self.phase = Phase::Leaving { until: now + delay };
        self.abandon_plans(out);
        out.push(Action::AnnounceStop);
        out.push(Action::Report(Report::Leaving(delay)));
        let newer = |worker: &&Worker| worker.generation > self.generation;
        let on_trial: Vec<Slot> = self.pool.iter().filter(newer).map(|worker| worker.slot).collect();
        for slot in on_trial {
            self.tell_to_drain(slot, Cause::Stopped, now, out);
        }
    }

    /// Stops, with this exit code in the end. A quick stop overtakes a graceful one, never the other way.
    pub(super) fn stop(&mut self, quick: bool, code: i32, now: Moment, out: &mut Actions) {
        match self.phase {
            Phase::Stopping { quick: was_quick, .. } if was_quick || !quick => return,
            Phase::Ended => return,
            Phase::Farewell { code, .. } => {
                if quick {
                    self.end(code, out);
                }
                return;
            }
            Phase::Stopping { code, .. } => self.phase = Phase::Stopping { quick, code },
            Phase::Starting { .. } | Phase::Preparing | Phase::Running | Phase::Leaving { .. } => {
                self.phase = Phase::Stopping { quick, code };
                out.push(Action::AnnounceStop);
                out.push(Action::CloseListeners);
            }
        }
        self.abandon_plans(out);
        out.push(Action::Report(Report::Stopping { quick }));
        let slots: Vec<Slot> = self.pool.iter().map(|worker| worker.slot).collect();
        for slot in slots {
            if quick {
                self.tell_to_leave(slot, Order::Quit, Cause::Stopped, now, out);
            } else {
                self.tell_to_drain(slot, Cause::Stopped, now, out);
            }
        }
    }

    /// Whatever a reload or an upgrade has under way leads nowhere now; settings that are being read are not waited for.
    fn abandon_plans(&mut self, out: &mut Actions) {
        self.reload_waits = false;
        match std::mem::replace(&mut self.reload, Reload::Idle) {
            Reload::Preparing(candidate) | Reload::Proving { candidate, .. } if !self.is_foreign() => {
                out.push(Action::Discard(candidate.generation));
            }
            _ => {}
        }
        match self.upgrade {
            Upgrade::Checking { .. } => out.push(Action::KillCheck),
            Upgrade::Waiting | Upgrade::Handing => self.upgrade = Upgrade::None,
            Upgrade::Successor { ready: false } => out.push(Action::StopSuccessor),
            Upgrade::None | Upgrade::Beside | Upgrade::Successor { ready: true } => {}
            Upgrade::OnTrial | Upgrade::GoingBack(..) => {}
        }
        if self.helper.is_some() {
            out.push(Action::KillHelper);
        }
    }

    /// Tells a worker to finish what it has, within the grace that it was forked with.
    pub(super) fn tell_to_drain(&mut self, slot: Slot, cause: Cause, now: Moment, out: &mut Actions) {
        if let Some(worker) = self.pool.get_mut(slot) {
            let until = now + worker.limits.graceful_timeout;
            self.tell_to_leave(slot, Order::Drain { until }, cause, now, out);
        }
    }

    /// Gives a worker an order that ends it, unless it has one already that is as strong; says whether it did.
    pub(super) fn tell_to_leave(
        &mut self,
        slot: Slot,
        order: Order,
        cause: Cause,
        now: Moment,
        out: &mut Actions,
    ) -> bool {
        let Some(worker) = self.pool.get_mut(slot) else { return false };
        worker.state = match (worker.state, order) {
            (State::Booting { .. } | State::Ready { .. }, Order::Drain { until }) => {
                State::Draining { since: now, until: until + DRAIN_MARGIN, cause }
            }
            (State::Booting { .. } | State::Ready { .. }, Order::Quit | Order::Abort) => {
                State::Leaving { until: now + LAST_GRACE, cause }
            }
            (State::Draining { cause, .. }, Order::Quit | Order::Abort) => {
                State::Leaving { until: now + LAST_GRACE, cause }
            }
            (State::Draining { .. }, Order::Kill) => State::Killed { cause: Cause::GraceOver },
            (State::Leaving { cause, .. }, Order::Kill) => State::Killed { cause },
            // Nobody is killed without a grace, and no order is taken back or given twice.
            (State::Booting { .. } | State::Ready { .. }, Order::Kill)
            | (State::Draining { .. }, Order::Drain { .. })
            | (State::Leaving { .. }, Order::Drain { .. } | Order::Quit | Order::Abort)
            | (State::Killed { .. }, _) => return false,
        };
        out.push(Action::Signal(slot, order));
        true
    }

    /// Acts on every time limit that has passed.
    pub(super) fn expire(&mut self, now: Moment, out: &mut Actions) {
        match self.phase {
            Phase::Starting { until } | Phase::Farewell { until, .. } if now >= until => {
                self.hooks_ended(now, out);
            }
            Phase::Leaving { until } if now >= until => self.stop(false, EXIT_STOPPED, now, out),
            _ => {}
        }
        let overdue: Vec<_> = self
            .pool
            .iter()
            .filter_map(|worker| Some((worker.slot, worker.generation, self.verdict(worker, now)?)))
            .collect();
        for (slot, generation, (order, cause)) in overdue {
            if !self.tell_to_leave(slot, order, cause, now, out) {
                continue;
            }
            if order == Order::Abort || cause == Cause::GraceOver {
                out.push(Action::Report(Report::GivenUp(slot, cause)));
            }
            if let Cause::Boot(after) = cause
                && order == Order::Abort
            {
                self.failed(generation, Failure::BootTimeout(after), now, out);
            }
        }
        if let Some(helper) = &mut self.helper
            && now >= helper.until
            && helper.timed_out.is_none()
        {
            helper.timed_out = Some(helper.until.since(helper.since));
            out.push(Action::KillHelper);
        }
        if let Upgrade::Checking { until, late: late @ false, .. } = &mut self.upgrade
            && now >= *until
        {
            *late = true;
            out.push(Action::KillCheck);
        }
    }

    /// What a worker has to be told because a limit has passed, and why.
    fn verdict(&self, worker: &Worker, now: Moment) -> Option<(Order, Cause)> {
        match worker.state {
            State::Booting { until } if now >= until => {
                Some((Order::Abort, Cause::Boot(until.since(worker.spawned))))
            }
            State::Draining { until, .. } if now >= until => Some((Order::Kill, Cause::GraceOver)),
            State::Leaving { until, cause } if now >= until => Some((Order::Kill, cause)),
            // A ready one is judged when its heartbeat is read, never by what an earlier reading said.
            State::Ready { .. } | State::Killed { .. } => None,
            State::Booting { .. } | State::Draining { .. } | State::Leaving { .. } => None,
        }
    }

    /// When the next of these limits passes.
    pub(super) fn next_expiry(&self) -> Option<Moment> {
        let workers = self.pool.iter().filter_map(|worker| match worker.state {
            State::Booting { until } | State::Draining { until, .. } | State::Leaving { until, .. } => {
                Some(until)
            }
            State::Ready { .. } | State::Killed { .. } => None,
        });
        let helper =
            self.helper.as_ref().filter(|helper| helper.timed_out.is_none()).map(|helper| helper.until);
        let check = match self.upgrade {
            Upgrade::Checking { until, late: false, .. } => Some(until),
            _ => None,
        };
        let phase = match self.phase {
            Phase::Starting { until } | Phase::Leaving { until } | Phase::Farewell { until, .. } => {
                Some(until)
            }
            Phase::Preparing | Phase::Running | Phase::Stopping { .. } | Phase::Ended => None,
        };
        workers.chain(helper).chain(check).chain(phase).min()
    }

    /// Takes leave once nobody is left.
    pub(super) fn end_if_empty(&mut self, now: Moment, out: &mut Actions) {
        if let Phase::Stopping { code, .. } = self.phase
            && self.pool.is_empty()
            && self.helper.is_none()
            && !matches!(self.upgrade, Upgrade::Checking { .. })
        {
            self.phase = Phase::Farewell { code, until: now + HOOKS_GRACE };
            out.push(Action::AwaitHooks(Milestone::End));
        }
    }

    /// The hooks of the start or of the end were run: now it begins, or is over.
    pub(super) fn hooks_ended(&mut self, now: Moment, out: &mut Actions) {
        match self.phase {
            Phase::Starting { .. } => {
                self.phase = Phase::Preparing;
                self.prepare(Generation::FIRST, self.policy.limits.boot_timeout, now, out);
            }
            Phase::Farewell { code, .. } => self.end(code, out),
            Phase::Preparing | Phase::Running | Phase::Leaving { .. } => {}
            Phase::Stopping { .. } | Phase::Ended => {}
        }
    }

    fn end(&mut self, code: i32, out: &mut Actions) {
        self.phase = Phase::Ended;
        out.push(Action::Exit(code));
    }
}
