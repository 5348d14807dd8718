//! The master: turns the world into events and actions into system calls. It decides nothing.

mod reap;
mod report;
mod spawn;
mod wait;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::sys::signalfd::SignalFd;

use crate::app::App;
use crate::arbiter::{Action, Arbiter, Event};
use crate::ids::{Generation, Moment, Pid, Slot};
use crate::listener::Listener;
use crate::scoreboard::Scoreboard;
use crate::server::{Logs, Reload, Revision, WhenServing};
use crate::settings::{Settings, Sockets};
use crate::sys;

/// What a generation of workers is started with.
pub(crate) struct Setup<A> {
    pub(crate) settings: Arc<Settings>,
    pub(crate) app: Arc<A>,
    adopt: Option<Box<dyn Fn()>>,
}

impl<A> Setup<A> {
    pub(crate) fn new(revision: Revision<A>) -> Self {
        let Revision { settings, app, adopt } = revision;
        Self { settings: Arc::new(settings), app: Arc::new(app), adopt }
    }

    /// Makes this process go by it.
    fn adopt(&self) {
        if let Some(adopt) = &self.adopt {
            adopt();
        }
    }
}

/// A live worker, as the master holds it.
struct Child {
    pid: Pid,
    /// `None` where the kernel has none; the pid of a child that was not reaped is safe as well.
    pidfd: Option<OwnedFd>,
    /// `None` once the worker has closed its end.
    pipe: Option<OwnedFd>,
}

/// The master's whole state. A child of a fork lets go of it before anything else (`leave_behind`).
pub(crate) struct Master<A: App> {
    arbiter: Arbiter,
    /// The running generation's setup, and a candidate's.
    setups: BTreeMap<Generation, Setup<A>>,
    reload: Option<Reload<A>>,
    when_serving: Option<WhenServing>,
    logs: Logs,
    board: Scoreboard,
    listeners: Vec<Listener>,
    addresses: Vec<std::net::SocketAddr>,
    /// What the listeners were made by, which no reload changes.
    bound: Sockets,
    signals: Option<SignalFd>,
    lifeline: Option<Lifeline>,
    children: BTreeMap<Slot, Child>,
    helper: Option<Pid>,
    events: VecDeque<Event>,
    next_tick: Moment,
}

/// A pipe that nobody writes to: its end tells the workers that the master is gone.
struct Lifeline {
    reading: OwnedFd,
    _writing: OwnedFd,
}

/// What could not be made before the first fork.
#[derive(Debug, thiserror::Error)]
#[error("the supervisor cannot {step}: {error}")]
pub struct SetupError {
    step: &'static str,
    error: std::io::Error,
}

impl SetupError {
    fn at<E: Into<std::io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self { step, error: error.into() }
    }
}

impl<A: App> Master<A> {
    /// Takes the signals, and everything else that workers need.
    pub(crate) fn new(
        setup: Setup<A>,
        listeners: Vec<Listener>,
        reload: Option<Reload<A>>,
        when_serving: Option<WhenServing>,
        logs: Logs,
    ) -> Result<Self, SetupError> {
        let signals = wait::take_signals().map_err(SetupError::at("read signals from a descriptor"))?;
        let board = Scoreboard::new().map_err(SetupError::at("make its scoreboard"))?;
        let (reading, writing) = spawn::pipe().map_err(SetupError::at("make a pipe"))?;
        let bound = setup.settings.sockets.clone();
        let now = sys::now();
        let (arbiter, first) = Arbiter::start(setup.settings.policy(), now);
        let mut master = Self {
            arbiter,
            setups: BTreeMap::from([(Generation::FIRST, setup)]),
            reload,
            when_serving,
            logs,
            board,
            bound,
            addresses: listeners.iter().map(Listener::address).collect(),
            listeners,
            signals: Some(signals),
            lifeline: Some(Lifeline { reading, _writing: writing }),
            children: BTreeMap::new(),
            helper: None,
            events: VecDeque::new(),
            next_tick: now,
        };
        for action in first {
            master.perform(action);
        }
        Ok(master)
    }

    /// The loop: wait, decide, do. Gives the exit code.
    pub(crate) fn live(mut self) -> i32 {
        loop {
            let event = self.next_event();
            for action in self.arbiter.handle(event, sys::now()) {
                if let Some(code) = self.perform(action) {
                    return code;
                }
            }
        }
    }

    /// Does one thing. What comes of it at once is an event of its own.
    fn perform(&mut self, action: Action) -> Option<i32> {
        match action {
            Action::Prepare(generation) => self.prepare(generation),
            Action::KillHelper => self.kill_helper(),
            Action::Spawn { slot, generation } => self.spawn(slot, generation),
            Action::Signal(slot, order) => self.signal(slot, order),
            Action::ReadSettings { candidate } => self.read_settings(candidate),
            Action::Promote(generation) => {
                self.setups.retain(|other, _| *other >= generation);
                if let Some(setup) = self.setups.get(&generation) {
                    setup.adopt();
                }
            }
            Action::Discard(generation) => drop(self.setups.remove(&generation)),
            Action::CloseListeners => {
                self.board.announce_stop();
                self.listeners.clear();
            }
            Action::Report(report) => self.report(report),
            Action::Exit(code) => return Some(code),
        }
        None
    }

    fn read_settings(&mut self, candidate: Generation) {
        let read = match (&mut self.reload, self.setups.values().next_back()) {
            (Some(read), _) => read().map(Setup::new),
            (None, Some(Setup { settings, app, adopt: _ })) => {
                Ok(Setup { settings: Arc::clone(settings), app: Arc::clone(app), adopt: None })
            }
            (None, None) => Err("there are no settings to start from".into()), // the running generation's always stay
        };
        let event = match read {
            Ok(setup) => {
                let policy = setup.settings.policy();
                self.warn_of_what_stays(&setup.settings);
                self.setups.insert(candidate, setup);
                Event::SettingsAccepted(policy)
            }
            Err(problems) => {
                for problem in problems.lines() {
                    tracing::error!("{problem}");
                }
                Event::SettingsRefused
            }
        };
        self.events.push_back(event);
    }

    /// Says which of the new settings have no effect before a restart.
    fn warn_of_what_stays(&self, new: &Settings) {
        if self.bound != new.sockets {
            tracing::warn!(
                "server.bind, backlog and defer_accept have changed: a restart takes them, a reload does not"
            );
        }
    }

    /// What a child does first: it must not hold what only the master may, or the master's end would go unnoticed.
    fn leave_behind(&mut self) -> Option<OwnedFd> {
        self.signals = None;
        self.children.clear();
        self.lifeline.take().map(|lifeline| lifeline.reading)
    }
}
