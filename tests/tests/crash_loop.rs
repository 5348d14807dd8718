//! Nobody serves, and nobody can be booted.

use std::collections::BTreeSet;
use std::fs;

use kit::{Manager, Server, Setup, Signal};

/// Boots fail while there is a file `broken` beside the configuration.
fn breakable(more: &str) -> Setup {
    Server::echo(&config(more))
}

fn config(more: &str) -> String {
    format!("[server]\nworkers = 2\nboot_failures_max = 3\nraw_env = [\"ECHO_BOOT=fail-if=broken\"]\n{more}")
}

fn break_boots(server: &Server) {
    fs::write(server.path().join("broken"), "").expect("a file can be made");
}

fn mend_boots(server: &Server) {
    fs::remove_file(server.path().join("broken")).expect("the file can be removed");
}

fn kill(server: &Server, workers: &BTreeSet<i32>) {
    for worker in workers {
        server.signal_worker(*worker, Signal::KILL);
    }
}

fn forks(server: &Server) -> usize {
    server.said().matches(" booting, pid ").count()
}

#[test]
fn a_crash_loop_is_seen_from_outside_and_a_reload_is_tried_at_once() {
    let mut manager = Manager::at_a_path();
    let server = manager.of(breakable("")).start();
    let before = server.wait_for_workers(2);
    break_boots(&server);
    kill(&server, &before);
    let line = server.wait_for_line(&["ERROR", "crash loop", "3 workers in a row"]);
    assert!(line.contains("the next try comes in 30"), "{line}");
    manager.wait_for_status(&server, &["0 of 2 workers ready", "crash loop: 3 workers"]);
    server.wait_for("nobody to boot", |server| server.workers().is_empty().then_some(()));
    let tried = forks(&server);

    server.signal(Signal::HUP);
    server.wait_for_line(&["reload", "refused", "could not be built"]);
    manager.wait_for_status(&server, &["crash loop", "the last reload", "was refused"]);
    // What comes of these, too, waits for the next try.
    server.signal(Signal::TTIN);
    server.wait_for_line(&["workers wanted: 3"]);
    server.signal(Signal::TTOU);
    server.wait_for_line(&["workers wanted: 2"]);
    assert_eq!(forks(&server), tried + 1, "the reload's own, and no other:\n{}", server.said());

    mend_boots(&server);
    server.signal(Signal::HUP);
    server.wait_for_line(&["INFO", "crash loop: over"]);
    server.wait_for_workers(2);
    let status = manager.wait_for_status(&server, &["2 of 2 workers ready, 0 booting, 0 draining"]);
    assert!(!status.contains("crash loop"), "{status}");
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn who_waits_through_a_crash_loop_is_served_after_it() {
    let server = breakable("").start();
    let before = server.wait_for_workers(2);
    break_boots(&server);
    kill(&server, &before);
    server.wait_for_line(&["crash loop"]);
    let mut waiting = server.connect();
    waiting.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
    mend_boots(&server);
    server.signal(Signal::HUP);
    assert_eq!(waiting.answer().expect("an answer").status, 200);
}

#[test]
fn a_file_that_mends_what_is_broken_ends_a_crash_loop() {
    let server = breakable("").start();
    let before = server.wait_for_workers(2);
    break_boots(&server);
    kill(&server, &before);
    server.wait_for_line(&["crash loop"]);
    server.reconfigure("[server]\nworkers = 3\n");
    server.wait_for_line(&["crash loop: over"]);
    server.wait_for_workers(3);
}

#[test]
fn a_crash_loop_that_is_to_end_the_master_ends_it_with_3() {
    let mut server = breakable("on_crash_loop = \"exit\"\n").start();
    let before = server.wait_for_workers(2);
    break_boots(&server);
    kill(&server, &before);
    assert_eq!(server.wait_for_end(), Some(3));
    server.wait_for_line(&["ERROR", "crash loop", "the master ends (on_crash_loop)"]);
}

#[test]
fn a_stop_in_a_crash_loop_ends_with_0() {
    for (delay, signal) in [("", Signal::TERM), ("drain_delay = 1\n", Signal::TERM), ("", Signal::INT)] {
        let mut server = breakable(delay).start();
        let before = server.wait_for_workers(2);
        break_boots(&server);
        kill(&server, &before);
        server.wait_for_line(&["crash loop"]);
        server.signal(signal);
        assert_eq!(server.wait_for_end(), Some(0));
    }
}

#[test]
fn while_somebody_serves_there_is_no_crash_loop_and_the_pool_is_whole_again_by_itself() {
    for outcome in ["wait", "exit"] {
        let server = breakable(&format!("on_crash_loop = \"{outcome}\"\n")).start();
        let before = server.wait_for_workers(2);
        break_boots(&server);
        kill(&server, &before.iter().copied().take(1).collect());
        server.wait_for_line(&["4 workers in a row failed to boot"]);
        assert_eq!(server.get("/").status, 200);
        mend_boots(&server);
        server.wait_for_workers(2);
        assert_eq!(server.line_with(&["crash loop"]), None);
    }
}
