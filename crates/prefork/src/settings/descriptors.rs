//! How many descriptors the settings need.

use super::{Settings, WorkerClass};

/// What a worker holds beside its connections: logs, pipes, listeners, its event loop.
const OVERHEAD: u64 = 64;
/// What a sync worker may want for its connections, of which most wait, and all else.
const FOR_SYNC: u64 = 1024;

impl Settings {
    /// What is to be said where a process may have no more descriptors than `most` (RLIMIT_NOFILE, getrlimit(2)).
    pub(crate) fn shortage_of_descriptors(&self, most: u64) -> Option<String> {
        let connections = u64::from(self.workers.worker_connections);
        let (needed, advice) = match self.workers.worker_class {
            WorkerClass::Sync => (FOR_SYNC, ""),
            WorkerClass::Async => (connections + OVERHEAD, ", or lower server.worker_connections"),
        };
        (most < needed).then(|| {
            format!(
                "the hard limit of descriptors is {most}, and a worker may need {needed}: connections will wait when they are out; \
                 raise it (LimitNOFILE= of systemd, ulimit -Hn){advice}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Workers;

    #[test]
    fn each_class_needs_its_own_number() {
        for (worker_class, needed) in [(WorkerClass::Sync, 1024), (WorkerClass::Async, 564)] {
            let workers = Workers { worker_class, worker_connections: 500, ..Workers::default() };
            let settings = Settings { workers, ..Settings::default() };
            assert_eq!(settings.shortage_of_descriptors(needed), None);
            let told = settings.shortage_of_descriptors(needed - 1).expect("one is missing");
            for number in [needed, needed - 1] {
                assert!(told.contains(&number.to_string()), "{told}");
            }
        }
    }
}
