//! The worker's second thread: it hears signals and the master's death also while the loop is stuck.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use socket2::Socket;
use tokio::sync::mpsc::UnboundedSender;

use crate::arbiter::Wish;
use crate::ids::{MemorySize, Moment, Slot};
use crate::listener::Listener;
use crate::scoreboard::{LastWords, Scoreboard};
use crate::sys::{self, fork::exit_now};

use super::accept::{Fresh, Left, empty, last_call};
use super::held::HeldSockets;
use super::life::{LifeControl, Phase};
use super::pipe::{MasterPipe, Message};
use super::{Reopen, WorkerHooks, stuck};

/// Exit status of a worker that was stuck: 128 + SIGABRT, as a shell would say it.
pub(crate) const EXIT_ABORTED: i32 = 134;
/// How long the loop has to answer after an abort before it counts as stuck.
const ANSWER: Duration = Duration::from_millis(200);
/// How long an aborted worker serves what waits behind the stuck request, if its loop runs. The master kills two seconds
/// after an abort.
const ABORT_DRAIN: Duration = Duration::from_secs(1);
/// How long the answers to what was cut have to get out. The master kills a second after the end of a drain.
const LAST_WRITES: Duration = Duration::from_millis(300);
/// How long the loop has to empty the accept queue at a stop, after its last call, before this thread does it. A second after
/// the stop began, nobody new may be left hanging.
const DOOR: Duration = Duration::from_millis(300);
/// The stack of this thread, which formats a line or two, and at the end reads debug information.
const STACK: usize = 1024 * 1024;

/// What the thread has to know.
pub(super) struct Watch {
    pub(super) slot: Slot,
    pub(super) board: Scoreboard,
    pub(super) lifeline: OwnedFd,
    pub(super) control: LifeControl,
    pub(super) pipe: Arc<MasterPipe>,
    pub(super) sockets: Arc<HeldSockets>,
    pub(super) listeners: Vec<Weak<Listener>>,
    pub(super) leftovers: UnboundedSender<Fresh>,
    pub(super) grace: Duration,
    /// Whether the worker has said that it can serve. Before that, there is nothing to drain.
    pub(super) ready: Arc<AtomicBool>,
    pub(super) hooks: WorkerHooks,
    /// What opens log files anew.
    pub(super) reopen: Option<Reopen>,
}

/// The signals that this thread hears; all others are ignored or keep their meaning.
pub(super) fn heard() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGABRT, Signal::SIGUSR1].into_iter().collect()
}

/// What the thread has in hand: limits that run, and connections.
#[derive(Default)]
struct InHand {
    /// When the accept queue is emptied by this thread, if the loop has not done it.
    door: Option<Moment>,
    /// When the drain is over: what still runs is told so.
    drain: Option<Moment>,
    /// When the process ends, come what may.
    leave: Option<Moment>,
    /// What this thread took from the accept queue in the loop's stead.
    taken: Vec<Socket>,
}

