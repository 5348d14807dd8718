//! Sockets in the file system: made where nobody listens, and removed by their owner alone.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use kit::{Connection, Server, Setup, Signal};
use tempfile::TempDir;

const ONE: &str = "[server]\nworkers = 1\n";

fn folder() -> TempDir {
    TempDir::with_prefix("devsim-sockets-").expect("a temporary directory can be made")
}

fn at(path: &Path, config: &str) -> Setup {
    Server::echo(config).without_bind().flags(["-b", &format!("unix:{}", path.display())])
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// Leaves a socket's file behind, as a server that was killed does.
fn leave_stale(path: &Path) {
    drop(UnixListener::bind(path).expect("a socket can be bound"));
    assert!(is_socket(path));
}

#[test]
fn a_socket_has_the_mode_that_the_umask_leaves_and_goes_at_the_end() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let private = format!("{ONE}umask = \"0o077\"\n");
    for (config, mode) in [(ONE, 0o750), (private.as_str(), 0o700)] {
        for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
            let mut server = at(&path, config).under(["sh", "-c", "umask 027; exec \"$@\"", "sh"]).start();
            let found = fs::symlink_metadata(&path).expect("it is there");
            assert_eq!(found.permissions().mode() & 0o7777, mode);
            server.signal(signal);
            assert_eq!(server.wait_for_end(), Some(0));
            assert!(!path.exists(), "{signal:?} leaves it behind");
        }
    }
}

#[test]
fn a_stale_socket_is_replaced() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    leave_stale(&path);
    let mut killed = at(&path, ONE).start();
    killed.wait_for_workers(1);
    killed.signal(Signal::KILL);
    assert_eq!(killed.wait_for_end(), None);
    assert!(is_socket(&path));
    // Its worker notices that it is alone, and goes.
    killed.wait_for("nobody to answer", |_| Connection::open(path.as_path()).err());
    assert_eq!(at(&path, ONE).start().get("/").status, 200);
}

#[test]
fn a_living_socket_is_refused_with_5_and_goes_on_serving() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let server = at(&path, ONE).start();
    let second = at(&path, ONE).run_to_its_end();
    assert_eq!(second.code, Some(5), "{}", second.said);
    let named = format!("unix:{} is in use", path.display());
    assert!(second.said.contains(&named), "{}", second.said);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_socket_that_nobody_accepts_from_any_more_is_somebodys_all_the_same() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let listener = UnixListener::bind(&path).expect("a socket can be bound");
    rustix::net::listen(&listener, 0).expect("a short queue");
    let _first = std::os::unix::net::UnixStream::connect(&path).expect("there is room for one");
    assert_eq!(at(&path, ONE).run_to_its_end().code, Some(5));
    assert!(is_socket(&path));
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = folder();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&file, "precious").expect("writable");
    symlink(&file, &link).expect("a link can be made");
    for path in [&file, &link, &folder.path().to_owned()] {
        let ended = at(path, ONE).run_to_its_end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        let words = [&path.display().to_string(), "no socket", "remove it"];
        assert!(words.iter().all(|word| ended.said.contains(word)), "{}", ended.said);
    }
    assert_eq!(fs::read_to_string(&link).ok().as_deref(), Some("precious"));
}

#[test]
fn a_path_that_somebody_else_has_taken_stays_theirs() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let mut first = at(&path, ONE).start();
    fs::remove_file(&path).expect("removable");
    let second = at(&path, ONE).start();
    first.signal(Signal::TERM);
    assert_eq!(first.wait_for_end(), Some(0));
    assert_eq!(second.get("/").status, 200);
}

#[test]
fn a_reload_makes_a_file_anew_that_was_removed() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let server = at(&path, ONE).start();
    let before = server.wait_for_workers(1);
    fs::remove_file(&path).expect("removable");
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 1);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_start_waits_for_the_workers_of_a_killed_master_to_leave() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let mut killed = at(&path, ONE).start();
    let mut busy = killed.connect();
    busy.send("GET /?x-echo-block=0.5 HTTP/1.1\r\nHost: x\r\n\r\n").expect("it can be sent");
    killed.signal(Signal::KILL);
    killed.wait_for_end();
    assert_eq!(at(&path, ONE).start().get("/").status, 200);
}

#[test]
fn a_path_that_cannot_be_is_named_and_ends_with_1() {
    let folder = folder();
    let long = folder.path().join("x".repeat(120));
    let lost = folder.path().join("no/such/a.sock");
    for (path, words) in [
        (&long, ["107", "give a shorter one", "xxx"]),
        (&lost, ["there is no directory", "no/such", "make it"]),
    ] {
        let ended = at(path, ONE).run_to_its_end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        assert!(words.iter().all(|word| ended.said.contains(word)), "{}", ended.said);
    }
    assert_eq!(fs::read_dir(folder.path()).map(Iterator::count).ok(), Some(0), "nothing was made");
}

#[test]
fn the_longest_path_is_served() {
    let folder = folder();
    let prefix = folder.path().as_os_str().len() + 1;
    let path = folder.path().join("x".repeat(107 - prefix));
    assert_eq!(at(&path, ONE).start().get("/").status, 200);
}

#[test]
fn of_fifty_that_start_at_once_on_a_stale_socket_one_serves_and_the_others_end_with_5() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    leave_stale(&path);
    let mut masters: Vec<Server> = (0..50).map(|_| at(&path, ONE).start_unseen()).collect();
    let codes = kit::until(|| {
        let codes: Vec<_> = masters.iter_mut().filter_map(Server::has_ended).collect();
        (codes.len() >= masters.len() - 1).then_some(codes)
    });
    assert_eq!(codes, Some(vec![Some(5); 49]));
    let winner = masters.iter_mut().find_map(|master| master.has_ended().is_none().then_some(master));
    let winner = winner.expect("one still runs");
    winner.wait_for("an answer", |_| {
        Connection::open(path.as_path()).ok()?.get("/", "").ok().filter(|answer| answer.status == 200)
    });
    drop(masters);
    assert!(!path.exists());
}

#[test]
fn a_start_that_fails_at_another_address_takes_its_socket_away_again() {
    let folder = folder();
    let (path, busy) = (folder.path().join("a.sock"), folder.path().join("busy.sock"));
    let _held = UnixListener::bind(&busy).expect("a socket can be bound");
    let ended = at(&path, ONE).flags(["-b", &format!("unix:{}", busy.display())]).run_to_its_end();
    assert_eq!(ended.code, Some(5), "{}", ended.said);
    assert!(!path.exists(), "it is left behind");
    let ended = at(&path, ONE).variable("ECHO_PREPARE", "fail").run_to_its_end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(!path.exists(), "it is left behind");
}

#[test]
fn a_socket_belongs_to_the_workers_user() {
    if !rustix::process::geteuid().is_root() {
        return kit::skipped("only root can give files away");
    }
    let folder = folder();
    let path = folder.path().join("a.sock");
    let config = format!("{ONE}user = 65534\ngroup = 1\nrequest_buffer_dir = \"/var/tmp\"\n");
    let server = at(&path, &config).start();
    let found = fs::symlink_metadata(&path).expect("it is there");
    assert_eq!((found.uid(), found.gid()), (65534, 1), "{}", server.said());
}

#[test]
fn a_relative_path_is_below_the_working_directory_and_announced_whole() {
    let mut server = Server::echo(ONE).without_bind().flags(["-b", "unix:a.sock"]).start();
    let path = server.path().join("a.sock");
    assert_eq!(*server.place(), path.as_path().into());
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(!path.exists());
}
