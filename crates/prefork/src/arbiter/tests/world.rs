//! A machine made of numbers: processes that boot, serve, hang, crash and end on virtual time. What the arbiter wants
//! done, `deeds.rs` does to it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::arbiter::action::Order;
use crate::arbiter::event::{Event, ExitStatus};
use crate::arbiter::{Arbiter, Limits, Policy};
use crate::ids::{Generation, Moment, Slot};

use super::op::{Boot, Op, Program};
use super::referee::Rule;

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) generation: Generation,
    /// What it goes by, whatever a reload says since.
    pub(super) limits: Limits,
    pub(super) ready_at: Option<Moment>,
    pub(super) dies_at: Option<(Moment, ExitStatus)>,
    /// Since when it serves.
    pub(super) ready: Option<Moment>,
    /// When it last began to run again.
    pub(super) awake: Moment,
    /// When it wished to be replaced.
    pub(super) wished: Option<Moment>,
    pub(super) silent_since: Option<Moment>,
    pub(super) turn: Option<Moment>,
    pub(super) deaf: bool,
    pub(super) told: Option<(Order, Moment)>,
    /// Whether it served when it was told.
    pub(super) told_ready: bool,
}

/// Something that runs beside the workers, and when and how it ends, if ever.
pub(super) type Beside = Option<Option<(Moment, ExitStatus)>>;

/// A second master.
#[derive(Clone, Copy, Debug)]
pub(super) struct Successor {
    pub(super) serves_at: Option<Moment>,
    pub(super) ends: Option<(Moment, ExitStatus)>,
}

pub(super) struct World {
    pub(super) arbiter: Arbiter,
    pub(super) now: Moment,
    pub(super) processes: BTreeMap<Slot, Process>,
    /// What each generation is started with.
    pub(super) policies: BTreeMap<Generation, Policy>,
    pub(super) helper: Beside,
    pub(super) check: Beside,
    pub(super) hooks: Beside,
    pub(super) successor: Option<Successor>,
    /// The master is to execute another program as soon as it has nothing else at hand.
    pub(super) hand_over: bool,
    /// What the file says, once it is read.
    pub(super) reading: Option<(Moment, Event)>,
    last_tick: Moment,
    pub(super) boot: Boot,
    pub(super) prepare: Boot,
    pub(super) program: Program,
    pub(super) hooks_hang: bool,
    pub(super) fork_failures: u32,
    pub(super) file: Option<Policy>,
    pub(super) busy: bool,
    pub(super) awake_since: Moment,
    pub(super) reloading: bool,
    pub(super) spawns: Vec<Moment>,
    /// Until when a crash loop waits.
    pub(super) crash_loop: Option<Moment>,
    /// A program that could not prove itself has to stay.
    pub(super) no_way_back: bool,
    /// A crash loop was to end the master.
    pub(super) gave_up: bool,
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
            check: None,
            hooks: None,
            successor: None,
            hand_over: false,
            reading: None,
            last_tick: now,
            boot: Boot::Takes { ms: 20 },
            prepare: Boot::Takes { ms: 20 },
            program: Program::GOOD,
            hooks_hang: false,
            fork_failures: 0,
            file: None,
            busy: false,
            awake_since: now,
            reloading: false,
            spawns: Vec::new(),
            crash_loop: None,
            no_way_back: false,
            gave_up: false,
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

    pub(super) fn tell(&mut self, event: Event) {
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
                for beside in [&mut self.helper, &mut self.check, &mut self.hooks] {
                    if let Some(Some((at, _))) = beside {
                        *at = *at + span;
                    }
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
            Op::Program(program) => self.program = program,
            Op::SuccessorEnds => {
                if let Some(successor) = &mut self.successor {
                    successor.ends = Some((self.now, ExitStatus::Code(0)));
                }
            }
            Op::HooksHang(hang) => self.hooks_hang = hang,
            Op::Scale { to } => self.tell(Event::Scale(to)),
            Op::Written => self.expect_the_same_when_written(),
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
        self.program = Program::GOOD;
        self.hooks_hang = false;
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
        let beside = [self.helper, self.check, self.hooks].into_iter().flatten().flatten().map(|(at, _)| at);
        let successor = self.successor.map(|s| [s.serves_at, s.ends.map(|(at, _)| at)]);
        workers.chain(beside).chain(reading).chain(successor.into_iter().flatten().flatten()).min()
    }

    /// Everything that is due.
    fn happen(&mut self) {
        while self.exit.is_none() {
            if let Some((_, read)) = self.reading.take_if(|(at, _)| *at <= self.now) {
                self.tell(read);
                continue;
            }
            let due = |beside: &mut Beside, now: Moment| {
                beside.take_if(|end| end.is_some_and(|(at, _)| at <= now)).flatten().map(|(_, status)| status)
            };
            if due(&mut self.hooks, self.now).is_some() {
                self.tell(Event::HooksEnded);
                continue;
            }
            if let Some(status) = due(&mut self.check, self.now) {
                self.tell(Event::ProgramChecked { status, understood: !self.program.is_another });
                continue;
            }
            if let Some(status) = due(&mut self.helper, self.now) {
                self.fault_before_ready |= status != ExitStatus::Code(0);
                self.tell(Event::HelperExited(status));
                continue;
            }
            if let Some(successor) = &mut self.successor {
                if successor.serves_at.take_if(|at| *at <= self.now).is_some() {
                    self.tell(Event::SuccessorServes);
                    continue;
                }
                if let Some((_, status)) = successor.ends.take_if(|(at, _)| *at <= self.now) {
                    self.successor = None;
                    self.tell(Event::SuccessorEnded(Ok(status)));
                    continue;
                }
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
            let Some((&slot, process)) = ready else {
                if self.execute() {
                    continue;
                }
                return;
            };
            process.ready = Some(now);
            self.ever_ready |= process.told.is_none();
            self.tell(Event::Ready(slot));
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
