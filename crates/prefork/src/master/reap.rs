//! Children that have ended.

use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use crate::app::App;
use crate::arbiter::{Event, ExitStatus};
use crate::ids;

use super::Master;

impl<A: App> Master<A> {
    /// Takes leave of every child that has ended; one SIGCHLD may stand for many (signal(7)).
    pub(super) fn reap(&mut self) {
        // ECHILD: there is none.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(status) = end(status) {
                self.ended(pid, status);
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: ExitStatus) {
        let pid = ids::Pid(pid.as_raw_pid());
        if self.successor_ended(pid, status) || self.hook_ended(pid, status) {
            return;
        }
        if self.helper == Some(pid) {
            self.helper = None;
            self.events.push_back(Event::HelperExited(status));
            return;
        }
        let slot = self.children.iter().find(|(_, child)| child.pid == pid).map(|(slot, _)| *slot);
        let Some(slot) = slot else {
            return tracing::debug!("reaped pid {pid}, which was not a worker: {status:?}");
        };
        self.hear_worker(slot);
        self.children.remove(&slot);
        self.events.push_back(Event::Exited { slot, status });
    }
}

/// How a child ended, if that is what is told of it. Any number is taken: real-time signals end processes too.
fn end(status: WaitStatus) -> Option<ExitStatus> {
    status.exit_status().map(ExitStatus::Code).or(status.terminating_signal().map(ExitStatus::Signal))
}
