//! Workers that are replaced after `max_requests`.

use kit::Server;

#[test]
fn recycling_fails_no_request_and_boots_the_replacement_first() {
    let config = "[server]\nworkers = 2\nmax_requests = 40\nmax_requests_jitter = 20\n";
    let server = Server::echo(config).start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    server.wait_for_others(&before, 2);
    hammer.strike(600);
    hammer.verdict();
    assert!(server.said().matches("it has served max_requests").count() >= 6, "{}", server.said());
}

#[test]
fn a_kept_connection_is_told_before_its_worker_goes() {
    let server = Server::echo("[server]\nworkers = 1\nmax_requests = 10\n").start();
    let mut connection = server.connect();
    let mut pids = Vec::new();
    for _ in 0..200 {
        let answer =
            connection.get("/", "").expect("an answer on a connection that was not announced to end");
        pids.push(answer.json()["pid"].as_i64());
        if answer.closes() {
            assert_eq!(connection.to_the_end().expect("an end without a reset"), b"");
            connection = server.connect();
        }
    }
    pids.dedup();
    assert!(pids.len() >= 3, "{} workers served 200 requests", pids.len());
}
