//! What a client asks.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::{Code, Refusal, VERSION};

/// How many bytes a request may have, without its line end.
pub const LONGEST_REQUEST: usize = 65_536;

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// How the server is; answered with a [`Status`](super::Status).
    Status,
    /// What each worker does; answered with [`Workers`](super::Workers).
    Workers,
    /// A reload, as SIGHUP; answered with [`Reloaded`](super::Reloaded) when the old generation has left.
    Reload,
    /// An upgrade to the program on disk, as SIGUSR2; answered with [`Upgraded`](super::Upgraded).
    Upgrade,
    /// Another number of workers; answered with [`Scaled`](super::Scaled) when the pool has it.
    Scale {
        /// The number.
        workers: u16,
    },
    /// One worker's replacement; answered with [`Restarted`](super::Restarted) when the new one serves.
    Restart {
        /// The worker's slot.
        slot: u16,
    },
    /// New log files, as SIGUSR1; answered with an empty object.
    Reopen,
    /// The end, as SIGTERM. The connection ends with the server; an empty object may be the last thing that it says.
    Stop {
        /// Whether what runs is cut, as by SIGINT.
        quick: bool,
    },
    /// The settings in use; answered with [`SettingsInUse`](super::SettingsInUse).
    Config,
}

/// The names of all commands.
pub const COMMANDS: [&str; 9] =
    ["status", "workers", "reload", "upgrade", "scale", "restart", "reopen", "stop", "config"];

/// What a client calls its request, to know the answer by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text or a number")]
pub enum RequestId {
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
}

/// A command, and what the client calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Comes back with the answer.
    pub id: Option<RequestId>,
    /// What is asked for.
    pub command: Command,
}

/// A line that is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// What the client called it, as far as that could be read.
    pub id: Option<RequestId>,
    /// What is wrong with it.
    pub refusal: Refusal,
}

impl Request {
    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// It is no request of this version, has a member that its command does not know, or lacks one that it needs.
    pub fn read(line: &[u8]) -> Result<Self, Rejected> {
        let mut id = None;
        match read(line, &mut id) {
            Ok(command) => Ok(Self { id, command }),
            Err(refusal) => Err(Rejected { id, refusal }),
        }
    }

    /// The line, with its end.
    pub fn to_line(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Line<'a> {
            v: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: &'a Option<RequestId>,
            #[serde(flatten)]
            command: &'a Command,
        }
        // Names are texts and values are texts, numbers and booleans: nothing that JSON cannot say.
        #[expect(
            clippy::expect_used,
            reason = "a request is written by clients, of members that JSON can say"
        )]
        let mut line = serde_json::to_vec(&Line { v: VERSION, id: &self.id, command: &self.command })
            .expect("a request has only members that JSON can say");
        line.push(b'\n');
        line
    }
}

