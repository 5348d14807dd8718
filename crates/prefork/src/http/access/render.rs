//! From what is known of a request to a line.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

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
    let mut line = String::with_capacity(256);
    for limit in [usize::MAX, 2048, 1024, 512, 256, 128, 64, 32, 16] {
        line.clear();
        let _ = render(&mut line, pieces, facts, limit); // writing to a String cannot fail
        if line.len() <= LINE_MAX {
            return line;
        }
    }
    line.truncate(line.floor_char_boundary(LINE_MAX)); // the format has hundreds of atoms
    line
}

fn render(line: &mut String, pieces: &[Piece], facts: &Facts<'_>, limit: usize) -> fmt::Result {
    for (place, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => line.write_str(text)?,
            Piece::Atom(atom) => tell(line, atom, facts, facts.header(place), limit)?,
        }
    }
    Ok(())
}

/// Appends what an atom stands for; `header` is the value of the header that it tells, if it tells one.
fn tell(line: &mut String, atom: &Atom, facts: &Facts<'_>, header: &[u8], limit: usize) -> fmt::Result {
    let Facts { request, took, .. } = facts;
    let (method, target) = (request.method.as_str(), &request.target);
    match atom {
        Atom::Client => match request.client {
            Some(client) => write!(line, "{client}"),
            None => line.write_str("-"),
        },
        Atom::Identity | Atom::Variable(_) => line.write_char('-'),
        Atom::User => push_word(line, user(header).unwrap_or_default().as_bytes(), limit),
        Atom::Time => write!(line, "{}", facts.now.strftime("[%d/%b/%Y:%H:%M:%S %z]")),
        Atom::RequestLine => {
            push(line, method.as_bytes(), limit)?;
            line.push(' ');
            push(line, whole(target).as_bytes(), limit)?;
            write!(line, " {:?}", request.version)
        }
        Atom::Method => push(line, method.as_bytes(), limit),
        Atom::Target => push(line, whole(target).as_bytes(), limit),
        Atom::Path => push(line, target.path().as_bytes(), limit),
        Atom::Query => push(line, target.query().unwrap_or_default().as_bytes(), limit),
        Atom::Protocol => write!(line, "{:?}", request.version),
        Atom::Status => line.write_str(facts.status.as_str()),
        Atom::BytesIfAny if facts.sent == 0 => line.write_char('-'),
        Atom::Bytes | Atom::BytesIfAny => write!(line, "{}", facts.sent),
        Atom::Seconds => write!(line, "{}", took.as_secs()),
        Atom::Milliseconds => write!(line, "{}", took.as_millis()),
        Atom::Microseconds => write!(line, "{}", took.as_micros()),
        Atom::DecimalSeconds => write!(line, "{}.{:06}", took.as_secs(), took.subsec_micros()),
        Atom::Pid => write!(line, "<{}>", facts.pid),
        Atom::RequestHeader(_) | Atom::AnswerHeader(_) => push(line, header, limit),
    }
}

/// The target as it stood in the request line.
fn whole(uri: &Uri) -> Cow<'_, str> {
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
    let _ = push(&mut told, value.as_encoded_bytes(), usize::MAX); // writing to a String cannot fail
    told
}

#[cfg(test)]
mod tests;
