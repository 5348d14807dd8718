//! The format of access lines, understood once.

use http::{HeaderName, header};
use settings::{Value, quote};

/// Gunicorn's own.
const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// What a line of the access log consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessFormat {
    given: String,
    pieces: Vec<Piece>,
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The operator's own words.
    Text(String),
    /// What differs from request to request.
    Atom(Atom),
}

/// What can be told of a request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Atom {
    /// The address at the other end of the connection.
    Client,
    /// Always "-": nobody asks identd (RFC 1413) any more.
    Identity,
    /// The name in Basic authorization (RFC 7617).
    User,
    /// When the line is written.
    Time,
    RequestLine,
    Method,
    /// The request's target as it came.
    Target,
    Path,
    Query,
    Protocol,
    Status,
    /// The bytes of the answer's body.
    Bytes,
    /// The same, with "-" for none, as the Common Log Format has it.
    BytesIfAny,
    Seconds,
    Milliseconds,
    Microseconds,
    DecimalSeconds,
    Pid,
    RequestHeader(HeaderName),
    AnswerHeader(HeaderName),
    /// A variable of the worker's environment.
    Variable(String),
}

impl AccessFormat {
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

impl Default for AccessFormat {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a test reads it")]
        Self::from_text(DEFAULT).expect("Gunicorn's own format is one")
    }
}

impl Value for AccessFormat {
    fn expects() -> String {
        "a line with Gunicorn's atoms, as \"%(h)s %(r)s %(s)s\"".into()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.contains(|c: char| c.is_control() && c != '\t') {
            return Err(format!(
                "{} has a line break or another control character; give one line",
                quote(text)
            ));
        }
        Ok(Self { given: text.into(), pieces: parse(text)? })
    }

    fn to_toml(&self) -> String {
        quote(&self.given)
    }
}

/// Takes a format apart: atoms are `%(name)s`, and `%%` is a percent sign.
fn parse(format: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            text.push('%');
            rest = after;
            continue;
        }
        let atom = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        // Python's conversion to a whole number makes the same of the atoms that are numbers.
        let atom = atom.and_then(|(name, after)| Some((name, after.strip_prefix(['s', 'd'])?)));
        let Some((name, after)) = atom else {
            let found: String = after.chars().take(20).collect();
            return Err(format!("%{found} is no atom; write %(NAME)s, or %% for a percent sign"));
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Atom(Atom::named(name)?));
        rest = after;
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

impl Atom {
    fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "h" => Self::Client,
            "l" => Self::Identity,
            "u" => Self::User,
            "t" => Self::Time,
            "r" => Self::RequestLine,
            "m" => Self::Method,
            "U" => Self::Path,
            "q" => Self::Query,
            "H" => Self::Protocol,
            "s" => Self::Status,
            "B" => Self::Bytes,
            "b" => Self::BytesIfAny,
            "f" => Self::RequestHeader(header::REFERER),
            "a" => Self::RequestHeader(header::USER_AGENT),
            "T" => Self::Seconds,
            "M" => Self::Milliseconds,
            "D" => Self::Microseconds,
            "L" => Self::DecimalSeconds,
            "p" => Self::Pid,
            other => return Self::in_braces(other),
        })
    }

    fn in_braces(name: &str) -> Result<Self, String> {
        let (inner, kind) = name.strip_prefix('{').and_then(|name| name.split_once('}')).unwrap_or(("", ""));
        let header = |name: &str| {
            let valid = HeaderName::from_bytes(name.as_bytes());
            valid.map_err(|_| format!("%({{{inner}}}{kind})s: {inner:?} is no name of a header"))
        };
        match kind {
            "i" => Ok(Self::RequestHeader(header(inner)?)),
            "o" => Ok(Self::AnswerHeader(header(inner)?)),
            "e" if !inner.is_empty() => Ok(Self::variable(&inner.to_ascii_lowercase())),
            _ => Err(format!(
                "%({name})s is unknown; the atoms are h l u t r m U q H s B b f a T D M L p, {{HEADER}}i, {{HEADER}}o and \
                 {{VARIABLE}}e"
            )),
        }
    }

    /// Gunicorn's variables are those of a WSGI request (PEP 3333); whatever is none of them is taken from the environment.
    fn variable(name: &str) -> Self {
        let header = |name: &str| HeaderName::from_bytes(name.replace('_', "-").as_bytes()).ok();
        match name {
            "remote_addr" => Self::Client,
            "request_method" => Self::Method,
            "raw_uri" => Self::Target,
            "path_info" => Self::Path,
            "query_string" => Self::Query,
            "server_protocol" => Self::Protocol,
            "content_type" => Self::RequestHeader(header::CONTENT_TYPE),
            "content_length" => Self::RequestHeader(header::CONTENT_LENGTH),
            other => match other.strip_prefix("http_").and_then(header) {
                Some(name) => Self::RequestHeader(name),
                None => Self::Variable(other.into()),
            },
        }
    }

    /// The request's header that it tells.
    pub(crate) fn request_header(&self) -> Option<HeaderName> {
        match self {
            Self::User => Some(header::AUTHORIZATION),
            Self::RequestHeader(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// The answer's header that it tells.
    pub(crate) fn answer_header(&self) -> Option<&HeaderName> {
        match self {
            Self::AnswerHeader(name) => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atoms(format: &str) -> Vec<Atom> {
        let pieces = AccessFormat::from_text(format).unwrap().pieces;
        let atoms = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Atom(atom) => Some(atom),
            Piece::Text(_) => None,
        });
        atoms.collect()
    }

    #[test]
    fn the_default_is_gunicorns_and_comes_back() {
        let default = AccessFormat::default();
        assert_eq!(atoms(DEFAULT).len(), 9);
        assert_eq!(default.to_toml(), quote(DEFAULT));
    }

    #[test]
    fn text_and_atoms_are_told_apart() {
        let text = |text: &str| Piece::Text(text.into());
        let format = AccessFormat::from_text("100%% of %(s)s%(D)d\tµs").unwrap();
        assert_eq!(
            format.pieces(),
            [text("100% of "), Piece::Atom(Atom::Status), Piece::Atom(Atom::Microseconds), text("\tµs")]
        );
    }

    #[test]
    fn names_in_braces_are_headers_and_variables_in_any_case() {
        let host = HeaderName::from_static("x-host");
        assert_eq!(
            atoms("%({X-Host}i)s%({x-host}o)s%({HTTP_X_HOST}e)s%({REMOTE_ADDR}e)s%({Stage}e)s"),
            [
                Atom::RequestHeader(host.clone()),
                Atom::AnswerHeader(host.clone()),
                Atom::RequestHeader(host),
                Atom::Client,
                Atom::Variable("stage".into())
            ]
        );
    }

    #[test]
    fn what_is_no_atom_is_named() {
        for (format, named) in [
            ("%(x)s", "%(x)s"),
            ("%(h)s %(status)s", "%(status)s"),
            ("%({a b}i)s", "a b"),
            ("%({}e)s", "%({}e)s"),
            ("%({a}x)s", "%({a}x)s"),
            ("%h", "%h"),
            ("%(h)", "%(h)"),
            ("100%", "%"),
            ("a\nb", "\\n"),
        ] {
            let error = AccessFormat::from_text(format).unwrap_err();
            assert!(error.contains(named), "{format:?}: {error}");
        }
    }
}
