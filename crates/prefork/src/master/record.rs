//! What the master remembers of its own history, for whoever asks how it is.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::arbiter::{Failure, Report, UpgradeFailure};
use crate::ids::{Generation, Moment};

use super::report::{Ended, failed, upgrade_failed};

/// How the last reload went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LastReload {
    pub(super) generation: Generation,
    /// `None` if it went well.
    pub(super) failure: Option<String>,
    /// Whether its settings were refused, so that nothing was begun.
    pub(super) refused: bool,
    pub(super) at: SystemTime,
    pub(super) took: Duration,
}

/// How the last upgrade went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LastUpgrade {
    /// `None` if it went well.
    pub(super) failure: Option<String>,
    pub(super) at: SystemTime,
}

/// The history.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) serves: bool,
    pub(super) stopping: bool,
    /// Why nobody can be booted.
    pub(super) crash_loop: Option<String>,
    pub(super) last_reload: Option<LastReload>,
    /// `None` while one runs: who waits for its end must not take an older one's for it.
    pub(super) last_upgrade: Option<LastUpgrade>,
    /// When the reload that runs began.
    begun: Option<Moment>,
    /// What was wrong with the settings that were read last.
    problems: String,
}

impl Record {
    /// What is wrong with settings, one problem a line.
    pub(super) fn note_problems(&mut self, problems: &str) {
        self.problems = problems.lines().collect::<Vec<_>>().join("; ");
    }

    pub(super) fn hear(&mut self, report: &Report, now: Moment) {
        match report {
            Report::Started => self.serves = true,
            Report::ReloadStarted(_) => self.begun = Some(now),
            Report::ReloadFailed(generation, failure) => {
                let why = self.why(*failure);
                self.reloaded(*generation, Some(why), now);
                if let Some(last) = &mut self.last_reload {
                    last.refused = *failure == Failure::Settings;
                }
            }
            Report::ReloadOvertaken(generation) => {
                self.reloaded(*generation, Some("its workers fail to boot; the next one began".into()), now);
            }
            Report::ReloadDone(generation) => self.reloaded(*generation, None, now),
            Report::CrashLoop { failures, .. } | Report::CrashLoopEnds { failures } => {
                self.crash_loop = Some(format!("crash loop: {failures} workers in a row failed to boot"));
            }
            Report::CrashLoopOver => self.crash_loop = None,
            Report::UpgradeStarted(_) => self.last_upgrade = None,
            Report::Upgraded(_) => self.upgraded(None),
            Report::UpgradeFailed(UpgradeFailure::Trial(failure)) => {
                let why = self.why(*failure);
                self.upgraded(Some(format!("the new program could not serve: {why}")));
            }
            Report::UpgradeFailed(failure) => self.upgraded(Some(upgrade_failed(*failure))),
            Report::SuccessorEnded(status) => {
                self.upgraded(Some(format!("the new master has ended with {}", Ended(*status))));
            }
            Report::NoWayBack(_) => {
                let why = "the new program could not serve, and the one before it could not be executed";
                self.upgraded(Some(why.into()));
            }
            Report::Leaving(_) | Report::Stopping { .. } => self.stopping = true,
            _ => {}
        }
    }

    fn reloaded(&mut self, generation: Generation, failure: Option<String>, now: Moment) {
        let took = self.begun.take().map(|begun| now.since(begun)).unwrap_or_default();
        let at = SystemTime::now();
        self.last_reload = Some(LastReload { generation, failure, refused: false, at, took });
    }

    fn upgraded(&mut self, failure: Option<String>) {
        self.last_upgrade = Some(LastUpgrade { failure, at: SystemTime::now() });
    }

    fn why(&mut self, failure: Failure) -> String {
        match failure {
            Failure::Settings => std::mem::take(&mut self.problems),
            failure => failed(failure),
        }
    }
}
