//! The keys of the log.

use std::path::{Path, PathBuf};

use settings::{Value, mismatch, quote};
use tracing::level_filters::LevelFilter;

settings::choice! {
    /// How grave an event must be to be logged.
    pub enum Level {
        /// Everything.
        Trace = "trace",
        /// What helps to find a fault.
        Debug = "debug",
        /// What an operator may want to know.
        Info = "info",
        /// What an operator should look at.
        Warning = "warning" | "warn",
        /// What went wrong.
        Error = "error",
        /// The same as `error`: there is no graver event than an error.
        Critical = "critical",
    }
}

settings::choice! {
    /// What a line looks like.
    pub enum Format {
        /// `2031-05-06 07:08:09 [4321] [INFO] message key=value`
        Simple = "simple",
        /// `2031-05-06 07:08:09 [4321] [INFO] name: message key=value (file:line)`
        Detailed = "detailed",
        /// One JSON object.
        Json = "json",
    }
}

settings::choice! {
    /// Where lines go.
    pub enum Stream {
        /// Standard output.
        Stdout = "stdout",
        /// Standard error.
        Stderr = "stderr",
        /// Nowhere.
        None = "none",
    }
}

settings::section! {
    /// How and where the program logs.
    #[derive(Eq)]
    pub struct Settings("logging") {
        /// The least grave events that are logged: trace, debug, info, warning, error or critical.
        pub level ["log-level"]: Level = Level::Info,
        /// How lines look on the console: simple, detailed (with logger, file and line) or json.
        pub format ["log-format"]: Format = Format::Simple,
        /// Where lines go: stdout, stderr or none. Lines that nobody takes are dropped and counted.
        pub console ["log-console"]: Stream = Stream::Stdout,
        /// A directory for log files: all events from debug on, with logger, file and line; those from info on as JSON; errors;
        /// what the server says (gunicorn_error.log) and its access log (gunicorn_access.log). Made if it is missing.
        pub dir ["log-dir"]: Option<PathBuf> = None,
        /// The file of the access log, in `dir` if there is one; "-" means standard output. Without this and `dir` there is
        /// no access log.
        pub access_logfile: Option<Destination> = None,
        /// The file for what the server itself says, beside the console, in `dir` if there is one; "-" means standard error.
        pub error_logfile ["error-logfile", "log-file"]: Option<Destination> = None,
    }
}

/// Where a log goes that has a key of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The standard stream that is meant for it.
    Standard,
    /// A file.
    File(PathBuf),
}

impl Value for Destination {
    fn expects() -> String {
        "a file, or \"-\"".into()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(Self::Standard),
            // A directory is no file; what else is wrong with a path is found out when the file is opened.
            _ if text.contains('\0') || Path::new(text).file_name().is_none() => Err(mismatch::<Self>(text)),
            _ => Ok(Self::File(text.into())),
        }
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Standard => quote("-"),
            Self::File(path) => path.to_toml(),
        }
    }
}

impl Level {
    /// The events that pass.
    pub(crate) fn filter(self) -> LevelFilter {
        match self {
            Level::Trace => LevelFilter::TRACE,
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warning => LevelFilter::WARN,
            Level::Error | Level::Critical => LevelFilter::ERROR,
        }
    }
}