fn read(line: &[u8], id: &mut Option<RequestId>) -> Result<Command, Refusal> {
    let members = serde_json::from_slice(line).map_err(|error| {
        let example = format!(r#"{{"v": {VERSION}, "command": "status"}}"#);
        bad_request(format!("the line is no JSON object: {error}; a request is one, as {example}"))
    })?;
    let mut members = Members(members);
    *id = members.optional("id")?;
    let version: u64 = members.needed("v")?;
    if version != u64::from(VERSION) {
        let message = format!("this server speaks version {VERSION} of the control protocol, not {version}");
        return Err(Refusal::new(Code::Version, message));
    }
    let name: String = members.needed("command")?;
    let command = match name.as_str() {
        "status" => Command::Status,
        "workers" => Command::Workers,
        "reload" => Command::Reload,
        "upgrade" => Command::Upgrade,
        "scale" => Command::Scale { workers: members.needed("workers")? },
        "restart" => Command::Restart { slot: members.needed("slot")? },
        "reopen" => Command::Reopen,
        "stop" => Command::Stop { quick: members.optional("quick")?.unwrap_or_default() },
        "config" => Command::Config,
        _ => {
            let message = format!("there is no command {name:?}; there are {}", COMMANDS.join(", "));
            return Err(Refusal::new(Code::UnknownCommand, message));
        }
    };
    match members.0.keys().next() {
        Some(unknown) => Err(bad_request(format!("{name} has no member {unknown:?}; leave it out"))),
        None => Ok(command),
    }
}

fn bad_request(message: String) -> Refusal {
    Refusal::new(Code::BadRequest, message)
}

/// The members that nobody has taken yet.
struct Members(Map<String, Value>);

impl Members {
    fn needed<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Refusal> {
        self.optional(name)?.ok_or_else(|| bad_request(format!("the member {name:?} is missing")))
    }

    /// A member that may be missing; `null` counts as missing.
    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        let value = self.0.remove(name).unwrap_or_default();
        serde_json::from_value(value).map_err(|error| bad_request(format!("the member {name:?}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> Refusal {
        Request::read(line.as_bytes()).expect_err(line).refusal
    }

    #[test]
    fn every_command_is_read_as_it_was_written() {
        let commands = [
            Command::Status,
            Command::Workers,
            Command::Reload,
            Command::Upgrade,
            Command::Scale { workers: 5 },
            Command::Restart { slot: 0 },
            Command::Reopen,
            Command::Stop { quick: true },
            Command::Config,
        ];
        let ids = [None, Some(RequestId::Number(7.into())), Some(RequestId::Text("\n\0\u{2028}".into()))];
        assert_eq!(commands.len(), COMMANDS.len());
        for (command, name) in commands.iter().zip(COMMANDS) {
            for id in &ids {
                let request = Request { id: id.clone(), command: command.clone() };
                let line = request.to_line();
                assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                assert!(String::from_utf8_lossy(&line).contains(name));
                assert_eq!(Request::read(&line), Ok(request));
            }
        }
        let gentle = br#"{"v": 1, "command": "stop"}"#;
        assert_eq!(Request::read(gentle).map(|read| read.command), Ok(Command::Stop { quick: false }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, code, words) in [
            ("", Code::BadRequest, "no JSON object"),
            ("\0", Code::BadRequest, "no JSON object"),
            ("[1,2,3]", Code::BadRequest, "no JSON object"),
            ("GET / HTTP/1.1", Code::BadRequest, "no JSON object"),
            (r#"{"v": 1, "command": "status"} {}"#, Code::BadRequest, "trailing"),
            (r#"{"command": "status"}"#, Code::BadRequest, r#""v" is missing"#),
            (r#"{"v": 2, "command": "status", "new": 1}"#, Code::Version, "version 1"),
            (r#"{"v": "1", "command": "status"}"#, Code::BadRequest, r#""v""#),
            (r#"{"v": 1}"#, Code::BadRequest, r#""command" is missing"#),
            (r#"{"v": 1, "command": 5}"#, Code::BadRequest, r#""command""#),
            (r#"{"v": 1, "command": "relaod"}"#, Code::UnknownCommand, "relaod"),
            (r#"{"v": 1, "command": "scale"}"#, Code::BadRequest, r#""workers" is missing"#),
            (r#"{"v": 1, "command": "scale", "workers": -1}"#, Code::BadRequest, "-1"),
            (r#"{"v": 1, "command": "scale", "worker": 1, "workers": 1}"#, Code::BadRequest, r#""worker""#),
            (r#"{"v": 1, "command": "status", "quick": true}"#, Code::BadRequest, r#""quick""#),
            (r#"{"v": 1, "command": "stop", "quick": "yes"}"#, Code::BadRequest, "yes"),
            (r#"{"v": 1, "command": "status", "id": []}"#, Code::BadRequest, r#""id""#),
        ] {
            let refusal = refusal(line);
            assert_eq!(refusal.code, code, "{line}: {refusal}");
            assert!(refusal.message.contains(words), "{line}: {refusal}");
        }
        assert_eq!(refusal(&"[".repeat(60_000)).code, Code::BadRequest, "depth costs no stack");
    }

    #[test]
    fn the_id_comes_back_even_if_the_rest_is_wrong() {
        let rejected =
            Request::read(br#"{"v": 1, "command": "nothing", "id": "mine"}"#).expect_err("nothing");
        assert_eq!(rejected.id, Some(RequestId::Text("mine".into())));
    }
}
