//! The access log: which requests have a line, and what stands in it.

use std::fs;

use kit::{Server, Signal};

/// With log files, and no line for the question with which the kit waits for a server.
const QUIET: &str = "[logging]\ndir = \"logs\"\naccess_log_exclude = [\"/api/health\"]\n";

#[test]
fn standard_streams_take_the_access_log_and_what_the_server_says() {
    let config = "[server]\nworkers = 1\n[logging]\nconsole = \"none\"\n";
    let server = Server::echo(config).flags(["--access-logfile", "-", "--error-logfile", "-"]).start();
    server.get("/seen");
    let line = server.wait_for_line(&["GET /seen HTTP/1.1"]);
    assert!(line.starts_with("127.0.0.1 - - [") && line.contains("+0000] \"GET"), "{line}");
    assert!(server.line_with(&["[INFO] worker 0 booting"]).is_some());
    assert_eq!(server.said().matches("worker 0 booting").count(), 1, "{}", server.said());
    assert!(!server.path().join("logs").exists(), "no file was asked for");
}

#[test]
fn every_answer_has_its_line_also_those_that_are_not_the_applications() {
    let config = "[server]\nworkers = 2\ntimeout = 1\nlimit_request_body = 10\n";
    let format = "access_log_format = \"%(r)s %(s)s %(B)s %(b)s\"\n";
    let server = Server::echo(&format!("{config}{QUIET}{format}")).start();
    server.wait_for_workers(2);
    let answer = server.get("/whole");
    server.wait_for_access(&[&format!("GET /whole HTTP/1.1 200 {}", answer.body.len())]);
    server.get("/?x-echo-size=3000000");
    server.wait_for_access(&["GET /?x-echo-size=3000000 HTTP/1.1 200 3000000 3000000"]);
    server.send("HEAD", "/head", "text/plain", b"");
    server.wait_for_access(&["HEAD /head HTTP/1.1 200 0 -"]);
    server.send("POST", "/large", "text/plain", &[b'x'; 100]);
    server.wait_for_access(&["POST /large HTTP/1.1 413"]);
    server.connect().get("/coded", "Content-Encoding: gzip\r\n").expect("an answer");
    server.wait_for_access(&["GET /coded HTTP/1.1 415"]);
    let panicked = server.get("/?x-echo-panic=1");
    server.wait_for_access(&[&format!("GET /?x-echo-panic=1 HTTP/1.1 500 {}", panicked.body.len())]);
    let slept = server.get("/?x-echo-sleep=60");
    server.wait_for_access(&[&format!("GET /?x-echo-sleep=60 HTTP/1.1 504 {}", slept.body.len())]);
    // Its loop is stuck: the answer and the line are its second thread's.
    let blocked = server.get("/?x-echo-block=60");
    server.wait_for_access(&[&format!("GET /?x-echo-block=60 HTTP/1.1 504 {}", blocked.body.len())]);
    for line in server.access_log().lines() {
        assert_eq!(server.access_log().lines().filter(|other| *other == line).count(), 1, "{line}");
    }
}

#[test]
fn the_atoms_are_gunicorns() {
    let format = "%(h)s|%(l)s|%(u)s|%(t)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(f)s|%(a)s|%(T)s|%(M)s|%(D)s|%(L)s|%(p)s|%({x-mark}i)s|%({content-type}o)s";
    let config = "[server]\nworkers = 1\n[logging]\ndir = \"logs\"\n";
    let server = Server::echo(config).flags(["--access-logformat", format]).start();
    let fields =
        "Authorization: Basic dXNlcjpwdw==\r\nReferer: http://r/\r\nUser-Agent: a\"b\\c\r\nX-Mark: m1\r\n";
    let answer = server.connect().get("/path%0Ax?q=1%22&x-echo-sleep=0.1", fields).expect("an answer");
    let line = server.wait_for_access(&["m1"]);
    let found: Vec<&str> = line.split('|').collect();
    let bytes = answer.body.len().to_string();
    let pid = format!("<{}>", answer.json()["pid"]);
    let expected = [
        "127.0.0.1",
        "-",
        "user",
        "",
        "GET /path%0Ax?q=1%22&x-echo-sleep=0.1 HTTP/1.1",
        "GET",
        "/path%0Ax",
        "q=1%22&x-echo-sleep=0.1",
        "HTTP/1.1",
        "200",
        &bytes,
        &bytes,
        "http://r/",
        "a\\\"b\\\\c",
        "",
        "",
        "",
        "",
        &pid,
        "m1",
        "application/json",
    ];
    assert_eq!(found.len(), expected.len(), "{line}");
    for (found, expected) in found.iter().zip(expected).filter(|(_, expected)| !expected.is_empty()) {
        assert_eq!(*found, expected, "{line}");
    }
    assert!(found[3].starts_with('[') && found[3].ends_with(" +0000]"), "{line}");
    let number = |place: usize| found[place].parse::<f64>().expect("a number");
    assert_eq!(number(14), number(17).floor(), "{line}");
    assert!(number(15) >= 100.0 && number(16) >= 100_000.0 && number(17) >= 0.1, "{line}");
}

