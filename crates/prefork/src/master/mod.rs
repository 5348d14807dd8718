//! The master: turns the world into events and actions into system calls. It decides nothing.

mod begin;
mod control;
mod deaths;
mod doors;
mod estate;
mod handover;
mod hooks;
mod limits;
mod notify;
mod oom;
mod pidfile;
mod reap;
mod record;
mod report;
mod spawn;
mod status;
mod successor;
mod wait;
mod watcher;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use nix::sys::signalfd::SignalFd;
use serde::{Deserialize, Serialize};

use ::settings::Described;

use crate::app::App;
use crate::arbiter::{Action, Arbiter, Event, Policy};
use crate::hooks::Hooks;
use crate::ids::{Generation, Moment, Pid, Slot};
use crate::listener::{Listener, ListenerId};
use crate::scoreboard::{Counts, Scoreboard};
use crate::server::{Logs, Reload, Revision, WhenServing};
use crate::settings::{DirectoryError, Machine, PoolSize, Settings};
use crate::sys;

use control::Desk;
use deaths::{Deaths, End};
use doors::Door;
use estate::{Old, SharedBoard};

use handover::Checker;
use hooks::{Hook, HookRunner, Subject};
use notify::Notify;
use oom::OomKills;
use record::Record;
use successor::Successor;
use watcher::Watcher;

pub(crate) use begin::{Beginning, Ground};
pub(crate) use estate::{Estate, Taken};
pub(crate) use notify::{NotifyVariables, readiness_descriptor};
pub use pidfile::PidfileError;
pub(crate) use pidfile::{Pidfile, second};
pub(crate) use successor::{Predecessor, Program};
pub(crate) use wait::{block_signals, hold_signals};

/// What a generation of workers is started with.
pub(crate) struct Setup<A> {
    pub(crate) settings: Arc<Settings>,
    pub(crate) app: Arc<A>,
    adopt: Option<Box<dyn Fn()>>,
    /// Its keys, as an operator may see them.
    shown: Arc<[Described]>,
    /// Where its workers listen.
    listeners: Vec<ListenerId>,
    size: PoolSize,
}

impl<A> Setup<A> {
    /// A revision whose workers listen at these.
    pub(crate) fn new(revision: Revision<A>, listeners: Vec<ListenerId>) -> Self {
        let Revision { settings, app, adopt, shown } = revision;
        let size = PoolSize::new(settings.workers.workers, Machine::look());
        let (settings, app, shown) = (Arc::new(settings), Arc::new(app), shown.into());
        Self { settings, app, adopt, shown, listeners, size }
    }

    fn policy(&self) -> Policy {
        self.settings.policy(self.size)
    }

    /// Says how many workers there are to be, where the settings do not and it is not `known` yet.
    fn explain_size(&self, known: Option<PoolSize>) {
        if matches!(self.size, PoolSize::Auto(_)) && known != Some(self.size) {
            tracing::info!("workers: {}", self.size);
        }
    }

    /// Makes this process go by it.
    fn adopt(&self) -> Result<(), DirectoryError> {
        self.settings.process.enter()?;
        if let Some(adopt) = &self.adopt {
            guarded("as settings came into force", &**adopt);
        }
        Ok(())
    }
}

/// Calls code of the embedding program's: a panic there is an error in the log, and not the end of the server. `None` then.
fn guarded<T>(what: &str, call: impl FnOnce() -> T) -> Option<T> {
    let called = catch_unwind(AssertUnwindSafe(call));
    if called.is_err() {
        tracing::error!(
            "the program panicked {what}; its message stands before this, and the server goes on"
        );
    }
    called.ok()
}

/// A live worker, as the master holds it.
struct Child {
    pid: Pid,
    /// `None` where the kernel has none; the pid of a child that was not reaped is safe as well.
    pidfd: Option<OwnedFd>,
    /// `None` once the worker has closed its end.
    pipe: Option<OwnedFd>,
    /// Where it listens.
    doors: Vec<Door>,
    /// What its slot had counted before it.
    base: Counts,
    /// Whether the master has sent it SIGKILL.
    killed: bool,
    said: Said,
    /// Where it looks for orders, and shows what it does.
    board: Rc<SharedBoard>,
}

