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
mod event;
mod pool;
mod reload;
mod scaling;
mod stop;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::ids::{Generation, Moment, Slot};

pub(crate) use action::{Action, Cause, Death, Order, ReloadFailure, Report, Retirement, StartFailure};
pub(crate) use event::{Event, ExitStatus, Signal, Wish};
pub(crate) use scaling::MOST_WORKERS;

use boot::Gate;
use pool::{Pool, State, Worker};
use reload::Reload;

/// Exit code of the master: stopped as asked.
pub(crate) const EXIT_STOPPED: i32 = 0;
/// Exit code of the master: no worker could be booted at the start.
pub(crate) const EXIT_BOOT: i32 = 3;
/// Exit code of the master, and of a worker whose application could not be built.
pub(crate) const EXIT_BUILD: i32 = 4;

type Actions = Vec<Action>;

/// The settings that decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How many workers; at least 1.
    pub(crate) workers: u16,
    /// How many live workers there may be beyond that while some are replaced; at least 1.
    pub(crate) surge: u16,
    /// How many may boot at once; at least 1.
    pub(crate) boot_concurrency: u16,
    /// How long a turn or a silence may last.
    pub(crate) timeout: Option<Duration>,
    /// From fork to ready.
    pub(crate) boot_timeout: Duration,
    /// How long a drain may last.
    pub(crate) graceful_timeout: Duration,
}

impl Policy {
    /// How often the arbiter wants to hear [`Event::Beat`] and [`Event::Tick`]: as often as heartbeats come.
    pub(crate) fn tick(&self) -> Duration {
        let second = Duration::from_secs(1);
        self.timeout.map_or(second, |timeout| (timeout / 4).clamp(Duration::from_millis(20), second))
    }

    /// A tick that is later than this says that the machine or the master slept.
    fn oversleep(&self) -> Duration {
        self.tick() + self.timeout.map_or(Duration::ZERO, |timeout| timeout / 4).max(Duration::from_secs(1))
    }
}

/// Where the whole is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Preparing,
    Running,
    Stopping { quick: bool, code: i32 },
    Ended,
}

/// The process that runs `App::prepare`.
#[derive(Clone, Debug)]
struct Helper {
    since: Moment,
    until: Moment,
    timed_out: Option<Duration>,
}

/// Decides what the master does.
#[derive(Clone, Debug)]
pub(crate) struct Arbiter {
    phase: Phase,
    policy: Policy,
    /// What TTIN and TTOU added to `workers`.
    offset: i32,
    /// The generation that is wanted.
    generation: Generation,
    /// The latest one that was tried.
    latest: Generation,
    pool: Pool,
    gate: Gate,
    helper: Option<Helper>,
    reload: Reload,
    reload_waits: bool,
    /// Whether the first start is over.
    ever_ready: bool,
    last_event: Moment,
    /// The end of the last time in which the master did not run: no worker is blamed for what lies before it.
    excused_until: Moment,
}

