//! The end of an upgrade in which the new program takes the old one's place: whoever has asked for it loses the connection.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use prefork::control::{Code, Command, Misread, Refusal, Status, UpgradeResult, Upgraded};
use serde_json::{Value, json};

use crate::client::ask;
use crate::command_line::{CommandLine, PATIENCE};
use crate::failure::Failure;
use crate::place;

/// How long to wait between two looks.
const REST: Duration = Duration::from_millis(50);

/// Asks how the server is until its upgrade has ended, and gives what came of that. The connection at `path` was lost; the
/// server may be found in another place by now, as its configuration says.
pub(crate) fn follow(line: &CommandLine, path: &Path, begun: Instant) -> Result<Value, Failure> {
    let mut seen = Instant::now();
    loop {
        match look(line) {
            Ok(Status { upgrade: None, last_upgrade, pid, .. }) => {
                // Without any it is another server, which knows of no upgrade.
                let last = last_upgrade.ok_or_else(|| Failure::Cut(path.into()))?;
                return match last.result {
                    UpgradeResult::Ok => Ok(json!(Upgraded { pid })),
                    UpgradeResult::Failed => {
                        Err(Refusal::new(Code::Failed, last.reason.unwrap_or_default()).into())
                    }
                };
            }
            Ok(_) => seen = Instant::now(),
            Err(_) if seen.elapsed() < PATIENCE => {} // it is between two programs
            Err(_) => return Err(Failure::Cut(path.into())),
        }
        if let Some(after) = line.timeout.filter(|timeout| begun.elapsed() >= *timeout) {
            return Err(Failure::TimedOut { path: path.into(), after });
        }
        sleep(REST);
    }
}

fn look(line: &CommandLine) -> Result<Status, Failure> {
    let path = place::find(line)?;
    let result =
        ask(&path, &Command::Status, Some(line.timeout.map_or(PATIENCE, |timeout| timeout.min(PATIENCE))))?;
    serde_json::from_value(result)
        .map_err(|error| Failure::Misread { path, misread: Misread::Rubbish(error.to_string()) })
}
