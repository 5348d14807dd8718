//! How a worker ended, in one line and in the counts of `status`.

use kit::{Server, Signal};
use serde_json::{Value, json};

/// The server with this much more in section `[server]`.
fn server(more: &str) -> Server {
    let config = format!("[server]\nworkers = 2\ncontrol_socket = \"control.sock\"\n{more}");
    let server = Server::echo(&config).under(["setsid"]).start(); // a terminal's WINCH is not ours
    server.wait_for_workers(2);
    server
}

/// One of its workers.
fn anybody(server: &Server) -> i32 {
    *server.wait_for_workers(2).first().expect("a worker")
}

/// Waits until so many have died of this, and as many lines have said so.
fn expect_deaths(server: &Server, cause: &str, count: usize) {
    server.wait_for(&format!("{count} deaths by {cause}"), |server| {
        let told = server.said().matches(&format!("cause={cause}")).count();
        (server.status()["deaths"][cause] == count && told == count).then_some(())
    });
}

#[test]
fn every_cause_has_its_name_in_the_line_and_its_count_in_status() {
    let server = server("timeout = 1\n");
    assert!(server.try_get("/?x-echo-exit=0").is_err());
    expect_deaths(&server, "exit", 1);
    server.wait_for_workers(2);
    assert!(server.try_get("/?x-echo-abort=1").is_err());
    expect_deaths(&server, "own_signal", 1);
    server.signal_worker(anybody(&server), Signal::KILL);
    expect_deaths(&server, "foreign_signal", 1);
    server.signal_worker(anybody(&server), Signal::TERM);
    expect_deaths(&server, "foreign_term", 1);
    server.signal_worker(anybody(&server), Signal::STOP);
    expect_deaths(&server, "timeout_silent", 1);
    server.wait_for_workers(2);
    assert_eq!(server.get("/?x-echo-block=60").status, 504);
    expect_deaths(&server, "timeout_turn", 1);
    server.wait_for_workers(2);
    let slot = server.ctl(["workers", "--json"]).json()["workers"][0]["slot"].to_string();
    server.ctl(["restart", &slot]).done();
    expect_deaths(&server, "restart", 1);
    server.ctl(["scale", "3"]).done();
    server.ctl(["scale", "2"]).done();
    expect_deaths(&server, "surplus", 1);
    server.ctl(["reload"]).done();
    expect_deaths(&server, "reload", 2);
    server.signal(Signal::WINCH);
    expect_deaths(&server, "halt", 2);
    let deaths = json!({
        "exit": 1, "own_signal": 1, "foreign_signal": 1, "foreign_term": 1, "timeout_silent": 1, "timeout_turn": 1,
        "restart": 1, "surplus": 1, "reload": 2, "halt": 2,
    });
    assert_eq!(server.status()["deaths"], deaths);
    let text = server.ctl(["status"]).done();
    assert!(text.contains("1 timeout_turn") && text.contains("2 reload"), "{text}");
}

#[test]
fn a_worker_that_boots_for_too_long_is_counted() {
    let server = server("");
    server.rewrite(
        "[server]\nworkers = 2\ncontrol_socket = \"control.sock\"\nboot_timeout = 0.3\nraw_env = [\"ECHO_BOOT=slow=60\"]\n",
    );
    server.ctl(["reload"]).refused(1);
    expect_deaths(&server, "boot_timeout", 1);
    let line = server.wait_for_line(&["cause=boot_timeout"]);
    assert!(line.contains("not ready after") && line.contains("it held no request"), "{line}");
}

#[test]
fn a_worker_that_has_served_enough_is_counted_and_needs_no_more_than_a_line() {
    let server = server("max_requests = 3\nmax_requests_jitter = 0\n");
    let deaths = |server: &Server| server.status()["deaths"]["max_requests"].as_u64();
    server.wait_for("a recycled worker", |server| {
        server.get("/");
        deaths(server)
    });
    let line = server.wait_for_line(&["[INFO]", "cause=max_requests"]);
    assert!(line.contains("it has served max_requests"), "{line}");
}

