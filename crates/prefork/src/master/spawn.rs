//! Forks, and signals to what was forked.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::{fmt, io};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::app::App;
use crate::arbiter::{EXIT_BOOT, Event, ExitStatus, Order};
use crate::hooks::HookedWorker;
use crate::ids::{Generation, Pid, Slot};
use crate::sys::fork::fork;
use crate::sys::{thread_count, title};
use crate::worker::{self, Job};

use super::doors::Door;
use super::hooks::Hook;
use super::{Child, Master, Said, guarded};

/// Exit code of the master: the application's preparation refuses.
const EXIT_REFUSED: i32 = 1;

/// A pipe that neither blocks nor survives an exec.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

impl<A: App> Master<A> {
    /// Forks a worker.
    pub(super) fn spawn(&mut self, slot: Slot, generation: Generation) {
        let hooked = |pid| HookedWorker { slot, generation, pid };
        self.call(|hooks| hooks.pre_fork(hooked(0)));
        self.worker_hook(Hook::PreFork, hooked(0), Vec::new());
        let forked = self.fork_worker(slot, generation);
        match forked {
            Ok(child) => {
                tracing::info!("worker {slot} booting, pid {}, generation {generation}", child.pid);
                let pid = child.pid.0;
                self.children.insert(slot, child);
                self.slots_used = self.slots_used.max(slot.0 + 1);
                self.worker_hook(Hook::PostFork, hooked(pid), Vec::new());
            }
            Err(errno) => self.events.push_back(Event::SpawnFailed { slot, errno }),
        }
    }

    fn fork_worker(&mut self, slot: Slot, generation: Generation) -> Result<Child, i32> {
        let errno = |error: io::Error| error.raw_os_error().unwrap_or_default();
        self.board.vacate(slot);
        let (reading, writing) = pipe().map_err(errno)?;
        let mut reading = Some(reading);
        let wanted = self.setups.get(&generation).map(|setup| setup.listeners.clone()).unwrap_or_default();
        let listeners = wanted.iter().filter_map(|id| self.listeners.iter().find(|there| there.id() == *id));
        let doors = listeners.map(Door::of).collect();
        let pid = self.fork(|this| {
            reading = None; // the master's end
            let (Some(setup), Some(lifeline)) = (this.setups.remove(&generation), this.leave_behind()) else {
                return EXIT_BOOT;
            };
            if let Err(error) = setup.adopt() {
                tracing::error!("{error}");
                return EXIT_BOOT;
            }
            let mut listeners = std::mem::take(&mut this.listeners);
            listeners.retain(|listener| wanted.contains(&listener.id()));
            listeners.sort_by_key(|listener| wanted.iter().position(|id| *id == listener.id()));
            worker::run(Job {
                slot,
                generation,
                app: setup.app,
                settings: setup.settings,
                board: this.board,
                hooks: this.hooks.take(),
                listeners,
                lifeline,
                pipe: writing,
                access_log: this.logs.access.as_ref().and_then(|open| open()),
                reopen: this.logs.reopen.take(),
            })
        })?;
        let base = self.board.cell(slot).counts();
        Ok(Child {
            pid,
            pidfd: open_pidfd(pid),
            pipe: reading,
            doors,
            base,
            killed: false,
            said: Said::default(),
            board: Rc::clone(&self.shared_board),
        })
    }

