//! The heart: decides, and does nothing.
//!
//! [`Arbiter::handle`] takes what happened and when, and gives what is to be done. It makes no system call, reads no
//! clock and writes no log, so that a test can play a pool's whole life through it in microseconds. The master alone
//! turns the world into events and actions into system calls.
//!
//! Every event goes the same way: it changes what is known (`take`), then time limits are acted on (`expire`), then
//! the pool is compared with what it should be and brought one step nearer (`balance`). So no decision depends on
//! which event brought it about, and a forgotten case cannot leave the pool short.
//!
//! ```text
//! Booting ── ready ──► Ready ── retired ──► Draining ── grace over ──► Killed ──► reaped
//!    └── boot_timeout ──► Leaving ◄── timeout ──┘  └── quick stop ──► Leaving ── 2 s ──┘
//! ```

mod action;
mod boot;
mod drain;
mod event;
mod policy;
mod pool;
mod reload;
mod scaling;
mod stop;
#[cfg(test)]
mod tests;
mod upgrade;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{Generation, Moment, Slot};

pub(crate) use action::{
    Action, Cause, Death, Failure, Milestone, Order, Report, Retirement, UpgradeFailure, UpgradeRefusal,
};
pub(crate) use event::{Event, ExitStatus, Signal, Wish};
pub(crate) use policy::{Limits, Policy};
pub use policy::{OnCrashLoop, UpgradeWay};
pub(crate) use scaling::{MOST_WORKERS, Stage};

use boot::Gate;
pub(crate) use drain::HURRIED;
use pool::{Pool, State, Worker};
use reload::Reload;
use stop::HOOKS_GRACE;
use upgrade::Upgrade;

/// Exit code of the master: stopped as asked.
pub(crate) const EXIT_STOPPED: i32 = 0;
/// Exit code of the master: no worker could be booted at the start.
pub(crate) const EXIT_BOOT: i32 = 3;
/// Exit code of the master, and of a worker whose application could not be built.
pub(crate) const EXIT_BUILD: i32 = 4;

type Actions = Vec<Action>;

/// Where the whole is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// The hooks of the start are waited for.
    Starting {
        until: Moment,
    },
    Preparing,
    Running,
    /// The stop is announced, and everything goes on until then.
    Leaving {
        until: Moment,
    },
    Stopping {
        quick: bool,
        code: i32,
    },
    /// The hooks of the end are waited for.
    Farewell {
        code: i32,
        until: Moment,
    },
    Ended,
}

/// The process that runs `App::prepare`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Helper {
    since: Moment,
    until: Moment,
    timed_out: Option<Duration>,
}

/// Decides what the master does. It survives an exec, written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Arbiter {
    phase: Phase,
    policy: Policy,
    /// What TTIN and TTOU added to `workers`.
    offset: i32,
    /// The generation that is wanted.
    generation: Generation,
    /// The latest one that was tried.
    latest: Generation,
    /// The latest one of which it was said that no older one is left.
    alone: Generation,
    pool: Pool,
    gate: Gate,
    helper: Option<Helper>,
    reload: Reload,
    reload_waits: bool,
    upgrade: Upgrade,
    /// Whether no workers are wanted before the next reload.
    halted: bool,
    crash_loop: bool,
    /// Whether the first start is over.
    ever_ready: bool,
    last_event: Moment,
    /// The end of the last time in which the master did not run: no worker is blamed for what lies before it.
    excused_until: Moment,
}

impl Arbiter {
    /// An arbiter before its start, and its first actions.
    pub(crate) fn start(policy: Policy, now: Moment) -> (Self, Vec<Action>) {
        let arbiter = Self {
            phase: Phase::Starting { until: now + HOOKS_GRACE },
            policy,
            offset: 0,
            generation: Generation::FIRST,
            latest: Generation::FIRST,
            alone: Generation::FIRST,
            pool: Pool::default(),
            gate: Gate::default(),
            helper: None,
            reload: Reload::Idle,
            reload_waits: false,
            upgrade: Upgrade::None,
            halted: false,
            crash_loop: false,
            ever_ready: false,
            last_event: now,
            excused_until: now,
        };
        (arbiter, vec![Action::AwaitHooks(Milestone::Start)])
    }

    /// Goes on where another program's arbiter was, which handed over to this one or which this one has come back to.
    /// `policy` is what this program's settings say.
    pub(crate) fn resume_from(written: Self, policy: Policy, now: Moment) -> (Self, Vec<Action>) {
        let mut arbiter = written;
        let mut out = Actions::new();
        arbiter.excuse_sleep(now, &mut out);
        if arbiter.is_foreign() {
            arbiter.came_back(&mut out);
        } else {
            arbiter.take_over(policy, now, &mut out);
        }
        arbiter.balance(now, &mut out);
        (arbiter, out)
    }

