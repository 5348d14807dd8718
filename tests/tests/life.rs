//! Workers die in every way, and the pool is whole again.

use std::collections::BTreeSet;

use kit::{Server, Signal, descriptors, title, until};

#[test]
fn a_killed_worker_is_replaced_and_its_last_words_are_one_line() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let _waiting = server.occupy("x-echo-sleep: 60\r\n", "/what/was/it?id=7");
    // What was read is in the scoreboard a moment later.
    server.wait_for("a busy worker", |_| {
        before.iter().any(|worker| title(*worker).ends_with(" busy")).then_some(())
    });
    for worker in &before {
        server.signal_worker(*worker, Signal::KILL);
    }
    server.wait_for_others(&before, 2);
    let line = server.wait_for_line(&["ended by SIGKILL", "GET /what/was/it?id=7", "request "]);
    for word in ["in service, by a signal that the master did not send", "peak RSS ", "foreign_signal"] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_worker_that_exits_or_aborts_in_a_request_is_replaced() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    for (how, word, cause) in [
        ("x-echo-exit=0", "exit status 0", "cause=exit"),
        ("x-echo-exit=7", "exit status 7", "cause=exit"),
        ("x-echo-abort=1", "SIGABRT", "cause=own_signal"),
    ] {
        let before = server.wait_for_workers(2);
        assert!(server.try_get(&format!("/?{how}")).is_err(), "{how}: the client gets nothing");
        server.wait_for("a replacement", |server| {
            let workers = server.workers();
            (workers.len() == 2 && workers != before).then_some(())
        });
        server.wait_for_line(&[word, &format!("GET /?{how}"), cause]);
        assert_eq!(server.get("/").status, 200);
    }
}

#[test]
fn a_worker_that_a_nameless_signal_ends_is_replaced_and_holds_up_no_stop() {
    let mut server = Server::echo("[server]\nworkers = 2\n").start();
    let victim = *server.wait_for_workers(2).first().expect("a worker");
    server.signal_worker_by_number(victim, 37); // a real-time one
    server.wait_for_others(&BTreeSet::from([victim]), 2);
    server.wait_for_line(&["ended by signal 37"]);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn a_panic_in_a_handler_is_a_500_with_the_requests_number_and_the_worker_serves_on() {
    let server = Server::echo("[server]\nworkers = 1\n").start();
    let before = server.wait_for_workers(1);
    let answer = server.get("/?x-echo-panic=1");
    assert_eq!(answer.status, 500);
    let text = answer.json()["error"].as_str().unwrap_or_default().to_owned();
    let number = text.rsplit(' ').next().unwrap_or_default();
    assert_eq!(number.len(), 16, "{text}");
    server.wait_for_line(&["panic", "x-echo-panic"]);
    server.wait_for_line(&[number]);
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.workers(), before);
}

#[test]
fn a_request_that_blocks_for_too_long_gets_504_and_siblings_serve_meanwhile() {
    let server = Server::echo("[server]\nworkers = 2\ntimeout = 1\n").start();
    let before = server.wait_for_workers(2);
    let mut stuck = server.occupy("x-echo-block: 60\r\n", "/stuck/here");
    for _ in 0..20 {
        assert_eq!(server.get("/beside").status, 200);
    }
    let answer = stuck.answer().expect("an answer for the stuck client");
    assert_eq!(answer.status, 504);
    assert!(answer.closes());
    let after = server.wait_for("a replacement", |server| {
        let workers = server.workers();
        (workers.len() == 2 && workers != before).then_some(workers)
    });
    assert_eq!(before.intersection(&after).count(), 1, "only the stuck worker is replaced");
    server.wait_for_line(&["given up", "GET /stuck/here", "running for"]);
    server.wait_for_line(&["ended by", "a request held it", "cause=timeout_turn"]);
}

