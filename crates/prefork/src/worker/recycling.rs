//! A worker's count of requests towards its own replacement.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::arbiter::Wish;

use super::pipe::{MasterPipe, Message};

/// Counts requests towards `max_requests`.
pub(super) struct Recycling {
    pipe: Arc<MasterPipe>,
    quota: Option<u64>,
    begun: AtomicU64,
}

impl Recycling {
    /// With a quota of `most` and up to `jitter` more, drawn by `random`; 0 means none.
    pub(super) fn new(pipe: Arc<MasterPipe>, most: u64, jitter: u64, random: u64) -> Self {
        let extra = jitter.checked_add(1).map_or(random, |range| random % range);
        let quota = (most > 0).then(|| most.saturating_add(extra));
        Self { pipe, quota, begun: AtomicU64::new(0) }
    }

    /// A request has its turn, however it ends; at the quota, the worker asks for its replacement and serves on until it is there.
    pub(super) fn count(&self) {
        if Some(self.begun.fetch_add(1, Ordering::Relaxed) + 1) == self.quota {
            self.pipe.send(Message::Retire(Wish::MaxRequests));
        }
    }
}
