//! devsim-ctl tells how the server is.

use std::fs;
use std::path::Path;

use kit::{Server, Signal};
use serde_json::{Value, json};

/// The server with this much more in section `[server]`.
fn server(more: &str) -> Server {
    let config = format!("[server]\nworkers = 2\ncontrol_socket = \"control.sock\"\n{more}");
    let server = Server::echo(&config).under(["setsid"]).start(); // a terminal's WINCH is not ours
    server.wait_for_workers(2);
    server
}

/// The workers, as they say.
fn workers(server: &Server) -> Vec<Value> {
    let told = server.ctl(["workers", "--json"]).json();
    told["workers"].as_array().expect("a list").clone()
}

/// Waits until one of the workers looks like this.
fn wait_for_worker(server: &Server, what: &str, like: impl Fn(&Value) -> bool) -> Value {
    server.wait_for(what, |server| workers(server).into_iter().find(&like))
}

/// Waits until the status looks like this.
fn wait_for_status(server: &Server, what: &str, like: impl Fn(&Value) -> bool) -> Value {
    server.wait_for(what, |server| Some(server.status()).filter(&like))
}

#[test]
fn status_is_true_in_every_member() {
    let server = server("");
    let told = server.ctl(["--json", "status"]).json();
    let address = format!("http://{}", server.address());
    for (member, value) in [
        ("name", json!("echo")),
        ("pid", json!(server.pid())),
        ("state", json!("running")),
        ("reason", Value::Null),
        ("generation", json!(1)),
        ("workers", json!({"wanted": 2, "ready": 2, "booting": 0, "draining": 0})),
        ("listeners", json!([address])),
        ("last_reload", Value::Null),
        ("upgrade", Value::Null),
        ("last_upgrade", Value::Null),
        ("deaths", json!({})),
    ] {
        assert_eq!(told.get(member), Some(&value), "{member}");
    }
    assert!(told["uptime_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{told}");
    let text = server.ctl(["status"]).done();
    for words in [&format!("pid {}", server.pid()), "is running", "2 of 2 ready", &address] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
}

#[test]
fn requests_and_deaths_are_counted_over_all_workers_and_never_go_back() {
    let server = server("");
    let before = server.status()["requests"].as_u64().expect("a number");
    for _ in 0..10 {
        server.get("/");
    }
    wait_for_status(&server, "ten requests more", |status| status["requests"] == before + 10);
    for _ in 0..2 {
        server.lose_a_worker(Signal::KILL, 2);
    }
    server.lose_a_worker(Signal::TERM, 2);
    assert!(server.try_get("/?x-echo-exit=3").is_err());
    let deaths = json!({"foreign_signal": 2, "foreign_term": 1, "exit": 1});
    let status = wait_for_status(&server, "four deaths", |status| status["deaths"] == deaths);
    assert!(status["requests"].as_u64() >= Some(before + 10), "{status}");
    assert!(server.ctl(["status"]).done().contains("2 foreign_signal"));
}

#[test]
fn the_counts_of_a_worker_begin_with_it() {
    let server = server("");
    for _ in 0..20 {
        server.get("/?x-echo-status=500");
    }
    wait_for_worker(&server, "errors", |worker| worker["errors"].as_u64() > Some(0));
    let before = server.workers();
    before.iter().for_each(|worker| server.signal_worker(*worker, Signal::KILL));
    server.wait_for_others(&before, 2);
    let told = workers(&server);
    let pids: Vec<_> = told.iter().map(|worker| worker["pid"].clone()).collect();
    assert_eq!(pids.len(), 2);
    for worker in &told {
        assert_eq!((&worker["requests"], &worker["errors"]), (&json!(0), &json!(0)), "{worker}");
        assert!(worker["memory"]["rss_bytes"].as_u64() > Some(1 << 20), "{worker}");
        assert_eq!(worker["finished"], json!([]), "{worker}");
    }
}

#[test]
fn a_busy_worker_tells_its_request_and_its_age_grows() {
    let server = server("");
    let _busy = server.occupy("x-echo-sleep: 60\r\n", "/what/is/it?id=7");
    let busy = wait_for_worker(&server, "a busy worker", |worker| worker["busy"] == true);
    let held = &busy["held"][0];
    assert_eq!((&held["method"], &held["path"]), (&json!("GET"), &json!("/what/is/it?id=7")), "{busy}");
    assert_eq!((&held["state"], &busy["connections"]), (&json!("running"), &json!(1)), "{busy}");
    let age = |worker: &Value| worker["held"][0]["age_seconds"].as_f64();
    let first = age(&busy);
    wait_for_worker(&server, "an older request", |worker| age(worker) > first);
    let text = server.ctl(["workers"]).done();
    assert!(text.contains("GET /what/is/it?id=7 for ") && text.contains("idle"), "{text}");
}

#[test]
fn nothing_that_a_client_sends_reaches_the_operators_terminal_raw() {
    let server = server("");
    // What of this is a path is the wire's decision; what gets through must come out harmless.
    let paths: [&[u8]; 5] =
        [b"/a%1b[31m", "/a\u{9b}31m".as_bytes(), "/a\u{2028}b".as_bytes(), b"/a\x7fb", b"/\xff\xfe"];
    let mut kept = Vec::new();
    for path in paths {
        let mut connection = server.connect();
        let request = [b"GET ", path, b" HTTP/1.1\r\nHost: x\r\nx-echo-sleep: 60\r\n\r\n"].concat();
        connection.send(request).expect("a request can be sent");
        kept.push(connection);
    }
    wait_for_worker(&server, "a busy worker", |worker| worker["busy"] == true);
    server.ctl(["scale", "6"]).done(); // one for each
    server.wait_for("all requests to be answered or held", |server| {
        let told = workers(server);
        let held: u64 = told.iter().map(|worker| worker["connections"].as_u64().unwrap_or(0)).sum();
        let text = server.ctl(["workers"]).done() + &server.ctl(["workers", "--json"]).done();
        let harm = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{9b}'));
        assert!(!text.contains(harm), "{text:?}");
        (held > 0).then_some(())
    });
}

#[test]
fn workers_that_boot_or_drain_are_told_of() {
    let server = server("raw_env = [\"ECHO_BOOT=slow=0.5\"]\n");
    let _busy = server.occupy("x-echo-sleep: 60\r\n", "/busy");
    let slot = wait_for_worker(&server, "a busy worker", |worker| worker["busy"] == true)["slot"].to_string();
    let restart = server.begin_ctl(["restart", &slot]);
    wait_for_worker(&server, "one that boots", |worker| worker["state"] == "booting");
    restart.told().done();
    let draining = wait_for_worker(&server, "one that drains", |worker| worker["state"] == "draining");
    assert_eq!((&draining["held"][0]["path"], &draining["connections"]), (&json!("/busy"), &json!(1)));
    let pool = server.status()["workers"].clone();
    assert_eq!(pool, json!({"wanted": 2, "ready": 2, "booting": 0, "draining": 1}));
}

#[test]
fn the_last_reload_is_told_with_its_reason() {
    let server = server("");
    let config = fs::read_to_string(server.path().join("devsim.toml")).expect("its configuration");
    for (more, result, reason) in [
        ("workerz = 3\ntimeout = -1\n", "refused", "workerz"),
        ("raw_env = [\"ECHO_BOOT=fail\"]\n", "failed", "could not be built"),
        ("", "ok", ""),
    ] {
        server.rewrite(&format!("{config}{more}"));
        server.signal(Signal::HUP);
        let status = wait_for_status(&server, result, |status| status["last_reload"]["result"] == result);
        let told = status["last_reload"]["reason"].as_str().unwrap_or_default();
        assert!(told.contains(reason), "{status}");
        assert!(server.ctl(["status"]).done().contains(reason));
    }
    assert_eq!(server.status()["last_reload"]["reason"], Value::Null);
}

#[test]
fn a_crash_loop_is_told_with_its_reason_and_ends_with_a_reload() {
    let config = "[server]\nworkers = 2\nchdir = \"work\"\ncontrol_socket = \"../control.sock\"\nboot_failures_max = 2\n";
    let work = |directory: &Path| fs::create_dir(directory.join("work")).expect("a directory can be made");
    let server = Server::echo(config).prepared(work).start();
    let before = server.wait_for_workers(2);
    fs::remove_dir(server.path().join("work")).expect("it is empty");
    before.iter().for_each(|worker| server.signal_worker(*worker, Signal::KILL));
    let status = wait_for_status(&server, "a crash loop", |status| status["state"] == "crash_loop");
    assert!(status["reason"].as_str().is_some_and(|reason| reason.contains("failed to boot")), "{status}");
    assert_eq!(status["workers"]["ready"], 0);
    let text = server.ctl(["status"]).done();
    assert!(text.contains("CRASH LOOP") && text.contains("failed to boot"), "{text}");
    work(server.path());
    server.ctl(["reload"]).done();
    let status = server.status();
    assert_eq!((&status["state"], &status["reason"]), (&json!("running"), &Value::Null));
}

#[test]
fn a_halted_server_says_so() {
    let server = server("");
    server.signal(Signal::WINCH);
    let status = wait_for_status(&server, "a halt", |status| status["state"] == "halted");
    assert_eq!(status["workers"]["wanted"], 0);
    server.wait_for("no workers", |server| {
        (server.ctl(["workers"]).done() == "there are no workers\n").then_some(())
    });
    assert!(server.ctl(["status"]).done().contains("is halted"));
    assert!(server.ctl(["scale", "3"]).refused(1).contains("a reload brings its workers back"));
    server.ctl(["reload"]).done();
    assert_eq!(server.status()["state"], "running");
}

#[test]
fn config_tells_values_and_their_origins_and_changes_with_a_reload() {
    let server = server("timeout = 33\n");
    let setting = |key: &str| -> Value {
        let told = server.ctl(["config", "--json"]).json();
        let found =
            told["settings"].as_array().and_then(|all| all.iter().find(|one| one["key"] == key).cloned());
        found.unwrap_or_else(|| panic!("{key} is not told"))
    };
    for (key, value, origin) in [
        ("server.timeout", "33", "devsim.toml:4"),
        ("server.bind", "[\"127.0.0.1:0\"]", "-b"),
        ("server.graceful_timeout", "30", "default"),
    ] {
        let told = setting(key);
        assert_eq!(told["value"], value, "{key}");
        assert!(told["origin"].as_str().is_some_and(|told| told.contains(origin)), "{told}");
    }
    server.rewrite("[server]\nworkers = 2\ncontrol_socket = \"control.sock\"\n\ntimeout = 44\n");
    assert_eq!(setting("server.timeout")["value"], "33", "until the reload");
    server.ctl(["reload"]).done();
    let told = setting("server.timeout");
    assert_eq!(told["value"], "44");
    assert!(told["origin"].as_str().is_some_and(|told| told.contains("devsim.toml:5")), "{told}");
    let text = server.ctl(["config"]).done();
    assert!(text.lines().any(|line| line.starts_with("server.timeout = 44 ")), "{text}");
}
