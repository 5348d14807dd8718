//! How the server is, as an operator wants to know it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::app::App;
use crate::arbiter::Stage;
use crate::control::{
    FinishedRequest, HeldRequest, HeldState, LastReload, LastUpgrade, Memory, Pool, ReloadResult,
    ServerState, Setting, SettingsInUse, Status, Upgrade, UpgradeResult, WorkerInfo, WorkerState, Workers,
};
use crate::ids::{Moment, Pid, Slot};
use crate::scoreboard::RecordView;

use super::{Child, Master};

impl<A: App> Master<A> {
    pub(super) fn status(&self, now: Moment) -> Status {
        let figures = self.arbiter.figures();
        let count = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let last_reload = self.record.last_reload.as_ref().map(|last| LastReload {
            generation: last.generation.0,
            result: match (&last.failure, last.refused) {
                (None, _) => ReloadResult::Ok,
                (Some(_), true) => ReloadResult::Refused,
                (Some(_), false) => ReloadResult::Failed,
            },
            reason: last.failure.clone(),
            at: unix_time(last.at),
            took_seconds: last.took.as_secs_f64(),
        });
        let last_upgrade = self.record.last_upgrade.as_ref().map(|last| LastUpgrade {
            result: if last.failure.is_none() { UpgradeResult::Ok } else { UpgradeResult::Failed },
            reason: last.failure.clone(),
            at: unix_time(last.at),
        });
        Status {
            name: self.settings().map(|settings| settings.identity.proc_name.clone()).unwrap_or_default(),
            version: self.version.into(),
            pid: self.pid.0,
            uptime_seconds: now.since(self.started).as_secs_f64(),
            state: self.state(),
            reason: self.record.crash_loop.clone(),
            generation: self.generation.0,
            workers: Pool {
                wanted: count(figures.wanted),
                ready: count(figures.ready),
                booting: count(figures.booting),
                draining: count(figures.draining),
            },
            listeners: self.listeners.iter().map(|listener| listener.place().to_string()).collect(),
            last_reload,
            upgrade: self.arbiter.upgrade_in_words().map(|state| Upgrade {
                state: state.into(),
                pid: self.successor.as_ref().map(|successor| successor.pid.0),
            }),
            last_upgrade,
            deaths: self
                .deaths
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(cause, count)| (cause.as_str().into(), count))
                .collect(),
            requests: (0..self.slots_used).map(|slot| self.board.cell(Slot(slot)).requests()).sum(),
        }
    }

    fn state(&self) -> ServerState {
        if self.record.stopping {
            ServerState::Stopping
        } else if !self.record.serves {
            ServerState::Starting
        } else if self.record.crash_loop.is_some() {
            ServerState::CrashLoop
        } else if self.arbiter.figures().wanted == 0 {
            ServerState::Halted
        } else {
            ServerState::Running
        }
    }

    pub(super) fn workers(&self, now: Moment) -> Workers {
        let one = |(slot, child): (&Slot, &Child)| self.worker(*slot, child, now);
        Workers { workers: self.children.iter().filter_map(one).collect() }
    }

    fn worker(&self, slot: Slot, child: &Child, now: Moment) -> Option<WorkerInfo> {
        let view = self.arbiter.worker(slot)?;
        let cell = self.board.cell(slot);
        let (counts, base) = (cell.counts(), child.base);
        let held = cell.held();
        Some(WorkerInfo {
            slot: slot.0,
            pid: child.pid.0,
            generation: view.generation.0,
            kind: "web".into(),
            state: match view.stage {
                Stage::Booting => WorkerState::Booting,
                Stage::Ready => WorkerState::Ready,
                Stage::Draining => WorkerState::Draining,
                Stage::Leaving => WorkerState::Leaving,
            },
            busy: held.iter().any(RecordView::is_running),
            age_seconds: now.since(view.spawned).as_secs_f64(),
            requests: counts.requests.saturating_sub(base.requests),
            errors: counts.errors.saturating_sub(base.errors),
            connections: counts.open,
            last_beat_ms: u64::try_from(now.since(cell.beat().max(view.spawned)).as_millis())
                .unwrap_or(u64::MAX),
            memory: memory(child.pid),
            held: held.into_iter().map(|request| to_held(request, now)).collect(),
            finished: cell.finished().into_iter().map(to_finished).collect(),
        })
    }

    pub(super) fn settings_in_use(&self) -> SettingsInUse {
        let shown = self.setups.get(&self.generation).map(|setup| &*setup.shown).unwrap_or_default();
        let settings = shown.iter().map(|key| Setting {
            key: key.key.clone(),
            value: key.value.clone(),
            origin: key.origin.clone(),
        });
        SettingsInUse { settings: settings.collect() }
    }
}

fn unix_time(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn to_held(request: RecordView, now: Moment) -> HeldRequest {
    HeldRequest {
        state: if request.is_running() { HeldState::Running } else { HeldState::Waiting },
        id: format!("{:016x}", request.id),
        age_seconds: now.since(request.since).as_secs_f64(),
        method: request.method,
        path: request.path,
    }
}

fn to_finished(request: RecordView) -> FinishedRequest {
    FinishedRequest {
        status: u16::try_from(request.state).unwrap_or(0),
        took_seconds: Duration::from_nanos(request.took).as_secs_f64(),
        method: request.method,
        path: request.path,
    }
}

/// A process's resident memory (proc_pid_statm(5): the second field, in pages).
fn memory(pid: Pid) -> Option<Memory> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    let size = rustix::param::page_size() as u64;
    Some(Memory { rss_bytes: pages.saturating_mul(size), uss_bytes: None })
}
