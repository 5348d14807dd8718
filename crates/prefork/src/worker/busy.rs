//! Whether any request runs, as the worker's title shows it.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::title::BusyMark;

/// Counts the requests that have their turn.
pub(super) struct Busy {
    running: AtomicUsize,
    mark: BusyMark,
}

/// One of them, until it is dropped.
pub(super) struct Running<'a>(&'a Busy);

impl Busy {
    pub(super) fn new(mark: BusyMark) -> Self {
        Self { running: AtomicUsize::new(0), mark }
    }

    /// A request's turn begins. The event loop's thread alone may call this, and drop what it gives.
    pub(super) fn begin(&self) -> Running<'_> {
        if self.running.fetch_add(1, Ordering::Relaxed) == 0 {
            self.mark.set(true);
        }
        Running(self)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.mark.set(false);
        }
    }
}
