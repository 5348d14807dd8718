//! What loading has to say: where each value came from, warnings, problems.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The layer that a value came from. Its `Display` is the place that an operator goes to: `devsim.toml:4`,
/// `WEB_CONCURRENCY`, `--workers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The program's own default.
    #[default]
    Default,
    /// A line, counted from 1, of the file, named as it was given.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag, with its dashes, inside an environment variable such as `GUNICORN_CMD_ARGS`.
    FlagIn {
        /// The variable.
        variable: String,
        /// The flag.
        flag: String,
    },
    /// A flag, with its dashes, on the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => f.write_str(name),
            Origin::FlagIn { variable, flag } => write!(f, "{variable}: {flag}"),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What loading found out beside the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The file that was read, named as it was given; `None` if there was none.
    pub file: Option<PathBuf>,
    /// What an operator should know though nothing is wrong; one line each.
    pub warnings: Vec<String>,
    pub(crate) origins: BTreeMap<String, Origin>,
}

impl Report {
    /// The layer whose value won.
    pub fn origin(&self, section: &str, key: &str) -> &Origin {
        self.origins.get(&format!("{section}.{key}")).unwrap_or(&Origin::Default)
    }
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In one value or line.
    At(Origin),
    /// In the file as a whole.
    WholeFile(PathBuf),
}

/// Something wrong in the configuration. Its `Display` is one line, with control characters escaped:
/// `devsim.toml:3: server.timeot: unknown key; did you mean "timeout"?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is wrong.
    pub place: Place,
    /// The key, as `section.key`; `None` if no key is at fault.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// The line of the file, to bring problems into its order.
    pub(crate) fn line(&self) -> usize {
        match self.place {
            Place::At(Origin::File { line, .. }) => line,
            Place::At(_) | Place::WholeFile(_) => 0,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = match &self.place {
            // A default has no place to go to: the key says enough.
            Place::At(Origin::Default) => String::new(),
            Place::At(origin) => format!("{origin}: "),
            Place::WholeFile(path) => format!("{}: ", path.display()),
        };
        // Variables and flags name the key themselves.
        let place_needs_key = matches!(self.place, Place::At(Origin::Default | Origin::File { .. }));
        if let Some(key) = self.key.as_ref().filter(|_| place_needs_key) {
            text.push_str(key);
            text.push_str(": ");
        }
        text.push_str(&self.message);
        text.chars().try_for_each(|c| match c {
            c if c.is_control() => write!(f, "{}", c.escape_default()),
            c => write!(f, "{c}"),
        })
    }
}

/// Everything that is wrong, at least one problem; `Display` writes one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// The problems: the file's in the order of its lines, then those of stronger layers.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line() {
        let place = Place::At(Origin::File { path: "a.toml".into(), line: 3 });
        let problem =
            Problem { place, key: Some("server.x\ny".to_owned()), message: "bad \u{1b}".to_owned() };
        assert_eq!(problem.to_string(), "a.toml:3: server.x\\ny: bad \\u{1b}");
        let place = Place::At(Origin::Flag("--workers".to_owned()));
        let problem =
            Problem { place, key: Some("server.workers".to_owned()), message: "0 is wrong".to_owned() };
        assert_eq!(problem.to_string(), "--workers: 0 is wrong");
        assert_eq!(Problems(vec![problem.clone(), problem]).to_string().lines().count(), 2);
    }
}
