//! Which SIGKILL was the kernel's, as memory was out.

use std::time::Duration;

use crate::cgroup::MemoryGroup;
use crate::ids::Moment;

/// How long after a kill was counted a death may be the one. A process that the kernel kills for its memory is soon gone; a
/// kill that nobody's death explains was of another process in the group, one that a worker has started for instance.
const CLAIMED_WITHIN: Duration = Duration::from_secs(10);

/// The kernel's kills in our cgroup, and those of them that no worker's death was put down to. The kernel counts before it
/// kills (`__oom_kill_process` in mm/oom_kill.c), so whoever hears of a death finds it counted.
#[derive(Debug)]
pub(super) struct OomKills {
    group: MemoryGroup,
    counted: u64,
    unclaimed: u64,
    /// When the count was last seen to rise.
    risen: Moment,
}

impl OomKills {
    /// What was counted before does not concern us.
    pub(super) fn new(group: MemoryGroup) -> Self {
        let counted = group.oom_kills().unwrap_or_default();
        Self { group, counted, unclaimed: 0, risen: Moment::default() }
    }

    /// Reads the count. It is to be read from time to time, so that an old kill is not taken for the cause of a later death.
    pub(super) fn look(&mut self, now: Moment) {
        if now.since(self.risen) > CLAIMED_WITHIN {
            self.unclaimed = 0;
        }
        let Some(count) = self.group.oom_kills() else { return };
        let more = count.saturating_sub(self.counted);
        self.counted = count;
        if more > 0 {
            self.unclaimed += more;
            self.risen = now;
        }
    }

    /// Whether a SIGKILL that the master did not send was the kernel's; each kill explains one death.
    pub(super) fn claim(&mut self, now: Moment) -> bool {
        self.look(now);
        let claimed = self.unclaimed > 0;
        self.unclaimed -= u64::from(claimed);
        claimed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn each_kill_explains_one_death_and_an_old_one_none() {
        let root = TempDir::new().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let count = |kills: u32| write("cgroup/memory.events.local", &format!("oom 9\noom_kill {kills}\n"));
        write("proc/self/cgroup", "0::/\n");
        write("proc/self/mountinfo", "30 20 0:26 / /cgroup rw - cgroup2 cgroup2 rw\n");
        count(5);
        let mut kills = OomKills::new(MemoryGroup::find(root.path()));
        let start = Moment::from_origin(Duration::from_secs(100));
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!kills.claim(start), "these were before us");
        count(7);
        assert_eq!([kills.claim(start), kills.claim(start), kills.claim(start)], [true, true, false]);
        count(8);
        kills.look(after(1));
        assert!(kills.claim(after(9)), "it may have taken its time");
        count(9);
        kills.look(after(20));
        assert!(!kills.claim(after(40)), "that was somebody else");
        fs::remove_dir_all(root.path().join("cgroup")).unwrap();
        assert!(!kills.claim(after(41)));
    }
}
