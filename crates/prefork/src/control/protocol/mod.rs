//! What is said over a control socket. `super` describes it.

mod answer;
mod outcome;
mod request;
mod status;
mod workers;

pub use answer::{Answer, Code, LONGEST_ANSWER, Misread, Refusal};
pub use outcome::{Reloaded, Restarted, Scaled, Setting, SettingsInUse, Upgraded};
pub use request::{COMMANDS, Command, LONGEST_REQUEST, Rejected, Request, RequestId};
pub use status::{LastReload, LastUpgrade, Pool, ReloadResult, ServerState, Status, Upgrade, UpgradeResult};
pub use workers::{FinishedRequest, HeldRequest, HeldState, Memory, WorkerInfo, WorkerState, Workers};

/// The version of the protocol that this library speaks. Members may be added to an answer within a version; whatever
/// else changes makes another one.
pub const VERSION: u32 = 1;
