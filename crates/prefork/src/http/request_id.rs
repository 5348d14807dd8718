//! Numbers of requests, by which a client's report finds the line in the log.

use std::sync::atomic::{AtomicU64, Ordering};

/// Gives every request a number that no other worker's request has.
pub(crate) struct RequestIds {
    seed: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> u64 {
        self.seed.wrapping_add(self.count.fetch_add(1, Ordering::Relaxed))
    }
}