/// What a worker has said: it is believed once.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Said {
    ready: bool,
    wish: bool,
}

/// The master's whole state. A child of a fork lets go of it before anything else (`leave_behind`).
pub(crate) struct Master<A: App> {
    pid: Pid,
    started: Moment,
    version: &'static str,
    prefix: &'static str,
    program: Program,
    arbiter: Arbiter,
    /// The generation that runs.
    generation: Generation,
    /// Its setup, and a candidate's.
    setups: BTreeMap<Generation, Setup<A>>,
    reload: Option<Reload<A>>,
    when_serving: Option<WhenServing>,
    logs: Logs,
    board: Scoreboard,
    /// The same with its file.
    shared_board: Rc<SharedBoard>,
    /// All that are open, those of a candidate among them.
    listeners: Vec<Listener>,
    activated: bool,
    /// Whether others accepted from the same sockets when this master let go of them.
    shared: bool,
    pidfile: Option<Pidfile>,
    signals: Option<SignalFd>,
    lifeline: Option<Lifeline>,
    children: BTreeMap<Slot, Child>,
    /// Slots below this one have had a worker; memory of those above was never touched.
    slots_used: u16,
    /// Of workers that were reaped, until their deaths are reported.
    ends: BTreeMap<Slot, End>,
    deaths: Deaths,
    oom_kills: OomKills,
    helper: Option<Pid>,
    successor: Option<Successor>,
    predecessor: Option<Predecessor>,
    checker: Option<Checker>,
    /// Another program is to be executed as soon as nothing else is at hand; hooks are waited for until then.
    hands_over: Option<Moment>,
    /// The program that this one has replaced and not outdone yet.
    old: Option<Old>,
    hooks: Option<Arc<dyn Hooks>>,
    runner: HookRunner,
    notify: Notify,
    desk: Desk,
    /// Files whose change is a reload, beside those of the settings.
    watched: Vec<PathBuf>,
    watcher: Watcher,
    record: Record,
    events: VecDeque<Event>,
    next_tick: Moment,
}

/// A pipe that nobody writes to: its end tells the workers that the master is gone.
struct Lifeline {
    reading: OwnedFd,
    /// Only ever held.
    writing: OwnedFd,
}

/// What could not be made before the first fork.
#[derive(Debug, thiserror::Error)]
#[error("the supervisor cannot {step}: {error}")]
pub struct SetupError {
    step: &'static str,
    error: std::io::Error,
}

impl SetupError {
    pub(crate) fn at<E: Into<std::io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self { step, error: error.into() }
    }
}

impl<A: App> Master<A> {
    /// The loop: wait, decide, do. Gives the exit code.
    pub(crate) fn live(mut self) -> i32 {
        loop {
            let event = self.next_event();
            for action in self.arbiter.handle(event, sys::now()) {
                if let Some(code) = self.perform(action) {
                    return code;
                }
            }
            self.look_at_the_size();
        }
    }

    /// Does one thing. What comes of it at once is an event of its own.
    fn perform(&mut self, action: Action) -> Option<i32> {
        match action {
            Action::AwaitHooks(milestone) => self.await_hooks(milestone),
            Action::Prepare(generation) => {
                if generation == Generation::FIRST {
                    self.call(|hooks| hooks.when_ready());
                    self.hook(Hook::WhenReady, Subject::Server, Vec::new());
                }
                self.prepare(generation);
            }
            Action::KillHelper => self.kill_helper(),
            Action::Spawn { slot, generation } => self.spawn(slot, generation),
            Action::Signal(slot, order) => self.signal(slot, order),
            Action::ReadSettings { candidate } => self.read_settings(candidate),
            Action::Promote(generation) => self.promote(generation),
            Action::Discard(generation) => {
                self.setups.remove(&generation);
                self.close_unwanted_listeners();
            }
            Action::AnnounceStop => {
                self.board.orders().announce_leave();
                self.children.values().for_each(|child| child.board.orders.announce_leave());
            }
            Action::CloseListeners => self.leave_the_listeners(),
            Action::StartSuccessor => self.start_successor(),
            Action::StopSuccessor => self.stop_successor(),
            Action::CheckProgram => self.check_program(),
            Action::KillCheck => self.kill_checker(),
            Action::HandOver | Action::GoBack => self.hands_over = Some(sys::now() + hooks::PATIENCE),
            Action::Report(report) => self.report(report),
            Action::Exit(code) => {
                self.take_leave();
                return Some(code);
            }
        }
        None
    }

