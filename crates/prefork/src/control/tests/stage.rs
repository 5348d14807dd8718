//! A control socket whose master answers everything at once.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollTimeout, poll};
use nix::unistd::Uid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::socket_file::Look;

use super::super::server::{Access, Asked, Control};
use super::super::{Command, Refusal};
use crate::ids::Moment;

pub(super) struct Stage {
    pub(super) control: Control,
    pub(super) now: Moment,
    directory: TempDir,
}

pub(super) struct Client(pub(super) UnixStream);

/// What a client has got.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) lines: Vec<Value>,
    /// Whether the connection has ended.
    pub(super) ended: bool,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::serving(vec![Uid::current()])
    }

    pub(super) fn serving(served: Vec<Uid>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let look = Look { mode: Some(0o600), owner: (None, None) };
        let access = Access { look, served };
        let control = Control::bind(&directory.path().join("c.sock"), access).expect("it can be bound");
        Self { control, now: Moment::from_origin(Duration::from_secs(1000)), directory }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("c.sock")
    }

    pub(super) fn client(&self) -> Client {
        let stream = UnixStream::connect(self.path()).expect("it accepts");
        stream.set_nonblocking(true).expect("a client need not wait");
        Client(stream)
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, seconds: f64) {
        self.now = self.now + Duration::from_secs_f64(seconds);
    }

    /// Lets the loop turn until it would sleep; commands are answered with themselves. That it comes to rest is an
    /// assertion of its own: a loop that does not would eat a processor.
    pub(super) fn settle(&mut self) -> Vec<Asked> {
        let mut all = Vec::new();
        self.turn_until_rest(|control, asked, now| {
            control.answer(asked.ticket, &Ok::<_, Refusal>(echo(&asked.command)), now);
            all.push(asked);
        });
        all
    }

    /// The same, with a master that answers later.
    pub(super) fn settle_unanswered(&mut self) -> Vec<Asked> {
        let mut all = Vec::new();
        self.turn_until_rest(|_, asked, _| all.push(asked));
        all
    }

    /// Lets the loop turn, and the client read, until nothing more comes; gives all that came.
    pub(super) fn converse(&mut self, client: &mut Client) -> Heard {
        let mut all = Heard { lines: Vec::new(), ended: false };
        loop {
            self.settle();
            let heard = client.hear();
            let more = !heard.lines.is_empty() && !heard.ended;
            all.lines.extend(heard.lines);
            all.ended = heard.ended;
            if !more {
                return all;
            }
        }
    }

    fn turn_until_rest(&mut self, mut deal: impl FnMut(&mut Control, Asked, Moment)) {
        for _ in 0..100_000 {
            for asked in self.control.hear(self.now) {
                deal(&mut self.control, asked, self.now);
            }
            if !self.would_wake() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Whether a loop that waits for it would be woken at once.
    pub(super) fn would_wake(&self) -> bool {
        let mut sources: Vec<_> =
            self.control.sources().map(|(fd, events)| PollFd::new(fd, events)).collect();
        let ready = poll(&mut sources, PollTimeout::ZERO).expect("poll works");
        ready > 0 || self.control.next_deadline().is_some_and(|deadline| deadline <= self.now)
    }
}

/// What the stage's master answers.
pub(super) fn echo(command: &Command) -> Value {
    json!({"did": command})
}

impl Client {
    /// Sends what fits; says how much.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) -> usize {
        let mut rest = bytes.as_ref();
        let all = rest.len();
        while !rest.is_empty() {
            match self.0.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(_) => break, // full, or closed at the other end
            }
        }
        all - rest.len()
    }

    pub(super) fn ask(&mut self, command: &str) {
        let line = format!("{{\"v\": 1, \"command\": {command:?}}}\n");
        assert_eq!(self.send(&line), line.len());
    }

    /// All that has come. Every line must be an answer.
    pub(super) fn hear(&mut self) -> Heard {
        let mut bytes = Vec::new();
        let mut piece = [0; 65_536];
        let ended = loop {
            match self.0.read(&mut piece) {
                Ok(0) => break true,
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break false,
                Err(_) => break true, // a reset
            }
        };
        let text = String::from_utf8(bytes).expect("answers are UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "a line is cut: {text:?}");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        for line in &lines {
            assert!(line["v"] == 1 && line["ok"].is_boolean(), "{line}");
        }
        Heard { lines, ended }
    }

    /// The code of the one refusal that has come, and whether the connection has ended.
    pub(super) fn refusal(&mut self) -> (String, bool) {
        let heard = self.hear();
        let [line] = heard.lines.as_slice() else { panic!("one line was to come: {heard:?}") };
        (line["error"]["code"].as_str().unwrap_or_default().to_owned(), heard.ended)
    }
}
