//! As whom the processes run, whose their files are, and where they work.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use kit::{Connection, Place, Server, Signal, children, skipped, status};
use tempfile::TempDir;

const NOBODY: u32 = 65534;
const ONE: &str = "[server]\nworkers = 1\nrequest_buffer_dir = \"/var/tmp\"\n";

/// A directory that everybody may use.
fn open_folder() -> TempDir {
    let folder = TempDir::with_prefix("devsim-identity-").expect("a temporary directory can be made");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("its mode can be set");
    folder
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skipped("only root can become somebody else");
    }
    is_root
}

fn owner(path: &Path) -> (u32, u32) {
    let found = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (found.uid(), found.gid())
}

#[test]
fn workers_become_the_user_and_the_group_with_no_way_back_and_the_master_stays() {
    if !is_root() {
        return;
    }
    let (nobody, four) = (NOBODY.to_string(), |id: &str| vec![id.to_owned(); 4]);
    for (keys, uid, gid, groups) in [
        ("user = \"nobody\"\n", nobody.as_str(), nobody.as_str(), vec![nobody.as_str()]),
        ("user = 65534\ngroup = 1\n", &nobody, "1", vec!["1"]),
        ("user = \"nobody\"\ngroup = \"daemon\"\n", &nobody, "1", vec!["1"]),
        ("user = \"nobody\"\ninitgroups = true\n", &nobody, &nobody, vec![&nobody]),
        ("group = 1\n", "0", "1", vec!["1"]),
    ] {
        // With groups that must not stay.
        let groups_before = ["setpriv", "--groups", "0,4,24"];
        let server = Server::echo(&format!("{ONE}{keys}")).under(groups_before).start();
        let worker = *server.wait_for_workers(1).first().expect("a worker");
        assert_eq!(status(worker, "Uid"), four(uid), "{keys}");
        assert_eq!(status(worker, "Gid"), four(gid), "{keys}");
        assert_eq!(status(worker, "Groups"), groups, "{keys}");
        if uid != "0" {
            for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
                assert_eq!(status(worker, set), ["0000000000000000"], "{keys}{set}");
            }
        }
        assert_eq!(status(server.pid(), "Uid"), four("0"), "{keys}");
        assert_eq!(status(server.pid(), "Gid"), four("0"), "{keys}");
    }
}

#[test]
fn initgroups_gives_workers_all_groups_that_the_user_is_in() {
    if !is_root() {
        return;
    }
    let folder = open_folder();
    let group = folder.path().join("group");
    fs::write(
        &group,
        "root:x:0:\nnogroup:x:65534:\none:x:4001:nobody\nother:x:4002:\ntwo:x:4003:root,nobody\n",
    )
    .expect("writable");
    let mount = format!("mount --bind {} /etc/group && exec \"$@\"", group.display());
    let in_namespace = ["unshare", "-m", "sh", "-c", &mount, "sh"];
    let allowed =
        std::process::Command::new("unshare").args(["-m", "sh", "-c", &mount, "sh", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return skipped("a mount namespace of its own is forbidden");
    }
    for (initgroups, groups) in [(true, vec!["4001", "4003", "65534"]), (false, vec!["65534"])] {
        let config = format!("{ONE}user = \"nobody\"\ninitgroups = {initgroups}\n");
        let server = Server::echo(&config).under(in_namespace).start();
        let worker = *server.wait_for_workers(1).first().expect("a worker");
        assert_eq!(status(worker, "Groups"), groups);
    }
}

#[test]
fn a_reload_takes_another_user() {
    if !is_root() {
        return;
    }
    let server = Server::echo(ONE).start();
    let before = server.wait_for_workers(1);
    server.reconfigure(&format!("{ONE}user = \"nobody\"\n"));
    let after = server.wait_for_others(&before, 1);
    assert_eq!(status(*after.first().expect("a worker"), "Uid"), vec!["65534"; 4]);
}

#[test]
fn a_user_that_the_master_may_not_become_ends_the_start_with_1_and_says_so() {
    if !is_root() {
        return;
    }
    let unprivileged = ["setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid"];
    let ended = Server::echo(&format!("{ONE}user = \"nobody\"\n")).under(unprivileged).run_to_its_end();
    // The preparation is the first that would run as that user.
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("cannot leave the other groups"), "{}", ended.said);
}

#[test]
fn the_servers_files_belong_to_the_workers_user() {
    if !is_root() {
        return;
    }
    let keys = "user = \"nobody\"\ngroup = \"daemon\"\npidfile = \"a.pid\"\ncontrol_socket = \"a.ctl\"\n";
    let config = format!("{ONE}{keys}[logging]\ndir = \"logs\"\n");
    let server = Server::echo(&config).flags(["-b", "unix:a.sock"]).start();
    server.wait_for_line(&["control socket at"]);
    for file in ["a.pid", "a.ctl", "a.sock", "logs/gunicorn_error.log", "logs/gunicorn_access.log"] {
        assert_eq!(owner(&server.path().join(file)), (NOBODY, 1), "{file}\n{}", server.said());
    }
    // Also those that are made later.
    let log = server.log_path("gunicorn_error.log");
    fs::rename(&log, server.log_path("moved")).expect("it can be moved");
    server.signal(Signal::USR1);
    server.wait_for("a new log", |_| log.exists().then_some(()));
    server.wait_for("its owner", |_| (owner(&log) == (NOBODY, 1)).then_some(()));
}

