//! The console of whole processes: this test program starts itself with a pipe as standard error.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer, in its helpers too")]

use std::io::{self, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logging::{Format, Level, Settings, Stream};

/// Starts one of the `child_...` functions below.
fn start(child: &str, stderr: io::PipeWriter) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture"])
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "started by other tests"]
fn child_writes_lines_of_all_lengths() {
    let settings = Settings { console: Stream::Stderr, format: Format::Json, ..Settings::default() };
    logging::install_as("test", &settings).unwrap();
    for length in (0..5000).step_by(5) {
        tracing::info!(target: "test.part", length, "{}", "x".repeat(length));
    }
}

#[test]
fn lines_of_several_processes_on_one_pipe_are_never_torn() {
    let (mut reader, writer) = io::pipe().unwrap();
    let children: Vec<Child> =
        (0..3).map(|_| start("child_writes_lines_of_all_lengths", writer.try_clone().unwrap())).collect();
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
#[ignore = "started by other tests"]
fn child_writes_much() {
    let settings = Settings { console: Stream::Stderr, ..Settings::default() };
    logging::install_as("test", &settings).unwrap();
    for number in 0..10_000 {
        tracing::info!(number, "nobody reads this");
    }
}

#[test]
fn a_process_whose_console_nobody_reads_does_its_work_to_the_end() {
    let (_reader, writer) = io::pipe().unwrap();
    let mut child = start("child_writes_much", writer);
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
#[ignore = "started by other tests"]
fn child_changes_its_settings() {
    let settings = Settings { console: Stream::Stderr, level: Level::Warning, ..Settings::default() };
    let handle = logging::install_as("test", &settings).unwrap();
    let say = |what| tracing::info!(what, "said");
    say(1);
    handle.apply(&Settings { level: Level::Info, format: Format::Detailed, ..settings.clone() }).unwrap();
    say(2);
    handle.apply(&Settings { console: Stream::None, ..settings.clone() }).unwrap();
    say(3);
    handle.apply(&settings).unwrap();
    tracing::warn!("four");
    assert!(matches!(logging::install_as("test", &settings), Err(logging::Error::Installed)));
}

#[test]
fn settings_change_while_the_process_runs() {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut child = start("child_changes_its_settings", writer);
    let pid = child.id();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains(&format!(" [{pid}] [INFO] test: said what=2 (")), "{text}");
    assert!(lines[1].ends_with(&format!(" [{pid}] [WARNING] four")), "{text}");
}
