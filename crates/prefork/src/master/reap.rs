//! Children that have ended.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd;

use crate::app::App;
use crate::arbiter::{Event, ExitStatus};
use crate::ids::Pid;

use super::Master;

impl<A: App> Master<A> {
    /// Takes leave of every child that has ended; one SIGCHLD may stand for many (signal(7)).
    pub(super) fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid, ExitStatus::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.ended(pid, ExitStatus::Signal(signal as i32))
                }
                Ok(WaitStatus::StillAlive) | Err(_) => return, // ECHILD: there is none
                Ok(_) => {}
            }
        }
    }

    fn ended(&mut self, pid: unistd::Pid, status: ExitStatus) {
        let pid = Pid(pid.as_raw());
        if self.helper == Some(pid) {
            self.helper = None;
            self.events.push_back(Event::HelperExited(status));
            return;
        }
        let slot = self.children.iter().find(|(_, child)| child.pid == pid).map(|(slot, _)| *slot);
        let Some(slot) = slot else {
            return tracing::debug!("reaped pid {pid}, which was not a worker: {status}");
        };
        self.hear_worker(slot);
        self.children.remove(&slot);
        self.events.push_back(Event::Exited { slot, status });
    }
}
