//! How many workers are wanted, and bringing the pool there.

use crate::ids::{Generation, Moment, SLOTS, Slot};

use super::action::{Action, Cause, Report, Retirement};
use super::policy::Limits;
use super::pool::{State, Worker};
use super::{Actions, Arbiter};

/// The most workers that can be asked for: a reload and its drains need places too.
pub(crate) const MOST_WORKERS: u16 = SLOTS / 2;

/// How many workers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) wanted: usize,
    pub(crate) ready: usize,
    pub(crate) booting: usize,
    /// Those that were told to leave, in whichever way.
    pub(crate) draining: usize,
}

/// A worker, for whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerView {
    pub(crate) generation: Generation,
    pub(crate) stage: Stage,
    /// When it was forked.
    pub(crate) spawned: Moment,
}

/// How far a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Booting,
    Ready,
    /// It finishes what it has.
    Draining,
    /// It was told to go at once.
    Leaving,
}

impl Arbiter {
    /// How many workers are wanted: the setting, and what TTIN and TTOU added to it.
    pub(crate) fn target(&self) -> u16 {
        let wanted = i32::from(self.policy.workers) + self.offset;
        u16::try_from(wanted).unwrap_or(1).clamp(1, MOST_WORKERS)
    }

    /// How many there are.
    pub(crate) fn figures(&self) -> Figures {
        let draining = |worker: &Worker| !worker.is_booting() && !worker.is_ready();
        Figures {
            wanted: self.wanted(),
            ready: self.pool.count(Worker::is_ready),
            booting: self.pool.count(Worker::is_booting),
            draining: self.pool.count(draining),
        }
    }

    /// What is known of a slot's worker.
    pub(crate) fn worker(&self, slot: Slot) -> Option<WorkerView> {
        let worker = self.pool.iter().find(|worker| worker.slot == slot)?;
        let stage = match worker.state {
            State::Booting { .. } => Stage::Booting,
            State::Ready { .. } => Stage::Ready,
            State::Draining { .. } => Stage::Draining,
            State::Leaving { .. } | State::Killed { .. } => Stage::Leaving,
        };
        Some(WorkerView { generation: worker.generation, stage, spawned: worker.spawned })
    }

    /// How many there should be now.
    pub(super) fn wanted(&self) -> usize {
        if self.halted { 0 } else { usize::from(self.target()) }
    }

    /// Live workers are never more than this.
    pub(super) fn most_live(&self) -> usize {
        usize::from(self.target()) + usize::from(self.policy.surge.max(1))
    }

    pub(super) fn scale_by(&mut self, by: i32, out: &mut Actions) {
        let to = i32::from(self.target()) + by;
        self.scale_to(u16::try_from(to.max(1)).unwrap_or(MOST_WORKERS), out);
    }

    pub(super) fn scale_to(&mut self, to: u16, out: &mut Actions) {
        let (from, to) = (self.target(), to.clamp(1, MOST_WORKERS));
        self.offset = i32::from(to) - i32::from(self.policy.workers);
        self.tell_the_size(from, out);
    }

    /// Says that another number of workers is wanted, if it is.
    pub(super) fn tell_the_size(&self, from: u16, out: &mut Actions) {
        let to = self.target();
        if from != to {
            out.push(Action::Report(Report::Scaled { from, to }));
        }
    }

    /// Whether no workers are wanted until the next reload.
    pub(crate) fn is_halted(&self) -> bool {
        self.halted
    }

    /// Retires every worker, until the next reload.
    pub(super) fn halt(&mut self, out: &mut Actions) {
        if !std::mem::replace(&mut self.halted, true) {
            out.push(Action::Report(Report::Halted));
        }
    }

    /// Brings the workers of a halted pool back.
    pub(super) fn resume(&mut self, out: &mut Actions) {
        if std::mem::take(&mut self.halted) {
            out.push(Action::Report(Report::Resumed));
        }
    }

