//! What came of a command that changes something, and the settings.

use serde::{Deserialize, Serialize};

/// The answer to `reload`: the old generation has left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The generation that serves.
    pub generation: u32,
    /// How many seconds the reload took.
    pub took_seconds: f64,
}

/// The answer to `scale`: the pool has so many workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaled {
    /// How many.
    pub workers: u16,
}

/// The answer to `restart`: the replacement serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// The slot of the worker that was replaced.
    pub slot: u16,
    /// Where its replacement is.
    pub new_slot: u16,
    /// The replacement's process id.
    pub new_pid: i32,
}

/// The answer to `upgrade`: a new master serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// The new master's process id; the old one's, if it became the new one.
    pub pid: i32,
}

/// The answer to `config`: every key that the server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsInUse {
    /// The keys, by section.
    pub settings: Vec<Setting>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its section and name, as `server.workers`.
    pub key: String,
    /// Its value in TOML.
    pub value: String,
    /// Where the value came from, as `devsim.toml:3`, `--workers` or `default`.
    pub origin: String,
}
