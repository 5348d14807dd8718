//! What each worker does right now.

use prefork::control::{HeldRequest, HeldState, WorkerInfo, WorkerState, Workers};

use super::table::{Side, lay_out};
use super::text::{bytes, harmless, span};

/// A worker says that it lives every second at least; after so many milliseconds of silence, that is worth a word.
const SILENCE_MS: u64 = 3000;

const HEAD: [&str; 10] =
    ["SLOT", "PID", "GEN", "STATE", "AGE", "REQUESTS", "ERRORS", "CONNECTIONS", "MEMORY", "DOES"];
const SIDES: [Side; 10] = {
    let mut sides = [Side::Right; 10];
    sides[3] = Side::Left;
    sides[9] = Side::Left;
    sides
};

pub(super) fn show(workers: &Workers) -> String {
    if workers.workers.is_empty() {
        return "there are no workers\n".into();
    }
    let rows = workers.workers.iter().map(row);
    lay_out(&SIDES, std::iter::once(HEAD.map(str::to_owned)).chain(rows))
}

fn row(worker: &WorkerInfo) -> [String; 10] {
    [
        worker.slot.to_string(),
        worker.pid.to_string(),
        worker.generation.to_string(),
        state(worker.state).into(),
        span(worker.age_seconds),
        worker.requests.to_string(),
        worker.errors.to_string(),
        worker.connections.to_string(),
        worker
            .memory
            .map_or_else(|| "-".into(), |memory| bytes(memory.uss_bytes.unwrap_or(memory.rss_bytes))),
        does(worker),
    ]
}

fn state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Booting => "booting",
        WorkerState::Ready => "ready",
        WorkerState::Draining => "draining",
        WorkerState::Leaving => "leaving",
    }
}

/// The request that runs, else the one that waits longest.
fn does(worker: &WorkerInfo) -> String {
    let running = worker.held.iter().find(|request| request.state == HeldState::Running);
    let mut text = match running.or(worker.held.first()) {
        Some(request) => held(request),
        None if worker.busy => "busy".into(),
        None => "idle".into(),
    };
    if worker.held.len() > 1 {
        text.push_str(&format!(", and {} more", worker.held.len() - 1));
    }
    if worker.last_beat_ms > SILENCE_MS {
        text.push_str(&format!("; no heartbeat for {}", span(worker.last_beat_ms as f64 / 1e3)));
    }
    text
}

fn held(request: &HeldRequest) -> String {
    let waits = match request.state {
        HeldState::Running => "",
        HeldState::Waiting => "waits with ",
    };
    let (method, path) = (harmless(&request.method), harmless(&request.path));
    format!("{waits}{method} {path} for {}", span(request.age_seconds))
}
