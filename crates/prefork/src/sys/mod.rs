//! The only unsafe code: what the operating system offers without a safe face.
#![allow(unsafe_code, reason = "this folder exists to hold it; each block says why it is sound")]

pub(crate) mod descriptors;
pub(crate) mod environment;
pub(crate) mod fork;
pub(crate) mod mapping;
pub(crate) mod reap;
pub(crate) mod signals;
pub(crate) mod sockets;
pub(crate) mod stack;
pub(crate) mod title;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::ids::Moment;

/// What the monotonic clock says.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    // CLOCK_MONOTONIC is never negative (clock_gettime(2)).
    Moment::from_origin(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32))
}

/// How many threads this process has; `None` where `/proc` cannot tell.
pub(crate) fn thread_count() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
