//! How many workers are wanted, and bringing the pool there.

use crate::ids::{Generation, Moment, SLOTS, Slot};

use super::action::{Action, Cause, Order, Report, Retirement};
use super::policy::Limits;
use super::pool::Worker;
use super::{Actions, Arbiter};

/// The most workers that can be asked for: a reload and its drains need places too.
pub(crate) const MOST_WORKERS: u16 = SLOTS / 2;

impl Arbiter {
    /// How many workers are wanted: the setting, and what TTIN and TTOU added to it.
    pub(crate) fn target(&self) -> u16 {
        let wanted = i32::from(self.policy.workers) + self.offset;
        u16::try_from(wanted).unwrap_or(1).clamp(1, MOST_WORKERS)
    }

    /// Live workers are never more than this.
    pub(super) fn most_live(&self) -> usize {
        usize::from(self.target()) + usize::from(self.policy.surge.max(1))
    }

    pub(super) fn scale(&mut self, by: i32, out: &mut Actions) {
        let from = self.target();
        let to = u16::try_from((i32::from(from) + by).max(1)).unwrap_or(from).min(MOST_WORKERS);
        self.offset = i32::from(to) - i32::from(self.policy.workers);
        if from != to {
            out.push(Action::Report(Report::Scaled { from, to }));
        }
    }

    /// Forks what is missing: first the one on trial, then up to the target.
    pub(super) fn fill(&mut self, now: Moment, out: &mut Actions) {
        if let Some(candidate) = self.on_trial() {
            let (generation, limits) = (candidate.generation, candidate.policy.limits);
            if self.pool.iter().all(|worker| worker.generation != generation) && self.may_fork(now) {
                self.spawn(generation, limits, now, out);
            }
        }
        while self.pool.count(|worker| self.is_fresh(worker)) < usize::from(self.target())
            && self.may_fork(now)
        {
            if !self.spawn(self.generation, self.policy.limits, now, out) {
                break;
            }
        }
    }

    /// Whether forks are missing that wait for the gate only.
    pub(super) fn waits_for_gate(&self) -> bool {
        self.on_trial().is_some()
            || self.pool.count(|worker| self.is_fresh(worker)) < usize::from(self.target())
    }

    fn may_fork(&self, now: Moment) -> bool {
        self.gate.is_open(now)
            && self.pool.count(Worker::is_live) < self.most_live()
            && self.pool.count(Worker::is_booting) < usize::from(self.policy.boot_concurrency.max(1))
    }

    fn spawn(&mut self, generation: Generation, limits: Limits, now: Moment, out: &mut Actions) -> bool {
        let Some(slot) = self.pool.admit(generation, limits, now) else { return false };
        out.push(Action::Spawn { slot, generation });
        true
    }

    /// Retires what is too much: a worker of an older generation or with a wish only when there are more ready ones
    /// than wanted, so that its replacement is ready, and never the last.
    pub(super) fn thin(&mut self, now: Moment, out: &mut Actions) {
        while self.pool.count(|worker| self.is_fresh(worker)) > usize::from(self.target()) {
            let youngest = self.pool.iter().rev().find(|worker| self.is_fresh(worker) && worker.is_booting());
            let Some(slot) = youngest.map(|worker| worker.slot) else { break };
            self.tell_to_leave(slot, Order::Drain, Cause::Retired(Retirement::Surplus), now, out);
        }
        if self.pool.count(|worker| self.serves(worker)) > 0 {
            let outdated = |worker: &&Worker| worker.is_booting() && worker.generation < self.generation;
            let slots: Vec<Slot> = self.pool.iter().filter(outdated).map(|worker| worker.slot).collect();
            for slot in slots {
                self.tell_to_leave(slot, Order::Drain, Cause::Retired(Retirement::Reload), now, out);
            }
        }
        while self.pool.count(|worker| self.serves(worker)) > usize::from(self.target()) {
            let serving = || self.pool.iter().filter(|worker| self.serves(worker));
            let victim = serving()
                .filter(|worker| !self.is_fresh(worker))
                .min_by_key(|worker| (worker.generation, worker.serial))
                .or_else(|| serving().min_by_key(|worker| worker.serial));
            let Some(victim) = victim else { break };
            let why = match victim.wish() {
                _ if victim.generation < self.generation => Retirement::Reload,
                Some(wish) => Retirement::Wish(wish),
                None => Retirement::Surplus,
            };
            let (slot, generation) = (victim.slot, victim.generation);
            out.push(Action::Report(Report::Retiring(slot, generation, why)));
            self.tell_to_leave(slot, Order::Drain, Cause::Retired(why), now, out);
        }
    }

    /// Of the generation that is wanted, booting or ready, and content to stay.
    fn is_fresh(&self, worker: &Worker) -> bool {
        worker.generation == self.generation
            && (worker.is_booting() || worker.is_ready())
            && worker.wish().is_none()
    }

    /// Ready, and not on trial.
    fn serves(&self, worker: &Worker) -> bool {
        worker.is_ready() && worker.generation <= self.generation
    }
}
