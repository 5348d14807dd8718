//! What the operator reads. The arbiter says what is worth a line; the words are here.

use std::{fmt, io};

use nix::sys::signal::Signal;

use crate::app::App;
use crate::arbiter::{Cause, Death, ExitStatus, Failure, Report, Retirement, Wish};
use crate::scoreboard::{LastWords, Span};
use crate::sys;
use crate::worker::EXIT_ABORTED;

use super::Master;
use super::deaths::{CauseOfDeath, End};

impl<A: App> Master<A> {
    pub(super) fn report(&mut self, report: Report) {
        match report {
            Report::Started => {
                if let Some(when_serving) = &mut self.when_serving {
                    when_serving(&self.addresses);
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
            Report::Dead(death) => self.report_death(&death),
            Report::BootBackOff { failures, delay } => {
                tracing::error!(
                    "{failures} workers in a row failed to boot; the next try comes in {}",
                    Span(delay)
                );
            }
            Report::StartFailed(failure) => {
                tracing::error!("the start failed: {}", failed(failure));
            }
            Report::ForkFailed(errno, delay) => {
                let error = io::Error::from_raw_os_error(errno);
                let hint = "see RLIMIT_NPROC (ulimit -u), the cgroup's pids.max, and free memory";
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
            Report::Slept(span) => {
                tracing::warn!("the master did not run for {}: nobody is blamed for that time", Span(span));
            }
            Report::Stopping { quick: false } => tracing::info!("stopping: workers finish what they have"),
            Report::Stopping { quick: true } => tracing::info!("stopping: workers leave at once"),
        }
    }

    /// The last words of a worker: how it ended, by whose doing, and what it held.
    fn report_death(&mut self, death: &Death) {
        let Death { slot, generation, status, age, .. } = *death;
        let End { killer, peak_rss } = self.ends.remove(&slot).unwrap_or_default(); // noted when it was reaped
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
        Retirement::Surplus => "there are more workers than wanted",
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

fn failed(failure: Failure) -> String {
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

/// How a process ended.
struct Ended(ExitStatus);

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
