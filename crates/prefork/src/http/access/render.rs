//! From what is known of a request to a line.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Uri;

use crate::settings::{Atom, Piece};

use super::entry::Facts;
use super::escape::{push, push_word};

/// The most bytes of a line without its line end: PIPE_BUF (pipe(7)) less the line end, and less the one with which a log may
/// begin after a line that was cut short. So no line is torn, wherever the log goes.
const LINE_MAX: usize = 4096 - 2;

/// A line of at most [`LINE_MAX`] bytes. In one that is too long, texts are cut, all to the same length.
pub(super) fn line(pieces: &[Piece], facts: &Facts<'_>) -> String {
    let limits = [usize::MAX, 2048, 1024, 512, 256, 128, 64, 32, 16];
    let mut line = String::with_capacity(256);
    for limit in limits {
        line.clear();
        render(&mut line, pieces, facts, limit);
        if line.len() <= LINE_MAX {
            return line;
        }
    }
    line.truncate(line.floor_char_boundary(LINE_MAX)); // the format has hundreds of atoms
    line
}

// Writing to a String cannot fail, hence `let _ =`.
fn render(line: &mut String, pieces: &[Piece], facts: &Facts<'_>, limit: usize) {
    let request = facts.request;
    for (place, piece) in pieces.iter().enumerate() {
        let atom = match piece {
            Piece::Text(text) => {
                line.push_str(text);
                continue;
            }
            Piece::Atom(atom) => atom,
        };
        let _ = match atom {
            Atom::Client => write!(line, "{}", request.client),
            Atom::Time => write!(line, "{}", facts.now.strftime("[%d/%b/%Y:%H:%M:%S %z]")),
            Atom::Protocol => write!(line, "{:?}", request.version),
            Atom::Status => line.write_str(facts.status.as_str()),
            Atom::BytesIfAny if facts.sent == 0 => write!(line, "-"),
            Atom::Bytes | Atom::BytesIfAny => write!(line, "{}", facts.sent),
            Atom::Seconds => write!(line, "{}", facts.took.as_secs()),
            Atom::Milliseconds => write!(line, "{}", facts.took.as_millis()),
            Atom::Microseconds => write!(line, "{}", facts.took.as_micros()),
            Atom::DecimalSeconds => {
                write!(line, "{}.{:06}", facts.took.as_secs(), facts.took.subsec_micros())
            }
            Atom::Pid => write!(line, "<{}>", facts.pid),
            Atom::Identity | Atom::Variable(_) => write!(line, "-"),
            Atom::RequestLine => {
                push(line, request.method.as_str().as_bytes(), limit);
                line.push(' ');
                push(line, target(&request.target).as_bytes(), limit);
                write!(line, " {:?}", request.version)
            }
            Atom::Method => Ok(push(line, request.method.as_str().as_bytes(), limit)),
            Atom::Target => Ok(push(line, target(&request.target).as_bytes(), limit)),
            Atom::Path => Ok(push(line, request.target.path().as_bytes(), limit)),
            Atom::Query => Ok(push(line, request.target.query().unwrap_or_default().as_bytes(), limit)),
            Atom::User => {
                Ok(push_word(line, user(facts.header(place)).unwrap_or_default().as_bytes(), limit))
            }
            Atom::RequestHeader(_) | Atom::AnswerHeader(_) => Ok(push(line, facts.header(place), limit)),
        };
    }
}

/// The target as it stood in the request line.
fn target(uri: &Uri) -> Cow<'_, str> {
    match uri.path_and_query() {
        Some(path) if uri.scheme().is_none() => path.as_str().into(),
        _ => uri.to_string().into(),
    }
}

/// The user's name in an Authorization header, if it is of the kind that Gunicorn tells: Basic, and in UTF-8.
fn user(authorization: &[u8]) -> Option<String> {
    let (scheme, credentials) = std::str::from_utf8(authorization).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut decoded = BASE64_STANDARD.decode(credentials.trim()).ok()?;
    decoded.truncate(decoded.iter().position(|byte| *byte == b':').unwrap_or(decoded.len()));
    String::from_utf8(decoded).ok()
}

/// A variable of this process's environment, by its name in any case, as it stands in a line.
pub(super) fn variable(name: &str) -> String {
    let named = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
        key.to_str().is_some_and(|key| key.eq_ignore_ascii_case(name)).then_some(value)
    };
    let value = std::env::vars_os().find_map(named).unwrap_or_default();
    let mut told = String::new();
    push(&mut told, value.as_encoded_bytes(), usize::MAX);
    told
}

#[cfg(test)]
mod tests;
