//! What the kernel lets the master have.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

use crate::arbiter::Policy;

/// Descriptors beside those for workers: logs, listeners, control connections, what a fork opens for a moment.
const OTHERS: rlim_t = 100;
/// Descriptors for each worker: its pipe, and its pidfd.
const PER_WORKER: rlim_t = 2;

/// Raises the limit of descriptors as far as it goes (RLIMIT_NOFILE, getrlimit(2)), and says so where the pool may need more.
pub(super) fn raise(policy: &Policy) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < hard
        && let Err(errno) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!("the limit of {soft} descriptors cannot be raised to {hard}: {errno}");
    }
    let workers: rlim_t =
        [policy.workers, policy.surge, policy.max_draining].into_iter().map(rlim_t::from).sum();
    let needed = workers * PER_WORKER + OTHERS;
    if hard < needed {
        tracing::warn!(
            "the limit of {hard} descriptors (RLIMIT_NOFILE, ulimit -Hn) may be too low for {} workers; give {needed}",
            policy.workers
        );
    }
}
