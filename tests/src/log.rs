//! What the program's own lines tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The first address that the master says it listens at.
pub(crate) fn listening_at(said: &str) -> Option<SocketAddr> {
    let (_, rest) = said.split_once("listening at http://")?;
    rest.split_once(' ')?.0.parse().ok()
}

/// The process ids of all workers that there have ever been.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Workers {
    /// Those that were forked.
    pub(crate) booted: BTreeSet<i32>,
    /// Those of them that have said that they can serve.
    pub(crate) ready: BTreeSet<i32>,
}

impl Workers {
    /// Reads the master's lines: they name a worker's process id when it boots, and only its slot, in which others lived
    /// before it, when it is ready.
    pub(crate) fn told_in(said: &str) -> Self {
        let mut tenants = BTreeMap::new();
        let mut workers = Self::default();
        for (_, told) in said.lines().filter_map(|line| line.split_once("[INFO] worker ")) {
            match told.split([' ', ',']).filter(|word| !word.is_empty()).collect::<Vec<_>>()[..] {
                [slot, "booting", "pid", pid, ..] => {
                    let pid = pid.parse().unwrap_or_default();
                    tenants.insert(slot, pid);
                    workers.booted.insert(pid);
                }
                [slot, "ready", ..] => workers.ready.extend(tenants.get(slot)),
                _ => {}
            }
        }
        workers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_belongs_to_the_latest_worker_in_its_slot() {
        let said = "\
            [7] [INFO] listening at http://127.0.0.1:80 (pid 7)\n\
            [7] [INFO] worker 0 booting, pid 11, generation 1\n\
            [7] [INFO] worker 1 booting, pid 12, generation 1\n\
            [7] [INFO] worker 0 ready after 1 ms, generation 1\n\
            [7] [INFO] worker 1 booting, pid 13, generation 1\n\
            [7] [INFO] worker 1 ready after 1 ms, generation 1\n";
        assert_eq!(listening_at(said), Some(([127, 0, 0, 1], 80).into()));
        let workers = Workers { booted: [11, 12, 13].into(), ready: [11, 13].into() };
        assert_eq!(Workers::told_in(said), workers);
    }
}
