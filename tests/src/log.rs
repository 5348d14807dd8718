//! What the program's own lines tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::server::Server;

impl Server {
    /// Where a file of its log directory is, which has to be `logs`.
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.path().join("logs").join(name)
    }

    /// What stands in a file of its log directory.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.log_path(name)).unwrap_or_default()
    }

    /// What stands in the access log.
    pub fn access_log(&self) -> String {
        self.log("gunicorn_access.log")
    }

    /// The line of the access log with all of these words: it may be written a moment after its answer has arrived.
    pub fn wait_for_access(&self, words: &[&str]) -> String {
        self.wait_for(&format!("a line of the access log with {words:?}"), |server| {
            let text = server.access_log();
            text.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        })
    }
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
    /// Reads the lines of masters: they name a worker's process id when it boots, and only its slot, in which others lived
    /// before it, when it is ready. What stands before them tells one master from another.
    pub(crate) fn told_in(said: &str) -> Self {
        let mut tenants = BTreeMap::new();
        let mut workers = Self::default();
        for (before, told) in said.lines().filter_map(|line| line.split_once("[INFO] worker ")) {
            let master = before.trim_end().rsplit(' ').next();
            match told.split([' ', ',']).filter(|word| !word.is_empty()).collect::<Vec<_>>()[..] {
                [slot, "booting", "pid", pid, ..] => {
                    let pid = pid.parse().unwrap_or_default();
                    tenants.insert((master, slot), pid);
                    workers.booted.insert(pid);
                }
                [slot, "ready", ..] => workers.ready.extend(tenants.get(&(master, slot))),
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
            [7] [INFO] worker 0 booting, pid 11, generation 1\n\
            [7] [INFO] worker 1 booting, pid 12, generation 1\n\
            [7] [INFO] worker 0 ready after 1 ms, generation 1\n\
            [7] [INFO] worker 1 booting, pid 13, generation 1\n\
            [8] [INFO] worker 0 booting, pid 14, generation 1\n\
            [7] [INFO] worker 1 ready after 1 ms, generation 1\n";
        let workers = Workers { booted: [11, 12, 13, 14].into(), ready: [11, 13].into() };
        assert_eq!(Workers::told_in(said), workers);
    }
}
