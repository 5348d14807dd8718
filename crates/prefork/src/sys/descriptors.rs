//! Descriptors that came with the process, known by their numbers.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Takes a descriptor that whoever started this process left open, and keeps it from programs that this one executes. `None` if it
/// is not open, was taken before, or is this process's own: all that is opened here is closed on exec, and what came over one
/// cannot be.
pub(crate) fn take(number: RawFd) -> Option<OwnedFd> {
    if number < 0 {
        return None;
    }
    // SAFETY: only borrowed to ask for its flags and to change them, which fcntl(2) answers for any number.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(borrowed).ok()?;
    if flags.contains(FdFlags::CLOEXEC) {
        return None;
    }
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC).ok()?;
    // SAFETY: it is open, and nothing in this process owns it: it is as whoever started us left it (see above).
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
