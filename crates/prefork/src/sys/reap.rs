//! wait4(2), which tells what a child has used beside how it ended.

use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::libc::{self, rusage};

use crate::ids::{MemorySize, Pid};

/// A child that is no more.
#[derive(Debug)]
pub(crate) struct Reaped {
    pub(crate) pid: Pid,
    pub(crate) status: ExitStatus,
    /// The most that it ever had in memory, or the largest child that it has waited for (getrusage(2), ru_maxrss).
    pub(crate) peak_rss: MemorySize,
}

/// Takes leave of one child that has ended; `None` if there is none.
pub(crate) fn reap() -> Option<Reaped> {
    let mut status = 0;
    let mut usage = MaybeUninit::<rusage>::zeroed();
    // SAFETY: both places are of the types that wait4(2) writes, and live as long as the call.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
    if pid <= 0 {
        return None; // 0: nobody has ended; ECHILD: there is nobody
    }
    // SAFETY: numbers, for which zeroes are as good as what wait4(2) has written over them.
    let peak_rss = MemorySize::from_kibibytes(unsafe { usage.assume_init() }.ru_maxrss);
    Some(Reaped { pid: Pid(pid), status: ExitStatus::from_raw(status), peak_rss })
}
