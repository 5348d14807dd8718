//! The console of whole processes: each is `examples/writer.rs`, with a pipe as standard error.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer, in its helpers too")]

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts the writer.
fn start(what: &str, stderr: io::PipeWriter) -> Child {
    let program = writer();
    Command::new(&program).arg(what).stdout(Stdio::null()).stderr(stderr).spawn().unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo test` without --test builds it", program.display())
    })
}

/// `cargo test` builds a package's examples beside its tests: `deps/processes-1234` finds `examples/writer`.
fn writer() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples/writer")
}

#[test]
fn lines_of_several_processes_on_one_pipe_are_never_torn() {
    let (mut reader, writer) = io::pipe().unwrap();
    let children: Vec<Child> =
        (0..3).map(|_| start("lines-of-all-lengths", writer.try_clone().unwrap())).collect();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let mut seen = 0;
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect(line);
        if object["name"] == "test.part" {
            let (message, length) = (object["message"].as_str().unwrap(), object["length"].as_u64().unwrap());
            assert!(message.len() as u64 == length || message.ends_with('…'));
            assert!(children.iter().any(|child| object["pid"] == child.id()));
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_process_whose_console_nobody_reads_does_its_work_to_the_end() {
    let (_reader, writer) = io::pipe().unwrap();
    let mut child = start("much", writer);
    let start = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => break assert!(status.success()),
            None if start.elapsed() > Duration::from_secs(20) => {
                child.kill().unwrap();
                panic!("it waits for a reader");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn settings_change_while_the_process_runs() {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut child = start("changing-settings", writer);
    let pid = child.id();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains(&format!(" [{pid}] [INFO] test: said what=2 (")), "{text}");
    assert!(lines[1].ends_with(&format!(" [{pid}] [WARNING] four")), "{text}");
}