    /// Takes an event, which happened at `now`, and gives what is to be done, in order.
    pub(crate) fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut out = Actions::new();
        if self.phase == Phase::Ended {
            return out;
        }
        self.excuse_sleep(now, &mut out);
        self.take(event, now, &mut out);
        self.expire(now, &mut out);
        self.balance(now, &mut out);
        out
    }

    /// How often the arbiter wants to hear [`Event::Beat`] and [`Event::Tick`]: as often as any worker's heartbeats come.
    pub(crate) fn tick(&self) -> Duration {
        self.limits_in_force().map(Limits::tick).min().unwrap_or_default()
    }

    /// A tick that is later than this says that the machine or the master slept.
    fn oversleep(&self) -> Duration {
        self.limits_in_force().map(Limits::oversleep).min().unwrap_or_default()
    }

    /// The settings', and those of the workers that older settings made and whose heartbeats count. Never empty.
    fn limits_in_force(&self) -> impl Iterator<Item = &Limits> {
        let judged = self.pool.iter().filter(|worker| worker.is_booting() || worker.is_ready());
        judged.map(|worker| &worker.limits).chain([&self.policy.limits])
    }

    /// When [`Event::Tick`] is due at the latest, beyond the regular one after [`Self::tick`]; may be in the past.
    pub(crate) fn wake_at(&self) -> Option<Moment> {
        let gate = (self.keeps_the_pool() && self.waits_for_gate())
            .then(|| self.gate.opens_at())
            .filter(|opens| *opens > self.last_event);
        [self.next_expiry(), self.proof_due(), gate].into_iter().flatten().min()
    }

    /// Whether the stop has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. } | Phase::Farewell { .. } | Phase::Ended)
    }

    fn take(&mut self, event: Event, now: Moment, out: &mut Actions) {
        match event {
            Event::Signal(signal) if !self.heeds(signal) => {}
            Event::Signal(Signal::Term) => self.term(now, out),
            Event::Signal(Signal::Int | Signal::Quit) => self.stop(true, EXIT_STOPPED, now, out),
            Event::Signal(Signal::Hup) => self.reload_wanted(out),
            Event::Signal(Signal::Ttin) => self.scale_by(1, out),
            Event::Signal(Signal::Ttou) => self.scale_by(-1, out),
            Event::Signal(Signal::Winch) => self.halt(out),
            Event::Signal(Signal::Usr2) => self.upgrade_wanted(out),
            Event::Scale(to) => self.scale_to(to, out),
            Event::HooksEnded => self.hooks_ended(now, out),
            Event::SuccessorServes => self.successor_serves(out),
            Event::PredecessorGone => self.predecessor_gone(),
            Event::SuccessorEnded(status) => self.successor_ended(status, out),
            Event::ProgramChecked { status, understood } => self.program_checked(status, understood, out),
            Event::HandOverFailed(errno) => self.hand_over_failed(errno, out),
            Event::HelperExited(status) => self.helper_exited(status, now, out),
            Event::SpawnFailed { slot, errno } => self.spawn_failed(slot, errno, now, out),
            Event::Ready(slot) => self.ready(slot, now, out),
            Event::Beat { slot, beat, turn } => self.judge(slot, beat, turn, now, out),
            Event::RetireWanted(slot, wish) => self.wish(slot, wish),
            Event::Exited { slot, status } => self.exited(slot, status, now, out),
            Event::SettingsAccepted(policy) => self.settings_accepted(policy, now, out),
            Event::SettingsRefused => self.settings_refused(out),
            Event::Tick => {}
        }
    }

    /// Brings the pool one step nearer to what it should be.
    fn balance(&mut self, now: Moment, out: &mut Actions) {
        match self.phase {
            Phase::Running => {
                self.begin_reload(out);
                self.advance_reload(now, out);
                self.advance_upgrade(now, out);
                self.thin(now, out);
                self.fill(now, out);
                self.end_reload(out);
            }
            Phase::Leaving { .. } => {
                self.thin(now, out);
                self.fill(now, out);
            }
            Phase::Stopping { .. } => self.end_if_empty(now, out),
            Phase::Starting { .. } | Phase::Preparing | Phase::Farewell { .. } | Phase::Ended => {}
        }
    }

    /// Whether the pool is kept whole.
    fn keeps_the_pool(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Leaving { .. })
    }

    /// Nobody is blamed for a time in which the master itself did not run (suspend, SIGSTOP, a paused machine): the
    /// workers probably did not either.
    fn excuse_sleep(&mut self, now: Moment, out: &mut Actions) {
        let slept = now.since(self.last_event);
        self.last_event = self.last_event.max(now);
        if slept <= self.oversleep() {
            return;
        }
        self.excused_until = now;
        out.push(Action::Report(Report::Slept(slept)));
        for worker in self.pool.iter_mut() {
            worker.excuse(slept);
        }
        if let Some(helper) = &mut self.helper {
            helper.until = helper.until + slept;
        }
    }

    fn prepare(&mut self, generation: Generation, patience: Duration, now: Moment, out: &mut Actions) {
        self.helper = Some(Helper { since: now, until: now + patience, timed_out: None });
        out.push(Action::Prepare(generation));
    }

    fn helper_exited(&mut self, status: ExitStatus, now: Moment, out: &mut Actions) {
        let Some(helper) = self.helper.take() else { return };
        let failure = match (helper.timed_out, status) {
            (Some(after), _) => Some(Failure::PrepareTimeout(after)),
            (None, ExitStatus::Code(0)) => None,
            (None, status) => Some(Failure::Prepare(status)),
        };
        match (self.phase, failure) {
            (Phase::Preparing, None) => self.phase = Phase::Running,
            (Phase::Preparing, Some(failure)) => self.fail_start(failure, now, out),
            (Phase::Running, None) => self.candidate_prepared(),
            (Phase::Running, Some(failure)) => self.fail_reload(failure, out),
            (Phase::Starting { .. } | Phase::Leaving { .. }, _) => {}
            (Phase::Stopping { .. } | Phase::Farewell { .. } | Phase::Ended, _) => {}
        }
    }

    fn fail_start(&mut self, failure: Failure, now: Moment, out: &mut Actions) {
        out.push(Action::Report(Report::StartFailed(failure)));
        self.stop(true, failure.exit_code(), now, out);
    }

    fn spawn_failed(&mut self, slot: Slot, errno: i32, now: Moment, out: &mut Actions) {
        let Some(worker) = self.pool.remove(slot) else { return };
        let (_, delay) = self.gate.boot_failed(now);
        out.push(Action::Report(Report::ForkFailed(errno, delay)));
        if worker.generation > self.generation {
            self.trial_ended(Failure::Fork(errno), now, out);
        }
    }

    fn ready(&mut self, slot: Slot, now: Moment, out: &mut Actions) {
        let Some(worker) = self.pool.get_mut(slot) else { return };
        if !worker.is_booting() {
            return;
        }
        worker.state = State::Ready { since: now, wish: None };
        out.push(Action::Report(Report::Ready(slot, worker.generation, now.since(worker.spawned))));
        self.leave_crash_loop(out);
        if !self.ever_ready {
            self.ever_ready = true;
            out.push(Action::Report(Report::Started));
        }
    }

    /// Gives up on a worker that is silent, or whose turn is held, for too long. What it wrote is not believed where it
    /// cannot be true: nothing lies in the future, and no silence began before the worker was ready or while nothing ran.
    fn judge(&mut self, slot: Slot, beat: Moment, turn: Option<Moment>, now: Moment, out: &mut Actions) {
        let Some(&mut Worker { state: State::Ready { since, .. }, limits, .. }) = self.pool.get_mut(slot)
        else {
            return;
        };
        self.gate.serves(since, now);
        let Some(timeout) = limits.timeout else { return };
        let age = |moment: Moment| now.since(moment.max(since).max(self.excused_until));
        // A loop that its request blocks cannot beat: it is silent for the request's sake from then on, which has its full time.
        let silence = Some(age(turn.map_or(beat, |turn| turn.max(beat))));
        let silence = silence.filter(|silent| *silent > timeout).map(Cause::Silent);
        let turn = turn.map(age).filter(|held| *held > timeout).map(Cause::Turn);
        if let Some(cause) = turn.or(silence) {
            self.tell_to_leave(slot, Order::Abort, cause, now, out);
            out.push(Action::Report(Report::GivenUp(slot, cause)));
        }
    }

    fn wish(&mut self, slot: Slot, wished: Wish) {
        if let Some(Worker { state: State::Ready { wish, .. }, .. }) = self.pool.get_mut(slot) {
            *wish = Some(wish.unwrap_or(wished));
        }
    }

    fn exited(&mut self, slot: Slot, status: ExitStatus, now: Moment, out: &mut Actions) {
        let Some(worker) = self.pool.remove(slot) else { return };
        let booting = worker.is_booting() || matches!(worker.cause(), Cause::Boot(_));
        out.push(Action::Report(Report::Dead(Death {
            slot,
            generation: worker.generation,
            status,
            cause: worker.cause(),
            booting,
            age: now.since(worker.spawned),
        })));
        let by_its_own_fault = worker.is_booting() && !status.is_foreign();
        match worker.cause() {
            Cause::Own | Cause::Turn(_) | Cause::Silent(_)
                if by_its_own_fault || worker.generation > self.generation =>
            {
                let failure = match status {
                    ExitStatus::Code(EXIT_BUILD) if worker.is_booting() => Failure::Build,
                    status => Failure::Died(status),
                };
                self.failed(worker.generation, failure, now, out);
            }
            Cause::Own | Cause::Turn(_) | Cause::Silent(_) => self.gate.died(now),
            // Boot time-outs were counted when they passed; the rest was asked for.
            Cause::Boot(_) | Cause::Retired(_) | Cause::Stopped | Cause::GraceOver => {}
        }
    }

    /// A worker did not become what it was forked for: that ends the first start, or the reload that it was to prove; else
    /// the next try waits.
    pub(super) fn failed(
        &mut self,
        generation: Generation,
        failure: Failure,
        now: Moment,
        out: &mut Actions,
    ) {
        if self.is_stopping() {
            return;
        }
        if generation > self.generation {
            self.trial_ended(failure, now, out);
        } else if self.ever_ready {
            self.boot_failed(now, out);
        } else {
            self.fail_start(failure, now, out);
        }
    }
}
