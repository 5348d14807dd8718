//! devsim-ctl has the server change, and says when that is done.

use std::fs;
use std::path::Path;

use kit::{Server, Signal, children};
use serde_json::{Value, json};

const CONFIG: &str = "[server]\nworkers = 2\ncontrol_socket = \"control.sock\"\n";

/// The server with this much more in section `[server]`.
fn server(more: &str) -> Server {
    let server = Server::echo(&format!("{CONFIG}{more}")).start();
    server.wait_for_workers(2);
    server
}

fn pid_in(server: &Server, slot: u64) -> Option<i32> {
    let told = server.ctl(["workers", "--json"]).json();
    let found = told["workers"].as_array()?.iter().find(|worker| worker["slot"] == slot)?.clone();
    found["pid"].as_i64()?.try_into().ok()
}

#[test]
fn a_reload_returns_when_the_old_generation_has_gone() {
    let server = server("");
    let before = server.workers();
    let mut busy = server.occupy("x-echo-sleep: 3\r\n", "/busy");
    let mut reload = server.begin_ctl(["--json", "reload"]);
    server.wait_for_line(&["generation 2 has taken over"]);
    assert!(reload.waits(), "an old worker is busy still");
    assert_eq!(busy.answer().expect("an answer").status, 200);
    let told = reload.told().json();
    assert_eq!(told["generation"], 2);
    assert!(told["took_seconds"].as_f64().is_some_and(|seconds| seconds > 1.0), "{told}");
    assert!(children(server.pid()).iter().all(|child| !before.contains(child)));
}

#[test]
fn a_reload_that_is_refused_or_fails_says_why() {
    let server = server("");
    let before = server.workers();
    for (more, reasons) in [
        ("workerz = 3\ntimeout = -1\n", ["devsim.toml:4: server.workerz", "devsim.toml:5: server.timeout"]),
        ("raw_env = [\"ECHO_BOOT=fail\"]\n", ["could not be built", ""]),
        ("raw_env = [\"ECHO_BOOT=slow=60\"]\nboot_timeout = 0.3\n", ["not ready after", "boot_timeout"]),
        ("raw_env = [\"ECHO_PREPARE=fail\"]\n", ["preparation", "exit status 1"]),
    ] {
        server.rewrite(&format!("{CONFIG}{more}"));
        let why = server.ctl(["reload"]).refused(1);
        assert!(reasons.iter().all(|reason| why.contains(reason)), "{why}");
        let told = server.ctl(["reload", "--json"]);
        assert_eq!(told.code, Some(1));
        let error: Value = serde_json::from_str(&told.out).expect("it is JSON");
        assert!(["refused", "failed"].contains(&error["code"].as_str().unwrap_or_default()), "{error}");
    }
    server.wait_for("the old workers alone", |server| (server.workers() == before).then_some(()));
}

#[test]
fn reloads_that_are_asked_for_at_once_are_all_answered() {
    let server = server("");
    let both = [server.begin_ctl(["reload"]), server.begin_ctl(["reload"])];
    server.wait_for_line(&["reload", "begins"]);
    let third = server.begin_ctl(["reload"]);
    for reload in both.into_iter().chain([third]) {
        assert!(reload.told().done().contains("serves alone"));
    }
    let begun = server.said().matches(" begins").count();
    assert!((2..=3).contains(&begun), "{begun} reloads were begun");
    assert_eq!(server.status()["generation"], begun + 1);
}

#[test]
fn the_pool_has_the_size_that_was_asked_for_when_scale_returns() {
    let server = server("");
    for (words, count) in [(["scale", "5"], 5), (["scale", "1"], 1), (["scale", "1"], 1), (["scale", "3"], 3)]
    {
        server.ctl(words).done();
        let pool = server.status()["workers"].clone();
        assert_eq!((&pool["ready"], &pool["booting"]), (&json!(count), &json!(0)), "{pool}");
        server.wait_for_workers(count);
    }
    server.ctl(["reload"]).done();
    server.wait_for_workers(3);
}

#[test]
fn a_size_that_cannot_be_is_refused() {
    let server = server("");
    server.ctl(["scale", "0"]).refused(2);
    for size in ["513", "9999"] {
        let why = server.ctl(["scale", size]).refused(1);
        assert!(why.contains("1 to 512"), "{why}");
    }
    server.ctl(["scale", "70000"]).refused(2);
    assert_eq!(server.status()["workers"]["wanted"], 2);
}

#[test]
fn a_scale_that_another_one_overtakes_says_so() {
    let server = server("raw_env = [\"ECHO_BOOT=slow=0.5\"]\n");
    let first = server.begin_ctl(["scale", "6"]);
    server.wait_for_line(&["workers wanted: 6"]);
    server.ctl(["scale", "3"]).done();
    let why = first.told().refused(1);
    assert!(why.contains("3 workers were asked for"), "{why}");
    let second = server.begin_ctl(["scale", "5"]);
    server.wait_for_line(&["workers wanted: 5"]);
    server.signal(Signal::TTIN);
    let why = second.told().refused(1);
    assert!(why.contains("6 workers were asked for"), "{why}");
}