#[test]
fn a_worker_that_outstays_its_grace_is_counted_with_what_it_held() {
    let server = server("graceful_timeout = 0.5\n");
    let _held = server.occupy("x-echo-block: 60\r\n", "/outstays");
    server.ctl(["reload"]).done();
    expect_deaths(&server, "grace_over", 1);
    let line = server.wait_for_line(&["cause=grace_over"]);
    assert!(line.contains("graceful_timeout"), "{line}");
    server.wait_for_line(&["[ERROR]", "aborted while stuck", "GET /outstays", "running for"]);
}

#[test]
fn a_request_that_is_cut_at_the_end_of_the_grace_is_told_of_though_its_worker_leaves_in_time() {
    let server = server("graceful_timeout = 0.5\n");
    let mut held = server.occupy("x-echo-sleep: 60\r\n", "/awaits");
    server.ctl(["reload"]).done();
    assert_eq!(held.answer().expect("an answer").status, 504);
    server.wait_for_line(&["[WARNING]", "aborted while awaiting", "GET /awaits", "running for"]);
    expect_deaths(&server, "reload", 2);
}

#[test]
fn the_line_has_the_last_requests_and_the_memory_that_was_needed() {
    let server = Server::echo("[server]\nworkers = 1\n").start();
    let worker = *server.wait_for_workers(1).first().expect("a worker");
    assert_eq!(server.get("/?x-echo-eat=40").status, 200);
    for (path, status) in
        [("/first", 200), ("/second?x-echo-status=404", 404), ("/third?x-echo-status=503", 503)]
    {
        assert_eq!(server.get(path).status, status);
    }
    let _held = server.occupy("x-echo-sleep: 60\r\n", "/held");
    server.signal_worker(worker, Signal::KILL);
    let line = server.wait_for_line(&["cause=foreign_signal"]);
    assert!(line.contains("it held GET /held (running for "), "{line}");
    let (_, finished) = line.split_once("finished last: ").expect(&line);
    let named: Vec<&str> =
        finished.split(", ").map(|one| one.split(" in ").next().unwrap_or_default()).collect();
    let expected =
        ["GET /third?x-echo-status=503 503", "GET /second?x-echo-status=404 404", "GET /first 200"];
    assert_eq!(named, expected, "{line}");
    let (_, peak) = line.split_once("peak RSS ").expect(&line);
    let mebibytes: f64 = peak.split(' ').next().and_then(|number| number.parse().ok()).expect(&line);
    assert!((40.0..400.0).contains(&mebibytes), "{line}");
}

#[test]
fn a_stop_is_no_failure_unless_somebody_was_cut() {
    let mut server = server("");
    let _held = server.occupy("x-echo-sleep: 60\r\n", "/cut");
    server.signal(Signal::INT);
    assert_eq!(server.wait_for_end(), Some(0));
    let (cut, idle): (Vec<_>, Vec<_>) = {
        let said = server.said();
        let ends = said.lines().filter(|line| line.contains("cause=stop")).map(str::to_owned);
        ends.partition(|line| line.contains("GET /cut"))
    };
    assert_eq!((cut.len(), idle.len()), (1, 1), "{}", server.said());
    assert!(cut[0].contains("[WARNING]") && idle[0].contains("[INFO]"), "{}", server.said());
}

#[test]
fn what_was_counted_is_kept_by_a_program_that_takes_over() {
    let config = "[server]\nworkers = 2\ncontrol_socket = \"control.sock\"\nupgrade = \"exec\"\n";
    let server = Server::installed_echo(config).start();
    server.lose_a_worker(Signal::KILL, 2);
    (0..10).for_each(|_| drop(server.get("/")));
    expect_deaths(&server, "foreign_signal", 1);
    let count = |status: &Value| status["requests"].as_u64().expect("a number");
    let before =
        server.wait_for("ten requests", |server| Some(server.status()).filter(|status| count(status) >= 10));
    server.ctl(["upgrade"]).done();
    let after = server.status();
    assert!(count(&after) >= count(&before), "{before} has become {after}");
    assert!(after["uptime_seconds"].as_f64() > before["uptime_seconds"].as_f64());
    assert_eq!(after["deaths"]["foreign_signal"], 1, "{after}");
}