impl Arbiter {
    /// An arbiter before its start, and its first actions.
    pub(crate) fn start(policy: Policy, now: Moment) -> (Self, Vec<Action>) {
        let mut arbiter = Self {
            phase: Phase::Preparing,
            policy,
            offset: 0,
            generation: Generation::FIRST,
            latest: Generation::FIRST,
            pool: Pool::default(),
            gate: Gate::default(),
            helper: None,
            reload: Reload::Idle,
            reload_waits: false,
            ever_ready: false,
            last_event: now,
            excused_until: now,
        };
        let mut out = Actions::new();
        arbiter.prepare(Generation::FIRST, arbiter.policy.boot_timeout, now, &mut out);
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

    /// When [`Event::Tick`] is due at the latest, beyond the regular one after [`Policy::tick`]; may be in the past.
    pub(crate) fn wake_at(&self) -> Option<Moment> {
        let gate = (self.phase == Phase::Running && self.waits_for_gate())
            .then(|| self.gate.opens_at())
            .filter(|opens| *opens > self.last_event);
        [self.next_expiry(), self.proof_due(), gate].into_iter().flatten().min()
    }

    /// The settings in force.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether the whole is on its way out.
    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. } | Phase::Ended)
    }

    fn take(&mut self, event: Event, now: Moment, out: &mut Actions) {
        match event {
            Event::Signal(Signal::Term) => self.stop(false, EXIT_STOPPED, now, out),
            Event::Signal(Signal::Int | Signal::Quit) => self.stop(true, EXIT_STOPPED, now, out),
            Event::Signal(Signal::Hup) => self.reload_wanted(out),
            Event::Signal(Signal::Ttin) => self.scale(1, out),
            Event::Signal(Signal::Ttou) => self.scale(-1, out),
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
                self.thin(now, out);
                self.fill(now, out);
            }
            Phase::Stopping { .. } => self.end_if_empty(out),
            Phase::Preparing | Phase::Ended => {}
        }
    }

    /// Nobody is blamed for a time in which the master itself did not run (suspend, SIGSTOP, a paused machine): the
    /// workers probably did not either.
    fn excuse_sleep(&mut self, now: Moment, out: &mut Actions) {
        let slept = now.since(self.last_event);
        self.last_event = self.last_event.max(now);
        if slept <= self.policy.oversleep() {
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
        match (self.phase, helper.timed_out, status) {
            (Phase::Preparing, None, ExitStatus::Code(0)) => self.phase = Phase::Running,
            (Phase::Preparing, Some(after), _) => self.fail_start(StartFailure::BootTimeout(after), now, out),
            (Phase::Preparing, None, status) => self.fail_start(StartFailure::Prepare(status), now, out),
            (Phase::Running, timed_out, status) => self.candidate_prepared(status, timed_out, out),
            (Phase::Stopping { .. } | Phase::Ended, ..) => {}
        }
    }

    fn fail_start(&mut self, failure: StartFailure, now: Moment, out: &mut Actions) {
        let code = match failure {
            StartFailure::Prepare(ExitStatus::Code(code)) if (1..=255).contains(&code) => code,
            StartFailure::Build => EXIT_BUILD,
            StartFailure::Prepare(_) | StartFailure::Boot(_) | StartFailure::BootTimeout(_) => EXIT_BOOT,
        };
        out.push(Action::Report(Report::StartFailed(failure)));
        self.stop(true, code, now, out);
    }

    fn spawn_failed(&mut self, slot: Slot, errno: i32, now: Moment, out: &mut Actions) {
        let Some(worker) = self.pool.remove(slot) else { return };
        let (_, delay) = self.gate.boot_failed(now);
        out.push(Action::Report(Report::ForkFailed(errno, delay)));
        if worker.generation > self.generation {
            self.trial_ended(ReloadFailure::Fork(errno), now, out);
        }
    }

    fn ready(&mut self, slot: Slot, now: Moment, out: &mut Actions) {
        let Some(worker) = self.pool.get_mut(slot) else { return };
        if !worker.is_booting() {
            return;
        }
        worker.state = State::Ready { since: now, wish: None };
        out.push(Action::Report(Report::Ready(slot, worker.generation, now.since(worker.spawned))));
        if !self.ever_ready {
            self.ever_ready = true;
            out.push(Action::Report(Report::Started));
        }
    }

    /// Gives up on a worker that is silent, or whose turn is held, for too long. What it wrote is not believed where it
    /// cannot be true: nothing lies in the future, and no silence began before the worker was ready or while nothing ran.
    fn judge(&mut self, slot: Slot, beat: Moment, turn: Option<Moment>, now: Moment, out: &mut Actions) {
        let Some(Worker { state: State::Ready { since, .. }, .. }) = self.pool.get_mut(slot) else { return };
        let since = *since;
        self.gate.serves(since, now);
        let Some(timeout) = self.policy.timeout else { return };
        let age = |moment: Moment| now.since(moment.max(since).max(self.excused_until));
        let turn = turn.map(age).filter(|held| *held > timeout).map(Cause::Turn);
        let silence = Some(age(beat)).filter(|silent| *silent > timeout).map(Cause::Silent);
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
        let on_trial = worker.generation > self.generation;
        match worker.cause() {
            Cause::Own if on_trial => self.trial_ended(ReloadFailure::Died(status), now, out),
            Cause::Own if worker.is_booting() && !status.is_foreign() => self.boot_failed(status, now, out),
            Cause::Own => self.gate.died(now),
            Cause::Turn(_) | Cause::Silent(_) if on_trial => {
                self.trial_ended(ReloadFailure::Died(status), now, out);
            }
            Cause::Turn(_) | Cause::Silent(_) => self.gate.died(now),
            // Boot time-outs were counted when they passed; the rest was asked for.
            Cause::Boot(_) | Cause::Retired(_) | Cause::Stopped | Cause::GraceOver => {}
        }
    }

    fn boot_failed(&mut self, status: ExitStatus, now: Moment, out: &mut Actions) {
        if self.is_stopping() {
            return;
        }
        if !self.ever_ready {
            let failure = match status {
                ExitStatus::Code(EXIT_BUILD) => StartFailure::Build,
                status => StartFailure::Boot(status),
            };
            return self.fail_start(failure, now, out);
        }
        let (failures, delay) = self.gate.boot_failed(now);
        out.push(Action::Report(Report::BootBackOff { failures, delay }));
    }

    fn boot_timed_out(&mut self, slot: Slot, after: Duration, now: Moment, out: &mut Actions) {
        let generation = self.pool.get_mut(slot).map(|worker| worker.generation);
        if self.is_stopping() {
            return;
        }
        if !self.ever_ready {
            self.fail_start(StartFailure::BootTimeout(after), now, out);
        } else if generation > Some(self.generation) {
            self.trial_ended(ReloadFailure::BootTimeout(after), now, out);
        } else {
            let (failures, delay) = self.gate.boot_failed(now);
            out.push(Action::Report(Report::BootBackOff { failures, delay }));
        }
    }
}
