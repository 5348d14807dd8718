//! Memory that a cgroup limits.

use kit::{MemoryCgroup, Server, Signal, skipped};

const FORBIDDEN: &str = "no memory cgroup can be made here";

#[test]
fn the_memory_limit_bounds_auto_and_the_log_says_so_when_it_changes() {
    let Some(group) = MemoryCgroup::new(128) else { return skipped(FORBIDDEN) };
    let server = Server::echo("").under(group.command()).start();
    server.wait_for_workers(2);
    server.wait_for_line(&["workers: 2 (\"auto\": ", "give", "the memory limit of 128.0 MiB allows 2)"]);
    server.signal(Signal::HUP);
    server.wait_for_line(&["generation 2 serves alone"]);
    group.limit(100).expect("a limit can be changed");
    server.signal(Signal::HUP);
    server.wait_for_line(&["generation 3 serves alone"]);
    server.wait_for_line(&["workers: 1 (\"auto\": ", "the memory limit of 100.0 MiB allows 1)"]);
    server.wait_for_workers(1);
    assert_eq!(server.said().matches("workers: ").count(), 2, "{}", server.said());
}

#[test]
fn a_given_number_of_workers_is_not_bounded_and_needs_no_line() {
    let Some(group) = MemoryCgroup::new(128) else { return skipped(FORBIDDEN) };
    let server = Server::echo("[server]\nworkers = 3\n").under(group.command()).start();
    server.wait_for_workers(3);
    assert_eq!(server.line_with(&["workers: "]), None);
}

#[test]
fn a_worker_that_the_kernel_kills_for_its_memory_is_told_from_one_that_somebody_kills() {
    let Some(group) = MemoryCgroup::new(64) else { return skipped(FORBIDDEN) };
    let server = Server::echo("[server]\nworkers = 1\n").under(group.command()).start();
    let before = server.wait_for_workers(1);
    assert_eq!(server.get("/before").status, 200);
    assert!(server.try_get("/hungry?x-echo-eat=200").is_err(), "its worker is killed");
    server.wait_for_others(&before, 1);
    let line = server.wait_for_line(&["ended by SIGKILL", "out_of_memory"]);
    let words = [
        "killed by the kernel, as its cgroup was out of memory",
        "peak RSS",
        "GET /hungry",
        "last: GET /before",
    ];
    for word in words {
        assert!(line.contains(word), "{word} is not in {line}");
    }
    server.lose_a_worker(Signal::KILL, 1);
    server.wait_for_line(&["ended by SIGKILL", "by a signal that the master did not send", "foreign_signal"]);
    assert_eq!(server.said().matches("out_of_memory").count(), 1, "{}", server.said());
}
