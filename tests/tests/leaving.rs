//! Between the announcement of a stop and its beginning: drain_delay.

use std::collections::BTreeSet;

use kit::{Server, Signal};

fn readiness(server: &Server) -> u16 {
    server.get("/api/health/readiness").status
}

/// A server that has announced its stop, long before it begins.
fn leaving() -> (Server, BTreeSet<i32>) {
    let server = Server::devsim("[server]\nworkers = 2\ndrain_delay = 300\n").start();
    let workers = server.wait_for_workers(2);
    assert_eq!(readiness(&server), 200);
    server.signal(Signal::TERM);
    server.wait_for("readiness to end", |server| (readiness(server) == 503).then_some(()));
    (server, workers)
}

#[test]
fn readiness_ends_first_and_requests_are_served_on_connections_that_close() {
    let server = Server::devsim("[server]\nworkers = 2\ndrain_delay = 300\n").start();
    let workers = server.wait_for_workers(2);
    let mut kept: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut kept {
        assert!(!client.get("/api/health", "").expect("an answer").closes());
    }
    server.signal(Signal::TERM);
    server.wait_for_line(&["leaving", "300", "second SIGTERM"]);
    for client in &mut kept {
        let answer = client.get("/api/health/liveness", "").expect("an answer");
        assert_eq!((answer.status, answer.closes()), (200, true));
    }
    for _ in 0..20 {
        assert_eq!(readiness(&server), 503);
        let mut client = server.connect();
        let answer = client.get("/api/health", "").expect("an answer");
        assert_eq!((answer.status, answer.closes()), (200, true));
    }
    assert_eq!(server.workers(), workers);
}

#[test]
fn a_second_term_begins_the_stop_and_finishes_what_runs() {
    let mut server = Server::echo("[server]\nworkers = 2\ndrain_delay = 300\n").start();
    let mut running = server.occupy("x-echo-sleep: 2\r\n", "/running");
    server.signal(Signal::TERM);
    server.wait_for_line(&["leaving"]);
    server.signal(Signal::TERM);
    assert_eq!(running.answer().expect("an answer").status, 200);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn int_and_quit_do_not_wait() {
    for signal in [Signal::INT, Signal::QUIT] {
        let mut server = Server::echo("[server]\nworkers = 2\ndrain_delay = 300\n").start();
        let mut running = server.occupy("x-echo-sleep: 60\r\n", "/running");
        server.signal(Signal::TERM);
        server.wait_for_line(&["leaving"]);
        server.signal(signal);
        assert_eq!(server.wait_for_end(), Some(0));
        assert!(running.answer().is_err(), "what runs is cut");
    }
}

#[test]
fn the_stop_begins_by_itself_when_the_delay_is_over() {
    let mut server = Server::echo("[server]\nworkers = 2\ndrain_delay = 4\n").start();
    let hammer = server.hammer();
    server.signal(Signal::TERM);
    server.wait_for_line(&["leaving"]);
    hammer.strike(50);
    hammer.verdict();
    assert_eq!(server.wait_for_end(), Some(0));
    server.wait_for_line(&["stopping: workers finish what they have"]);
}

#[test]
fn a_server_that_serves_nobody_yet_stops_at_once() {
    let config = "[server]\nworkers = 1\ndrain_delay = 300\nraw_env = [\"ECHO_BOOT=slow=60\"]\n";
    let mut server = Server::echo(config).start_slowly();
    server.wait_for("a booting worker", |server| (!server.workers().is_empty()).then_some(()));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn a_worker_that_is_lost_meanwhile_is_replaced_by_one_that_is_not_ready_either() {
    let (mut server, before) = leaving();
    for worker in &before {
        server.signal_worker(*worker, Signal::KILL);
    }
    server.wait_for_others(&before, 2);
    for _ in 0..20 {
        assert_eq!(readiness(&server), 503);
        assert_eq!(server.get("/api/health").status, 200);
    }
    let before = server.workers();
    server.signal_worker(*before.first().expect("a worker"), Signal::TERM); // its own wish to go
    server.wait_for("its replacement", |server| {
        let serving = server.serving();
        (serving.len() == 2 && serving != before).then_some(())
    });
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn whoever_wants_a_change_meanwhile_is_told_that_there_will_be_none() {
    let (server, before) = leaving();
    let refused = |server: &Server| server.said().matches("the server is stopping already").count();
    for (index, signal) in [Signal::HUP, Signal::TTIN, Signal::TTOU, Signal::USR2].into_iter().enumerate() {
        server.signal(signal);
        server.wait_for("a line", |server| (refused(server) == index + 1).then_some(()));
    }
    assert_eq!(readiness(&server), 503);
    assert_eq!(server.workers(), before);
    assert_eq!(server.line_with(&["reload"]), None);
    assert_eq!(server.line_with(&["upgrade"]), None);
}

#[test]
fn a_reload_that_is_under_way_is_dropped_with_its_worker() {
    for how in ["ECHO_PREPARE=slow=60", "ECHO_BOOT=slow=60"] {
        let mut server = Server::echo("[server]\nworkers = 2\ndrain_delay = 300\n").start();
        let before = server.wait_for_workers(2);
        server.reconfigure(&format!("[server]\nworkers = 3\nraw_env = [\"{how}\"]\n"));
        server.wait_for("a child more", |server| (kit::children(server.pid()).len() == 3).then_some(()));
        server.signal(Signal::HUP); // and one more waits
        server.wait_for_line(&["one is running; another follows it"]);
        server.signal(Signal::TERM);
        server.wait_for_line(&["leaving"]);
        server.wait_for("its end", |server| (kit::children(server.pid()).len() == 2).then_some(()));
        assert_eq!(server.workers(), before);
        assert_eq!(server.get("/").status, 200);
        server.signal(Signal::TERM);
        assert_eq!(server.wait_for_end(), Some(0));
        assert!(!server.said().contains("generation 3"), "{}", server.said());
    }
}

#[test]
fn a_worker_that_drains_for_a_reload_says_nothing_of_the_server() {
    let server = Server::devsim("[server]\nworkers = 1\n").start();
    server.wait_for_workers(1);
    let mut kept: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut kept {
        client.get("/api/health", "").expect("an answer");
    }
    server.signal(Signal::HUP);
    server.wait_for_line(&["generation 2 has taken over"]);
    for client in &mut kept {
        let answer = client.get("/api/health/readiness", "").expect("an answer");
        assert_eq!((answer.status, answer.closes()), (200, true));
    }
    server.wait_for_line(&["serves alone"]);
}
