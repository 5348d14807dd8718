//! Signal dispositions.

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Gives a signal its default meaning, whatever the process was started with: nohup(1) and shells start programs with
/// some signals ignored, and those would never reach a signalfd; with SIGCHLD ignored, no child could be waited for.
///
/// # Errors
/// EINVAL for a signal that cannot be set (signal(2)).
pub(crate) fn restore(number: Signal) -> Result<(), Errno> {
    // SAFETY: SIG_DFL runs no code of ours.
    unsafe { signal(number, SigHandler::SigDfl) }.map(drop)
}

/// Makes this process deaf to a signal.
///
/// # Errors
/// EINVAL for a signal that cannot be ignored (signal(2)).
pub(crate) fn ignore(number: Signal) -> Result<(), Errno> {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { signal(number, SigHandler::SigIgn) }.map(drop)
}
