//! Children that have ended.

use std::os::unix::process::ExitStatusExt;
use std::process;

use nix::libc::SIGKILL;

use crate::app::App;
use crate::arbiter::{Event, ExitStatus};
use crate::sys;
use crate::sys::reap::Reaped;

use super::Master;
use super::deaths::{End, Killer};

impl<A: App> Master<A> {
    /// Takes leave of every child that has ended; one SIGCHLD may stand for many (signal(7)).
    pub(super) fn reap(&mut self) {
        while let Some(reaped) = sys::reap::reap() {
            if let Some(status) = end(reaped.status) {
                self.ended(&reaped, status);
            }
        }
    }

    fn ended(&mut self, reaped: &Reaped, status: ExitStatus) {
        let pid = reaped.pid;
        if self.successor_ended(pid, status)
            || self.checker_ended(pid, status)
            || self.hook_ended(pid, status)
        {
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
        // At the latest now: one that was ready and then died must not be taken for one that never was.
        while self.hear_worker(slot) {}
        let killed = self.children.remove(&slot).is_some_and(|child| child.killed);
        let killer = (status == ExitStatus::Signal(SIGKILL)).then(|| match killed {
            true => Killer::Master,
            false if self.oom_kills.claim(sys::now()) => Killer::OutOfMemory,
            false => Killer::Stranger,
        });
        self.ends.insert(slot, End { killer, pid, peak_rss: reaped.peak_rss });
        self.events.push_back(Event::Exited { slot, status });
    }
}

/// How a child ended, if that is what is told of it. Any number is taken: real-time signals end processes too.
fn end(status: process::ExitStatus) -> Option<ExitStatus> {
    status.code().map(ExitStatus::Code).or(status.signal().map(ExitStatus::Signal))
}
