//! Too much at once.

use kit::{Connection, Server, Signal, descriptors};

#[test]
fn a_worker_without_descriptors_waits_for_some_says_so_once_and_serves_on() {
    let few = ["sh", "-c", "ulimit -n 60; exec \"$@\"", "sh"];
    let server = Server::echo("[server]\nworkers = 1\n").under(few).start();
    let before = server.wait_for_workers(1);
    let worker = *before.first().expect("a worker");
    let at_rest = descriptors(worker);
    let crowd: Vec<Connection> = (0..100)
        .map(|_| {
            let mut client = server.connect();
            client.send("GET / HTTP/1.1\r\nHost: x\r\nX-").expect("half a head");
            client
        })
        .collect();
    server.wait_for_line(&["WARNING", "cannot accept"]);
    drop(crowd);
    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200);
    }
    server.wait_for("all descriptors to be free again", |_| (descriptors(worker) <= at_rest).then_some(()));
    assert_eq!(server.said().matches("cannot accept").count(), 1);
    assert_eq!(server.workers(), before);
}

#[test]
fn every_kind_of_change_at_once_fails_no_request_and_ends_whole() {
    let config =
        |workers| format!("[server]\nworkers = {workers}\nmax_requests = 50\nmax_requests_jitter = 20\n");
    let server = Server::echo(&config(2)).start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    for round in 0..12 {
        match round % 3 {
            0 => server.reconfigure(&config(2 + round % 2)),
            1 => server.signal(Signal::TTIN),
            _ => server.signal(Signal::TTOU),
        }
        hammer.strike(60);
    }
    server.reconfigure(&config(3));
    server.wait_for_the_last_reload();
    hammer.verdict();
    server.wait_for_others(&before, 3);
}