#[test]
fn files_get_the_mode_that_umask_leaves() {
    let mode = |path: &Path| fs::metadata(path).map(|found| found.permissions().mode() & 0o777).ok();
    for (umask, pidfile, log) in [("0o077", 0o600, 0o600), ("0", 0o644, 0o666), ("0o027", 0o640, 0o640)] {
        let keys = format!("umask = \"{umask}\"\npidfile = \"a.pid\"\n[logging]\ndir = \"logs\"\n");
        let server = Server::echo(&format!("{ONE}{keys}")).start();
        assert_eq!(mode(&server.path().join("a.pid")), Some(pidfile), "umask {umask}");
        let found = mode(&server.log_path("gunicorn_error.log")).expect("it is there");
        assert_eq!(found & !log, 0, "umask {umask}: {found:o}");
        let worker = *server.wait_for_workers(1).first().expect("a worker");
        assert_eq!(status(worker, "Umask"), status(server.pid(), "Umask"));
    }
}

#[test]
fn a_reload_takes_directory_and_umask_back() {
    let ground = |pid: i32| (status(pid, "Umask"), fs::read_link(format!("/proc/{pid}/cwd")).ok());
    let server = Server::echo(ONE).start();
    let before = ground(server.pid());
    fs::create_dir(server.path().join("elsewhere")).expect("a directory can be made");
    let elsewhere = server.path().join("elsewhere");
    for (keys, expected) in [
        ("chdir = \"elsewhere\"\numask = \"0o027\"\n", (vec!["0027".to_owned()], Some(elsewhere))),
        ("", before),
    ] {
        let workers = server.wait_for_workers(1);
        server.reconfigure(&format!("{ONE}{keys}"));
        let now = server.wait_for_others(&workers, 1);
        server.wait_for("its ground", |server| (ground(server.pid()) == expected).then_some(()));
        let worker = *now.first().expect("a worker");
        assert_eq!(ground(worker), expected);
    }
}

#[test]
fn relative_paths_mean_files_below_chdir_and_so_do_the_workers() {
    let folder = open_folder();
    let chdir = folder.path().join("here");
    fs::create_dir(&chdir).expect("a directory can be made");
    let keys = format!("chdir = \"{}\"\npidfile = \"a.pid\"\n[logging]\ndir = \"logs\"\n", chdir.display());
    let server = Server::echo(&format!("{ONE}{keys}")).flags(["-b", "unix:a.sock"]).start();
    for file in ["a.pid", "a.sock", "logs/gunicorn_error.log"] {
        assert!(chdir.join(file).exists(), "{file}");
        assert!(!server.path().join(file).exists(), "{file}");
    }
    for pid in children(server.pid()).into_iter().chain([server.pid()]) {
        assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).ok().as_ref(), Some(&chdir));
    }
}

#[test]
fn a_directory_to_work_in_that_is_not_there_is_named_and_ends_with_1() {
    let folder = open_folder();
    fs::write(folder.path().join("file"), "").expect("writable");
    for name in ["no/such", "file"] {
        let path = folder.path().join(name).display().to_string();
        let ended = Server::echo(ONE).flags(["--chdir", &path]).run_to_its_end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        for word in ["server.chdir", &path] {
            assert!(ended.said.contains(word), "{}", ended.said);
        }
    }
    // At a reload it changes nothing.
    let server = Server::echo(ONE).start();
    let before = server.wait_for_workers(1);
    server.reconfigure(&format!("{ONE}chdir = \"no/such\"\n"));
    server.wait_for_line(&["refused"]);
    server.wait_for_line(&["server.chdir", "no/such"]);
    assert_eq!(server.workers(), before);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_reload_looks_anew_where_a_link_to_work_in_points_to() {
    let folder = open_folder();
    let current = folder.path().join("current");
    let point_to = |release: &str| {
        fs::create_dir(folder.path().join(release)).expect("a directory can be made");
        let _ = fs::remove_file(&current);
        symlink(release, &current).expect("a link can be made");
    };
    point_to("1");
    let keys = format!("chdir = \"{}\"\npidfile = \"a.pid\"\nbind = \"unix:a.sock\"\n", current.display());
    let server = Server::echo(&format!("{ONE}{keys}")).without_bind().start();
    let before = server.wait_for_workers(1);
    point_to("2");
    server.signal(Signal::HUP);
    let after = server.wait_for_others(&before, 1);
    server.wait_for("the new directory's pidfile", |_| current.join("a.pid").exists().then_some(()));
    let two = folder.path().join("2");
    for pid in after.into_iter().chain([server.pid()]) {
        assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).ok().as_ref(), Some(&two));
    }
    server.wait_for("the old one's end", |_| (!folder.path().join("1/a.pid").exists()).then_some(()));
    let there = Place::Unix(current.join("a.sock"));
    server.wait_for("an answer there", |_| {
        let answer = Connection::open(&there).and_then(|mut connection| connection.get("/", ""));
        answer.ok().filter(|answer| answer.status == 200)
    });
    assert!(!folder.path().join("1/a.sock").exists(), "{}", server.said());
}

#[test]
fn a_directory_to_work_in_that_was_renamed_is_the_same_one() {
    let folder = open_folder();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    fs::create_dir(&old).expect("a directory can be made");
    let inside = format!("cd {} && exec \"$@\"", old.display());
    let setup = Server::echo(&format!("{ONE}bind = \"unix:a.sock\"\n")).without_bind();
    let server = setup.under(["sh", "-c", &inside, "sh"]).start();
    let before = server.wait_for_workers(1);
    fs::rename(&old, &new).expect("it can be renamed");
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 1);
    assert_eq!(server.places().len(), 1, "{}", server.said());
    let answer = Connection::open(new.join("a.sock").as_path());
    assert_eq!(answer.and_then(|mut it| it.get("/", "")).expect("an answer").status, 200);
}
