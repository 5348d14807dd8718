//! One request at a time, and nobody who is slow counts.

use std::thread;
use std::time::{Duration, Instant};

use kit::{Connection, Server, Signal};
use socket2::SockRef;

fn twenty_requests(server: &Server) {
    for _ in 0..20 {
        assert_eq!(server.get("/api/health").status, 200);
    }
}

#[test]
fn a_sync_worker_runs_one_request_at_a_time() {
    let server = Server::echo("[server]\nworkers = 1\n").start();
    let mut first = server.occupy("x-echo-sleep: 0.5\r\n", "/first");
    assert_eq!(server.get("/second").status, 200);
    // The second one was answered, so the first one was before it.
    first.patience(Duration::from_millis(1)).expect("a time limit");
    assert_eq!(first.answer().expect("an answer that is there already").status, 200);
}

#[test]
fn an_async_worker_runs_many() {
    let server = Server::echo("[server]\nworkers = 1\nworker_class = \"async\"\n").start();
    let _first = server.occupy("x-echo-sleep: 60\r\n", "/first");
    let _second = server.occupy("x-echo-sleep: 60\r\n", "/second");
    assert_eq!(server.get("/third").status, 200);
}

#[test]
fn half_open_idle_and_trickling_clients_occupy_no_worker() {
    // Limits beyond the kit's patience: whoever occupied the worker would be waited for in vain.
    let patient = "header_timeout = 99\nbody_timeout = 99\nkeepalive = 99\n";
    let server = Server::echo(&format!("[server]\nworkers = 1\n{patient}")).start();
    let held: Vec<Connection> = (0..150)
        .map(|i| {
            let mut connection = server.connect();
            let bytes = match i % 3 {
                0 => "GET / HTTP/1.1\r\nHost: x\r\nX-",
                1 => "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n",
                _ => "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc",
            };
            connection.send(bytes).expect("bytes can be sent");
            connection
        })
        .collect();
    twenty_requests(&server);
    drop(held);
}

/// A client with a small buffer that has asked for a large answer.
fn large_answer(server: &Server) -> Connection {
    let mut client = server.connect();
    SockRef::from(client.socket()).set_recv_buffer_size(65_536).expect("a small buffer");
    client
        .send("GET /big?x-echo-size=16000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("a request");
    client
}

#[test]
fn a_client_that_does_not_read_occupies_no_worker_and_outlives_timeout() {
    let server = Server::echo("[server]\nworkers = 1\ntimeout = 1\n").start();
    let before = server.wait_for_workers(1);
    let mut slow = large_answer(&server);
    // Two timeouts of reading nothing, with requests beside it.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        twenty_requests(&server);
    }
    let answer = slow.answer().expect("the whole answer");
    assert_eq!(answer.body.len(), 16_000_000);
    assert_eq!(server.workers(), before);
}

#[test]
fn a_client_that_reads_slowly_outlives_write_timeout_and_one_that_does_not_read_does_not() {
    let server = Server::echo("[server]\nworkers = 1\nwrite_timeout = 1\n").start();
    let mut slow = large_answer(&server);
    let mut deaf = large_answer(&server);
    // A little at a time, for five times the limit: the kernel asks for more of the answer far more seldom.
    let mut all = slow.trickle(40_000, Duration::from_millis(100), 50).expect("what there is");
    all += slow.to_the_end().expect("the rest").len();
    assert!(all > 16_000_000, "{all} bytes of the answer and its head");
    let heard = deaf.to_the_end().map_or(0, |bytes| bytes.len());
    assert!(
        heard < 16_000_000,
        "{heard} bytes waited for a client that read nothing for five times the limit"
    );
}

#[test]
fn a_slow_upload_outlives_timeout() {
    let server = Server::echo("[server]\nworkers = 1\ntimeout = 1\n").start();
    let before = server.wait_for_workers(1);
    let mut slow = server.connect();
    slow.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n").expect("a head");
    let begun = Instant::now();
    for byte in 0..11 {
        slow.send("x").expect("a byte");
        while begun.elapsed() < Duration::from_millis(200) * (byte + 1) {
            twenty_requests(&server);
        }
    }
    slow.send("x").expect("the last byte");
    assert_eq!(slow.answer().expect("an answer").json()["body"], "eHh4eHh4eHh4eHh4");
    assert_eq!(server.workers(), before);
}

#[test]
fn new_connections_go_to_the_worker_that_is_free() {
    let server = Server::echo("[server]\nworkers = 3\n").start();
    server.wait_for_workers(3);
    let _busy = [server.occupy("x-echo-block: 60\r\n", "/a"), server.occupy("x-echo-sleep: 60\r\n", "/b")];
    let mut pids = Vec::new();
    for _ in 0..30 {
        pids.push(server.get("/who").json()["pid"].clone());
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "all by the one that is free");
}

#[test]
fn a_stopped_worker_hangs_no_new_connection() {
    let server = Server::echo("[server]\nworkers = 3\n").start();
    let victim = *server.wait_for_workers(3).first().expect("a worker");
    server.signal_worker(victim, Signal::STOP);
    for _ in 0..300 {
        let mut connection = server.connect();
        connection.patience(Duration::from_secs(5)).expect("a time limit");
        let answer = connection.get("/", "Connection: close\r\n").expect("an answer");
        assert_ne!(answer.json()["pid"], victim);
    }
    server.signal_worker(victim, Signal::CONT);
}

#[test]
fn work_spreads_over_the_workers() {
    let server = Server::echo("[server]\nworkers = 3\n").start();
    server.wait_for_workers(3);
    let mut pids: Vec<i64> = thread::scope(|scope| {
        let clients: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let ask = |_| server.get("/?x-echo-block=0.01").json()["pid"].as_i64();
                    (0..20).filter_map(ask).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client ends well")).collect()
    });
    assert_eq!(pids.len(), 120);
    pids.sort_unstable();
    let least = pids.chunk_by(|a, b| a == b).map(<[_]>::len).min();
    pids.dedup();
    assert_eq!(pids.len(), 3);
    assert!(least >= Some(12), "one of them served {least:?} of 120, 40 would be even");
}
