//! What each worker does.

use serde::{Deserialize, Serialize};

/// The answer to `workers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Workers {
    /// All live workers, by slot.
    pub workers: Vec<WorkerInfo>,
}

/// What one worker does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Its place in the pool.
    pub slot: u16,
    /// Its process id.
    pub pid: i32,
    /// The generation that it was started with.
    pub generation: u32,
    /// What sort of worker it is: `web`.
    pub kind: String,
    /// How far it is in its life.
    pub state: WorkerState,
    /// Whether it runs a request.
    pub busy: bool,
    /// Seconds since its fork.
    pub age_seconds: f64,
    /// Requests that it has served.
    pub requests: u64,
    /// How many of them were answered with a status of 500 or more.
    pub errors: u64,
    /// Its open connections.
    pub connections: u64,
    /// Milliseconds since its last heartbeat.
    pub last_beat_ms: u64,
    /// Its memory, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The requests that it holds, the oldest first.
    pub held: Vec<HeldRequest>,
    /// The last ones that it finished, the latest first.
    pub finished: Vec<FinishedRequest>,
}

/// How far a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It cannot serve yet.
    Booting,
    /// It serves.
    Ready,
    /// It finishes what it has.
    Draining,
    /// It was told to go at once.
    Leaving,
}

/// A worker's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes in memory, those shared with others included.
    pub rss_bytes: u64,
    /// Bytes that are its alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uss_bytes: Option<u64>,
}

/// A request that a worker holds. Its texts are the client's, cut to a length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldRequest {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its number in the log.
    pub id: String,
    /// Whether it has its turn.
    pub state: HeldState,
    /// Seconds since it took that state.
    pub age_seconds: f64,
}

/// Whether a request has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldState {
    /// It waits for its turn.
    Waiting,
    /// It runs.
    Running,
}

/// A request that a worker has finished. Its texts are the client's, cut to a length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishedRequest {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// The status that it was answered with.
    pub status: u16,
    /// How many seconds it took.
    pub took_seconds: f64,
}
