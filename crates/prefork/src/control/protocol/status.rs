//! How a server is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The answer to `status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The server's name, `proc_name`.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// The master's process id.
    pub pid: i32,
    /// Seconds since its start.
    pub uptime_seconds: f64,
    /// What it is doing.
    pub state: ServerState,
    /// Why that is not healthy; `None` if it is.
    pub reason: Option<String>,
    /// The generation that serves.
    pub generation: u32,
    /// How many workers there are.
    pub workers: Pool,
    /// Where it listens.
    pub listeners: Vec<String>,
    /// The last reload that has ended.
    pub last_reload: Option<LastReload>,
    /// The upgrade that runs.
    pub upgrade: Option<Upgrade>,
    /// The last upgrade that has ended; `None` while one runs.
    pub last_upgrade: Option<LastUpgrade>,
    /// Deaths of workers since its start, by cause.
    pub deaths: BTreeMap<String, u64>,
    /// Requests served since its start.
    pub requests: u64,
}

/// What a server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// No worker was ready yet.
    Starting,
    /// It serves.
    Running,
    /// Its workers were retired, by SIGWINCH; a reload brings them back.
    Halted,
    /// It ends.
    Stopping,
    /// Its workers fail to boot, again and again.
    CrashLoop,
}

/// How many workers there are, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// How many there should be.
    pub wanted: u16,
    /// How many serve.
    pub ready: u16,
    /// How many cannot serve yet.
    pub booting: u16,
    /// How many finish what they have, and leave.
    pub draining: u16,
}

/// A reload that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastReload {
    /// The generation that it was to bring.
    pub generation: u32,
    /// How it ended.
    pub result: ReloadResult,
    /// Why, if not well: the problems of the settings, or how the first worker ended.
    pub reason: Option<String>,
    /// When it ended, in seconds of Unix time.
    pub at: u64,
    /// How many seconds it took.
    pub took_seconds: f64,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadResult {
    /// The new generation serves.
    Ok,
    /// The settings have problems; nothing was begun.
    Refused,
    /// The new generation could not prove itself; the old one stays.
    Failed,
}

/// An upgrade that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// How far it is, in a few words.
    pub state: String,
    /// The new master's process id, once there is one.
    pub pid: Option<i32>,
}

/// An upgrade that has ended. Who asks for one loses the connection where the new program takes the old one's place, and
/// finds here how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUpgrade {
    /// How it ended.
    pub result: UpgradeResult,
    /// Why, if not well.
    pub reason: Option<String>,
    /// When it ended, in seconds of Unix time.
    pub at: u64,
}

/// How an upgrade ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeResult {
    /// The program that says so is the new one.
    Ok,
    /// The program from before it serves on.
    Failed,
}
