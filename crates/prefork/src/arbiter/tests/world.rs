//! A machine made of numbers: processes that boot, serve, hang, crash and end on virtual time. It does what the arbiter
//! wants done, and looks on the rules while it does.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::arbiter::action::{Action, Order};
use crate::arbiter::event::{Event, ExitStatus};
use crate::arbiter::stop::LAST_GRACE;
use crate::arbiter::{Arbiter, Limits, Policy};
use crate::ids::{Generation, Moment, Slot};

use super::op::{Boot, Op};
use super::referee::Rule;

/// How long the first worker of a reload has to serve.
const PROOF: Duration = Duration::from_secs(1);
/// How long the master takes to read its file: signals may come meanwhile.
const READING: Duration = Duration::from_millis(10);

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) generation: Generation,
    /// What it goes by, whatever a reload says since.
    pub(super) limits: Limits,
    ready_at: Option<Moment>,
    dies_at: Option<(Moment, ExitStatus)>,
    /// Since when it serves.
    pub(super) ready: Option<Moment>,
    /// When it last began to run again.
    awake: Moment,
    /// When it wished to be replaced.
    pub(super) wished: Option<Moment>,
    pub(super) silent_since: Option<Moment>,
    pub(super) turn: Option<Moment>,
    deaf: bool,
    pub(super) told: Option<(Order, Moment)>,
}

pub(super) struct World {
    pub(super) arbiter: Arbiter,
    pub(super) now: Moment,
    pub(super) processes: BTreeMap<Slot, Process>,
    /// What each generation is started with.
    policies: BTreeMap<Generation, Policy>,
    helper: Option<Option<(Moment, ExitStatus)>>,
    /// What the file says, once it is read.
    reading: Option<(Moment, Event)>,
    last_tick: Moment,
    boot: Boot,
    prepare: Boot,
    fork_failures: u32,
    file: Option<Policy>,
    busy: bool,
    pub(super) awake_since: Moment,
    pub(super) reloading: bool,
    spawns: Vec<Moment>,
    last_event: Moment,
    events_now: u32,
    pub(super) ever_ready: bool,
    pub(super) fault_before_ready: bool,
    pub(super) exit: Option<(i32, Moment)>,
    pub(super) broken: Vec<(Rule, String)>,
}

impl World {
    pub(super) fn new(policy: Policy) -> Self {
        let now = Moment::from_origin(Duration::from_secs(100));
        let (arbiter, actions) = Arbiter::start(policy.clone(), now);
        let mut world = Self {
            arbiter,
            now,
            processes: BTreeMap::new(),
            policies: BTreeMap::from([(Generation::FIRST, policy)]),
            helper: None,
            reading: None,
            last_tick: now,
            boot: Boot::Takes { ms: 20 },
            prepare: Boot::Takes { ms: 20 },
            fork_failures: 0,
            file: None,
            busy: false,
            awake_since: now,
            reloading: false,
            spawns: Vec::new(),
            last_event: now,
            events_now: 0,
            ever_ready: false,
            fault_before_ready: false,
            exit: None,
            broken: Vec::new(),
        };
        world.perform(actions);
        world
    }

    fn tell(&mut self, event: Event) {
        self.events_now = if self.now == self.last_event { self.events_now + 1 } else { 0 };
        self.last_event = self.now;
        if self.events_now > 10_000 {
            self.broke(Rule::Ends, "it spins: ten thousand events, and no time passes");
            self.exit = Some((-1, self.now));
            return;
        }
        let actions = self.arbiter.handle(event, self.now);
        self.perform(actions);
    }

