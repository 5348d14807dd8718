//! Who works where.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{Generation, Moment, SLOTS, Slot};

use super::action::Cause;
use super::event::Wish;
use super::policy::Limits;

/// A worker, as the arbiter sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Worker {
    pub(super) slot: Slot,
    pub(super) generation: Generation,
    pub(super) limits: Limits,
    /// The order of the forks: a lower one is older.
    pub(super) serial: u64,
    pub(super) spawned: Moment,
    pub(super) state: State,
}

/// Where a worker is in its life. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum State {
    /// Forked, and not ready before `until` at the latest.
    Booting { until: Moment },
    /// It serves.
    Ready { since: Moment, wish: Option<Wish> },
    /// It was told at `since` to finish what it has, until then at the latest.
    Draining { since: Moment, until: Moment, cause: Cause },
    /// It was told to leave at once, and is killed then.
    Leaving { until: Moment, cause: Cause },
    /// It was killed; only its reaping is missing.
    Killed { cause: Cause },
}

impl Worker {
    pub(super) fn is_booting(&self) -> bool {
        matches!(self.state, State::Booting { .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    pub(super) fn wish(&self) -> Option<Wish> {
        match self.state {
            State::Ready { wish, .. } => wish,
            _ => None,
        }
    }

    /// Whether it takes up one of the places that `workers + surge` bounds. One that was told to leave at once still
    /// does, as it holds memory and a processor until it is gone; one that drains does not, as it may take long.
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.state, State::Draining { .. })
    }

    /// Since when it drains.
    pub(super) fn draining_since(&self) -> Option<Moment> {
        match self.state {
            State::Draining { since, .. } => Some(since),
            _ => None,
        }
    }

    /// What the arbiter had to do with its end.
    pub(super) fn cause(&self) -> Cause {
        match self.state {
            State::Booting { .. } | State::Ready { .. } => Cause::Own,
            State::Draining { cause, .. } | State::Leaving { cause, .. } | State::Killed { cause } => cause,
        }
    }

    /// Moves every time limit by a span in which nothing could run.
    pub(super) fn excuse(&mut self, span: Duration) {
        match &mut self.state {
            State::Booting { until } | State::Draining { until, .. } | State::Leaving { until, .. } => {
                *until = *until + span;
            }
            State::Ready { .. } | State::Killed { .. } => {}
        }
    }
}

/// All workers, in the order of their forks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pool {
    workers: Vec<Worker>,
    forks: u64,
}

impl Pool {
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Worker> {
        self.workers.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Worker> {
        self.workers.iter_mut()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    pub(super) fn count(&self, which: impl Fn(&Worker) -> bool) -> usize {
        self.workers.iter().filter(|worker| which(worker)).count()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.slot == slot)
    }

    /// Gives the lowest free place to a new worker; `None` when all 1,024 are taken.
    pub(super) fn admit(&mut self, generation: Generation, limits: Limits, now: Moment) -> Option<Slot> {
        let slot =
            (0..SLOTS).map(Slot).find(|slot| self.workers.iter().all(|worker| worker.slot != *slot))?;
        self.forks += 1;
        self.workers.push(Worker {
            slot,
            generation,
            limits,
            serial: self.forks,
            spawned: now,
            state: State::Booting { until: now + limits.boot_timeout },
        });
        Some(slot)
    }

    /// Takes a worker out, whose place is free from then on.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Worker> {
        let index = self.workers.iter().position(|worker| worker.slot == slot)?;
        Some(self.workers.remove(index))
    }
}
