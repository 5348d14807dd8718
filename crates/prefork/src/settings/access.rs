//! The access log: what a line tells, and which requests get one.

mod format;

use settings::{Value, mismatch, quote};

pub use format::AccessFormat;
pub(crate) use format::{Atom, Piece};

settings::section! {
    /// The access log, of which others keep the file.
    pub struct Access("logging") {
        /// What a line of the access log tells, in Gunicorn's atoms: h client, l -, u user, t time (UTC), r request line,
        /// m method, U path, q query, H protocol, s status, B bytes of the body, b the same or -, f referer, a user agent,
        /// T D M L duration in seconds, microseconds, milliseconds and decimal seconds, p process id, {name}i and {name}o
        /// a header of request or answer, {name}e a variable. What is missing is "-"; a line has 4094 bytes at most.
        pub access_log_format ["access-logformat"]: AccessFormat = AccessFormat::default(),
        /// Paths whose requests get no line in the access log: each a whole path, or the beginning of one before "*".
        pub access_log_exclude: Vec<PathPattern> = vec![],
    }
}

/// A path, or all that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// This one.
    Whole(String),
    /// Those that begin so.
    Beginning(String),
}

impl PathPattern {
    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Whole(whole) => path == whole,
            Self::Beginning(beginning) => path.starts_with(beginning),
        }
    }
}

impl Value for PathPattern {
    fn expects() -> String {
        "a path as /api/health, or the beginning of one as /static/*".into()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let (path, made): (_, fn(String) -> Self) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, Self::Beginning),
            None => (text, Self::Whole),
        };
        match path.starts_with('/') && !path.contains(['*', '?']) {
            true => Ok(made(path.into())),
            false => Err(mismatch::<Self>(text)),
        }
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Whole(whole) => quote(whole),
            Self::Beginning(beginning) => quote(&format!("{beginning}*")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_whole_path_or_the_beginning_of_one() {
        let matches = |pattern, path| PathPattern::from_text(pattern).unwrap().matches(path);
        assert!(matches("/health", "/health") && !matches("/health", "/health/live"));
        assert!(matches("/health*", "/health/live") && matches("/*", "/x") && !matches("/a*", "/b"));
        for wrong in ["health", "", "*", "/a*b", "/a?b=c"] {
            assert!(PathPattern::from_text(wrong).is_err(), "{wrong}");
        }
    }
}
