//! How many workers, of which kind, and how they are replaced.

use settings::{Value, mismatch, quote};

use crate::arbiter::{MOST_WORKERS, OnCrashLoop};

settings::choice! {
    /// How many requests a worker runs at once.
    pub enum WorkerClass {
        /// One at a time.
        Sync = "sync",
        /// Up to `worker_connections` at once.
        Async = "async" | "gevent" | "gthread",
    }
}

settings::section! {
    /// The pool.
    pub struct Workers("server") {
        /// How many workers: a number, or "auto" for min(2 * cores + 1, 8), where cores counts the affinity mask and the
        /// processor quota, and at most one for every 64 MiB of the cgroup's memory limit.
        pub workers ['w', env "WEB_CONCURRENCY"]: WorkerCount = WorkerCount::Auto,
        /// "sync": a worker runs one request at a time; "async": up to worker_connections.
        pub worker_class ['k']: WorkerClass = WorkerClass::Sync,
        /// How many requests a worker of the class "async" runs at once.
        pub worker_connections: u32 = 1000,
        /// How many requests a worker serves before it is replaced; 0 means any number.
        pub max_requests: u64 = 0,
        /// Up to so many more, drawn by each worker, so that they are not replaced all at once.
        pub max_requests_jitter: u64 = 0,
        /// How many workers there may be beyond `workers` while some are replaced: a number, or a percentage as "25%".
        pub surge: Surge = Surge::Number(1),
        /// How many retired workers may be finishing what they have at once; 0 means as many as there are workers. Where one
        /// more would be retired, the one that has been at it for longest is given 5 more seconds.
        pub max_draining: u16 = 0,
        /// Accepted as Gunicorn has it, and without effect: the master never runs the application's code.
        pub preload_app ["preload"]: bool = true,
        /// How many workers boot at once; 0 means one per core.
        pub boot_concurrency: u16 = 0,
        /// How many workers in a row may fail to boot, while none serves, before it counts as a crash loop; 0 means any number.
        pub boot_failures_max: u32 = 10,
        /// What becomes of a crash loop: "wait" tries once every 30 seconds, "exit" ends the master with 3.
        pub on_crash_loop: OnCrashLoop = OnCrashLoop::Wait,
    }
}

impl Workers {
    /// How many may drain at once, in a pool of this size.
    pub(crate) fn max_draining(&self, count: u16) -> u16 {
        match self.max_draining {
            0 => count,
            number => number,
        }
    }

    pub(crate) fn boot_concurrency(&self) -> u16 {
        match self.boot_concurrency {
            0 => u16::try_from(num_cpus::get()).unwrap_or(1).max(1),
            number => number,
        }
    }
}

/// The setting `workers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerCount {
    /// As many as the machine gives.
    Auto,
    /// This many: 1 to 512.
    Exactly(u16),
}

impl Value for WorkerCount {
    fn expects() -> String {
        format!("\"auto\" or a whole number of 1 to {MOST_WORKERS}")
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) if (1..=MOST_WORKERS).contains(&count) => Ok(Self::Exactly(count)),
            Err(_) if text == "auto" => Ok(Self::Auto),
            _ => Err(mismatch::<Self>(text)),
        }
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Auto => quote("auto"),
            Self::Exactly(count) => count.to_string(),
        }
    }
}

/// The setting `surge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surge {
    /// This many workers.
    Number(u16),
    /// This part of `workers`, rounded up.
    Percent(u16),
}

impl Surge {
    /// How many workers that is, at least 1.
    pub(crate) fn of(self, workers: u16) -> u16 {
        let number = match self {
            Self::Number(number) => u32::from(number),
            Self::Percent(percent) => (u32::from(workers) * u32::from(percent)).div_ceil(100),
        };
        u16::try_from(number).unwrap_or(MOST_WORKERS).clamp(1, MOST_WORKERS)
    }
}

impl Value for Surge {
    fn expects() -> String {
        format!("a whole number of 1 to {MOST_WORKERS}, or \"1%\" to \"100%\"")
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let (digits, made, most): (_, fn(u16) -> Self, _) = match text.strip_suffix('%') {
            Some(digits) => (digits, Self::Percent, 100),
            None => (text, Self::Number, MOST_WORKERS),
        };
        match digits.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(made(number)),
            _ => Err(mismatch::<Self>(text)),
        }
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Percent(percent) => quote(&format!("{percent}%")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surge_is_never_nothing() {
        assert_eq!(Surge::Percent(25).of(8), 2);
        assert_eq!(Surge::Percent(1).of(8), 1);
        assert_eq!(Surge::Number(3).of(1), 3);
        assert!(Surge::from_text("0").is_err() && Surge::from_text("101%").is_err());
    }
}
