//! What the arbiter wants done, done to the machine, with an eye on the rules.

use std::time::Duration;

use crate::arbiter::action::{Action, Milestone, Order};
use crate::arbiter::event::{Event, ExitStatus};
use crate::arbiter::{Arbiter, Policy};
use crate::ids::{Generation, Moment, Slot};

use super::op::Boot;
use super::referee::Rule;
use super::world::{Process, Successor, World};

/// How long the first worker of a reload has to serve.
const PROOF: Duration = Duration::from_secs(1);
/// How long the master takes to read its file: signals may come meanwhile.
const READING: Duration = Duration::from_millis(10);
/// How long hooks take.
const HOOKS: Duration = Duration::from_millis(30);

impl World {
    pub(super) fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            if self.exit.is_some() {
                self.broke(Rule::Ends, format!("{action:?} after the exit"));
            }
            match action {
                Action::Prepare(_) => {
                    if self.arbiter.is_stopping() {
                        self.broke(Rule::Ends, "a preparation began in a stop");
                    }
                    self.helper = Some(self.fate(self.prepare));
                    self.fault_before_ready |= self.prepare == Boot::Hangs && !self.ever_ready;
                }
                Action::KillHelper => self.helper = Some(Some((self.now, ExitStatus::Signal(9)))),
                Action::Spawn { slot, generation } => self.spawn(slot, generation),
                Action::Signal(slot, order) => self.order(slot, order),
                Action::ReadSettings { candidate } => {
                    let read = match self.file.clone() {
                        Some(policy) => {
                            self.policies.insert(candidate, policy.clone());
                            Event::SettingsAccepted(policy)
                        }
                        None => Event::SettingsRefused,
                    };
                    self.reading = Some((self.now + READING, read));
                }
                Action::Promote(generation) => {
                    let proved = |p: &Process| {
                        p.generation == generation && p.ready.is_some_and(|at| self.now.since(at) >= PROOF)
                    };
                    if !std::mem::take(&mut self.no_way_back) && self.count(proved) == 0 {
                        self.broke(Rule::ReadyFirst, format!("{generation} was taken over unproved"));
                    }
                }
                Action::Report(report) => self.hear(&report),
                Action::Discard(_) | Action::AnnounceStop | Action::CloseListeners => {}
                Action::AwaitHooks(at) => {
                    if at == Milestone::End && !self.processes.is_empty() {
                        self.broke(Rule::Ends, "it takes leave of living workers");
                    }
                    let end = (self.now + HOOKS, ExitStatus::Code(0));
                    self.hooks = Some(Some(end).filter(|_| !self.hooks_hang));
                }
                Action::StartSuccessor => self.start_successor(),
                Action::StopSuccessor => {
                    if let Some(successor) = &mut self.successor {
                        successor.ends = Some((self.now, ExitStatus::Code(0)));
                    }
                }
                Action::CheckProgram => self.check = Some(self.fate(self.program.check)),
                Action::KillCheck => self.check = Some(Some((self.now, ExitStatus::Signal(9)))),
                Action::HandOver | Action::GoBack => self.hand_over = true,
                Action::Exit(code) => {
                    if !self.processes.is_empty() {
                        self.broke(Rule::Ends, "left children behind");
                    }
                    self.exit = Some((code, self.now));
                }
            }
        }
    }

    fn start_successor(&mut self) {
        if self.program.exec_fails {
            return self.tell(Event::SuccessorEnded(Err(11)));
        }
        self.successor = Some(match (self.program.check, self.fate(self.program.check)) {
            (Boot::Takes { .. }, Some((at, _))) => Successor { serves_at: Some(at), ends: None },
            (Boot::Flickers, ends) => Successor { serves_at: Some(self.now), ends },
            (_, ends) => Successor { serves_at: None, ends },
        });
    }

    /// Executes another program, if that is still wanted; says whether it came to that.
    pub(super) fn execute(&mut self) -> bool {
        if !std::mem::take(&mut self.hand_over) || !self.arbiter.hands_over() {
            return false;
        }
        let back = self.arbiter.is_foreign();
        if if back { self.program.way_back_fails } else { self.program.exec_fails } {
            self.tell(Event::HandOverFailed(8));
            return true;
        }
        self.expect_the_same_when_written();
        let policy = self.file.clone().unwrap_or_else(|| self.arbiter.policy.clone());
        if !back {
            self.policies.insert(self.arbiter.latest.next(), policy.clone());
        }
        let (arbiter, actions) = Arbiter::resume_from(self.arbiter.clone(), policy, self.now);
        self.arbiter = arbiter;
        self.perform(actions);
        true
    }

    pub(super) fn expect_the_same_when_written(&mut self) {
        let written = serde_json::to_string(&self.arbiter).expect("it can be written");
        let read: Arbiter = serde_json::from_str(&written).expect("it can be read");
        if read != self.arbiter {
            self.broke(Rule::Survives, format!("written and read it is another: {written}"));
        }
    }

    pub(super) fn fate(&self, boot: Boot) -> Option<(Moment, ExitStatus)> {
        match boot {
            Boot::Takes { ms } => Some((self.now + Duration::from_millis(ms), ExitStatus::Code(0))),
            Boot::Exits { code } => Some((self.now, ExitStatus::Code(code))),
            Boot::Flickers => Some((self.now + Duration::from_millis(2), ExitStatus::Code(1))),
            Boot::Faults => Some((self.now, ExitStatus::Signal(11))),
            Boot::Hangs => None,
        }
    }

    fn spawn(&mut self, slot: Slot, generation: Generation) {
        if self.arbiter.is_foreign() && generation <= self.arbiter.generation {
            self.broke(Rule::Survives, format!("{generation} is another program's, and was forked"));
        }
        if self.crash_loop.is_some_and(|until| self.now < until) && generation == self.arbiter.generation {
            self.broke(Rule::Boot, format!("slot {slot} was forked within a crash loop's delay"));
        }
        let live = self.count(|p| !matches!(p.told, Some((Order::Drain { .. }, _))));
        let most = self.arbiter.most_live();
        if live >= most {
            self.broke(
                Rule::Bounded,
                format!("slot {slot} is the {}th live worker of at most {most}", live + 1),
            );
        }
        let booting = self.count(|p| p.ready.is_none() && p.told.is_none());
        let at_once = usize::from(self.arbiter.policy.boot_concurrency);
        if booting >= at_once {
            self.broke(Rule::Bounded, format!("{} boots at once, {at_once} allowed", booting + 1));
        }
        if self.processes.contains_key(&slot) {
            self.broke(Rule::Bounded, format!("slot {slot} is taken"));
        }
        self.spawns.push(self.now);
        let second = self.spawns.iter().rev().take_while(|at| self.now.since(**at) < Duration::from_secs(1));
        let rate = second.count();
        if rate > 60 {
            self.broke(Rule::Boot, format!("{rate} forks within a second"));
        }
        if self.fork_failures > 0 {
            self.fork_failures -= 1;
            self.tell(Event::SpawnFailed { slot, errno: 11 });
            return;
        }
        let (ready_at, dies_at) = match (self.boot, self.fate(self.boot)) {
            (Boot::Takes { .. }, Some((at, _))) => (Some(at), None),
            (Boot::Flickers, fate) => (Some(self.now), fate),
            (_, fate) => (None, fate),
        };
        let Some(Policy { limits, .. }) = self.policies.get(&generation).cloned() else {
            return self.broke(Rule::OneReload, format!("{generation} was forked, which nobody knows"));
        };
        let in_time = ready_at.is_some_and(|at| at.since(self.now) < limits.boot_timeout);
        self.fault_before_ready |= !in_time && !self.ever_ready;
        self.processes.insert(
            slot,
            Process {
                generation,
                limits,
                ready_at,
                dies_at,
                ready: None,
                awake: self.now,
                wished: None,
                silent_since: None,
                turn: None,
                deaf: false,
                told: None,
                told_ready: false,
            },
        );
    }

    fn order(&mut self, slot: Slot, order: Order) {
        let now = self.now;
        let quiet = self.awake_since;
        let busy = self.busy;
        let Some(process) = self.processes.get_mut(&slot) else {
            self.broke(Rule::Grace, format!("{order:?} for the empty slot {slot}"));
            return;
        };
        let before = process.told.replace((order, now));
        process.told_ready |= before.is_none() && process.ready.is_some();
        let blocked = process.silent_since.is_some();
        let end = |after: Duration, status| Some((now + after, status));
        process.dies_at = process.dies_at.or(match order {
            Order::Kill => end(Duration::ZERO, ExitStatus::Signal(9)),
            _ if process.deaf => None,
            Order::Abort => end(Duration::from_millis(210), ExitStatus::Code(70)),
            Order::Quit => end(Duration::from_millis(5), ExitStatus::Code(0)),
            Order::Drain { until } if blocked || process.turn.is_some() || busy => {
                Some((until, ExitStatus::Code(0)))
            }
            Order::Drain { .. } => end(Duration::from_millis(5), ExitStatus::Code(0)),
        });
        if order == Order::Kill {
            process.dies_at = Some((now, ExitStatus::Signal(9)));
        }
        if let (Order::Drain { until }, Some((at, _))) = (order, &mut process.dies_at) {
            *at = until.min(*at).max(now);
        }
        self.judge_order(slot, order, before, quiet);
    }
}