impl Watch {
    /// Starts the thread. The signals that it hears have to be blocked already.
    pub(super) fn start(self) -> std::io::Result<()> {
        sys::stack::prepare()?;
        let signals = SignalFd::with_flags(&heard(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        thread::Builder::new().name("watch".into()).stack_size(STACK).spawn(move || self.run(&signals))?;
        Ok(())
    }

    fn run(self, signals: &SignalFd) {
        let mut in_hand = InHand::default();
        let mut orphan = false;
        loop {
            let now = sys::now();
            self.keep(&mut in_hand, now);
            let next = [in_hand.door, in_hand.drain, in_hand.leave].into_iter().flatten().min();
            let wait = next.map(|at| at.since(now) + Duration::from_millis(1));
            let wait = wait.map_or(PollTimeout::NONE, |wait| wait.try_into().unwrap_or(PollTimeout::MAX));
            let mut sources = [
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(
                    self.lifeline.as_fd(),
                    if orphan { PollFlags::empty() } else { PollFlags::POLLIN },
                ),
            ];
            let sources = if orphan { &mut sources[..1] } else { &mut sources[..] };
            let _ = poll(sources, wait); // EINTR and the like: look again
            if sources.get(1).is_some_and(|lifeline| lifeline.any() == Some(true)) {
                orphan = true;
                tracing::warn!(slot = %self.slot, "the master is gone; this worker finishes what it has and leaves");
                self.drain(Left::all(&self.listeners), None, &mut in_hand);
            }
            while let Ok(Some(info)) = signals.read_signal() {
                self.hear(&info, orphan, &mut in_hand);
            }
        }
    }

    fn hear(&self, info: &siginfo, orphan: bool, in_hand: &mut InHand) {
        match Signal::try_from(info.ssi_signo as i32) {
            Ok(Signal::SIGTERM) if orphan => self.drain(Left::all(&self.listeners), None, in_hand),
            Ok(Signal::SIGTERM) if let Some(until) = self.board.orders().drain_until(self.slot) => {
                self.drain(self.left(), Some(until), in_hand);
            }
            // Not the master's: it replaces a worker before it lets go of it.
            Ok(Signal::SIGTERM) => self.pipe.send(Message::Retire(Wish::ForeignTerm)),
            Ok(Signal::SIGINT | Signal::SIGQUIT) => {
                self.hooks.call(|hooks, worker| hooks.worker_int(worker));
                exit_now(0);
            }
            Ok(Signal::SIGABRT) if self.cut(Phase::Aborting, in_hand) => {
                in_hand.drain = Some(sys::now() + ABORT_DRAIN);
            }
            Ok(Signal::SIGUSR1) => {
                if let Some(reopen) = &self.reopen {
                    reopen();
                }
            }
            _ => {}
        }
    }

    /// Which listeners the master leaves to this worker.
    fn left(&self) -> Left {
        Left(self.board.orders().left(self.slot))
    }

    /// Drains until then, or for the grace of the settings. A second order can only make it shorter.
    fn drain(&self, left: Left, until: Option<Moment>, in_hand: &mut InHand) {
        if !self.ready.load(Ordering::Acquire) {
            exit_now(0);
        }
        let now = sys::now();
        let mut door = None;
        for listener in left.of(&self.listeners) {
            door = door.max(Some(now + last_call(&listener) + DOOR));
            if let Err(error) = listener.stop_deferring() {
                tracing::debug!(%error, "a listener goes on deferring connections");
            }
        }
        let begins = self.control.drain(left);
        let end = until.unwrap_or(now + self.grace);
        if begins {
            in_hand.drain.get_or_insert(end);
        } else if let Some(drain) = &mut in_hand.drain {
            *drain = end.min(*drain);
        }
        in_hand.door = in_hand.door.or(door);
    }

    /// Moves on to `phase`, in which what holds the turn is answered 504 by the loop. If that is stuck, this thread answers,
    /// and ends the process. Says whether that was a step: a second abort is none, and the loop has answered to the first.
    fn cut(&self, phase: Phase, in_hand: &InHand) -> bool {
        self.control.loop_answers.store(false, Ordering::Release);
        if !self.control.advance(phase) {
            return false;
        }
        for _ in 0..4 {
            thread::sleep(ANSWER / 4);
            if self.control.loop_answers.load(Ordering::Acquire) {
                return true;
            }
        }
        stuck::end_in_any_case();
        let unread = self.sockets.answer_all(&in_hand.taken);
        let words = LastWords::read(self.board.cell(self.slot), sys::now());
        let peak_rss = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss());
        let peak_rss = MemorySize::from_kibibytes(peak_rss);
        tracing::error!(slot = %self.slot, unread, "aborted while stuck: {words}; peak RSS {peak_rss}");
        match stuck::backtrace() {
            Some(functions) => tracing::error!(slot = %self.slot, "it was stuck in {functions}"),
            None => {
                tracing::error!(slot = %self.slot, "where it was stuck cannot be told: no signal wakes it")
            }
        }
        exit_now(EXIT_ABORTED);
    }

    fn keep(&self, in_hand: &mut InHand, now: Moment) {
        if in_hand.door.take_if(|at| now >= *at).is_some() {
            in_hand.taken = self.close_doors();
        }
        if in_hand.drain.take_if(|at| now >= *at).is_some() {
            if in_hand.door.take().is_some() {
                in_hand.taken = self.close_doors(); // the grace is shorter than the door is open
            }
            self.cut(Phase::Cut, in_hand);
            in_hand.leave = Some(sys::now() + LAST_WRITES);
        }
        if in_hand.leave.is_some_and(|at| now >= at) {
            exit_now(0);
        }
    }

    /// The loop has had its time; if it is stuck, nobody would ever refuse a new connection. What is queued waits for
    /// the loop, which serves it should it come back.
    fn close_doors(&self) -> Vec<Socket> {
        let mut taken = Vec::new();
        for listener in self.left().of(&self.listeners) {
            for fresh in empty(&listener) {
                taken.extend(fresh.0.try_clone());
                let _ = self.leftovers.send(fresh);
            }
            let _ = rustix::net::shutdown(&*listener, rustix::net::Shutdown::Both);
        }
        taken
    }
}
