//! Descriptors that came with the process, known by their numbers.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The numbers that were taken: each can be owned once.
static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Takes a descriptor that whoever started this process left open, and keeps it from programs that this one executes. `None` if it
/// is not open, or was taken before.
///
/// Only to be called with numbers that the environment or the configuration names as handed over, and not ones that this
/// process opened itself: those have an owner.
pub(crate) fn take(number: RawFd) -> Option<OwnedFd> {
    let mut taken = TAKEN.lock().ok()?;
    if number < 0 || taken.contains(&number) {
        return None;
    }
    // SAFETY: only borrowed to ask whether it is open, which fcntl(2) answers for any number.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(borrowed).ok()?;
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC).ok()?;
    taken.push(number);
    // SAFETY: it is open, and as whoever started us left it, nothing in this process owns it (see above).
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether a descriptor survives the next exec under its number.
///
/// # Errors
/// What fcntl(2) says.
pub(crate) fn set_close_on_exec(descriptor: impl AsFd, close: bool) -> std::io::Result<()> {
    let mut flags = fcntl_getfd(&descriptor)?;
    flags.set(FdFlags::CLOEXEC, close);
    Ok(fcntl_setfd(&descriptor, flags)?)
}

/// Lets the next exec close everything but the three standard streams: also what whoever started this process has left open,
/// knowingly or not.
///
/// Where the kernel is older than 5.11 (close_range(2), CLOSE_RANGE_CLOEXEC), only what this process has opened is closed, as
/// each of its descriptors says so itself.
pub(crate) fn keep_standard_streams_only() {
    // SAFETY: it closes nothing before an exec, after which no owner is left.
    unsafe { nix::libc::syscall(nix::libc::SYS_close_range, 3, u32::MAX, nix::libc::CLOSE_RANGE_CLOEXEC) };
}