    pub(super) fn befall(&mut self, op: &Op) {
        match op.clone() {
            Op::Wait { ms } => self.run(Duration::from_millis(ms)),
            Op::Sleep { ms } => {
                let span = Duration::from_millis(ms);
                let overslept = span > self.arbiter.oversleep();
                self.now = self.now + span;
                if overslept {
                    self.awake_since = self.now;
                } else {
                    self.fault_before_ready |= !self.ever_ready; // it counts as time, also as boot time
                }
                for process in self.processes.values_mut() {
                    process.sleep(span, self.now);
                }
                if let Some(Some((at, _))) = &mut self.helper {
                    *at = *at + span;
                }
                self.tick();
            }
            Op::Signal(signal) => self.tell(Event::Signal(signal)),
            Op::Kill { who } => self.with(who, |p, now| p.dies_at = Some((now, ExitStatus::Signal(9)))),
            Op::Crash { who, code } => {
                self.with(who, |p, now| p.dies_at = Some((now, ExitStatus::Code(code))))
            }
            Op::Block { who } => self.with(who, |p, now| p.silent_since = Some(p.beat(now))),
            Op::Stop { who } => {
                self.fault_before_ready |= !self.ever_ready;
                self.with(who, |p, now| {
                    p.silent_since = Some(p.beat(now));
                    p.deaf = true;
                });
            }
            Op::HoldTurn { who } => self.with(who, |p, now| p.turn = p.turn.or(Some(now))),
            Op::ReleaseTurn { who } => self.with(who, |p, _| p.turn = None),
            Op::Wish { who, wish } => {
                if let Some(slot) = self.pick(who) {
                    self.with(who, |p, now| p.wished = p.ready.filter(|_| p.told.is_none()).map(|_| now));
                    self.tell(Event::RetireWanted(slot, wish));
                }
            }
            Op::BusyConnections(busy) => self.busy = busy,
            Op::Boot(boot) => self.boot = boot,
            Op::Prepare(boot) => self.prepare = boot,
            Op::ForkFails { times } => self.fork_failures = times,
            Op::File(policy) => self.file = policy,
        }
        self.happen();
    }

    fn pick(&self, who: usize) -> Option<Slot> {
        let slots: Vec<Slot> = self.processes.keys().copied().collect();
        slots.get(who % slots.len().max(1)).copied()
    }

    fn with(&mut self, who: usize, change: impl FnOnce(&mut Process, Moment)) {
        let now = self.now;
        if let Some(process) = self.pick(who).and_then(|slot| self.processes.get_mut(&slot)) {
            change(process, now);
        }
    }

    /// Heals everything that is wrong with the machine, though not with the processes that are there.
    pub(super) fn calm(&mut self) {
        self.boot = Boot::Takes { ms: 20 };
        self.prepare = Boot::Takes { ms: 20 };
        self.fork_failures = 0;
        self.busy = false;
    }

