//! What a server answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RequestId, VERSION};

/// How many bytes an answer may have, with its line end.
pub const LONGEST_ANSWER: usize = 1 << 20;

/// How many bytes of a refusal's message are sent: at six bytes for a control character, it fits into an answer.
const LONGEST_MESSAGE: usize = 65_536;

/// Why a request was not carried out, in a word that programs may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The line is no request.
    BadRequest,
    /// It names no command.
    UnknownCommand,
    /// It is of another version of the protocol.
    Version,
    /// This peer may not ask.
    Denied,
    /// The command cannot be carried out as things are, or the new settings are wrong; nothing has changed.
    Refused,
    /// It was begun, and failed.
    Failed,
    /// Something else has to end first.
    Busy,
    /// The server is stopping.
    Stopping,
    /// A word that this version does not know. A server never sends it.
    #[serde(other)]
    Unknown,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people: what is wrong and what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal with these words.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// An answer, as a client reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the client called its request.
    pub id: Option<RequestId>,
    /// The result, an object of the type that goes with the command, or why there is none.
    pub outcome: Result<Value, Refusal>,
}

/// A line that is no answer of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misread {
    /// It is one of another version.
    #[error("the server speaks version {0} of the control protocol, and not {VERSION}")]
    Version(u64),
    /// It is none.
    #[error("what came is no answer of a control socket: {0}")]
    Rubbish(String),
}

impl Answer {
    /// Reads a line, with or without its end. Members that this version does not know are passed over.
    ///
    /// # Errors
    /// It is no answer, or one of another version of the protocol.
    pub fn read(line: &[u8]) -> Result<Self, Misread> {
        let rubbish = |error: serde_json::Error| Misread::Rubbish(error.to_string());
        let Versioned { v } = serde_json::from_slice(line).map_err(rubbish)?;
        if v != u64::from(VERSION) {
            return Err(Misread::Version(v));
        }
        let Line { id, ok, result, error, .. } = serde_json::from_slice(line).map_err(rubbish)?;
        let outcome = match (ok, result, error) {
            (true, Some(result), _) => Ok(result),
            (false, _, Some(refusal)) => Err(refusal),
            (true, None, _) => return Err(Misread::Rubbish("it has no result".into())),
            (false, _, None) => return Err(Misread::Rubbish("it has no error".into())),
        };
        Ok(Self { id, outcome })
    }

    /// The line of an answer, with its end. A result that is too long, or that JSON cannot say, becomes a refusal that
    /// says so.
    pub(crate) fn line<T: Serialize>(id: Option<&RequestId>, outcome: &Result<T, Refusal>) -> Vec<u8> {
        let line = match outcome {
            Ok(result) => {
                Line { v: VERSION, id, ok: true, result: Some(result), error: None::<()> }.to_bytes()
            }
            Err(refusal) => return Self::refusal_line(id, refusal),
        };
        let problem = match line {
            Ok(line) if line.len() <= LONGEST_ANSWER => return line,
            Ok(line) => {
                format!("the answer has {} bytes; more than {LONGEST_ANSWER} are not sent", line.len())
            }
            Err(error) => format!("the answer cannot be written: {error}"),
        };
        Self::refusal_line(id, &Refusal::new(Code::Failed, problem))
    }

    fn refusal_line(id: Option<&RequestId>, refusal: &Refusal) -> Vec<u8> {
        let message = refusal.message.get(..refusal.message.floor_char_boundary(LONGEST_MESSAGE));
        let refusal = Refusal::new(refusal.code, message.unwrap_or_default());
        let line = Line { v: VERSION, id, ok: false, result: None::<()>, error: Some(refusal) };
        #[expect(clippy::expect_used, reason = "a refusal has only members that JSON can say")]
        line.to_bytes().expect("texts and numbers can be said in JSON")
    }
}

/// What every version of the protocol has.
#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

/// An answer's members.
#[derive(Serialize, Deserialize)]
struct Line<I, R, E> {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<I>,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<E>,
}

impl<I: Serialize, R: Serialize, E: Serialize> Line<I, R, E> {
    fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_read_as_they_were_written() {
        for id in [None, Some(RequestId::Text("a\n".into()))] {
            let done = Ok(json!({"path": "/\n\u{1b}"}));
            let refused = Err(Refusal::new(Code::Refused, "no\nway"));
            for outcome in [done, refused] {
                let line = Answer::line(id.as_ref(), &outcome);
                assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                assert_eq!(Answer::read(&line), Ok(Answer { id: id.clone(), outcome }));
            }
        }
    }

    #[test]
    fn what_a_later_server_adds_is_passed_over() {
        let read = Answer::read(br#"{"v": 1, "ok": true, "result": {}, "new": 1}"#);
        assert_eq!(read.map(|answer| answer.outcome), Ok(Ok(json!({}))));
        let line = br#"{"v": 1, "ok": false, "error": {"code": "newer", "message": "m", "new": 1}}"#;
        let read = Answer::read(line).expect("an answer");
        assert_eq!(read.outcome, Err(Refusal::new(Code::Unknown, "m")));
    }

    #[test]
    fn another_version_is_told_from_rubbish() {
        assert_eq!(Answer::read(br#"{"v": 2, "changed": []}"#), Err(Misread::Version(2)));
        for line in
            ["", "HTTP/1.1 400", "{}", r#"{"v": 1, "ok": true}"#, r#"{"v": 1, "ok": false, "result": {}}"#]
        {
            assert!(matches!(Answer::read(line.as_bytes()), Err(Misread::Rubbish(_))), "{line}");
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_a_failure_that_says_so() {
        let line = Answer::line(None, &Ok(json!({"text": "x".repeat(LONGEST_ANSWER)})));
        let refusal = Answer::read(&line).expect("an answer").outcome.expect_err("too long");
        assert_eq!(refusal.code, Code::Failed);
        assert!(refusal.message.contains("1048576"), "{refusal}");
    }

    #[test]
    fn a_refusal_is_cut_to_what_can_be_sent() {
        let endless = Err::<(), _>(Refusal::new(Code::Refused, "\0é".repeat(LONGEST_ANSWER)));
        let line = Answer::line(Some(&RequestId::Text("\0".repeat(10_000))), &endless);
        assert!(line.len() < LONGEST_ANSWER && Answer::read(&line).is_ok());
    }
}
