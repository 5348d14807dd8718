//! What is given arrives whole, and what cannot be is refused so that the client hears it.

use std::time::Duration;

use kit::Server;

fn echo() -> Server {
    Server::echo("[server]\nworkers = 1\n").start()
}

#[test]
fn a_body_of_any_size_arrives_whole() {
    let server = Server::echo("[server]\nworkers = 1\nlimit_request_body = 30000000\n").start();
    for size in [0, 1, 65_536, 65_537, 3_000_000, 20_000_000] {
        let body: Vec<u8> = (0..size).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let answer = server.send("POST", "/b", "application/octet-stream", &body);
        assert_eq!(answer.status, 200);
        assert_eq!(decoded(answer.json()["body"].as_str().expect("a body")), body, "{size} bytes");
    }
    let left = std::fs::read_dir("/var/tmp").expect("a directory").flatten();
    let left: Vec<_> =
        left.filter(|file| file.file_name().to_string_lossy().starts_with(".prefork-body")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Base64 (RFC 4648 section 4).
fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
    let group = |digits: &[u8]| {
        let bits =
            digits.iter().enumerate().fold(0u32, |bits, (i, digit)| bits | u32::from(*digit) << (18 - 6 * i));
        bits.to_be_bytes()[1..digits.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

#[test]
fn chunks_with_extensions_and_trailers_arrive_as_one_body() {
    let server = echo();
    let mut connection = server.connect();
    let body = "3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n";
    connection
        .send(format!("POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}"))
        .expect("a request can be sent");
    let told = connection.answer().expect("an answer").json();
    assert_eq!(told["body"], "YWJjZGVmZw==");
    assert_eq!(told["trailers"], serde_json::json!([["x-t", "1"]]));
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let server = echo();
    let mut connection = server.connect();
    let requests: String = (0..10).map(|i| format!("GET /p{i} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    connection.send(requests).expect("requests can be sent");
    for i in 0..10 {
        assert_eq!(connection.answer().expect("an answer").json()["target"], format!("/p{i}"));
    }
}

#[test]
fn a_client_that_expects_100_gets_it_and_one_whose_body_is_refused_does_not() {
    let server = echo();
    let mut connection = server.connect();
    connection
        .send("POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .expect("a head can be sent");
    assert_eq!(connection.answer().expect("an interim answer").status, 100);
    connection.send("ok").expect("a body can be sent");
    assert_eq!(connection.answer().expect("an answer").json()["body"], "b2s=");
    let mut refused = server.connect();
    refused
        .send("POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
        .expect("a head can be sent");
    assert_eq!(refused.answer().expect("an answer").status, 413);
}

#[test]
fn an_answer_to_head_has_no_body() {
    let server = echo();
    let mut connection = server.connect();
    connection.send("HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
    let answer = connection.answer_to("HEAD").expect("an answer");
    assert_eq!(answer.status, 200);
    assert_ne!(answer.field("content-length"), Some("0"));
    // The next answer begins right behind the head.
    assert_eq!(connection.get("/next", "").expect("an answer").json()["target"], "/next");
}

#[test]
fn a_body_above_the_limit_is_refused_and_the_client_that_goes_on_sending_hears_it() {
    let server = Server::echo("[server]\nworkers = 1\nlimit_request_body = 1000\n").start();
    let announced = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, chunk) in
        [(announced, "x".repeat(65_536)), (chunked, format!("10000\r\n{}\r\n", "x".repeat(65_536)))]
    {
        let mut connection = server.connect();
        connection.send(head).expect("a head can be sent");
        for _ in 0..8 {
            connection.send(&chunk).expect("no reset while it is being told");
        }
        let answer = connection.answer().expect("the answer, not a reset");
        assert_eq!(answer.status, 413);
        assert!(answer.closes());
        assert!(answer.json()["error"].as_str().is_some_and(|text| text.contains("1000")) || head == chunked);
        assert_eq!(connection.to_the_end().expect("an end"), b"");
    }
    assert_eq!(
        server.send("POST", "/", "text/plain", &[b'x'; 1000]).status,
        200,
        "the limit itself is allowed"
    );
    assert_eq!(server.send("POST", "/", "text/plain", &[b'x'; 1001]).status, 413);
}

#[test]
fn a_body_that_ends_early_is_never_taken_for_whole() {
    let server = echo();
    for request in [
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut connection = server.connect();
        connection.send(request).expect("a request can be sent");
        connection.finish().expect("an end can be sent");
        let status = connection.answer().map_or(0, |answer| answer.status);
        assert!(status == 0 || status >= 400, "{status} for {request}");
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn an_encoded_body_is_refused() {
    let server = echo();
    let mut connection = server.connect();
    connection
        .send("POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
        .expect("a request can be sent");
    assert_eq!(connection.answer().expect("an answer").status, 415);
}

#[test]
fn a_client_that_only_stops_sending_gets_its_answer() {
    let server = echo();
    let mut connection = server.connect();
    connection.send("GET /half?x-echo-sleep=0.2 HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
    connection.finish().expect("an end can be sent");
    assert_eq!(connection.answer().expect("an answer").status, 200);
}

#[test]
fn a_head_that_does_not_come_in_time_gets_408() {
    let server = Server::echo("[server]\nworkers = 1\nheader_timeout = 0.5\n").start();
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.1\r\nHost: x\r\nX-").expect("bytes can be sent");
    assert_eq!(connection.answer().expect("an answer").status, 408);
    assert_eq!(connection.to_the_end().expect("an end"), b"");
}

#[test]
fn a_body_that_does_not_come_in_time_gets_408() {
    let server = Server::echo("[server]\nworkers = 1\nbody_timeout = 0.5\n").start();
    let mut connection = server.connect();
    connection
        .send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        .expect("bytes can be sent");
    assert_eq!(connection.answer().expect("an answer").status, 408);
}

#[test]
fn an_idle_connection_is_closed_after_keepalive_and_not_before() {
    let server = Server::echo("[server]\nworkers = 1\nkeepalive = 2\n").start();
    let mut connection = server.connect();
    for _ in 0..3 {
        connection.get("/", "").expect("an answer");
        // Nothing, and no end either, for a good part of the time that it may be idle.
        connection.patience(Duration::from_millis(600)).expect("a time limit");
        let error = connection.answer().expect_err("nothing comes");
        assert_ne!(error.kind(), std::io::ErrorKind::UnexpectedEof, "closed too soon");
    }
    connection.patience(kit::PATIENCE).expect("a time limit");
    assert_eq!(connection.to_the_end().expect("an end without a reset"), b"");
}

#[test]
fn a_keepalive_of_zero_closes_after_the_first_answer() {
    let server = Server::echo("[server]\nworkers = 1\nkeepalive = 0\n").start();
    let mut connection = server.connect();
    assert!(connection.get("/", "").expect("an answer").closes());
    assert_eq!(connection.to_the_end().expect("an end"), b"");
}

#[test]
fn whatever_bytes_come_the_worker_serves_on() {
    let server = echo();
    let before = server.wait_for_workers(1);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for length in 1..120 {
        let bytes: Vec<u8> = (0..length * 7)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        let mut connection = server.connect();
        let _ = connection.send(bytes);
        let _ = connection.finish();
        let _ = connection.to_the_end();
    }
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.workers(), before);
}
