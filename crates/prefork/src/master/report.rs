//! What the operator reads. The arbiter says what is worth a line; the words are here.

use std::{fmt, io};

use nix::libc::{EMFILE, ENFILE};
use nix::sys::signal::Signal;

use crate::app::App;
use crate::arbiter::{
    Cause, Death, ExitStatus, Failure, HURRIED, Report, Retirement, UpgradeFailure, UpgradeRefusal, Wish,
};
use crate::hooks::HookedWorker;
use crate::ids::Moment;
use crate::scoreboard::{LastWords, Span};
use crate::sys;
use crate::worker::EXIT_ABORTED;

use super::deaths::{CauseOfDeath, End};
use super::hooks::{Hook, Subject};
use super::record::LastReload;
use super::{Master, guarded};

impl<A: App> Master<A> {
    /// Everyone who is to hear of it: the record, the log, the service manager, the hooks.
    pub(super) fn report(&mut self, report: Report) {
        let now = sys::now();
        self.record.hear(&report, now);
        self.log(&report);
        self.tell_the_manager(&report, now);
        self.run_hooks_of(&report);
        self.serve_the_desk(&report, now);
        if let Report::Dead(Death { slot, .. }) = report {
            self.ends.remove(&slot);
        }
    }

    fn tell_the_manager(&mut self, report: &Report, now: Moment) {
        match report {
            Report::Started => {
                self.notify.ready();
                if let Some(predecessor) = &mut self.predecessor {
                    predecessor.tell();
                }
            }
            Report::ReloadStarted(_) => self.notify.reloading(now),
            Report::ReloadFailed(..) | Report::ReloadDone(_) | Report::ReloadOvertaken(_) => {
                self.notify.reloaded();
            }
            // The service goes on in another process.
            Report::Leaving(_) | Report::Stopping { .. }
                if let Some(successor) = self.successor.as_ref().filter(|successor| successor.serves) =>
            {
                self.notify.main_pid(successor.pid);
            }
            Report::Leaving(_) | Report::Stopping { .. } => self.notify.stopping(),
            _ => {}
        }
        self.tell_status();
    }

    /// The line about the pool that service managers show.
    pub(super) fn tell_status(&mut self) {
        if self.notify.is_heard() {
            let status = self.status_line();
            self.notify.status(&status);
        }
    }

    fn status_line(&self) -> String {
        let figures = self.arbiter.figures();
        let mut line = format!(
            "{} of {} workers ready, {} booting, {} draining; generation {}",
            figures.ready, figures.wanted, figures.booting, figures.draining, self.generation
        );
        if self.record.stopping {
            line.push_str("; stopping");
        }
        if let Some(why) = &self.record.crash_loop {
            line.push_str("; ");
            line.push_str(why);
        }
        if let Some(LastReload { generation, failure: Some(why), .. }) = &self.record.last_reload {
            line.push_str(&format!("; the last reload, to generation {generation}, was refused: {why}"));
        }
        line
    }

    fn run_hooks_of(&mut self, report: &Report) {
        match *report {
            Report::Ready(slot, generation, _) => {
                let pid = self.children.get(&slot).map_or(0, |child| child.pid.0);
                self.worker_hook(Hook::PostWorkerInit, HookedWorker { slot, generation, pid }, Vec::new());
            }
            Report::ReloadStarted(generation) => {
                self.call(|hooks| hooks.on_reload());
                self.hook(Hook::OnReload, Subject::Server, vec![("GENERATION", generation.to_string())]);
            }
            Report::Scaled { from, to } => {
                self.call(|hooks| hooks.nworkers_changed(to, from));
                let variables = vec![("WORKERS", to.to_string()), ("WORKERS_BEFORE", from.to_string())];
                self.hook(Hook::NworkersChanged, Subject::Server, variables);
            }
            Report::Dead(Death { slot, generation, status, .. }) => {
                let worker =
                    HookedWorker { slot, generation, pid: self.ends.get(&slot).map_or(0, |end| end.pid.0) };
                self.call(|hooks| hooks.child_exit(worker));
                let exit = || vec![("EXIT", Ended(status).to_string())];
                self.worker_hook(Hook::ChildExit, worker, exit());
                self.worker_hook(Hook::WorkerExit, worker, exit());
            }
            _ => {}
        }
    }

