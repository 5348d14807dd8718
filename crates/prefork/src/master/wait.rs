//! Where the master waits: signals, workers' messages, and the clock.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};

use crate::app::App;
use crate::arbiter::{self, Event};
use crate::ids::{Moment, Slot};
use crate::sys;
use crate::worker::Message;

use super::successor::Successor;
use super::{Master, Predecessor};

/// The signals that mean something to the master.
const TAKEN: [Signal; 10] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCHLD,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// Blocks the master's signals, and no others that a parent may have blocked: what comes from here on waits until
/// [`take_signals`] opens where it is read.
///
/// # Errors
/// What sigprocmask(2) and sigaction(2) say.
pub(crate) fn block_signals() -> Result<(), Errno> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals()), None)?;
    TAKEN.into_iter().try_for_each(sys::signals::restore)
}

/// Opens a descriptor to read the master's signals from (signalfd(2)): no handler runs, so nothing is ever interrupted in the
/// middle.
pub(super) fn take_signals() -> Result<SignalFd, Errno> {
    SignalFd::with_flags(&signals(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

fn signals() -> SigSet {
    TAKEN.into_iter().collect()
}

/// Blocks the signals that would end or stop a process which does not know them, and mean neither to the master: they wait
/// until it reads them. Those that are meant to end it may do so.
pub(crate) fn hold_signals() {
    let held = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTTIN, Signal::SIGTTOU];
    let held: SigSet = held.into_iter().collect();
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&held), None); // it fails for no such set (sigprocmask(2))
}

impl<A: App> Master<A> {
    /// Waits for something to happen.
    pub(super) fn next_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.hand_over_when_idle();
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.sleep();
            self.hear_workers();
            self.hear_the_desk();
            self.hear_successor();
            self.look_for_the_predecessor();
            self.hear_signals();
            self.look_at_the_clock();
        }
    }

    /// Sleeps until a descriptor has something, or the next decision is due.
    fn sleep(&self) {
        let desk = self.desk.control.as_ref();
        let deadline = desk.and_then(|control| control.next_deadline());
        let wakes = [self.arbiter.wake_at(), self.notify.due(), self.runner.due(), deadline];
        let due = wakes.into_iter().flatten().fold(self.next_tick, Moment::min);
        let span = due.since(sys::now());
        // poll(2) counts milliseconds; rounded up, lest it return just before the time and spin.
        let wait = if span.is_zero() { span } else { span + Duration::from_millis(1) };
        let signals = self.signals.iter().map(AsFd::as_fd);
        let pipes = self.children.values().filter_map(|child| child.pipe.as_ref());
        let successor = self.successor.as_ref().and_then(Successor::source);
        let predecessor = self.predecessor.as_ref().and_then(Predecessor::pidfd);
        let others = pipes.chain(predecessor).map(AsFd::as_fd).chain(successor.map(AsFd::as_fd));
        let mut sources: Vec<_> =
            signals.chain(others).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let operators = desk.into_iter().flat_map(|control| control.sources());
        sources.extend(operators.map(|(fd, events)| PollFd::new(fd, events)));
        // A signal that is not ours cannot interrupt it to any harm: what is there is looked at, then it sleeps again.
        let _ = poll(&mut sources, wait.try_into().unwrap_or(PollTimeout::MAX));
    }

    /// Reads what workers have said.
    pub(super) fn hear_workers(&mut self) {
        let slots: Vec<Slot> = self.children.keys().copied().collect();
        for slot in slots {
            self.hear_worker(slot);
        }
    }

    /// Reads some of what one worker has said, and says whether there was something. However much it says, it is heard once of
    /// each sort, and the others are heard too.
    pub(super) fn hear_worker(&mut self, slot: Slot) -> bool {
        let Some(child) = self.children.get_mut(&slot) else { return false };
        let Some(pipe) = &child.pipe else { return false };
        let mut bytes = [0; 64];
        let count = match rustix::io::read(pipe, &mut bytes[..]) {
            Ok(0) => {
                child.pipe = None; // it would be readable for ever
                return false;
            }
            Ok(count) => count,
            Err(_) => return false,
        };
        for message in bytes.iter().take(count).filter_map(|byte| Message::from_byte(*byte)) {
            match message {
                Message::Ready if !std::mem::replace(&mut child.said.ready, true) => {
                    self.events.push_back(Event::Ready(slot));
                }
                Message::Retire(wish)
                    if child.said.ready && !std::mem::replace(&mut child.said.wish, true) =>
                {
                    self.events.push_back(Event::RetireWanted(slot, wish));
                }
                Message::Ready | Message::Retire(_) => {}
            }
        }
        true
    }

    fn hear_signals(&mut self) {
        while let Some(info) = self.signals.as_ref().and_then(|signals| signals.read_signal().ok().flatten())
        {
            let Ok(signal) = Signal::try_from(info.ssi_signo.cast_signed()) else { continue };
            if signal == Signal::SIGCHLD {
                self.reap();
            } else {
                self.hear_signal(signal, &info);
            }
        }
    }

    fn hear_signal(&mut self, signal: Signal, info: &siginfo) {
        let (pid, uid) = (info.ssi_pid, info.ssi_uid);
        let meaning = match signal {
            Signal::SIGTERM => arbiter::Signal::Term,
            Signal::SIGINT => arbiter::Signal::Int,
            Signal::SIGQUIT => arbiter::Signal::Quit,
            Signal::SIGHUP => arbiter::Signal::Hup,
            Signal::SIGTTIN => arbiter::Signal::Ttin,
            Signal::SIGTTOU => arbiter::Signal::Ttou,
            Signal::SIGUSR2 => arbiter::Signal::Usr2,
            Signal::SIGWINCH if self.arbiter.is_one_of_two() || !has_terminal() => arbiter::Signal::Winch,
            Signal::SIGWINCH => return, // a terminal sends it whenever its window changes
            Signal::SIGUSR1 => {
                self.reopen_logs();
                return tracing::info!("{signal} from pid {pid} (uid {uid}): log files are opened anew");
            }
            other => {
                return tracing::warn!("{other} from pid {pid} (uid {uid}): this version does nothing on it");
            }
        };
        if !self.arbiter.heeds(meaning) {
            return tracing::info!("{signal} from pid {pid} (uid {uid}): the server is stopping already");
        }
        tracing::info!("{signal} from pid {pid} (uid {uid})");
        self.events.push_back(Event::Signal(meaning));
    }

    /// Reads the scoreboard when heartbeats are due, and says that time has passed.
    fn look_at_the_clock(&mut self) {
        let now = sys::now();
        self.notify.keep(now);
        self.expire_hooks(now);
        if now >= self.next_tick {
            self.next_tick = now + self.arbiter.tick();
            self.oom_kills.look(now);
            for slot in
                self.children.iter().filter(|(_, child)| child.board.is_readable()).map(|(slot, _)| slot)
            {
                let cell = self.board.cell(*slot);
                self.events.push_back(Event::Beat { slot: *slot, beat: cell.beat(), turn: cell.turn() });
            }
            self.events.push_back(Event::Tick);
            self.tell_status();
            self.look_at_the_files();
        } else if self.arbiter.wake_at().is_some_and(|wake| now >= wake) {
            self.events.push_back(Event::Tick);
        }
    }
}

/// Whether this process has a controlling terminal (tty(4): opening /dev/tty fails without one).
fn has_terminal() -> bool {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open("/dev/tty", flags, Mode::empty()).is_ok()
}
