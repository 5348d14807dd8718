//! Hook commands that fail, hang, flood and linger harm nobody.

use std::fs;
use std::time::{Duration, Instant};

use kit::{Server, Setup, Signal, children, is_alive};

fn with_hooks(server: &str, hooks: &str) -> Setup {
    Server::echo(&format!("[server]\n{server}[hooks]\n{hooks}"))
}

#[test]
fn a_hook_that_fails_or_cannot_be_executed_is_a_line_in_the_log() {
    let hooks = "on_starting = 'exit 3'\nwhen_ready = ['/no/such/program', 'x']\npost_fork = 'kill -SEGV $$'\n\
                 post_worker_init = ['/etc']\non_exit = 'exit 4'\n";
    let mut server = with_hooks("workers = 1\n", hooks).start();
    for words in [
        ["WARN", "hook on_starting", "exit status 3"],
        ["WARN", "hook when_ready", "exit status 127"],
        ["hook when_ready", "No such file", ""],
        ["WARN", "hook post_fork", "SIGSEGV"],
        ["hook post_worker_init", "Permission denied", ""],
    ] {
        server.wait_for_line(&words);
    }
    server.lose_a_worker(Signal::KILL, 1);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    server.wait_for_line(&["WARN", "hook on_exit", "exit status 4"]);
}

#[test]
fn a_hook_that_hangs_is_killed_with_all_that_it_started_and_the_pool_never_waits_for_it() {
    let hang = "trap \"\" TERM HUP INT; sleep 60 & echo $! >> pids; (sleep 60 & echo $! >> pids; wait)";
    let hooks = format!("pre_fork = '''{hang}'''\npost_fork = 'sleep 60'\nchild_exit = 'sleep 60'\n");
    let server = with_hooks("workers = 3\n", &hooks).start();
    let before = server.wait_for_workers(3);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 3);
    server.signal(Signal::TTIN);
    server.wait_for_workers(4);
    assert_eq!(server.line_with(&["longer than 5s"]), None, "all of that takes less than a hook's patience");
    server.wait_for_line(&["hook pre_fork", "longer than 5s"]);
    let noted = || fs::read_to_string(server.path().join("pids")).unwrap_or_default();
    let pids: Vec<i32> = noted().lines().filter_map(|pid| pid.parse().ok()).collect();
    assert!(pids.len() >= 2, "{pids:?}");
    server.wait_for("their end", |_| pids.iter().take(2).all(|pid| !is_alive(*pid)).then_some(()));
    server.wait_for_line(&["hook post_fork"]); // the next of its subject had its turn
}

#[test]
fn a_hook_that_hangs_bounds_the_start() {
    let begun = Instant::now();
    let server = with_hooks("workers = 1\n", "on_starting = 'sleep 60'\n").start();
    assert!(begun.elapsed() < Duration::from_secs(20), "it would sleep for 60 s");
    server.wait_for_line(&["hook on_starting", "longer than 5s"]);
}

#[test]
fn hooks_that_hang_bound_the_stop() {
    let hooks = "worker_exit = 'sleep 60'\non_exit = 'echo on_exit > last; exec sleep 60'\n";
    let mut server = with_hooks("workers = 3\n", hooks).start();
    server.wait_for_workers(3);
    let begun = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(25), "they would sleep for 60 s");
    assert!(server.path().join("last").exists(), "on_exit ran for all that");
}

#[test]
fn a_stop_while_a_hook_of_the_start_hangs_ends_whole() {
    let mut stopped = [Signal::TERM, Signal::INT].map(|signal| {
        let server = with_hooks("", "on_starting = 'sleep 60'\n").start_slowly();
        server.signal(signal);
        server
    });
    for server in &mut stopped {
        assert_eq!(server.wait_for_end(), Some(0));
    }
}

#[test]
fn a_hook_that_floods_its_output_harms_nobody() {
    // Whoever reads standard output of this server does not: it sleeps.
    let unread = "mkfifo unread; sleep 60 < unread & exec \"$@\" > unread";
    let hooks = "post_worker_init = 'yes a flood'\n[logging]\nconsole = \"stderr\"\n";
    let server = with_hooks("workers = 2\n", hooks).under(["sh", "-c", unread, "sh"]).start();
    let before = server.wait_for_workers(2);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
    server.wait_for_line(&["hook post_worker_init", "longer than 5s"]);
}

#[test]
fn a_daemon_that_a_hook_leaves_behind_holds_nothing_of_the_server() {
    let hooks = "post_worker_init = 'setsid sleep 60 > /dev/null 2>&1 & echo $! > daemon'\n";
    let mut server = with_hooks("workers = 1\n", hooks).start();
    let noted = |server: &Server| fs::read_to_string(server.path().join("daemon")).ok();
    let daemon = server.wait_for("the daemon", |server| noted(server)?.trim().parse::<i32>().ok());
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(is_alive(daemon));
    assert!(std::net::TcpListener::bind(server.address()).is_ok(), "the port is not free");
    let ended = std::process::Command::new("kill").arg(daemon.to_string()).status();
    assert!(ended.is_ok_and(|status| status.success()), "{daemon}");
}

#[test]
fn a_crash_storm_with_slow_hooks_makes_no_crowd_and_keeps_the_pool_whole() {
    let hooks: String = ["pre_fork", "post_fork", "post_worker_init", "child_exit", "worker_exit"]
        .map(|hook| format!("{hook} = 'exec sleep 60'\n"))
        .concat();
    let mut server = with_hooks("workers = 24\nboot_concurrency = 24\n", &hooks).start();
    server.wait_for_workers(24);
    let mut most = 0;
    for _ in 0..4 {
        let before = server.wait_for_workers(24);
        for worker in &before {
            server.signal_worker(*worker, Signal::KILL);
        }
        server.wait_for("others", |server| {
            let family = children(server.pid()).len();
            most = most.max(family - server.workers().len().min(family));
            let serving = server.serving();
            (serving.len() == 24 && serving.is_disjoint(&before)).then_some(())
        });
    }
    assert!(most <= 24, "{most} hooks at once"); // 16, and workers whose line was not read yet
    assert_eq!(server.get("/").status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    server.wait_for_line(&["the server ends", "hook commands are left out"]);
}
