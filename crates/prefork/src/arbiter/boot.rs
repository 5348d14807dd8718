//! When the next worker may be forked: deaths cost time, so that nothing spins.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::Moment;

use super::action::{Action, Report};
use super::{Actions, Arbiter, EXIT_BOOT, OnCrashLoop};

/// The first delay after a failed boot; it doubles from failure to failure.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest delay.
const LAST_DELAY: Duration = Duration::from_secs(10);
/// Between two tries of a crash loop.
pub(super) const CRASH_LOOP_DELAY: Duration = Duration::from_secs(30);
/// A worker that serves for this long ends a row of failures.
pub(super) const PROVEN: Duration = Duration::from_secs(10);
/// How many deaths of workers that had served are replaced at once ...
const BURST: u32 = 20;
/// ... and in which time one of these is granted again.
const REFILL: Duration = Duration::from_millis(50);

/// Says when a fork is allowed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Gate {
    failures: u32,
    last_failure: Moment,
    closed_until: Moment,
    /// When the bucket of [`BURST`] would be full again: the one number that a leaky bucket needs.
    full_at: Moment,
}

impl Gate {
    pub(super) fn is_open(&self, now: Moment) -> bool {
        now >= self.closed_until
    }

    /// When it opens; in the past when it is open.
    pub(super) fn opens_at(&self) -> Moment {
        self.closed_until
    }

    /// Whether a boot has failed after `moment`, and none has proved itself since.
    pub(super) fn failed_after(&self, moment: Moment) -> bool {
        self.failures > 0 && self.last_failure > moment
    }

    /// A worker did not become ready, by a fault of its own; gives the failures in a row and the delay.
    pub(super) fn boot_failed(&mut self, now: Moment) -> (u32, Duration) {
        let delay = FIRST_DELAY.saturating_mul(1 << self.failures.min(10)).min(LAST_DELAY);
        self.failures += 1;
        self.last_failure = now;
        self.close_until(now + delay);
        (self.failures, delay)
    }

    /// The next try comes no sooner than this; gives it back.
    fn pause(&mut self, delay: Duration, now: Moment) -> Duration {
        self.close_until(now + delay);
        delay
    }

    /// Other code boots from now on: what is known of the last one's failures says nothing of it.
    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
        self.closed_until = Moment::default();
    }

    /// A worker that had served has died, or one was killed from outside.
    pub(super) fn died(&mut self, now: Moment) {
        let credit = REFILL * BURST;
        self.full_at = self.full_at.max(now) + REFILL;
        let debt = self.full_at.since(now);
        if debt > credit {
            self.close_until(now + (debt - credit));
        }
    }

    /// A worker that became ready at `since` is so still.
    pub(super) fn serves(&mut self, since: Moment, now: Moment) {
        if self.failures > 0 && since > self.last_failure && now.since(since) >= PROVEN {
            self.failures = 0;
        }
    }

    fn close_until(&mut self, moment: Moment) {
        self.closed_until = self.closed_until.max(moment);
    }
}

impl Arbiter {
    /// A worker of the running generation could not be booted, and the first start is over.
    pub(super) fn boot_failed(&mut self, now: Moment, out: &mut Actions) {
        let (failures, delay) = self.gate.boot_failed(now);
        let looping = self.policy.boot_failures_max.is_some_and(|most| failures >= most);
        if !looping || self.pool.iter().any(|worker| self.serves(worker)) {
            out.push(Action::Report(Report::BootBackOff { failures, delay }));
            return;
        }
        self.crash_loop = true;
        match self.policy.on_crash_loop {
            OnCrashLoop::Wait => {
                let delay = self.gate.pause(CRASH_LOOP_DELAY, now);
                out.push(Action::Report(Report::CrashLoop { failures, delay }));
            }
            OnCrashLoop::Exit => {
                out.push(Action::Report(Report::CrashLoopEnds { failures }));
                self.stop(true, EXIT_BOOT, now, out);
            }
        }
    }

    /// A worker serves: whatever kept others from it is over.
    pub(super) fn leave_crash_loop(&mut self, out: &mut Actions) {
        if std::mem::take(&mut self.crash_loop) {
            out.push(Action::Report(Report::CrashLoopOver));
        }
    }

    /// How many may boot at once: a crash loop is a single try now and then.
    pub(super) fn most_booting(&self) -> usize {
        if self.crash_loop { 1 } else { usize::from(self.policy.boot_concurrency.max(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_from_failure_to_failure_and_a_worker_that_serves_long_enough_ends_it() {
        let mut now = Moment::from_origin(Duration::from_secs(1));
        let mut gate = Gate::default();
        for tenths in [1, 2, 4, 8, 16, 32, 64, 100, 100] {
            let (_, delay) = gate.boot_failed(now);
            assert_eq!(delay, Duration::from_millis(100) * tenths);
            assert!(!gate.is_open(now) && gate.is_open(now + delay));
            now = now + delay;
        }
        let ready = now;
        now = now + PROVEN;
        gate.serves(ready, ready + PROVEN.saturating_sub(Duration::from_millis(1)));
        assert_eq!(gate.boot_failed(now).0, 10, "it has not served for long enough");
        gate.serves(ready, now + PROVEN);
        assert_eq!(gate.boot_failed(now).0, 11, "it was ready before the last failure");
        gate.serves(now + Duration::from_millis(1), now + PROVEN * 2);
        assert_eq!(gate.boot_failed(now).0, 1);
    }
}
