//! Waiting for conditions, and saying where there is nothing to wait for.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a condition may take before a test gives up on it: far longer than anything takes, as machines that run
/// tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Says aloud, past the capture of tests' output, that a test cannot be made on this machine.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Waits until `condition` gives a value; `None` if it does not within [`PATIENCE`].
pub fn until<T>(condition: impl FnMut() -> Option<T>) -> Option<T> {
    within(PATIENCE, condition)
}

/// Waits until `condition` gives a value, for so long at most.
pub fn within<T>(patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        sleep(Duration::from_millis(2));
    }
}
