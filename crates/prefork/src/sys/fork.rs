//! fork(2) with a child that cannot come back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::ForkResult;

use crate::ids::Pid;

/// The status of a child whose code panicked outside of any handler.
pub(crate) const EXIT_PANIC: i32 = 101;

/// Forks. The child runs `child` with every signal blocked, and ends with the status that it returns: control never
/// comes back into the parent's code there, so no destructor of the parent's runs twice.
///
/// The caller sees to it that the process has one thread: a lock held by another would stay locked in the child.
///
/// # Errors
/// What fork(2) says: EAGAIN (RLIMIT_NPROC, the cgroup's pids.max), ENOMEM.
pub(crate) fn fork(child: impl FnOnce() -> i32) -> Result<Pid, Errno> {
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: the process has one thread (`Server::run` refuses to start otherwise, and the master makes none), so the
    // child may allocate and lock like its parent.
    let forked = unsafe { nix::unistd::fork() };
    match forked {
        Ok(ForkResult::Child) => {
            let status = catch_unwind(AssertUnwindSafe(child)).unwrap_or(EXIT_PANIC);
            exit_now(status)
        }
        Ok(ForkResult::Parent { child }) => {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
            Ok(Pid(child.as_raw()))
        }
        Err(errno) => {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
            Err(errno)
        }
    }
}

/// Ends this process without running what its parent registered with atexit(3).
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) has no precondition.
    unsafe { nix::libc::_exit(status) }
}
