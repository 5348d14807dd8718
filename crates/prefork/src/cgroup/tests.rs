use tempfile::TempDir;

use super::*;

/// What a process of some machine sees: its `/proc/self/cgroup`, its `/proc/self/mountinfo` and files.
fn machine(cgroup: &str, mountinfo: &str, files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    let fixed = [("proc/self/cgroup", cgroup), ("proc/self/mountinfo", mountinfo)];
    for (path, text) in fixed.iter().chain(files) {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

/// Limit and count that are found there.
fn found(cgroup: &str, mountinfo: &str, files: &[(&str, &str)]) -> (Option<u64>, Option<u64>) {
    let root = machine(cgroup, mountinfo, files);
    let group = MemoryGroup::find(root.path());
    (group.limit(), group.oom_kills())
}

const V2: &str = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
    32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
    35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 master:2 - cgroup cgroup rw,memory\n";
const NONE_V1: &str = "9223372036854771712\n";

#[test]
fn in_version_2_the_least_of_all_ancestors_limits() {
    let files = [
        ("sys/fs/cgroup/a.slice/memory.max", "268435456\n"),
        ("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n"),
        ("sys/fs/cgroup/a.slice/b.service/memory.events.local", "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\n"),
        ("sys/fs/cgroup/a.slice/b.service/memory.events", "oom_kill 7\n"),
        ("sys/fs/cgroup/z.slice/memory.max", "1\n"),
    ];
    assert_eq!(found("0::/a.slice/b.service\n", V2, &files), (Some(268_435_456), Some(3)));
    let before_5_2 = [files[3]];
    assert_eq!(found("0::/a.slice/b.service\n", V2, &before_5_2), (None, Some(7)));
}

#[test]
fn in_version_1_the_memory_hierarchy_counts_and_the_huge_number_is_none() {
    let cgroup = "7:blkio:/other\n4:cpuset,memory:/a/b:c\n1:name=systemd:/x\n";
    let limits = |a, b| {
        [
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", NONE_V1),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", a),
            ("sys/fs/cgroup/memory/a/b:c/memory.limit_in_bytes", b),
            (
                "sys/fs/cgroup/memory/a/b:c/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
            ),
        ]
    };
    assert_eq!(found(cgroup, V1, &limits(NONE_V1, NONE_V1)), (None, Some(5)));
    assert_eq!(found(cgroup, V1, &limits(NONE_V1, "4096\n")), (Some(4096), Some(5)));
    assert_eq!(found(cgroup, V1, &limits("4096\n", "8192\n")), (Some(4096), Some(5)));
}

#[test]
fn in_a_hybrid_the_version_that_has_the_memory_controller_counts() {
    let mounts = format!("{V1}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    let files = [
        ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "4096"),
        ("sys/fs/cgroup/unified/u/memory.max", "1024"),
    ];
    assert_eq!(found("4:memory:/a\n0::/u\n", &mounts, &files), (Some(4096), None));
    assert_eq!(found("7:pids:/a\n0::/u\n", &mounts, &files), (Some(1024), None));
}

#[test]
fn a_subtree_that_is_mounted_by_itself_is_seen_as_far_as_it_goes() {
    let part = |root: &str, point: &str| format!("30 20 0:26 {root} {point} rw - cgroup2 cgroup2 rw\n");
    let files = [
        ("sys/fs/cgroup/memory.max", "4096"),
        ("sys/fs/cgroup/inner/memory.max", "8192"),
        ("sys/fs/cgroup/docker/memory.max", "1"),
        ("whole tree/docker/memory.max", "2048"),
        ("whole tree/docker/abc/inner/memory.events", "oom_kill 2"),
    ];
    let group = "0::/docker/abc/inner\n";
    let partial = part("/docker/abc", "/sys/fs/cgroup");
    assert_eq!(found(group, &partial, &files), (Some(4096), None));
    let both = partial + &part("/", "/whole\\040tree");
    assert_eq!(found(group, &both, &files), (Some(2048), Some(2)));
    assert_eq!(found(group, &part("/docker/another", "/sys/fs/cgroup"), &files), (None, None));
}

#[test]
fn of_groups_above_the_namespace_only_what_is_seen_counts() {
    let mount = |root: &str| format!("30 20 0:26 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    let files = [
        ("sys/fs/cgroup/memory.max", "4096"),
        ("sys/fs/cgroup/memory.events", "oom_kill 2"),
        ("sys/fs/cgroup/a/memory.max", "1024"),
        ("sys/fs/memory.max", "1"),
    ];
    for (group, root, seen) in [
        ("/", "/", (Some(4096), Some(2))),
        ("/../..", "/../..", (Some(4096), Some(2))),
        ("/../a", "/..", (Some(1024), None)),
        ("/", "/..", (Some(4096), None)), // the mount's root is above, the names between are not told
        ("/..", "/../..", (Some(4096), None)), // the same
        ("/../..", "/..", (None, None)),  // the group is above the mount
        ("/../..", "/", (None, None)),
        ("/", "/../a", (None, None)), // the mount is of a group beside it
    ] {
        assert_eq!(found(&format!("0::{group}\n"), &mount(root), &files), seen, "{group} in {root}");
    }
}

#[test]
fn what_cannot_be_found_or_read_is_no_limit() {
    assert_eq!(found("", "", &[]), (None, None));
    assert_eq!(found("0::/a\n", "", &[]), (None, None));
    assert_eq!(found("nonsense\n0\n::\n", "nonsense - \n1 2 3 - x\n", &[]), (None, None));
    assert_eq!(found("0::/gone\n", V2, &[("sys/fs/cgroup/memory.max", "4096")]), (Some(4096), None));
    assert_eq!(found("0::/\n", V2, &[("sys/fs/cgroup/memory.max", "many")]), (None, None));
    assert_eq!(MemoryGroup::find(Path::new("/no/such/place")), MemoryGroup::default());
}

#[test]
fn escapes_in_mount_points_are_undone() {
    assert_eq!(unescape(r"/a\040b\134c\011"), Path::new("/a b\\c\t"));
    assert_eq!(unescape(r"/a\04"), Path::new(r"/a\04"));
    assert_eq!(unescape(r"\"), Path::new(r"\"));
}
