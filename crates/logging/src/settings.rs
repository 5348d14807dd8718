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
    pub(crate) const ALL: [Self; 6] =
        [Self::Trace, Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];

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

impl Format {
    pub(crate) const ALL: [Self; 3] = [Self::Simple, Self::Detailed, Self::Json];
}

impl Stream {
    pub(crate) const ALL: [Self; 3] = [Self::Stdout, Self::Stderr, Self::None];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_is_at_its_place_in_all() {
        // `Switchable` in console.rs relies on it.
        assert!(Level::ALL.iter().enumerate().all(|(index, level)| *level as usize == index));
        assert!(Format::ALL.iter().enumerate().all(|(index, format)| *format as usize == index));
        assert!(Stream::ALL.iter().enumerate().all(|(index, stream)| *stream as usize == index));
    }
}
