//! The keys of the console.

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
