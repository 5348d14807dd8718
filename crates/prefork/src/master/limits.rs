//! What the kernel lets the master have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of descriptors as far as it goes (RLIMIT_NOFILE, getrlimit(2)): the master holds two for each worker, and
/// the usual 1024 are too few for the most that there can be.
pub(super) fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(errno) = raised {
        tracing::warn!("the limit of descriptors cannot be raised: {errno}");
    }
}
