//! The hooks of a program that embeds the server, as `examples/hooks.rs` has them.

use std::collections::BTreeSet;

use kit::{Manager, Server, Setup, Signal};

fn hooked(more: &str) -> Setup {
    Server::example("hooks", &format!("[server]\nworkers = 1\n{more}"))
}

/// What was said by hooks in this process, in order: the name of each and what it was about.
fn said_in(server: &Server, pid: i32) -> Vec<(String, String)> {
    let place = format!(" in {pid}: ");
    let lines = server.said();
    let told = lines.lines().filter_map(|line| line.strip_prefix("hook ")?.split_once(&place));
    told.map(|(hook, about)| (hook.to_owned(), about.to_owned())).collect()
}

fn names(told: &[(String, String)]) -> Vec<&str> {
    told.iter().map(|(hook, _)| hook.as_str()).collect()
}

#[test]
fn each_hook_is_called_in_its_process_and_in_order() {
    let mut server = hooked("").start();
    let master = server.pid();
    let first = *server.wait_for_workers(1).first().expect("a worker");
    assert_eq!(server.get("/what").status, 200);
    server.wait_for_line(&["post_request", "GET /what 200"]);
    server.signal(Signal::HUP);
    let second = *server.wait_for_others(&BTreeSet::from([first]), 1).first().expect("a worker");
    server.wait_for_the_last_reload();
    server.wait_for_line(&["hook child_exit", &format!("pid {first}")]);
    server.signal(Signal::TTIN);
    server.wait_for_workers(2);
    server.signal(Signal::TTOU);
    let left = server.wait_for_workers(1);
    assert!(!left.contains(&second), "the oldest goes first");
    server.signal(Signal::QUIT);
    assert_eq!(server.wait_for_end(), Some(0));

    let told = said_in(&server, first);
    let begun = ["post_fork", "post_worker_init", "pre_request", "post_request"];
    assert_eq!(names(&told)[..4], begun);
    assert_eq!(told[0].1, format!("worker 0 of generation 1, pid {first}"));
    assert_eq!(told.last().map(|(hook, _)| hook.as_str()), Some("worker_exit"));
    let third = *left.first().expect("a worker");
    assert_eq!(names(&said_in(&server, third)), ["post_fork", "post_worker_init", "worker_int"]);

    let told = said_in(&server, master);
    let life = [
        "on_starting",
        "when_ready",
        "pre_fork",
        "on_reload",
        "pre_fork",
        "child_exit",
        "nworkers_changed",
        "pre_fork",
        "nworkers_changed",
        "child_exit",
        "child_exit",
        "on_exit",
    ];
    assert_eq!(names(&told), life, "{}", server.said());
    assert_eq!(told[2].1, "worker 0 of generation 1, pid 0");
    assert_eq!(told[5].1, format!("worker 0 of generation 1, pid {first}"));
    assert_eq!((told[6].1.as_str(), told[8].1.as_str()), ("1 to 2", "2 to 1"));
}

#[test]
fn a_worker_that_is_given_up_on_is_told_if_its_loop_runs() {
    let server = hooked("timeout = 1\n").start();
    let before = server.wait_for_workers(1);
    let mut stuck = server.occupy("", "/stuck");
    assert_eq!(stuck.answer().expect("an answer").status, 504);
    server.wait_for_others(&before, 1);
    let worker = *before.first().expect("a worker");
    assert!(names(&said_in(&server, worker)).contains(&"worker_abort"), "{}", server.said());
}

#[test]
fn hooks_that_panic_harm_nobody() {
    let mut server = hooked("timeout = 1\n").variable("HOOKS_PANIC", "1").start();
    let before = server.wait_for_workers(1);
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/", "").expect("an answer").status, 200);
    }
    let mut stuck = server.occupy("", "/stuck");
    assert_eq!(stuck.answer().expect("an answer").status, 504);
    let before = server.wait_for_others(&before, 1);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 1);
    server.wait_for_the_last_reload();
    server.signal(Signal::TTIN);
    let pair = server.wait_for_workers(2);
    server.signal_worker(*pair.first().expect("a worker"), Signal::KILL);
    server.wait_for("a replacement", |server| (server.serving().len() == 2).then_some(()));
    server.signal(Signal::INT);
    assert_eq!(server.wait_for_end(), Some(0));
    for hook in
        ["on_starting", "pre_fork", "post_fork", "pre_request", "worker_abort", "worker_int", "on_exit"]
    {
        server.wait_for_line(&[&format!("hook {hook} in ")]);
    }
    assert_eq!(server.line_with(&["SIGKILL", "graceful"]), None);
    assert!(!server.said().contains("cause=grace"), "{}", server.said());
}

#[test]
fn a_worker_knows_nothing_of_what_was_said_to_its_master() {
    let manager = Manager::at_a_path();
    let setup = manager.of(hooked("")).variable("WATCHDOG_USEC", "60000000").variable("HOOKS_READY_FD", "9");
    let server = setup.variable("LISTEN_PID", "1").variable("LISTEN_FDS", "1").variable("MINE", "1").start();
    let names = String::from_utf8(server.get("/environment").body).expect("text");
    let names: BTreeSet<&str> = names.lines().collect();
    assert!(names.contains("MINE"));
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "HOOKS_READY_FD"] {
        assert!(!names.contains(name), "{name}");
    }
}
