//! The memory cgroup of this process, in either version of cgroups (cgroups(7)).
//!
//! Nothing here fails: what cannot be found or read is no limit and no count.

#[cfg(test)]
mod tests;

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Version 1 says that there is no limit by the largest signed number, rounded down to pages.
const UNLIMITED: u64 = 1 << 62;

/// Where the memory of this process is counted and limited.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct MemoryGroup {
    version: Version,
    /// The process's own group, unless it lies where we cannot see it.
    own: Option<PathBuf>,
    /// Every group that limits it, as far as they can be seen: its own and those above it.
    limiting: Vec<PathBuf>,
}

/// The hierarchy that the memory controller belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Version {
    /// One hierarchy per controller (Documentation/admin-guide/cgroup-v1/memory.rst).
    V1,
    /// One for all (Documentation/admin-guide/cgroup-v2.rst).
    #[default]
    V2,
}

impl Version {
    fn limit_file(self) -> &'static str {
        match self {
            Self::V1 => "memory.limit_in_bytes",
            Self::V2 => "memory.max",
        }
    }

    /// The files that may have a line `oom_kill`. In version 2, that of the group alone is of Linux 5.2.
    fn events_files(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &["memory.oom_control"],
            Self::V2 => &["memory.events.local", "memory.events"],
        }
    }

    fn is_mounted_by(self, mount: &Mount<'_>) -> bool {
        match self {
            Self::V1 => mount.kind == "cgroup" && mount.options.split(',').any(|option| option == "memory"),
            Self::V2 => mount.kind == "cgroup2",
        }
    }
}

impl MemoryGroup {
    /// Finds it below a root directory, which is `/` for all but tests.
    pub(crate) fn find(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let Some((version, group)) = membership(&read("proc/self/cgroup")) else { return Self::default() };
        let mounts = read("proc/self/mountinfo");
        let mounts = mounts.lines().filter_map(Mount::parse).filter(|mount| version.is_mounted_by(mount));
        // The same hierarchy may be mounted more than once, and in parts.
        mounts
            .filter_map(|mount| mount.view(version, &group, root))
            .max_by_key(|seen| (seen.own.is_some(), seen.limiting.len()))
            .unwrap_or_default()
    }

    /// Bytes that this process and those that share a group with it may use: the least that any of its groups allows.
    pub(crate) fn limit(&self) -> Option<u64> {
        let limits = self.limiting.iter().filter_map(|group| {
            let text = fs::read_to_string(group.join(self.version.limit_file())).ok()?;
            text.trim().parse().ok() // version 2 says "max" where there is none
        });
        limits.filter(|limit| *limit < UNLIMITED).min()
    }

    /// How many processes of its own group the kernel has ever killed because memory was out.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let own = self.own.as_ref()?;
        let texts = self.version.events_files().iter().map(|file| fs::read_to_string(own.join(file)));
        let text = texts.flatten().next()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
    }
}

/// Which version counts a process's memory, and the path of its group there, from `/proc/pid/cgroup`: lines of
/// `ID:CONTROLLERS:PATH`. A controller belongs to one hierarchy, and what version 1 does not have belongs to version 2, whose
/// line names no controllers.
fn membership(text: &str) -> Option<(Version, PathBuf)> {
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, PathBuf::from(parts.next()?)))
    });
    let (mut v1, mut v2) = (None, None);
    for (controllers, path) in lines {
        if controllers.is_empty() {
            v2 = Some((Version::V2, path));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            v1 = Some((Version::V1, path));
        }
    }
    v1.or(v2)
}

/// A line of `/proc/pid/mountinfo` (proc(5)).
struct Mount<'a> {
    /// The directory of the file system that is mounted.
    root: PathBuf,
    /// Where it is seen.
    point: PathBuf,
    kind: &'a str,
    /// Those of the file system: in version 1, the controllers are among them.
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut file_system = file_system.split(' ');
        Some(Self {
            root: unescape(mount.next()?),
            point: unescape(mount.next()?),
            kind: file_system.next()?,
            options: file_system.nth(1)?,
        })
    }

    /// What is seen here of a group and those above it. Its path and the mount's root are both told from the root of our
    /// cgroup namespace, above which names are not told: `..` stands for each (cgroup_namespaces(7)).
    fn view(&self, version: Version, group: &Path, root: &Path) -> Option<MemoryGroup> {
        let point = root.join(self.point.strip_prefix("/").unwrap_or(&self.point));
        let inside = group.strip_prefix(&self.root).ok().filter(|path| steps_up(path) == 0);
        if let Some(path) = inside {
            let own = point.join(path);
            let limiting = own.ancestors().take_while(|group| group.starts_with(&point)).map(Path::to_owned);
            return Some(MemoryGroup { version, limiting: limiting.collect(), own: Some(own) });
        }
        // The mount's root may be above the group nevertheless, with nobody to tell the names between.
        let only_up = self.root.components().skip(1).all(|step| step == Component::ParentDir);
        let above = only_up && steps_up(&self.root) > steps_up(group);
        above.then(|| MemoryGroup { version, own: None, limiting: vec![point] })
    }
}

fn steps_up(path: &Path) -> usize {
    path.components().filter(|step| *step == Component::ParentDir).count()
}

/// Blanks, tabs, line ends and backslashes are written as three octal digits after a backslash.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..3).filter(|_| *first == b'\\');
        let code = escaped.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = code.and_then(|_| after.get(3..)).unwrap_or(after);
    }
    std::ffi::OsString::from_vec(bytes).into()
}
