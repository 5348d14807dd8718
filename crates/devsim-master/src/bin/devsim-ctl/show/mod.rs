//! What the operator reads.

mod status;
mod table;
mod text;
mod workers;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prefork::control::{Command, Misread, Reloaded, Restarted, Scaled, SettingsInUse, Upgraded};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;
use text::{harmless, span};
pub(crate) use text::{in_lines, json};

/// The result of a command, for people.
pub(crate) fn result(path: &Path, command: &Command, result: Value) -> Result<String, Failure> {
    shown(command, result)
        .map_err(|error| Failure::Misread { path: path.into(), misread: Misread::Rubbish(error.to_string()) })
}

fn shown(command: &Command, result: Value) -> Result<String, serde_json::Error> {
    Ok(match command {
        Command::Status => status::show(&read(result)?, unix_time()),
        Command::Workers => workers::show(&read(result)?),
        Command::Reload => {
            let Reloaded { generation, took_seconds } = read(result)?;
            format!("generation {generation} serves alone, after {}\n", span(took_seconds))
        }
        Command::Upgrade => {
            let Upgraded { pid } = read(result)?;
            format!("the upgraded server serves, pid {pid}\n")
        }
        Command::Scale { .. } => {
            let Scaled { workers } = read(result)?;
            format!("there are {workers} workers now\n")
        }
        Command::Restart { .. } => {
            let Restarted { slot, new_slot, new_pid } = read(result)?;
            format!("worker {slot} is replaced: worker {new_slot}, pid {new_pid}, serves\n")
        }
        Command::Reopen => "the log files are open anew\n".into(),
        Command::Stop { .. } => "the server has gone\n".into(),
        Command::Config => settings(&read(result)?),
    })
}

fn read<T: DeserializeOwned>(result: Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(result)
}

/// In TOML, each with the place that it came from.
fn settings(in_use: &SettingsInUse) -> String {
    let rows = in_use.settings.iter().map(|setting| {
        [
            format!("{} = {}", harmless(&setting.key), harmless(&setting.value)),
            format!("# {}", harmless(&setting.origin)),
        ]
    });
    table::lay_out(&[table::Side::Left, table::Side::Left], rows)
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
