//! A memory cgroup of a test's own (cgroups(7)).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::wait::until;

/// Where groups can be made, the file with their limit, and the one that keeps them from going on in swap space, which not
/// every kernel has: in version 1, and in version 2.
const HIERARCHIES: [(&str, &str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    ("/sys/fs/cgroup", "memory.max", "memory.swap.max"),
];

/// A group with a memory limit, which goes when it is dropped and the last process has left it.
#[derive(Debug)]
pub struct MemoryCgroup {
    directory: PathBuf,
    limit_file: &'static str,
}

impl MemoryCgroup {
    /// Makes a group whose processes may use so many MiB together; `None` where that is forbidden or cannot be.
    pub fn new(mebibytes: u64) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("devsim-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        HIERARCHIES.into_iter().find_map(|(parent, limit_file, swap_file)| {
            let directory = Path::new(parent).join(&name);
            fs::create_dir(&directory).ok()?;
            let group = Self { directory, limit_file };
            group.limit(mebibytes).ok()?;
            let swap = if limit_file == "memory.max" { 0 } else { mebibytes << 20 };
            let _ = group.write(swap_file, swap);
            Some(group)
        })
    }

    /// Gives it another limit.
    pub fn limit(&self, mebibytes: u64) -> io::Result<()> {
        self.write(self.limit_file, mebibytes << 20)
    }

    /// A command that starts a program inside.
    pub fn command(&self) -> [String; 4] {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.directory.display());
        ["sh".into(), "-c".into(), enter, "sh".into()]
    }

    /// Writes to a file that the kernel has made, and makes none.
    fn write(&self, file: &str, number: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.directory.join(file))?;
        file.write_all(number.to_string().as_bytes())
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // EBUSY while a process that has ended is still there.
        if until(|| fs::remove_dir(&self.directory).ok()).is_none() {
            eprintln!("{} could not be removed", self.directory.display());
        }
    }
}
