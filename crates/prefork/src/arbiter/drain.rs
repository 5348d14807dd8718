//! Drains: how many there may be at once, and how long each may take.

use std::time::Duration;

use crate::ids::{Moment, Slot};

use super::action::{Action, Order, Report};
use super::pool::{State, Worker};
use super::{Actions, Arbiter};

/// A worker ends its drain by its own clock; the master kills only when that, too, has failed.
pub(super) const DRAIN_MARGIN: Duration = Duration::from_secs(1);
/// What is left to a drain that another one waits for.
pub(crate) const HURRIED: Duration = Duration::from_secs(5);

impl Arbiter {
    /// Whether one more worker may be told to drain; where not, the drains that have lasted longest are cut short, one for
    /// each worker that waits. So a reload never waits long for connections that never end, and they never pile up.
    pub(super) fn make_room_for_a_drain(&mut self, now: Moment, out: &mut Actions) -> bool {
        let most = usize::from(self.policy.max_draining.max(1));
        let mut drains: Vec<(Moment, Slot)> =
            self.pool.iter().filter_map(|worker| Some((worker.draining_since()?, worker.slot))).collect();
        if drains.len() < most {
            return true;
        }
        drains.sort();
        let waiting = self.pool.count(|worker| self.serves(worker) && !self.is_fresh(worker)).max(1);
        for (_, slot) in drains.into_iter().take(waiting) {
            self.hurry(slot, now, out);
        }
        false
    }

    /// Leaves a drain no more than [`HURRIED`].
    fn hurry(&mut self, slot: Slot, now: Moment, out: &mut Actions) {
        let end = now + HURRIED;
        let Some(Worker { state: State::Draining { until, .. }, generation, .. }) = self.pool.get_mut(slot)
        else {
            return;
        };
        if *until <= end + DRAIN_MARGIN {
            return;
        }
        *until = end + DRAIN_MARGIN;
        out.push(Action::Report(Report::Hurried(slot, *generation)));
        out.push(Action::Signal(slot, Order::Drain { until: end }));
    }
}