#[test]
fn a_restart_boots_the_replacement_first_and_fails_nobody() {
    let server = server("");
    let before = server.workers();
    let old = pid_in(&server, 1).expect("a worker");
    let hammer = server.hammer();
    let told = server.ctl(["--json", "restart", "1"]).json();
    hammer.verdict();
    let new = told["new_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    assert!(server.serving().contains(&new) && !before.contains(&new), "{told}");
    server.wait_until_gone(old);
    assert_eq!(server.wait_for_workers(2).intersection(&before).count(), 1);
    let lines = server.said();
    let place = |words: &str| lines.find(words).unwrap_or_else(|| panic!("{words}: {lines}"));
    assert!(place("worker 2 ready") < place("worker 1 of generation 1 retires"), "{lines}");
}

#[test]
fn a_slot_without_a_worker_cannot_be_restarted() {
    let server = server("");
    for slot in ["2", "1023", "1024", "65535"] {
        let why = server.ctl(["restart", slot]).refused(1);
        assert!(why.contains(&format!("slot {slot} has no worker")), "{why}");
    }
}

#[test]
fn a_restart_of_a_worker_that_dies_meanwhile_returns_with_its_replacement() {
    let server = server("raw_env = [\"ECHO_BOOT=slow=0.7\"]\n");
    let old = pid_in(&server, 0).expect("a worker");
    let restart = server.begin_ctl(["--json", "restart", "0"]);
    server.wait_for("a replacement that boots", |server| (server.workers().len() == 3).then_some(()));
    server.signal_worker(old, Signal::KILL);
    let told = restart.told().json();
    let new = told["new_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    assert!(server.serving().contains(&new), "{told}");
    server.wait_for_workers(2);
}

#[test]
fn reopen_returns_when_the_log_files_are_there_again() {
    let server = Server::echo(&format!("{CONFIG}[logging]\ndir = \"logs\"\n")).start();
    server.wait_for_workers(2);
    let path = server.log_path("gunicorn_error.log");
    let moved = path.with_extension("1");
    fs::rename(&path, &moved).expect("a log file can be moved");
    server.ctl(["reopen"]).done();
    assert!(path.exists());
    server.ctl(["scale", "3"]).done();
    assert!(server.log("gunicorn_error.log").contains("workers wanted: 3"));
}

#[test]
fn stop_returns_when_the_server_has_gone_and_what_ran_is_answered() {
    let mut server = server("");
    let mut busy = server.occupy("x-echo-sleep: 1.5\r\n", "/busy");
    let mut stop = server.begin_ctl(["stop"]);
    server.wait_for_line(&["stopping: workers finish"]);
    assert!(stop.waits());
    assert_eq!(server.status()["state"], "stopping");
    let why = server.ctl(["reload"]).refused(1);
    assert!(why.contains("the server is stopping"), "{why}");
    for words in [["scale", "5"], ["restart", "0"]] {
        server.ctl(words).refused(1);
    }
    server.ctl(["upgrade"]).refused(1);
    let second = server.begin_ctl(["stop"]);
    assert_eq!(busy.answer().expect("an answer").status, 200);
    for stop in [stop, second] {
        assert_eq!(stop.told().done(), "the server has gone\n");
    }
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(!server.control_socket().exists());
    assert!(server.ctl(["status"]).refused(3).contains("nobody answers"));
}

#[test]
fn a_quick_stop_cuts_what_runs_also_after_a_slow_one() {
    let mut server = server("");
    let mut busy = server.occupy("x-echo-sleep: 60\r\n", "/busy");
    let slow = server.begin_ctl(["stop"]);
    server.wait_for_line(&["stopping: workers finish"]);
    server.ctl(["stop", "--quick"]).done();
    slow.told().done();
    assert!(busy.answer().is_err());
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn who_waits_for_a_change_is_told_of_a_stop() {
    let mut server = server("");
    server.rewrite(&format!("{CONFIG}raw_env = [\"ECHO_BOOT=slow=30\"]\n"));
    let reload = server.begin_ctl(["reload"]);
    server.wait_for("a worker that boots", |server| (server.workers().len() == 3).then_some(()));
    server.signal(Signal::TERM);
    let why = reload.told().refused(1);
    assert!(why.contains("the server is stopping"), "{why}");
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn who_waits_for_workers_that_fail_to_boot_is_told() {
    let config = "[server]\nworkers = 2\nchdir = \"work\"\ncontrol_socket = \"../control.sock\"\n";
    let work = |directory: &Path| fs::create_dir(directory.join("work")).expect("a directory can be made");
    let server = Server::echo(config).prepared(work).start();
    let before = server.wait_for_workers(2);
    fs::remove_dir(server.path().join("work")).expect("it is empty");
    for words in [["restart", "0"], ["scale", "3"]] {
        let why = server.ctl(words).refused(1);
        assert!(why.contains("fail to boot"), "{why}");
        assert!(server.workers().is_superset(&before));
    }
    work(server.path());
    server.ctl(["reload"]).done();
    server.wait_for_others(&before, 3);
}
