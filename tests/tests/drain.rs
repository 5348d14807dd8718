//! What is under way when a worker has to go: nobody notices.

use std::time::{Duration, Instant};

use kit::{Connection, Server, Signal, is_alive, until};

fn one_worker(more: &str) -> Server {
    Server::echo(&format!("[server]\nworkers = 1\n{more}")).start()
}

/// Tells the master to stop, and waits until nothing new is taken.
fn stop_taking(server: &Server) {
    server.signal(Signal::TERM);
    server.wait_for("refused connections", |server| Connection::open(server.address()).err());
}

#[test]
fn a_request_whose_head_is_half_sent_at_the_stop_is_answered() {
    let mut server = one_worker("");
    let mut client = server.begin("GET /half HTTP/1.1\r\nHos");
    stop_taking(&server);
    client.send("t: x\r\n\r\n").expect("the other half");
    let answer = client.answer().expect("an answer");
    assert_eq!((answer.status, answer.closes()), (200, true));
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn an_upload_that_is_under_way_at_the_stop_is_taken_whole() {
    let mut server = one_worker("");
    let mut client = server.begin("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc");
    stop_taking(&server);
    client.send("def").expect("the other half");
    let answer = client.answer().expect("an answer");
    assert_eq!(answer.json()["body"], "YWJjZGVm");
    assert!(answer.closes());
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn a_large_answer_that_is_under_way_at_the_stop_arrives_whole() {
    let mut server = one_worker("keepalive = 1\n");
    let mut client = server.begin("GET /big?x-echo-size=30000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    stop_taking(&server);
    assert_eq!(client.answer().expect("an answer").body.len(), 30_000_000);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn a_client_that_left_in_the_middle_of_its_upload_holds_up_no_stop() {
    let mut server = one_worker("");
    drop(server.begin("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n\r\nabc"));
    let begun = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "graceful_timeout would be 30 s");
}

#[test]
fn a_request_that_runs_through_a_reload_is_finished_by_the_old_worker() {
    let server = one_worker("");
    let before = server.wait_for_workers(1);
    let mut running = server.occupy("x-echo-sleep: 3\r\n", "/running");
    server.signal(Signal::HUP);
    server.wait_for("a newer worker that serves", |server| {
        server.try_get("/new").ok().filter(|answer| !before.contains(&pid_in(answer)))
    });
    let answer = running.answer().expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(before.contains(&pid_in(&answer)));
    server.wait_for_others(&before, 1);
}

#[test]
fn a_request_that_runs_when_ttou_takes_its_worker_is_finished() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let mut running = [
        server.occupy("x-echo-sleep: 1\r\n", "/running"),
        server.occupy("x-echo-sleep: 1\r\n", "/running/too"),
    ];
    server.signal(Signal::TTOU);
    for client in &mut running {
        assert_eq!(client.answer().expect("an answer").status, 200);
    }
    assert!(server.wait_for_workers(1).is_subset(&before));
}

#[test]
fn a_worker_that_does_not_leave_is_cut_at_graceful_timeout_and_the_reload_ends() {
    let server = one_worker("graceful_timeout = 1\n");
    let before = server.wait_for_workers(1);
    let mut blocked = server.occupy("x-echo-block: 60\r\n", "/blocked/in/a/reload");
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 1);
    assert_eq!(blocked.answer().expect("an answer").status, 504, "it was cut, and told");
    server.wait_for_line(&["GET /blocked/in/a/reload"]);
}

#[test]
fn a_term_to_every_process_at_once_is_one_graceful_stop() {
    let mut server = Server::echo("[server]\nworkers = 2\n").start();
    let workers = server.wait_for_workers(2);
    let mut running = server.occupy("x-echo-sleep: 1\r\n", "/running");
    for worker in &workers {
        server.signal_worker(*worker, Signal::TERM);
    }
    server.signal(Signal::TERM);
    assert_eq!(running.answer().expect("an answer").status, 200);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn an_orphan_whose_loop_is_stuck_leaves_at_graceful_timeout() {
    let server = one_worker("graceful_timeout = 1\n");
    let worker = *server.wait_for_workers(1).first().expect("a worker");
    let _blocked = server.occupy("x-echo-block: 60\r\n", "/blocked");
    server.signal(Signal::KILL);
    let gone = until(|| (!is_alive(worker)).then_some(()));
    assert!(gone.is_some(), "a worker without a master is still there:\n{}", server.said());
}

#[test]
fn what_waits_to_be_accepted_when_the_master_is_killed_is_answered() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let workers = server.wait_for_workers(2);
    let _busy = [server.occupy("x-echo-block: 1\r\n", "/a"), server.occupy("x-echo-sleep: 1\r\n", "/b")];
    let mut queued: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    for client in &mut queued {
        client.send("GET /queued HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    }
    server.signal(Signal::KILL);
    for client in &mut queued {
        assert_eq!(client.answer().expect("an answer").status, 200);
    }
    let gone = until(|| workers.iter().all(|worker| !is_alive(*worker)).then_some(()));
    assert!(gone.is_some(), "workers without a master are still there:\n{}", server.said());
}

fn pid_in(answer: &kit::Answer) -> i32 {
    answer.json()["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default()
}

#[test]
fn a_request_that_waits_when_the_grace_is_over_is_told_and_never_begins() {
    let mut server = one_worker("graceful_timeout = 1\n");
    let mut waiting = server.connect();
    waiting.get("/", "").expect("an answer");
    let mut running = server.occupy("x-echo-sleep: 60\r\n", "/running");
    waiting
        .send("GET /waiting HTTP/1.1\r\nHost: x\r\nx-echo-exit: 9\r\n\r\n")
        .expect("a request can be sent");
    server.wait_until_read(&waiting);
    server.signal(Signal::TERM);
    assert_eq!(running.answer().expect("an answer").status, 504);
    assert_eq!(waiting.answer().expect("an answer").status, 503);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(server.line_with(&["exit status 9"]).is_none(), "{}", server.said());
}
