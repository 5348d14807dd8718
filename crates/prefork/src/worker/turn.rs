//! Whose turn it is.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::settings::{WorkerClass, Workers};

/// The right to run the application: one at a time in the class "sync", `worker_connections` in "async". Whoever waits
/// is served in the order of arrival.
pub(super) struct Turn {
    permits: Semaphore,
    single: bool,
}

impl Turn {
    pub(super) fn new(workers: &Workers) -> Self {
        let (permits, single) = match workers.worker_class {
            WorkerClass::Sync => (1, true),
            WorkerClass::Async => (workers.worker_connections.max(1) as usize, false),
        };
        Self { permits: Semaphore::new(permits), single }
    }

    /// Whether there is only one turn, so that its age is the worker's.
    pub(super) fn is_single(&self) -> bool {
        self.single
    }

    /// Waits for a turn, which ends when the permit is dropped.
    pub(super) async fn take(&self) -> SemaphorePermit<'_> {
        self.permits.acquire().await.expect("the semaphore is never closed")
    }
}
