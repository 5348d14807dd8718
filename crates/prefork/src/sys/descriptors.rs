//! Descriptors that came with the process, known by their numbers.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;
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

/// Keeps all descriptors but the three standard ones from the program that this process executes next, whoever opened them
/// (close_range(2); the flag is of Linux 5.11).
///
/// # Errors
/// The kernel is older, and `/proc` cannot tell which there are.
pub(crate) fn close_all_on_exec() -> std::io::Result<()> {
    let flag = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: no descriptor is closed before the exec, and nothing else is changed of one.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, flag) } == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/self/fd")?.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if number > 2 {
            // SAFETY: only borrowed to change its flag, which fcntl(2) does or refuses for any number.
            let _ = set_close_on_exec(unsafe { BorrowedFd::borrow_raw(number) }, true);
        }
    }
    Ok(())
}