    fn log(&mut self, report: &Report) {
        match *report {
            Report::Started => {
                let addresses = self.addresses();
                if let Some(when_serving) = &mut self.when_serving {
                    guarded("as it was told that the server serves", || when_serving(&addresses));
                }
            }
            Report::Ready(slot, generation, took) => {
                tracing::info!("worker {slot} ready after {}, generation {generation}", Span(took));
            }
            Report::Retiring(slot, generation, why) => {
                tracing::info!("worker {slot} of generation {generation} retires: {}", retirement(why));
            }
            Report::GivenUp(slot, cause) => {
                let words = LastWords::read(self.board.cell(slot), sys::now());
                tracing::error!("worker {slot} is given up: {}; {words}", given_up(cause));
            }
            Report::Dead(ref death) => self.report_death(death),
            Report::BootBackOff { failures, delay } => {
                tracing::error!(
                    "{failures} workers in a row failed to boot; the next try comes in {}",
                    Span(delay)
                );
            }
            Report::CrashLoop { failures, delay } => tracing::error!(
                "crash loop: nobody serves, and {failures} workers in a row failed to boot; the next try comes in {}; \
                 a reload is tried at once",
                Span(delay)
            ),
            Report::CrashLoopEnds { failures } => tracing::error!(
                "crash loop: nobody serves, and {failures} workers in a row failed to boot; the master ends (on_crash_loop)"
            ),
            Report::CrashLoopOver => tracing::info!("crash loop: over, a worker serves"),
            Report::StartFailed(failure) => {
                tracing::error!("the start failed: {}", failed(failure));
            }
            Report::ForkFailed(errno, delay) => {
                let error = io::Error::from_raw_os_error(errno);
                let hint = match errno {
                    EMFILE | ENFILE => "see RLIMIT_NOFILE (ulimit -n), and fs.file-max",
                    _ => "see RLIMIT_NPROC (ulimit -u), the cgroup's pids.max, and free memory",
                };
                tracing::error!(
                    "a worker could not be forked: {error}; {hint}; the next try comes in {}",
                    Span(delay)
                );
            }
            Report::ReloadStarted(generation) => tracing::info!("reload: generation {generation} begins"),
            Report::ReloadWaits => tracing::info!("reload: one is running; another follows it"),
            Report::ReloadFailed(generation, failure) => {
                let why = failed(failure);
                tracing::error!(
                    "reload: generation {generation} is refused: {why}; the running one stays as it was"
                );
            }
            Report::ReloadOvertaken(generation) => {
                tracing::warn!("reload: generation {generation} fails to boot in part; the next one begins");
            }
            Report::ReloadDone(generation) => {
                tracing::info!("reload: generation {generation} has taken over")
            }
            Report::ServesAlone(generation) => {
                tracing::info!(
                    "reload: generation {generation} serves alone, the last older worker has gone"
                );
            }
            Report::Scaled { from, to } => tracing::info!("workers wanted: {to}, until now {from}"),
            Report::Halted => {
                tracing::info!("halted: all workers retire; a reload (SIGHUP) brings them back")
            }
            Report::Resumed => tracing::info!("no longer halted: the workers come back"),
            Report::Hurried(slot, generation) => tracing::warn!(
                "worker {slot} of generation {generation} has drained for longest, and max_draining others wait: \
                 it gets {} more",
                Span(HURRIED)
            ),
            Report::UpgradeStarted(way) => tracing::info!("upgrade: begins (upgrade = \"{}\")", way.as_str()),
            Report::UpgradeRefused(UpgradeRefusal::Running) => {
                tracing::warn!("upgrade: refused, one is running already");
            }
            Report::UpgradeRefused(UpgradeRefusal::Starting) => {
                tracing::warn!("upgrade: refused, no worker serves yet");
            }
            Report::UpgradeRefused(UpgradeRefusal::Unfinished) => {
                tracing::warn!("upgrade: refused, the master before this one still runs; end it first");
            }
            Report::UpgradeFailed(failure) => {
                tracing::error!(
                    "upgrade: failed: {}; this master goes on as it was",
                    upgrade_failed(failure)
                );
            }
            Report::SuccessorServes => tracing::info!(
                "upgrade: the new master serves beside this one; SIGTERM this one to finish, or the new one to go back"
            ),
            Report::SuccessorEnded(status) => tracing::warn!(
                "upgrade: the new master has ended with {}; this one goes on alone",
                Ended(status)
            ),
            Report::Upgraded(generation) => {
                tracing::info!("upgrade: done, this program has taken over with generation {generation}");
            }
            Report::NoWayBack(errno) => tracing::error!(
                "upgrade: the program before this one cannot be executed: {}; this one goes on trying to boot workers",
                io::Error::from_raw_os_error(errno)
            ),
            Report::Slept(span) => {
                tracing::warn!("the master did not run for {}: nobody is blamed for that time", Span(span));
            }
            Report::Leaving(delay) => tracing::info!(
                "leaving: not ready any more; the stop begins in {}, or at a second SIGTERM",
                Span(delay)
            ),
            Report::Stopping { quick: false } => tracing::info!("stopping: workers finish what they have"),
            Report::Stopping { quick: true } => tracing::info!("stopping: workers leave at once"),
        }
    }