    /// Forks the helper that runs the application's preparation.
    pub(super) fn prepare(&mut self, generation: Generation) {
        let master = self.pid;
        let forked = self.fork(|this| {
            let Some(setup) = this.setups.remove(&generation) else { return EXIT_BOOT };
            this.leave_behind();
            this.listeners.clear();
            if let Err(error) = setup.adopt() {
                eprintln!("{error}");
                return EXIT_REFUSED;
            }
            title::show(&setup.settings.identity.proc_name, "prepare");
            // At the start, standard error is where the problems of a configuration stand, too.
            let is_reload = generation != Generation::FIRST;
            if is_reload {
                worker::log_panics();
            }
            let refuse = |why: &dyn fmt::Display| {
                if is_reload {
                    tracing::error!("{why}");
                } else {
                    eprintln!("{why}");
                }
                EXIT_REFUSED
            };
            if let Err(failed) = worker::enter_as_helper(&setup.settings.identity, master) {
                return refuse(&failed);
            }
            match catch_unwind(AssertUnwindSafe(|| setup.app.prepare())) {
                Ok(Ok(())) => {
                    worker::try_buffer(&setup.settings.bodies.request_buffer_dir);
                    0
                }
                Ok(Err(error)) => refuse(&error),
                Err(_panicked) => EXIT_REFUSED, // its message is out
            }
        });
        match forked {
            Ok(pid) => self.helper = Some(pid),
            Err(errno) => {
                tracing::error!(
                    "the preparation could not be forked: {}",
                    io::Error::from_raw_os_error(errno)
                );
                self.events.push_back(Event::HelperExited(ExitStatus::Code(EXIT_BOOT)));
            }
        }
    }

    /// Forks; the child gets the master as it was, and nothing that it does to it is seen here.
    pub(super) fn fork(&mut self, child: impl FnOnce(&mut Self) -> i32) -> Result<Pid, i32> {
        if let Some(count @ 2..) = thread_count() {
            // Better a fork that may hang than a pool that is never whole again; but whoever made the thread must know.
            tracing::error!(
                "the master has {count} threads; a lock that one of them holds would hang its children"
            );
        }
        fork(|| child(self)).map_err(|errno| errno as i32)
    }

    pub(super) fn kill_helper(&self) {
        if let Some(pid) = self.helper {
            kill(pid, Signal::KILL);
        }
    }

    /// Signals a worker.
    pub(super) fn signal(&mut self, slot: Slot, order: Order) {
        if let (Order::Drain { until }, Some(child)) = (order, self.children.get(&slot)) {
            child.board.orders.order_drain(slot, until, self.left_to(child));
        }
        let Some(child) = self.children.get_mut(&slot) else { return };
        let signal = match order {
            Order::Drain { .. } => Signal::TERM,
            Order::Quit => Signal::QUIT,
            Order::Abort => Signal::ABORT,
            Order::Kill => Signal::KILL,
        };
        child.killed |= order == Order::Kill;
        child.signal(signal);
        let hook = match order {
            Order::Quit => Hook::WorkerInt,
            Order::Abort => Hook::WorkerAbort,
            Order::Drain { .. } | Order::Kill => return,
        };
        let (pid, generation) = (child.pid.0, self.board.cell(slot).generation());
        self.worker_hook(hook, HookedWorker { slot, generation, pid }, Vec::new());
    }

    /// Opens the log files anew, here and then in each worker. One that boots keeps the signal pending until its watch thread
    /// reads it.
    pub(super) fn reopen_logs(&self) {
        if let Some(reopen) = &self.logs.reopen {
            guarded("as it opened its logs anew", || reopen());
            for child in self.children.values() {
                child.signal(Signal::USR1);
            }
        }
    }
}

impl Child {
    fn signal(&self, signal: Signal) {
        let sent = self.pidfd.as_ref().map(|pidfd| pidfd_send_signal(pidfd, signal));
        if !matches!(sent, Some(Ok(()) | Err(Errno::SRCH))) {
            // Without pidfds (ENOSYS, EPERM in some sandboxes) the pid serves: it cannot be anybody else's before we
            // reap it.
            kill(self.pid, signal);
        }
    }
}

/// Signals a child that was not reaped yet; one that has ended takes it without a word.
pub(super) fn kill(pid: Pid, signal: Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid.0) {
        let _ = kill_process(pid, signal);
    }
}

pub(super) fn open_pidfd(pid: Pid) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid.0)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}