#[test]
fn a_request_that_waits_for_too_long_gets_504_and_who_stands_behind_it_is_served() {
    let server = Server::echo("[server]\nworkers = 1\ntimeout = 1\n").start();
    let mut kept = server.connect();
    kept.get("/kept", "").expect("an answer");
    let mut stuck = server.occupy("x-echo-sleep: 60\r\n", "/stuck");
    kept.send("GET /behind HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
    assert_eq!(stuck.answer().expect("an answer for the stuck client").status, 504);
    assert_eq!(kept.answer().expect("an answer for the one behind").status, 200);
}

#[test]
fn who_stands_behind_a_blocked_request_is_told() {
    let server = Server::echo("[server]\nworkers = 1\ntimeout = 1\n").start();
    let mut kept: Vec<_> = (0..12).map(|_| server.connect()).collect();
    for connection in &mut kept {
        connection.get("/", "").expect("an answer");
    }
    let mut blocking = server.occupy("x-echo-block: 60\r\n", "/blocking");
    for connection in &mut kept {
        connection.send("GET /behind HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
    }
    assert_eq!(blocking.answer().expect("an answer").status, 504);
    for connection in &mut kept {
        assert_eq!(connection.answer().expect("an answer, not a reset").status, 503);
        assert_eq!(connection.to_the_end().expect("an end without a reset"), b"");
    }
    server.wait_for_line(&["aborted while stuck", "unread=12"]);
}

#[test]
fn a_second_abort_cuts_nothing_that_began_after_the_first() {
    let server = Server::echo("[server]\nworkers = 1\n").start();
    let before = server.wait_for_workers(1);
    let worker = *before.first().expect("a worker");
    let mut behind = server.connect();
    behind.get("/", "").expect("an answer");
    let mut held = server.occupy("x-echo-sleep: 60\r\n", "/held");
    behind
        .send("GET /behind HTTP/1.1\r\nHost: x\r\nx-echo-sleep: 0.6\r\n\r\n")
        .expect("a request can be sent");
    server.wait_until_read(&behind);
    server.signal_worker(worker, Signal::ABORT);
    assert_eq!(held.answer().expect("an answer").status, 504);
    server.signal_worker(worker, Signal::ABORT);
    assert_eq!(behind.answer().expect("an answer").status, 200);
    server.wait_for_others(&before, 1);
}

#[test]
fn a_stopped_worker_is_replaced_after_the_timeout() {
    let server = Server::echo("[server]\nworkers = 2\ntimeout = 1\n").start();
    server.wait_for_workers(2);
    server.lose_a_worker(Signal::STOP, 2);
    server.wait_for_line(&["given up", "no heartbeat"]);
    server.wait_for_line(&["ended by SIGKILL", "cause=timeout_silent"]);
}

#[test]
fn a_machine_that_slept_blames_nobody() {
    let server = Server::echo("[server]\nworkers = 2\ntimeout = 1\n").start();
    let workers = server.wait_for_workers(2);
    server.signal(Signal::STOP);
    for worker in &workers {
        server.signal_worker(*worker, Signal::STOP);
    }
    // The one test that has to let time pass: longer than a timeout and the lateness that counts as sleep.
    std::thread::sleep(std::time::Duration::from_millis(3500));
    for worker in workers.iter().rev() {
        server.signal_worker(*worker, Signal::CONT);
    }
    server.signal(Signal::CONT);
    server.wait_for_line(&["did not run for"]);
    // Two timeouts later everybody would have been judged.
    let judged =
        kit::within(std::time::Duration::from_millis(2500), || (server.workers() != workers).then_some(()));
    assert_eq!(judged, None, "{}", server.said());
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_hundred_deaths_leave_the_masters_descriptors_flat_and_no_zombie() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    server.wait_for_workers(2);
    let before = descriptors(server.pid());
    for _ in 0..100 {
        server.lose_a_worker(Signal::KILL, 2);
    }
    assert!(
        until(|| (descriptors(server.pid()) == before).then_some(())).is_some(),
        "descriptors were {before}"
    );
    assert_eq!(server.said().matches("ended by SIGKILL").count(), 100);
}

#[test]
fn a_term_to_a_worker_asks_for_its_replacement_and_fails_nobody() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    for worker in &before {
        server.signal_worker(*worker, Signal::TERM);
    }
    server.wait_for_others(&before, 2);
    hammer.verdict();
    server.wait_for_line(&["retires", "somebody sent it SIGTERM"]);
}

#[test]
fn signals_meant_for_the_master_harm_no_worker() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    for signal in
        [Signal::HUP, Signal::USR1, Signal::USR2, Signal::TTIN, Signal::TTOU, Signal::WINCH, Signal::PIPE]
    {
        for worker in &before {
            server.signal_worker(*worker, signal);
        }
        hammer.strike(20);
    }
    hammer.verdict();
    assert_eq!(server.workers(), before);
}

#[test]
fn a_request_that_blocks_takes_nobody_down_who_came_beside_it() {
    let server = Server::echo("[server]\nworkers = 2\ntimeout = 1\n").start();
    server.wait_for_workers(2);
    let mut busy = [
        server.occupy("x-echo-sleep: 0.5\r\n", "/busy"),
        server.occupy("x-echo-sleep: 0.5\r\n", "/busy/too"),
    ];
    // All of these wait in the kernel until a worker is free.
    let ask = |fields: &str| {
        let mut connection = server.connect();
        connection.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n")).expect("a request can be sent");
        connection
    };
    let mut beside: Vec<_> = (0..20).map(|_| ask("")).collect();
    let mut blocking = ask("x-echo-block: 60\r\n");
    beside.extend((0..20).map(|_| ask("")));
    for connection in busy.iter_mut().chain(&mut beside) {
        assert_eq!(connection.answer().expect("an answer").status, 200);
    }
    assert_eq!(blocking.answer().expect("an answer for the one that blocks").status, 504);
}
