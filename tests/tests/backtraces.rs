//! What a worker that is stuck tells of where it is.

use kit::{Server, Signal};

/// The line that tells where a request of this kind was stuck. A machine that is too busy to name the functions within the
/// two seconds that an aborted worker has gets more than one try.
fn backtrace_of(how: &str) -> String {
    let server = Server::echo("[server]\nworkers = 1\ntimeout = 0.5\n").start();
    for _ in 0..5 {
        let before = server.wait_for_workers(1);
        let mut stuck = server.occupy(how, "/stuck");
        assert_eq!(stuck.answer().expect("an answer for the stuck client").status, 504);
        server.wait_for_others(&before, 1);
        if let Some(line) = server.line_with(&["it was stuck in "]) {
            return line;
        }
    }
    panic!("no backtrace; it said:\n{}", server.said());
}

#[test]
fn a_thread_that_blocks_is_found_where_it_sleeps() {
    let line = backtrace_of("x-echo-block: 60\r\n");
    let (innermost, callers) = line.split_once(" <- misbehave (examples/echo.rs:").expect(&line);
    assert!(innermost.contains("sleep"), "{line}");
    assert!(callers.contains(" <- "), "{line}");
    assert!(!line.contains("note_addresses"), "the signal's handler is no part of it: {line}");
}

#[test]
fn a_thread_that_never_calls_the_kernel_is_found_too() {
    let line = backtrace_of("x-echo-spin: 60\r\n");
    assert!(line.contains("misbehave (examples/echo.rs:"), "{line}");
}

#[test]
fn the_signal_that_asks_for_it_harms_nobody_who_gets_it_from_others() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let mut awaiting = server.occupy("x-echo-sleep: 0.3\r\n", "/awaiting");
    let mut blocking = server.occupy("x-echo-block: 0.3\r\n", "/blocking");
    for _ in 0..20 {
        for worker in &before {
            server.signal_worker(*worker, Signal::URG);
        }
    }
    for client in [&mut awaiting, &mut blocking] {
        assert_eq!(client.answer().expect("an answer").status, 200);
    }
    assert_eq!(server.workers(), before);
    assert_eq!(server.line_with(&["stuck"]), None);
}