    fn read_settings(&mut self, candidate: Generation) {
        if self.program.is_running() == Some(false) {
            tracing::warn!(
                "the file at {} is not the program that runs: a reload loads no new code, SIGUSR2 does",
                self.program.path().display()
            );
        }
        let event = match self.next_setup() {
            Ok(setup) => {
                let policy = setup.policy();
                self.setups.insert(candidate, setup);
                Event::SettingsAccepted(policy)
            }
            Err(problems) => {
                self.record.note_problems(&problems);
                for problem in problems.lines() {
                    tracing::error!("{problem}");
                }
                Event::SettingsRefused
            }
        };
        self.events.push_back(event);
    }

    /// What the next generation is started with; its listeners are open then.
    fn next_setup(&mut self) -> Result<Setup<A>, String> {
        let revision = match (&mut self.reload, self.setups.values().next_back()) {
            (Some(read), _) => {
                guarded("as it read its settings anew", read).ok_or("its settings could not be read")??
            }
            (None, Some(Setup { settings, app, listeners, shown, .. })) => {
                let (settings, app, shown) = (Arc::clone(settings), Arc::clone(app), Arc::clone(shown));
                let (listeners, size) =
                    (listeners.clone(), PoolSize::new(settings.workers.workers, Machine::look()));
                return Ok(Setup { settings, app, shown, listeners, size, adopt: None });
            }
            (None, None) => return Err("there are no settings to start from".into()), // the running generation's always stay
        };
        let listeners = self.open_listeners(&revision.settings)?;
        Ok(Setup::new(revision, listeners))
    }

    /// From now on this generation is the one that runs.
    fn promote(&mut self, generation: Generation) {
        let known = self.setups.get(&self.generation).map(|running| running.size);
        self.generation = generation;
        self.setups.retain(|other, _| *other >= generation);
        if let Some(setup) = self.setups.get(&generation) {
            if let Err(error) = setup.adopt() {
                tracing::error!("{error}");
            }
            setup.explain_size(known);
            sys::title::show(&setup.settings.identity.proc_name, "master");
        }
        self.old = None;
        self.adjust_listeners();
        self.change_pidfile();
        self.open_the_desk();
    }

    /// The settings that are in force.
    fn settings(&self) -> Option<&Settings> {
        // Where another program has made the generation that runs, there are only those that are to follow.
        let setup = self.setups.get(&self.generation).or(self.setups.values().next_back());
        setup.map(|setup| &*setup.settings)
    }

    /// Takes another pidfile, if the settings name one.
    fn change_pidfile(&mut self) {
        let Some(settings) = self.settings() else { return };
        let wanted = settings
            .process
            .pidfile
            .as_ref()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        if wanted.as_deref() == self.pidfile.as_ref().map(Pidfile::path) || self.predecessor.is_some() {
            return;
        }
        let taken = wanted.map(|path| Pidfile::take(&path, &settings.identity)).transpose();
        match taken {
            Ok(new) => {
                if let Some(old) = std::mem::replace(&mut self.pidfile, new) {
                    old.remove();
                }
            }
            Err(error) => tracing::error!("{error}; the pidfile stays where it was"),
        }
    }

    /// What is left to do when nobody is there any more.
    fn take_leave(&mut self) {
        if let Some(pidfile) = self.pidfile.take() {
            pidfile.remove();
        }
    }

    /// What a child does first: it must not hold what only the master may, or the master's end would go unnoticed.
    fn leave_behind(&mut self) -> Option<OwnedFd> {
        self.signals = None;
        self.children.clear();
        self.pidfile = None;
        self.notify = Notify::default();
        self.desk = Desk::default();
        self.successor = None;
        self.predecessor = None;
        self.checker = None;
        self.old = None;
        self.lifeline.take().map(|lifeline| lifeline.reading)
    }
}
