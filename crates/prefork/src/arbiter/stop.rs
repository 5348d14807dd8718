//! The end of workers and of the whole: every grace has its bound.

use std::time::Duration;

use crate::ids::{Moment, Slot};

use super::action::{Action, Cause, Failure, Order, Report};
use super::pool::{State, Worker};
use super::reload::Reload;
use super::{Actions, Arbiter, Phase};

/// Between an abort or a quick stop and the kill.
pub(super) const LAST_GRACE: Duration = Duration::from_secs(2);
/// A worker ends its drain by its own clock; the master kills only when that, too, has failed.
pub(super) const DRAIN_MARGIN: Duration = Duration::from_secs(1);

impl Arbiter {
    /// Stops, with this exit code in the end. A quick stop overtakes a graceful one, never the other way.
    pub(super) fn stop(&mut self, quick: bool, code: i32, now: Moment, out: &mut Actions) {
        match self.phase {
            Phase::Stopping { quick: was_quick, .. } if was_quick || !quick => return,
            Phase::Ended => return,
            Phase::Stopping { code, .. } => self.phase = Phase::Stopping { quick, code },
            Phase::Preparing | Phase::Running => {
                self.phase = Phase::Stopping { quick, code };
                out.push(Action::CloseListeners);
            }
        }
        // Whatever a reload has under way leads nowhere now; settings that are being read are not waited for.
        self.reload = Reload::Idle;
        self.reload_waits = false;
        out.push(Action::Report(Report::Stopping { quick }));
        if self.helper.is_some() {
            out.push(Action::KillHelper);
        }
        let slots: Vec<Slot> = self.pool.iter().map(|worker| worker.slot).collect();
        let order = if quick { Order::Quit } else { Order::Drain };
        for slot in slots {
            self.tell_to_leave(slot, order, Cause::Stopped, now, out);
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
            (State::Booting { .. } | State::Ready { .. }, Order::Drain) => {
                State::Draining { until: now + worker.limits.graceful_timeout + DRAIN_MARGIN, cause }
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
            | (State::Draining { .. }, Order::Drain)
            | (State::Leaving { .. }, Order::Drain | Order::Quit | Order::Abort)
            | (State::Killed { .. }, _) => return false,
        };
        out.push(Action::Signal(slot, order));
        true
    }

    /// Acts on every time limit that has passed.
    pub(super) fn expire(&mut self, now: Moment, out: &mut Actions) {
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
        workers.chain(helper).min()
    }

    /// Ends once nobody is left.
    pub(super) fn end_if_empty(&mut self, out: &mut Actions) {
        if let Phase::Stopping { code, .. } = self.phase
            && self.pool.is_empty()
            && self.helper.is_none()
        {
            self.phase = Phase::Ended;
            out.push(Action::Exit(code));
        }
    }
}
