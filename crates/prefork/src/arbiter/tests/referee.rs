//! The rules, and the referee that judges what the arbiter says by what the machine knows.

use std::time::Duration;

use crate::arbiter::Limits;
use crate::arbiter::action::{Cause, Order, Report, Retirement};
use crate::arbiter::drain::{DRAIN_MARGIN, HURRIED};
use crate::arbiter::stop::{HOOKS_GRACE, LAST_GRACE};
use crate::ids::{Moment, Slot};

use super::world::{Process, World};

/// The rules of the design, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// 1: the pool returns to its target size.
    Whole,
    /// 2: never more than `workers + surge` live ones, `boot_concurrency` booting or `max_draining` draining ones; no slot is
    /// shared.
    Bounded,
    /// 3: nobody is retired before the replacement is ready.
    ReadyFirst,
    /// 4: SIGKILL only after the grace; every spawn has one reap.
    Grace,
    /// 5: boots that fail back off, deaths do not spin, a first start that cannot be ends with its code.
    Boot,
    /// 6: at most one reload runs.
    OneReload,
    /// 7: a stop ends, in bounded time, with no child left.
    Ends,
    /// The arbiter is the same after an exec, and forks nothing of another program's.
    Survives,
    /// Nobody is aborted who did nothing wrong, least of all for a sleep of the machine.
    Just,
}

impl World {
    pub(super) fn broke(&mut self, rule: Rule, what: impl Into<String>) {
        self.broken.push((rule, format!("at {:?}: {}", self.now, what.into())));
    }

    /// Hears what the operator is told.
    pub(super) fn hear(&mut self, report: &Report) {
        match *report {
            Report::GivenUp(slot, Cause::Turn(_) | Cause::Silent(_)) => {
                let (now, awake) = (self.now, self.awake_since);
                let guilty = self.processes.get(&slot).is_some_and(|process| {
                    let timeout = process.limits.timeout.unwrap_or(Duration::MAX);
                    let held =
                        |since: Option<Moment>| since.is_some_and(|at| now.since(at.max(awake)) > timeout);
                    held(process.silent_since) || held(process.turn)
                });
                if !guilty {
                    self.broke(Rule::Just, format!("slot {slot} was given up on for nothing: {report:?}"));
                }
            }
            Report::Retiring(slot, generation, why) => {
                let stays = |(other, process): &(&Slot, &Process)| {
                    **other != slot && process.ready.is_some() && process.told.is_none()
                };
                let staying = self.processes.iter().filter(stays).count();
                if staying < self.arbiter.wanted() {
                    let what = format!("slot {slot} of {generation} retired for {why:?}, {staying} stay");
                    self.broke(Rule::ReadyFirst, what);
                }
                let newer = self.processes.values().any(|p| p.generation > generation && p.ready.is_some());
                if why == Retirement::Reload && !newer {
                    self.broke(Rule::ReadyFirst, format!("slot {slot} retired, and nothing newer is ready"));
                }
            }
            Report::ReloadStarted(_) => {
                if self.reloading {
                    self.broke(Rule::OneReload, "a reload started within another");
                }
                self.reloading = true;
            }
            Report::ReloadFailed(..) | Report::ReloadDone(_) | Report::ReloadOvertaken(_) => {
                self.reloading = false
            }
            Report::CrashLoop { delay, .. } => self.crash_loop = Some(self.now + delay),
            Report::NoWayBack(_) => self.no_way_back = true,
            Report::CrashLoopOver => self.crash_loop = None,
            Report::CrashLoopEnds { .. } => self.gave_up = true,
            Report::StartFailed(_) if self.ever_ready || !self.fault_before_ready => {
                self.broke(Rule::Boot, format!("{report:?} although the start had not failed"));
            }
            _ => {}
        }
    }

    /// Judges the pool after a calm long enough for everything to end.
    pub(super) fn expect_whole(&mut self) {
        let want = self.arbiter.wanted();
        if self.arbiter.is_being_replaced() {
            self.broke(Rule::Survives, format!("an upgrade never ended: {:?}", self.arbiter.upgrade));
        }
        let stuck =
            |p: &Process| p.limits.timeout.is_some() && (p.silent_since.is_some() || p.turn.is_some());
        let serving = |p: &Process| p.ready.is_some() && p.told.is_none() && !stuck(p);
        let serving = self.count(serving);
        if serving != want || self.processes.len() != want {
            let all = self.processes.len();
            self.broke(Rule::Whole, format!("{serving} of {all} workers serve, {want} wanted"));
        }
        if self.count(|p| p.wished.is_some()) > 0 {
            self.broke(Rule::Whole, "a wish was never granted");
        }
        if self.reloading {
            self.broke(Rule::OneReload, "a reload never ended");
        }
    }
}

impl World {
    /// The longest time after which a stop has to be over, whatever state it met.
    pub(super) fn longest_stop(&self, quick: bool) -> Duration {
        let limits = || self.processes.values().map(|p| &p.limits).chain([&self.arbiter.policy.limits]);
        let drain = limits().map(|limits| limits.graceful_timeout).max().unwrap_or_default() + DRAIN_MARGIN;
        let tick = limits().map(Limits::tick).max().unwrap_or_default();
        let hang = self.hooks_hang || self.hooks == Some(None);
        let hooks = if hang { HOOKS_GRACE } else { Duration::from_secs(1) };
        LAST_GRACE + tick * 2 + hooks + if quick { Duration::ZERO } else { drain }
    }

    /// Whether a worker may be told this, after what it was told before.
    pub(super) fn judge_order(
        &mut self,
        slot: Slot,
        order: Order,
        before: Option<(Order, Moment)>,
        awake: Moment,
    ) {
        let now = self.now;
        let asleep = before.is_some_and(|(_, at)| at < awake);
        match (order, before) {
            // The only order that is given twice: a drain is cut short, never prolonged.
            (Order::Drain { until }, Some((Order::Drain { until: later }, _)))
                if until != now + HURRIED || (later <= until && !asleep) =>
            {
                self.broke(Rule::Grace, format!("slot {slot} was hurried from {later:?} to {until:?}"));
            }
            (Order::Drain { .. }, None) if !self.arbiter.is_stopping() => {
                let drains = |p: &Process| p.told_ready && matches!(p.told, Some((Order::Drain { .. }, _)));
                let most = usize::from(self.arbiter.policy.max_draining);
                // A worker on trial that nobody waits for any more is one beside them.
                let served = self.processes.get(&slot).is_some_and(|process| {
                    process.told_ready && process.generation <= self.arbiter.generation
                });
                if served && self.count(drains) > most {
                    self.broke(Rule::Bounded, format!("slot {slot} is one drain more than {most}"));
                }
            }
            (Order::Kill, before) => {
                let end = match before {
                    Some((Order::Drain { until }, _)) => Some(until),
                    Some((Order::Quit | Order::Abort, at)) => Some(at + LAST_GRACE),
                    Some((Order::Kill, _)) | None => None,
                };
                if !end.is_some_and(|end| now >= end || asleep) {
                    self.broke(
                        Rule::Grace,
                        format!("slot {slot} was killed without its grace, told {before:?}"),
                    );
                }
            }
            _ => {}
        }
    }
}
