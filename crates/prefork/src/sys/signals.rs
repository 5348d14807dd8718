//! Signal dispositions.

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Makes this process deaf to a signal.
///
/// # Errors
/// EINVAL for a signal that cannot be ignored (signal(2)).
pub(crate) fn ignore(number: Signal) -> Result<(), Errno> {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { signal(number, SigHandler::SigIgn) }.map(drop)
}
