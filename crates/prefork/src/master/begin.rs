//! The beginning of a master: from nothing, or with what another program was at.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use nix::sys::signalfd::SignalFd;

use crate::app::App;
use crate::arbiter::Arbiter;
use crate::cgroup::MemoryGroup;
use crate::hooks::Hooks;
use crate::ids::{Generation, Moment, Pid};
use crate::listener::Listener;
use crate::scoreboard::Scoreboard;
use crate::server::{Logs, Reload, WhenServing};
use crate::sys;

use super::control::Desk;
use super::deaths::Deaths;
use super::estate::{Estate, SharedBoard, Taken};
use super::hooks::HookRunner;
use super::notify::{Notify, NotifyVariables, Part};
use super::oom::OomKills;
use super::record::Record;
use super::successor::{Predecessor, Program};
use super::watcher::Watcher;
use super::{Lifeline, Master, Pidfile, Setup, SetupError, limits, spawn, wait};

/// What a master begins with.
pub(crate) struct Beginning<A: App> {
    pub(crate) version: &'static str,
    pub(crate) reload: Option<Reload<A>>,
    pub(crate) when_serving: Option<WhenServing>,
    pub(crate) logs: Logs,
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
    /// What the names of variables begin with.
    pub(crate) prefix: &'static str,
    pub(crate) program: Program,
    pub(crate) listeners: Vec<Listener>,
    /// Whether these were handed over, so that no reload changes them.
    pub(crate) activated: bool,
    pub(crate) pidfile: Option<Pidfile>,
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) notify: NotifyVariables,
    pub(crate) watched: Vec<PathBuf>,
    pub(crate) ready: Option<OwnedFd>,
}

/// What no master can do without, and the kernel may refuse.
pub(crate) struct Ground {
    signals: SignalFd,
    board: Scoreboard,
    shared: Rc<SharedBoard>,
}

impl Ground {
    /// On the board that another program has left, if there is one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn new(left: Option<&Taken>) -> Result<Self, SetupError> {
        limits::raise();
        let signals = wait::take_signals().map_err(SetupError::at("read signals from a descriptor"))?;
        let (board, shared) = match left.and_then(|left| left.board.as_ref()) {
            Some((board, shared)) => (*board, Rc::clone(shared)),
            None => {
                let (board, file) = Scoreboard::new().map_err(SetupError::at("make its scoreboard"))?;
                (board, SharedBoard::new(board, file))
            }
        };
        Ok(Self { signals, board, shared })
    }
}

impl<A: App> Master<A> {
    /// Begins from nothing.
    ///
    /// # Errors
    /// The kernel refuses what a master needs.
    pub(crate) fn new(setup: Setup<A>, beginning: Beginning<A>) -> Result<Self, SetupError> {
        let ground = Ground::new(None)?;
        let (reading, writing) = spawn::pipe().map_err(SetupError::at("make a pipe"))?;
        setup.explain_size(None);
        let now = sys::now();
        let (mut arbiter, first) = Arbiter::start(setup.policy(), now);
        if beginning.predecessor.is_some() {
            arbiter.stand_beside_another();
        }
        let mut master = Self::begin(beginning, arbiter, (Generation::FIRST, setup), ground, now);
        master.lifeline = Some(Lifeline { reading, writing });
        master.open_the_desk();
        for action in first {
            master.perform(action);
        }
        Ok(master)
    }

    /// Goes on with what another program was at, in the same process.
    pub(crate) fn take_over(
        setup: Setup<A>,
        beginning: Beginning<A>,
        ground: Ground,
        estate: Estate,
        taken: Taken,
    ) -> Self {
        let (heir, has_come_back) = (estate.heirs_generation(), estate.has_come_back());
        setup.explain_size(None);
        let now = sys::now();
        let (arbiter, first) = Arbiter::resume_from(estate.arbiter, setup.policy(), now);
        let mut master = Self::begin(beginning, arbiter, (heir, setup), ground, now);
        master.generation = estate.generation;
        master.lifeline = Some(taken.lifeline);
        master.children = taken.children;
        master.pidfile = taken.pidfile;
        master.old = taken.old;
        (master.slots_used, master.started) = (estate.slots_used, estate.started);
        (master.record, master.deaths) = (estate.record, estate.deaths);
        master.notify.resume(estate.reloading);
        if has_come_back {
            master.close_unwanted_listeners(); // those that the other program has opened
        }
        master.open_the_desk();
        master.reap(); // whoever ended meanwhile has left no signal that would tell
        for action in first {
            master.perform(action);
        }
        master
    }

    fn begin(
        beginning: Beginning<A>,
        arbiter: Arbiter,
        (generation, setup): (Generation, Setup<A>),
        Ground { signals, board, shared: shared_board }: Ground,
        now: Moment,
    ) -> Self {
        let Beginning { reload, when_serving, logs, hooks, prefix, program, listeners, .. } = beginning;
        let Beginning { version, activated, pidfile, predecessor, notify, watched, ready, .. } = beginning;
        let pid = Pid(std::process::id().cast_signed());
        let part = if predecessor.is_some() { Part::Second } else { Part::Main };
        Self {
            pid,
            started: now,
            version,
            prefix,
            program,
            arbiter,
            generation,
            setups: BTreeMap::from([(generation, setup)]),
            reload,
            when_serving,
            logs,
            board,
            shared_board,
            listeners,
            activated,
            shared: false,
            pidfile,
            signals: Some(signals),
            lifeline: None,
            children: BTreeMap::new(),
            slots_used: 0,
            ends: BTreeMap::new(),
            deaths: Deaths::default(),
            oom_kills: OomKills::new(MemoryGroup::find(Path::new("/"))),
            helper: None,
            successor: None,
            predecessor,
            checker: None,
            hands_over: None,
            old: None,
            hooks,
            runner: HookRunner::default(),
            notify: Notify::new(notify, ready, part, pid, now),
            desk: Desk::default(),
            watched,
            watcher: Watcher::default(),
            record: Record::default(),
            events: VecDeque::new(),
            next_tick: now,
        }
    }
}