    /// The last words of a worker: how it ended, by whose doing, and what it held.
    fn report_death(&mut self, death: &Death) {
        let Death { slot, generation, status, age, .. } = *death;
        let End { killer, peak_rss, .. } = self.ends.get(&slot).copied().unwrap_or_default(); // noted when it was reaped
        let cause = CauseOfDeath::of(death, killer);
        self.deaths.note(cause);
        let mut line = format!(
            "worker {slot} of generation {generation} ended by {} after {}, {}",
            Ended(status),
            Span(age),
            why_it_ended(death, cause)
        );
        // One that was stuck has said so itself, before it named the functions that it was stuck in, which took more.
        if status != ExitStatus::Code(EXIT_ABORTED) {
            line = format!("{line}; peak RSS {peak_rss}");
        }
        let words = LastWords::read(self.board.cell(slot), sys::now());
        let name = cause.as_str();
        match cause.was_asked_for() {
            true if !words.held_requests() => tracing::info!(cause = name, "{line}"),
            true => tracing::warn!(cause = name, "{line}; {words}"),
            false => tracing::error!(cause = name, "{line}; {words}"),
        }
    }
}

/// What a worker was about, and who ended it, if it did not do as it was told.
fn why_it_ended(death: &Death, cause: CauseOfDeath) -> String {
    let state = match death.cause {
        Cause::Own if death.booting => "while booting".into(),
        Cause::Own => "in service".into(),
        Cause::Retired(why) => format!("retired: {}", retirement(why)),
        Cause::Stopped => "told to stop".into(),
        given_up_for => given_up(given_up_for),
    };
    match cause {
        CauseOfDeath::OutOfMemory => {
            format!("{state}, killed by the kernel, as its cgroup was out of memory")
        }
        CauseOfDeath::ForeignSignal => format!("{state}, by a signal that the master did not send"),
        CauseOfDeath::Exit | CauseOfDeath::OwnSignal => format!("{state}, by its own doing"),
        CauseOfDeath::GraceOver if death.cause != Cause::GraceOver => {
            format!("{state}, and {}", given_up(Cause::GraceOver))
        }
        _ => state,
    }
}

fn retirement(why: Retirement) -> &'static str {
    match why {
        Retirement::Reload => "a newer generation has taken its place",
        Retirement::Wish(Wish::MaxRequests) => "it has served max_requests",
        Retirement::Wish(Wish::ForeignTerm) => "somebody sent it SIGTERM",
        Retirement::Wish(Wish::Restart) => "an operator asked for it",
        Retirement::Surplus => "there are more workers than wanted",
        Retirement::Halt => "no workers are wanted until the next reload",
    }
}

fn given_up(cause: Cause) -> String {
    match cause {
        Cause::Turn(age) => format!("a request held it for {}, longer than timeout", Span(age)),
        Cause::Silent(age) => format!("no heartbeat for {}, longer than timeout", Span(age)),
        Cause::Boot(age) => format!("not ready after {}, boot_timeout", Span(age)),
        Cause::GraceOver => "it did not leave within graceful_timeout".into(),
        Cause::Own => "by its own doing".into(),
        Cause::Retired(why) => retirement(why).into(),
        Cause::Stopped => "told to stop".into(),
    }
}

pub(super) fn failed(failure: Failure) -> String {
    match failure {
        Failure::Settings => "the settings have the problems named above".into(),
        Failure::Prepare(status) => format!("the application's preparation ended with {}", Ended(status)),
        Failure::PrepareTimeout(after) => {
            format!("the application's preparation took {}, boot_timeout", Span(after))
        }
        Failure::Build => "the application could not be built; its own words stand above".into(),
        Failure::Died(status) => {
            format!("a worker ended with {} before it had proved itself", Ended(status))
        }
        Failure::BootTimeout(after) => format!("a worker was not ready after {}, boot_timeout", Span(after)),
        Failure::Fork(errno) => {
            format!("a worker could not be forked: {}", io::Error::from_raw_os_error(errno))
        }
    }
}

pub(super) fn upgrade_failed(failure: UpgradeFailure) -> String {
    match failure {
        UpgradeFailure::Successor(status) => {
            format!("the new master ended with {} before it served", Ended(status))
        }
        UpgradeFailure::Fork(errno) => {
            format!("the new master could not be started: {}", io::Error::from_raw_os_error(errno))
        }
        UpgradeFailure::Check(status) => {
            format!("the new program's check of its configuration ended with {}", Ended(status))
        }
        UpgradeFailure::NotUnderstood => {
            "the new program ended its check well, and has not read what it was to take over: is it the same server?".into()
        }
        UpgradeFailure::CheckTimeout(after) => {
            format!("the new program's check of its configuration took {}, boot_timeout", Span(after))
        }
        UpgradeFailure::Exec(errno) => {
            format!("the new program cannot be executed: {}", io::Error::from_raw_os_error(errno))
        }
        UpgradeFailure::Trial(failure) => format!("the new program could not serve: {}", failed(failure)),
    }
}

/// How a process ended.
pub(super) struct Ended(pub(super) ExitStatus);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ExitStatus::Code(code) => write!(f, "exit status {code}"),
            ExitStatus::Signal(number) => match Signal::try_from(number) {
                Ok(named) => write!(f, "{named} (signal {number})"),
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}
