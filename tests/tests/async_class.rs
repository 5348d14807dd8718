//! `worker_class = "async"`: many requests at once, and the heartbeat alone says whether a worker lives.

use kit::{Connection, Server};

const ASYNC: &str = "[server]\nworkers = 1\nworker_class = \"async\"\ntimeout = 1\n";

#[test]
fn a_request_that_awaits_may_take_longer_than_timeout() {
    let server = Server::echo(ASYNC).start();
    let before = server.wait_for_workers(1);
    let mut patient = server.occupy("x-echo-sleep: 2.5\r\n", "/patient");
    assert_eq!(patient.answer().expect("an answer").status, 200);
    assert_eq!(server.workers(), before);
}

#[test]
fn everybody_whom_a_blocked_worker_holds_is_told() {
    let server = Server::echo(ASYNC).start();
    let before = server.wait_for_workers(1);
    let mut held: Vec<Connection> =
        (0..4).map(|i| server.occupy("x-echo-sleep: 60\r\n", &format!("/held/{i}"))).collect();
    held.push(server.occupy("x-echo-block: 60\r\n", "/blocking"));
    for client in &mut held {
        let answer = client.answer().expect("an answer");
        assert_eq!((answer.status, answer.closes()), (504, true));
    }
    server.wait_for_others(&before, 1);
    for path in ["GET /held/0", "GET /held/3", "GET /blocking"] {
        server.wait_for_line(&["given up", path]);
    }
}
