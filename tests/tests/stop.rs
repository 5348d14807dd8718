//! The ends of a server.

use std::time::{Duration, Instant};

use kit::{Connection, Server, Signal, is_alive, until, within};

#[test]
fn term_finishes_what_runs_refuses_what_is_new_and_ends_with_0() {
    let mut server = Server::echo("[server]\nworkers = 2\n").start();
    let mut running = server.occupy("x-echo-sleep: 5\r\n", "/running");
    server.signal(Signal::TERM);
    let address = server.address();
    let refused = within(Duration::from_secs(4), || Connection::open(address).err());
    assert!(refused.is_some(), "it still takes connections, a second and more after the stop began");
    let answer = running.answer().expect("what runs is answered");
    assert_eq!(answer.status, 200);
    assert!(answer.closes());
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn what_waits_to_be_accepted_is_answered_also_behind_blocked_workers() {
    for (workers, how) in [(1, "x-echo-sleep: 1\r\n"), (1, "x-echo-block: 1\r\n"), (2, "x-echo-block: 1\r\n")]
    {
        let mut server = Server::echo(&format!("[server]\nworkers = {workers}\n")).start();
        server.wait_for_workers(workers);
        let mut running: Vec<Connection> = (0..workers).map(|_| server.occupy(how, "/running")).collect();
        let mut queued: Vec<Connection> = (0..40).map(|_| server.connect()).collect();
        for connection in &mut queued {
            connection.send("GET /queued HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
        }
        server.signal(Signal::TERM);
        for connection in queued.iter_mut().chain(&mut running) {
            let status = connection.answer().map(|answer| answer.status);
            assert!(matches!(status, Ok(200)), "{status:?} with {workers} workers and {how}");
        }
        assert_eq!(server.wait_for_end(), Some(0));
    }
}

#[test]
fn who_has_connected_and_not_yet_sent_when_the_stop_begins_is_answered() {
    let mut server = Server::echo("[server]\nworkers = 2\n").start();
    server.wait_for_workers(2);
    all_who_send_after_the_stop_began_are_answered(&mut server);
}

fn all_who_send_after_the_stop_began_are_answered(server: &mut Server) {
    let mut clients: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    server.signal(Signal::TERM);
    server.wait_for_line(&["stopping"]);
    for client in &mut clients {
        client.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
    }
    for client in &mut clients {
        assert_eq!(client.answer().expect("an answer, not a reset").status, 200);
    }
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn a_reload_that_changes_defer_accept_changes_nothing_for_who_has_not_yet_sent_when_the_stop_begins() {
    let mut server = Server::echo("[server]\nworkers = 2\ndefer_accept = 1\n").start();
    let before = server.wait_for_workers(2);
    server.reconfigure("[server]\nworkers = 2\ndefer_accept = 0\n");
    server.wait_for_others(&before, 2);
    all_who_send_after_the_stop_began_are_answered(&mut server);
}

#[test]
fn term_gives_up_at_graceful_timeout() {
    let mut server = Server::echo("[server]\nworkers = 2\ngraceful_timeout = 1\n").start();
    let mut blocked = server.occupy("x-echo-block: 60\r\n", "/blocked");
    let mut waiting = server.occupy("x-echo-sleep: 60\r\n", "/waiting");
    let begun = Instant::now();
    server.signal(Signal::TERM);
    for cut in [&mut blocked, &mut waiting] {
        assert_eq!(cut.answer().expect("an answer to what is cut").status, 504);
    }
    assert_eq!(server.wait_for_end(), Some(0));
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
    server.wait_for_line(&["GET /blocked"]);
}

#[test]
fn int_and_quit_cut_what_runs_and_end_with_0() {
    for signal in [Signal::INT, Signal::QUIT] {
        let mut server = Server::echo("[server]\nworkers = 2\n").start();
        let mut running = server.occupy("x-echo-sleep: 60\r\n", "/running");
        server.signal(signal);
        assert_eq!(server.wait_for_end(), Some(0));
        assert!(running.answer().is_err(), "what runs is cut");
    }
}

#[test]
fn a_quick_stop_overtakes_a_graceful_one() {
    let mut server = Server::echo("[server]\nworkers = 2\n").start();
    let _running = [server.occupy("x-echo-sleep: 60\r\n", "/a"), server.occupy("x-echo-block: 60\r\n", "/b")];
    server.signal(Signal::TERM);
    server.wait_for("the drain", |server| Connection::open(server.address()).err());
    let begun = Instant::now();
    server.signal(Signal::INT);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "graceful_timeout would be 30 s");
}

#[test]
fn a_quick_stop_kills_who_cannot_hear_it() {
    let mut server = Server::echo("[server]\nworkers = 2\n").start();
    let worker = *server.wait_for_workers(2).first().expect("a worker");
    server.signal_worker(worker, Signal::STOP);
    let begun = Instant::now();
    server.signal(Signal::QUIT);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(6), "two seconds, then SIGKILL");
}

#[test]
fn a_graceful_stop_kills_who_cannot_hear_it_after_graceful_timeout() {
    let mut server = Server::echo("[server]\nworkers = 2\ngraceful_timeout = 1\n").start();
    let worker = *server.wait_for_workers(2).first().expect("a worker");
    server.signal_worker(worker, Signal::STOP);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    server.wait_for_line(&["SIGKILL", "graceful_timeout"]);
}

#[test]
fn a_term_in_the_middle_of_a_reload_ends_with_0() {
    let mut server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let mut running = server.occupy("x-echo-sleep: 1\r\n", "/running");
    server.reconfigure("[server]\nworkers = 2\nraw_env = [\"ECHO_BOOT=slow=60\"]\n");
    server.wait_for("a booting worker", |server| (!server.workers().is_subset(&before)).then_some(()));
    server.signal(Signal::TERM);
    assert_eq!(running.answer().expect("what runs is answered").status, 200);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn a_keep_alive_client_is_answered_through_term_and_then_told_to_go() {
    let mut server = Server::echo("[server]\nworkers = 1\n").start();
    let mut client = server.connect();
    client.get("/before", "").expect("an answer");
    server.signal(Signal::TERM);
    let address = server.address();
    assert!(until(|| Connection::open(address).err()).is_some(), "it drains");
    let answer = client.get("/after", "").expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(answer.closes());
    assert_eq!(client.to_the_end().expect("an end without a reset"), b"");
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn an_idle_client_keeps_nobody_longer_than_keepalive() {
    let mut server = Server::echo("[server]\nworkers = 1\nkeepalive = 1\n").start();
    let mut client = server.connect();
    client.get("/", "").expect("an answer");
    let _never_spoke = server.connect();
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert_eq!(client.to_the_end().expect("an end without a reset"), b"");
}

#[test]
fn a_term_while_workers_boot_ends_with_0() {
    let mut server = Server::echo("[server]\nraw_env = [\"ECHO_BOOT=slow=60\"]\n").start_slowly();
    server.wait_for("a booting worker", |server| (!server.workers().is_empty()).then_some(()));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn workers_of_a_killed_master_finish_what_they_have_and_go() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let workers = server.wait_for_workers(2);
    let mut running = server.occupy("x-echo-sleep: 1\r\n", "/running");
    server.signal(Signal::KILL);
    assert_eq!(running.answer().expect("what runs is answered").status, 200);
    assert!(
        until(|| workers.iter().all(|worker| !is_alive(*worker)).then_some(())).is_some(),
        "orphans are left"
    );
    let address = server.address();
    assert!(std::net::TcpListener::bind(address).is_ok(), "the port is not free");
}

#[test]
fn who_was_queued_behind_a_worker_that_never_comes_back_is_told() {
    let mut server = Server::echo("[server]\nworkers = 1\ngraceful_timeout = 1\n").start();
    let mut blocked = server.occupy("x-echo-block: 60\r\n", "/blocked");
    let mut queued: Vec<Connection> = (0..10).map(|_| server.connect()).collect();
    for connection in &mut queued {
        connection.send("GET /queued HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
    }
    server.signal(Signal::TERM);
    for connection in &mut queued {
        assert_eq!(connection.answer().expect("an answer, not a reset").status, 503);
    }
    assert_eq!(blocked.answer().expect("an answer").status, 504);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn who_is_queued_behind_blocked_workers_is_told_also_when_the_grace_is_short() {
    // The grace is over before the accept queue would be emptied for a loop that is stuck.
    let mut server = Server::echo("[server]\nworkers = 2\ngraceful_timeout = 0.5\n").start();
    server.wait_for_workers(2);
    let mut blocked =
        [server.occupy("x-echo-block: 60\r\n", "/a"), server.occupy("x-echo-block: 60\r\n", "/b")];
    let mut queued: Vec<Connection> = (0..12).map(|_| server.connect()).collect();
    for connection in &mut queued {
        connection.send("GET /queued HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
    }
    server.signal(Signal::TERM);
    for connection in &mut queued {
        assert_eq!(connection.answer().expect("an answer, not a reset").status, 503);
    }
    for connection in &mut blocked {
        assert_eq!(connection.answer().expect("an answer").status, 504);
    }
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn a_worker_that_was_aborted_just_before_the_stop_still_answers_who_is_queued() {
    // By somebody else, who may do so at any time; or by the master, while the replacement boots.
    for (by_the_master, config) in [(false, ""), (true, "timeout = 1\nraw_env = [\"ECHO_BOOT=slow=1\"]\n")] {
        let mut server = Server::echo(&format!("[server]\nworkers = 1\n{config}")).start();
        let worker = *server.wait_for_workers(1).first().expect("a worker");
        let mut behind = server.connect();
        behind.get("/", "").expect("an answer");
        let mut held = server.occupy("x-echo-sleep: 60\r\n", "/held");
        // Keeps the worker for a while.
        behind
            .send("GET /behind HTTP/1.1\r\nHost: x\r\nx-echo-sleep: 0.3\r\n\r\n")
            .expect("a request can be sent");
        server.wait_until_read(&behind);
        let mut queued: Vec<Connection> = (0..12).map(|_| server.connect()).collect();
        for connection in &mut queued {
            connection.send("GET /queued HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
        }
        if !by_the_master {
            server.signal_worker(worker, Signal::ABORT);
        }
        assert_eq!(held.answer().expect("an answer to what is aborted").status, 504);
        server.signal(Signal::TERM);
        for connection in queued.iter_mut().chain([&mut behind]) {
            let status = connection.answer().map(|answer| answer.status);
            assert!(matches!(status, Ok(200 | 503)), "{status:?}, aborted by the master: {by_the_master}");
        }
        assert_eq!(server.wait_for_end(), Some(0));
    }
}
