//! What is shown of what a server answers.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::fake::Fake;

fn status() -> Value {
    json!({
        "name": "devsim-backend", "version": "0.1.0", "pid": 4321, "uptime_seconds": 273_600.5, "state": "running",
        "reason": null, "generation": 4, "workers": {"wanted": 3, "ready": 2, "booting": 1, "draining": 0},
        "listeners": ["127.0.0.1:5000", "unix:/run/devsim.sock"],
        "last_reload": {"generation": 5, "result": "refused", "reason": "devsim.toml:3: server.nonsense: unknown\nand more",
            "at": 0, "took_seconds": 0.01},
        "upgrade": null, "deaths": {"timeout": 1, "killed": 2}, "requests": 1234, "of a later version": {}
    })
}

fn worker(slot: u16, held: Value) -> Value {
    json!({
        "slot": slot, "pid": 4400 + slot, "generation": 4, "kind": "web", "state": "ready", "busy": true,
        "age_seconds": 7205.0, "requests": 1000, "errors": 7, "connections": 12, "last_beat_ms": 200,
        "memory": {"rss_bytes": 47_185_920}, "held": held, "finished": []
    })
}

#[test]
fn status_is_a_handful_of_lines() {
    let fake = Fake::answering(&status().to_string());
    let ended = fake.ctl(&["status"]);
    assert_eq!((ended.status, ended.errors.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ended.output.lines().collect();
    assert_eq!(lines[0], "devsim-backend 0.1.0 is running, pid 4321, up for 3 d 4 h");
    for line in [
        "  workers      2 of 3 ready, 1 booting",
        "  generation   4",
        "  listeners    127.0.0.1:5000, unix:/run/devsim.sock",
        "  requests     1234",
        "  deaths       2 killed, 1 timeout",
        "               devsim.toml:3: server.nonsense: unknown",
        "               and more",
    ] {
        assert!(lines.contains(&line), "{line:?} is not in\n{}", ended.output);
    }
    assert!(ended.output.contains("  last reload  generation 5 was refused"), "{}", ended.output);
    assert_eq!(fake.request(), "{\"v\":1,\"command\":\"status\"}\n");
}

#[test]
fn a_server_that_is_not_well_says_why_first() {
    let mut status = status();
    status["state"] = json!("crash_loop");
    status["reason"] = json!("10 workers in a row failed to boot");
    status["last_reload"] = Value::Null;
    status["upgrade"] = json!({"state": "a second master runs", "pid": 99});
    let ended = Fake::answering(&status.to_string()).ctl(&["status"]);
    assert_eq!(ended.status, Some(0));
    let mut lines = ended.output.lines();
    assert!(lines.next().is_some_and(|line| line.contains("CRASH LOOP")), "{}", ended.output);
    assert!(lines.next().is_some_and(|line| line.contains("10 workers in a row")), "{}", ended.output);
    assert!(ended.output.contains("a second master runs, pid 99"), "{}", ended.output);
}

#[test]
fn workers_are_a_table_of_what_each_does_now() {
    let held = json!([
        {"method": "GET", "path": "/queued", "id": "1", "state": "waiting", "age_seconds": 9.0},
        {"method": "POST", "path": "/a\u{1b}[2J\nb\u{9b}", "id": "2", "state": "running", "age_seconds": 1.25},
    ]);
    let mut silent = worker(11, json!([]));
    silent["busy"] = json!(false);
    silent["last_beat_ms"] = json!(12_000);
    let ended = Fake::answering(&json!({"workers": [worker(0, held), silent]}).to_string()).ctl(&["workers"]);
    assert_eq!(ended.status, Some(0));
    let lines: Vec<&str> = ended.output.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ended.output);
    let does = lines[0].find("DOES").expect("a head");
    assert_eq!(&lines[1][does..], "POST /a\\u{1b}[2J\\nb\\u{9b} for 1.2 s, and 1 more");
    assert_eq!(&lines[2][does..], "idle; no heartbeat for 12 s");
    assert!(lines[1].contains("2 h") && lines[1].contains("45 MiB"), "{}", lines[1]);
    assert!(!ended.output.contains('\u{1b}'));
}

#[test]
fn the_settings_are_toml_with_their_origins() {
    let settings = json!({"settings": [
        {"key": "server.workers", "value": "3", "origin": "devsim.toml:2"},
        {"key": "logging.level", "value": "\"info\"", "origin": "default"},
    ]});
    let ended = Fake::answering(&settings.to_string()).ctl(&["config"]);
    assert_eq!(
        ended.output,
        "server.workers = 3      # devsim.toml:2\nlogging.level = \"info\"  # default\n"
    );
}

#[test]
fn with_json_the_result_alone_is_printed_and_nothing_in_it_harms_a_terminal() {
    let result = json!({"workers": [worker(0, json!([
        {"method": "GET", "path": "/\u{9b}31m\u{7f}\n", "id": "1", "state": "running", "age_seconds": 1.0}
    ]))], "new": [1]});
    let ended = Fake::answering(&result.to_string()).ctl(&["workers", "--json"]);
    assert_eq!((ended.status, ended.errors.as_str()), (Some(0), ""));
    assert_eq!(serde_json::from_str::<Value>(&ended.output).expect("it is JSON"), result);
    assert!(!ended.output.contains(['\u{9b}', '\u{7f}']));
}

#[test]
fn what_changes_something_says_what_it_has_come_to() {
    for (words, request, result, said) in [
        (
            &["reload"][..],
            r#""reload""#,
            r#"{"generation": 2, "took_seconds": 1.5}"#,
            "generation 2 serves alone, after 1.5 s",
        ),
        (&["scale", "5"], r#""scale","workers":5"#, r#"{"workers": 5}"#, "there are 5 workers now"),
        (
            &["restart", "0"],
            r#""restart","slot":0"#,
            r#"{"slot": 0, "new_slot": 3, "new_pid": 77}"#,
            "worker 0 is replaced: worker 3, pid 77, serves",
        ),
        (&["upgrade"], r#""upgrade""#, r#"{"pid": 78}"#, "the upgraded server serves, pid 78"),
        (&["reopen"], r#""reopen""#, "{}", "the log files are open anew"),
        (&["stop"], r#""stop","quick":false"#, "{}", "the server has gone"),
        (&["stop", "--quick"], r#""stop","quick":true"#, "{}", "the server has gone"),
    ] {
        let fake = Fake::answering(result);
        let ended = fake.ctl(words);
        assert_eq!((ended.status, ended.output.trim_end()), (Some(0), said), "{words:?}: {ended:?}");
        assert_eq!(fake.request(), format!("{{\"v\":1,\"command\":{request}}}\n"));
    }
}

#[test]
fn a_stop_is_done_when_the_connection_ends() {
    let ended = Fake::saying("").ctl(&["stop", "--json"]);
    assert_eq!((ended.status, ended.output.as_str()), (Some(0), "{}\n"));
}

#[test]
fn an_answer_may_come_in_pieces() {
    let fake = Fake::dealing(|mut stream| {
        for piece in ["{\"v\": 1, \"ok\":", " true, \"result\"", ": {\"workers\": 2}}\n"] {
            stream.write_all(piece.as_bytes()).expect("the client listens");
            std::thread::yield_now();
        }
    });
    assert_eq!(fake.ctl(&["scale", "2"]).status, Some(0));
}