    /// Forks what is missing: first the one on trial, then up to the target.
    pub(super) fn fill(&mut self, now: Moment, out: &mut Actions) {
        if let Some(candidate) = self.on_trial() {
            let (generation, limits) = (candidate.generation, candidate.policy.limits);
            // The gate knows the running generation's failures. Of this one it knows nothing before the first try.
            let may = self.has_room_for_a_boot() && (self.trial_is_new() || self.gate.is_open(now));
            if may && self.pool.iter().all(|worker| worker.generation != generation) {
                self.spawn(generation, limits, now, out);
            }
        }
        while self.misses_workers() && self.has_room_for_a_boot() && self.gate.is_open(now) {
            if !self.spawn(self.generation, self.policy.limits, now, out) {
                break;
            }
        }
    }

    /// Whether forks are missing that wait for the gate only.
    pub(super) fn waits_for_gate(&self) -> bool {
        self.on_trial().is_some() || self.misses_workers()
    }

    /// Whether the running generation is to be forked.
    fn misses_workers(&self) -> bool {
        !self.is_foreign() && self.pool.count(|worker| self.is_fresh(worker)) < self.wanted()
    }

    fn has_room_for_a_boot(&self) -> bool {
        self.pool.count(Worker::is_live) < self.most_live()
            && self.pool.count(Worker::is_booting) < self.most_booting()
    }

    fn spawn(&mut self, generation: Generation, limits: Limits, now: Moment, out: &mut Actions) -> bool {
        let Some(slot) = self.pool.admit(generation, limits, now) else { return false };
        out.push(Action::Spawn { slot, generation });
        true
    }

    /// Retires what is too much: a worker of an older generation or with a wish only when there are more ready ones
    /// than wanted, so that its replacement is ready, and never the last.
    pub(super) fn thin(&mut self, now: Moment, out: &mut Actions) {
        while self.pool.count(|worker| self.is_fresh(worker)) > self.wanted() {
            let youngest = self.pool.iter().rev().find(|worker| self.is_fresh(worker) && worker.is_booting());
            let Some(slot) = youngest.map(|worker| worker.slot) else { break };
            self.tell_to_drain(slot, Cause::Retired(Retirement::Surplus), now, out);
        }
        if self.pool.count(|worker| self.serves(worker)) > 0 {
            let outdated = |worker: &&Worker| worker.is_booting() && worker.generation < self.generation;
            let slots: Vec<Slot> = self.pool.iter().filter(outdated).map(|worker| worker.slot).collect();
            for slot in slots {
                self.tell_to_drain(slot, Cause::Retired(Retirement::Reload), now, out);
            }
        }
        while self.pool.count(|worker| self.serves(worker)) > self.wanted() {
            if !self.make_room_for_a_drain(now, out) {
                break;
            }
            let serving = || self.pool.iter().filter(|worker| self.serves(worker));
            let victim = serving()
                .filter(|worker| !self.is_fresh(worker))
                .min_by_key(|worker| (worker.generation, worker.serial))
                .or_else(|| serving().min_by_key(|worker| worker.serial));
            let Some(victim) = victim else { break };
            let replaced = victim.generation < self.generation
                && serving().any(|worker| worker.generation > victim.generation);
            let why = match victim.wish() {
                _ if replaced => Retirement::Reload,
                Some(wish) => Retirement::Wish(wish),
                None if self.halted => Retirement::Halt,
                None => Retirement::Surplus,
            };
            let (slot, generation) = (victim.slot, victim.generation);
            out.push(Action::Report(Report::Retiring(slot, generation, why)));
            self.tell_to_drain(slot, Cause::Retired(why), now, out);
        }
    }

    /// Of the generation that is wanted, booting or ready, and content to stay.
    pub(super) fn is_fresh(&self, worker: &Worker) -> bool {
        worker.generation == self.generation
            && (worker.is_booting() || worker.is_ready())
            && worker.wish().is_none()
    }

    /// Ready, and not on trial.
    pub(super) fn serves(&self, worker: &Worker) -> bool {
        worker.is_ready() && worker.generation <= self.generation
    }
}