#[test]
fn no_client_forges_or_breaks_a_line() {
    let server = Server::echo(&format!("[server]\nworkers = 1\n{QUIET}")).start();
    let forged = "127.0.0.1 - - [01/Jan/2030:00:00:00 +0000] \"GET /forged HTTP/1.1\" 200 1 \"-\" \"-\"";
    let user = "Basic YWRtaW4gWzAxL0phbi8yMDMwOjAwOjAwOjAwICswMDAwXSAiR0VUIC9mb3JnZWQgSFRUUC8xLjEiIDIwMDpw"; // "admin [01/...] \"GET ..."
    for value in [
        "a\" 200 9 \"-\" \"evil".as_bytes(),
        b"back\\\" slash\\",
        b"\tTab",
        b"\x80\x85\x9b31m\xff",
        "\u{85}\u{2028}\u{2029}\u{9b}é".as_bytes(),
        format!("x\u{85}{forged}").as_bytes(),
    ] {
        let mut request = b"GET /honest HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: ".to_vec();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\nReferer: ");
        request.extend_from_slice(value);
        request.extend_from_slice(format!("\r\nAuthorization: {user}\r\n\r\n").as_bytes());
        let answer = server.raw(request);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    let text = server.wait_for("the lines", |server| {
        let text = server.access_log();
        (text.lines().count() >= 6).then_some(text)
    });
    assert_eq!(text.lines().count(), 6);
    assert!(
        !text.contains(|c: char| c != '\n' && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))),
        "{text:?}"
    );
    for line in text.lines() {
        let mut bare = line.replace("\\\\", "").replace("\\\"", "");
        let quotes = bare.matches('"').count();
        assert_eq!(quotes, 6, "{line}");
        bare.truncate(bare.find('"').unwrap_or_default());
        assert_eq!(bare.split(' ').count(), 6, "{line}"); // client, identity, user, two of the time, and nothing
    }
}

#[test]
fn an_access_log_on_a_pipe_that_nobody_reads_stalls_nothing() {
    let config = "[server]\nworkers = 2\n[logging]\nconsole = \"stderr\"\n";
    let deaf = ["sh", "-c", "mkfifo deaf && exec \"$@\" 1<>deaf", "sh"];
    let mut server = Server::echo(config).flags(["--access-logfile", "-"]).under(deaf).start();
    let long = "x".repeat(500);
    for number in 0..400 {
        assert_eq!(server.get(&format!("/{long}/{number}")).status, 200);
    }
    let mut reader = fs::File::open(server.path().join("deaf")).expect("the pipe is there");
    let mut text = vec![0; 1 << 16];
    let read = std::io::Read::read(&mut reader, &mut text).expect("something is in it");
    let text = String::from_utf8_lossy(&text[..read]).into_owned();
    assert!(
        text.lines().take(50).all(|line| line.starts_with("127.0.0.1") && line.ends_with("\"-\" \"-\"")),
        "{text}"
    );
    server.wait_for("the count of what was lost", |server| {
        server.get("/room/again");
        server.line_with(&["WARNING", "lines were dropped"])
    });
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn devsim_tells_how_long_a_request_took_and_names_its_files() {
    let server = Server::devsim("[server]\nworkers = 1\n[logging]\ndir = \"logs\"\n").start();
    server.get("/api/health?told");
    let line = server.wait_for_access(&["GET /api/health?told HTTP/1.1\" 200"]);
    let micros = line.rsplit(' ').next().unwrap_or_default();
    assert!(micros.parse::<u64>().is_ok(), "{line}");
    for name in ["devsim.log", "devsim.json", "gunicorn_error.log"] {
        let text = server.log(name);
        assert!(text.contains("listening at"), "{name}: {text}");
    }
    assert_eq!(server.log("devsim_errors.log"), "");
}