    /// Lets time pass, from one happening to the next.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.happen();
            if self.exit.is_some() {
                return;
            }
            let tick = self.last_tick + self.arbiter.tick();
            let wake = self.arbiter.wake_at().map_or(tick, |wake| wake.min(tick)).max(self.now);
            let next = self.next_happening().map_or(wake, |at| at.min(wake));
            if next > end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now);
            if next == wake {
                self.tick();
            }
        }
    }

    fn tick(&mut self) {
        self.last_tick = self.now;
        let healthy: Vec<_> = self
            .processes
            .iter()
            .filter(|(_, process)| process.ready.is_some())
            .map(|(slot, process)| (*slot, process.beat(self.now), process.turn))
            .collect();
        for (slot, beat, turn) in healthy {
            self.tell(Event::Beat { slot, beat, turn });
        }
        self.tell(Event::Tick);
    }

    fn next_happening(&self) -> Option<Moment> {
        let workers = self.processes.values().filter_map(|process| {
            let ready = process.ready_at.filter(|_| process.ready.is_none() && !process.deaf);
            [ready, process.dies_at.map(|(at, _)| at)].into_iter().flatten().min()
        });
        let reading = self.reading.as_ref().map(|(at, _)| *at);
        workers.chain(self.helper.flatten().map(|(at, _)| at)).chain(reading).min()
    }

    /// Everything that is due.
    fn happen(&mut self) {
        while self.exit.is_none() {
            if let Some((_, read)) = self.reading.take_if(|(at, _)| *at <= self.now) {
                self.tell(read);
                continue;
            }
            if let Some(Some((at, status))) = self.helper
                && at <= self.now
            {
                self.helper = None;
                self.fault_before_ready |= status != ExitStatus::Code(0);
                self.tell(Event::HelperExited(status));
                continue;
            }
            let dead = self.processes.iter().find(|(_, p)| p.dies_at.is_some_and(|(at, _)| at <= self.now));
            if let Some((&slot, process)) = dead {
                let status = process.dies_at.map_or(ExitStatus::Code(0), |(_, status)| status);
                self.fault_before_ready |= !self.ever_ready;
                self.processes.remove(&slot);
                self.tell(Event::Exited { slot, status });
                continue;
            }
            let now = self.now;
            let ready = self.processes.iter_mut().find(|(_, process)| {
                process.ready.is_none() && !process.deaf && process.ready_at.is_some_and(|at| at <= now)
            });
            let Some((&slot, process)) = ready else { return };
            process.ready = Some(now);
            self.ever_ready |= process.told.is_none();
            self.tell(Event::Ready(slot));
        }
    }

    fn perform(&mut self, actions: Vec<Action>) {
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
                    if self.count(proved) == 0 {
                        self.broke(Rule::ReadyFirst, format!("{generation} was taken over unproved"));
                    }
                }
                Action::Report(report) => self.hear(&report),
                Action::Discard(_) | Action::CloseListeners => {}
                Action::Exit(code) => {
                    if !self.processes.is_empty() {
                        self.broke(Rule::Ends, "left children behind");
                    }
                    self.exit = Some((code, self.now));
                }
            }
        }
    }

    fn fate(&self, boot: Boot) -> Option<(Moment, ExitStatus)> {
        match boot {
            Boot::Takes { ms } => Some((self.now + Duration::from_millis(ms), ExitStatus::Code(0))),
            Boot::Exits { code } => Some((self.now, ExitStatus::Code(code))),
            Boot::Flickers => Some((self.now + Duration::from_millis(2), ExitStatus::Code(1))),
            Boot::Faults => Some((self.now, ExitStatus::Signal(11))),
            Boot::Hangs => None,
        }
    }

    fn spawn(&mut self, slot: Slot, generation: Generation) {
        let live = self.count(|p| !matches!(p.told, Some((Order::Drain, _))));
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
        let drain = process.limits.graceful_timeout;
        let before = process.told.replace((order, now));
        let blocked = process.silent_since.is_some();
        let end = |after: Duration, status| Some((now + after, status));
        process.dies_at = process.dies_at.or(match order {
            Order::Kill => end(Duration::ZERO, ExitStatus::Signal(9)),
            _ if process.deaf => None,
            Order::Abort => end(Duration::from_millis(210), ExitStatus::Code(70)),
            Order::Quit => end(Duration::from_millis(5), ExitStatus::Code(0)),
            Order::Drain if blocked || process.turn.is_some() || busy => end(drain, ExitStatus::Code(0)),
            Order::Drain => end(Duration::from_millis(5), ExitStatus::Code(0)),
        });
        if order == Order::Kill {
            process.dies_at = Some((now, ExitStatus::Signal(9)));
            let grace = match before {
                Some((Order::Drain, at)) => Some((at, drain)),
                Some((Order::Quit | Order::Abort, at)) => Some((at, LAST_GRACE)),
                Some((Order::Kill, _)) | None => None,
            };
            let asleep_since = grace.is_some_and(|(at, _)| at < quiet);
            if !grace.is_some_and(|(at, grace)| now.since(at) >= grace || asleep_since) {
                self.broke(Rule::Grace, format!("slot {slot} was killed without its grace, told {before:?}"));
            }
        }
    }

    pub(super) fn count(&self, which: impl Fn(&Process) -> bool) -> usize {
        self.processes.values().filter(|process| which(process)).count()
    }
}

impl Process {
    /// Its last heartbeat.
    fn beat(&self, now: Moment) -> Moment {
        let begun = self.ready.unwrap_or(now).max(self.awake);
        let tick = self.limits.tick();
        let beats = now.since(begun).as_nanos() / tick.as_nanos();
        self.silent_since.unwrap_or(begun + tick * u32::try_from(beats).unwrap_or(u32::MAX))
    }

    /// Its clocks stood still for this long, until now.
    fn sleep(&mut self, span: Duration, now: Moment) {
        self.ready_at = self.ready_at.map(|at| at + span);
        self.dies_at = self.dies_at.map(|(at, status)| (at + span, status));
        self.awake = now;
    }
}
