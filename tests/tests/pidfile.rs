//! The pidfile: a lock in it decides, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use kit::{Ended, Server, Setup, Signal, is_alive, until};
use tempfile::TempDir;

const ONE: &str = "[server]\nworkers = 1\n";

fn folder() -> TempDir {
    TempDir::with_prefix("devsim-pidfile-").expect("a temporary directory can be made")
}

fn with(path: &Path) -> Setup {
    Server::echo(ONE).flags(["--pid", &path.display().to_string()])
}

fn number_in(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.strip_suffix('\n')?.parse().ok()
}

/// It said all of these words and ended with 1.
fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(words.iter().all(|word| ended.said.contains(word)), "{words:?} are not all in:\n{}", ended.said);
}

#[test]
fn it_holds_the_masters_number_and_goes_with_it() {
    let folder = folder();
    let path = folder.path().join("a.pid");
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut server = with(&path).start();
        assert_eq!(number_in(&path), Some(server.pid()));
        server.signal(signal);
        assert_eq!(server.wait_for_end(), Some(0));
        assert!(!path.exists(), "{signal:?} leaves it behind");
    }
}

#[test]
fn a_living_master_is_refused_with_5_and_its_number_and_is_not_harmed() {
    let folder = folder();
    let path = folder.path().join("a.pid");
    let server = with(&path).start();
    // By another name of the same file too.
    let link = folder.path().join("folder");
    symlink(folder.path(), &link).expect("a link can be made");
    for path in [path.clone(), link.join("a.pid")] {
        let second = with(&path).run_to_its_end();
        assert_eq!(second.code, Some(5), "{}", second.said);
        assert!(second.said.contains(&format!("pid {}", server.pid())), "{}", second.said);
    }
    assert_eq!(number_in(&path), Some(server.pid()));
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn what_was_left_in_it_says_nothing_about_a_living_master() {
    let folder = folder();
    let path = folder.path().join("a.pid");
    // No process; a living stranger, and this test itself; what was never a number.
    let own = format!("{}\n", std::process::id());
    for left in ["4194305\n", "1\n", &own, "", "-1\n", "0\n", "garbage\n", &"9".repeat(100_000), "\0\0"] {
        fs::write(&path, left).expect("writable");
        let server = with(&path).start();
        assert_eq!(number_in(&path), Some(server.pid()), "after {left:.20}");
    }
}

#[test]
fn a_master_that_was_killed_leaves_it_to_the_next_also_while_a_worker_outlives_it() {
    let folder = folder();
    let path = folder.path().join("a.pid");
    let mut killed = with(&path).start();
    let worker = *killed.wait_for_workers(1).first().expect("a worker");
    let mut request = killed.occupy("x-echo-sleep: 2\r\n", "/long");
    killed.signal(Signal::KILL);
    assert_eq!(killed.wait_for_end(), None);
    assert_eq!(number_in(&path), Some(killed.pid()));

    let next = with(&path).start();
    assert!(is_alive(worker), "it was to have a request still");
    assert_eq!(number_in(&path), Some(next.pid()));
    assert_eq!(request.answer().expect("an answer").status, 200);
    assert!(until(|| (!is_alive(worker)).then_some(())).is_some(), "it has nobody to work for");
    assert_eq!(number_in(&path), Some(next.pid()));
}

#[test]
fn a_file_that_another_has_put_there_stays() {
    let folder = folder();
    let path = folder.path().join("a.pid");
    let mut server = with(&path).start();
    fs::remove_file(&path).expect("removable");
    fs::write(&path, "another's\n").expect("writable");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("another's\n"));
}

#[test]
fn a_place_that_cannot_be_written_is_named_and_ends_with_1() {
    let folder = folder();
    for path in [&folder.path().join("no/such/a.pid"), Path::new("/proc/a.pid"), folder.path()] {
        assert_refused(&with(path).run_to_its_end(), &["server.pidfile", &path.display().to_string()]);
    }
}

#[test]
fn what_is_no_plain_file_is_not_written_to() {
    let folder = folder();
    let (target, link) = (folder.path().join("precious"), folder.path().join("a.pid"));
    fs::write(&target, "precious").expect("writable");
    symlink(&target, &link).expect("a link can be made");
    assert_refused(&with(&link).run_to_its_end(), &["server.pidfile", "a.pid", "link"]);
    assert_eq!(fs::read_to_string(&target).ok().as_deref(), Some("precious"));
    assert_refused(&with(Path::new("/dev/null")).run_to_its_end(), &["server.pidfile", "/dev/null"]);
}

#[test]
fn a_start_that_fails_leaves_none() {
    let folder = folder();
    let path = folder.path().join("a.pid");
    let first = Server::echo(ONE).start();
    let ended = with(&path).without_bind().flags(["-b", &first.address().to_string()]).run_to_its_end();
    assert_eq!(ended.code, Some(5), "{}", ended.said);
    assert!(!path.exists(), "a busy address leaves it behind");
    for (variable, code) in [("ECHO_PREPARE", 1), ("ECHO_BOOT", 4)] {
        let ended = with(&path).variable(variable, "fail").run_to_its_end();
        assert_eq!(ended.code, Some(code), "{}", ended.said);
        assert!(!path.exists(), "{variable}=fail leaves it behind");
    }
}

#[test]
fn a_reload_moves_it() {
    let folder = folder();
    let (one, two) = (folder.path().join("1.pid"), folder.path().join("2.pid"));
    let config = |path: &Path| format!("{ONE}pidfile = \"{}\"\n", path.display());
    let mut server = Server::echo(&config(&one)).start();
    server.reconfigure(&config(&two));
    server.wait_for("the new pidfile", |server| (number_in(&two) == Some(server.pid())).then_some(()));
    server.wait_for("the old one's end", |_| (!one.exists()).then_some(()));
    assert_eq!(with(&two).run_to_its_end().code, Some(5), "the new one is locked");
    drop(with(&one).start()); // and the old one is not

    // One that cannot be had changes nothing.
    server.reconfigure(&config(&folder.path().join("no/such/3.pid")));
    server.wait_for_line(&["no/such/3.pid", "stays where it was"]);
    assert_eq!(number_in(&two), Some(server.pid()));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(!two.exists());
}

#[test]
fn of_many_masters_that_race_for_it_one_wins_and_the_others_end_with_5() {
    let folder = folder();
    let path = folder.path().join("a.pid");
    fs::write(&path, "4194305\n").expect("writable");
    let mut masters: Vec<Server> = (0..20).map(|_| with(&path).start_unseen()).collect();
    let codes = until(|| {
        let codes: Vec<_> = masters.iter_mut().filter_map(Server::has_ended).collect();
        (codes.len() >= masters.len() - 1).then_some(codes)
    });
    assert_eq!(codes, Some(vec![Some(5); 19]));
    let winners =
        masters.iter_mut().filter_map(|master| master.has_ended().is_none().then_some(master.pid()));
    assert_eq!(winners.collect::<BTreeSet<_>>(), number_in(&path).into_iter().collect());
}
