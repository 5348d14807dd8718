//! Which lines go to which file. Each test has a log of its own, for its thread only.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer, in its helpers too")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use logging::{Destination, Handle, Level, Log, Settings, Stream};
use tempfile::TempDir;
use tracing_subscriber::layer::SubscriberExt as _;

/// Runs `act` with a log of its own.
fn with_log(settings: &Settings, act: impl FnOnce(&Handle)) {
    let (log, handle) = Log::new(Some("devsim"), settings).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || {
        handle.apply(settings).unwrap();
        act(&handle);
    });
}

/// Says one event of each kind: three of the program's, and two of the server's.
fn say_all() {
    tracing::debug!("a debug event");
    tracing::info!("an info event");
    tracing::error!("an error");
    tracing::debug!(target: "prefork::master", "a debug event of the server's");
    tracing::warn!(target: "prefork::master", "a warning of the server's");
}

fn quiet(directory: &Path) -> Settings {
    Settings { console: Stream::None, dir: Some(directory.join("logs")), ..Settings::default() }
}

fn file(path: &str) -> Option<Destination> {
    Some(Destination::File(path.into()))
}

/// The messages in a file of text lines.
fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn each_file_gets_what_is_meant_for_it() {
    let directory = TempDir::new().unwrap();
    with_log(&quiet(directory.path()), |handle| {
        say_all();
        handle.access_log().unwrap()("GET / 200");
    });
    let logs = directory.path().join("logs");
    let all = ["devsim.json", "devsim.log", "devsim_errors.log", "gunicorn_access.log", "gunicorn_error.log"];
    assert_eq!(names(&logs), all);
    let lines = |name: &str| read(logs.join(name)).lines().count();
    assert_eq!((lines("devsim.log"), lines("devsim.json"), lines("devsim_errors.log")), (5, 3, 1));
    assert!(
        read(logs.join("devsim.log"))
            .contains("[DEBUG] devsim: a debug event (crates/logging/tests/files.rs:")
    );
    for line in read(logs.join("devsim.json")).lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["name"], "devsim");
    }
    let error_log = read(logs.join("gunicorn_error.log"));
    assert!(error_log.ends_with("[WARNING] a warning of the server's\n") && error_log.lines().count() == 1);
    assert_eq!(read(logs.join("gunicorn_access.log")), "GET / 200\n");
}

#[test]
fn the_level_holds_for_the_servers_own_log_and_not_for_the_others() {
    let directory = TempDir::new().unwrap();
    with_log(&Settings { level: Level::Debug, ..quiet(directory.path()) }, |_| say_all());
    assert_eq!(read(directory.path().join("logs/gunicorn_error.log")).lines().count(), 2);
    with_log(&Settings { level: Level::Error, ..quiet(directory.path()) }, |_| say_all());
    assert_eq!(read(directory.path().join("logs/gunicorn_error.log")).lines().count(), 2);
    assert_eq!(read(directory.path().join("logs/devsim.log")).lines().count(), 10);
}

#[test]
fn names_are_relative_to_the_directory_or_whole_paths_and_may_be_one() {
    let directory = TempDir::new().unwrap();
    let elsewhere = directory.path().join("elsewhere.log");
    let settings = Settings {
        access_logfile: file(elsewhere.to_str().unwrap()),
        error_logfile: file("server.log"),
        ..quiet(directory.path())
    };
    with_log(&settings, |handle| {
        say_all();
        handle.access_log().unwrap()("a line");
    });
    assert_eq!(
        names(directory.path().join("logs")),
        ["devsim.json", "devsim.log", "devsim_errors.log", "server.log"]
    );
    assert_eq!(read(&elsewhere), "a line\n");

    let both = Settings { error_logfile: file(elsewhere.to_str().unwrap()), ..settings };
    with_log(&both, |handle| {
        say_all();
        handle.access_log().unwrap()("another");
    });
    let text = read(&elsewhere);
    assert!(text.starts_with("a line\n") && text.ends_with("of the server's\nanother\n"), "{text}");
}

#[test]
fn without_a_directory_there_are_only_the_files_that_have_a_key() {
    let directory = TempDir::new().unwrap();
    let nothing = Settings { console: Stream::None, ..Settings::default() };
    with_log(&nothing, |handle| assert!(handle.access_log().is_none()));
    let path = directory.path().join("access.log");
    with_log(&Settings { access_logfile: file(path.to_str().unwrap()), ..nothing }, |handle| {
        say_all();
        handle.access_log().unwrap()("a line");
    });
    assert_eq!(names(directory.path()), ["access.log"]);
}

#[test]
fn a_reload_takes_other_files_and_finds_files_that_were_moved() {
    let directory = TempDir::new().unwrap();
    let settings = quiet(directory.path());
    let path = |name: &str| directory.path().join(name);
    with_log(&settings, |handle| {
        let access = handle.access_log().unwrap();
        access("first");
        fs::rename(path("logs/gunicorn_access.log"), path("moved.log")).unwrap();
        handle.apply(&settings).unwrap();
        access("second");
        handle.apply(&Settings { dir: Some(path("others")), ..settings.clone() }).unwrap();
        access("third");
        tracing::info!("elsewhere");
    });
    assert_eq!(read(path("moved.log")), "first\n");
    assert_eq!(read(path("logs/gunicorn_access.log")), "second\n");
    assert_eq!(read(path("others/gunicorn_access.log")), "third\n");
    assert!(
        read(path("others/devsim.log")).contains("elsewhere") && read(path("logs/devsim.log")).is_empty()
    );
}

#[test]
fn what_has_no_file_is_told_of_in_those_that_there_are() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("no/such/access.log");
    let settings = Settings { access_logfile: file(missing.to_str().unwrap()), ..quiet(directory.path()) };
    with_log(&settings, |handle| handle.reopen());
    let text = read(directory.path().join("logs/devsim.log"));
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("[WARNING]") && text.contains(missing.to_str().unwrap()), "{text}");
}

#[test]
fn lines_that_the_access_log_did_not_take_are_told_of_in_the_log() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("logs/gunicorn_access.log");
    with_log(&quiet(directory.path()), |handle| {
        let access = handle.access_log().unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        handle.reopen();
        access("dropped");
        access("dropped, too");
        fs::remove_file(&path).unwrap();
        handle.reopen();
        access("written");
    });
    assert_eq!(read(&path), "written\n");
    let text = read(directory.path().join("logs/devsim.log"));
    assert!(text.contains("access log: 2 lines were dropped"), "{text}");
}

#[test]
fn files_that_were_made_are_given_to_their_owner_and_others_are_not() {
    let directory = TempDir::new().unwrap();
    if fs::metadata(directory.path()).unwrap().uid() != 0 {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    let logs = directory.path().join("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("devsim.log"), "").unwrap();
    let owner = |name: &str| fs::metadata(logs.join(name)).map(|file| (file.uid(), file.gid())).unwrap();
    with_log(&quiet(directory.path()), |handle| {
        handle.owned_by(Some(65_534), Some(65_533));
        assert_eq!(owner("gunicorn_access.log"), (65_534, 65_533));
        fs::rename(logs.join("gunicorn_access.log"), logs.join("moved")).unwrap();
        handle.reopen();
        assert_eq!(owner("gunicorn_access.log"), (65_534, 65_533));
        assert_eq!(owner("devsim.log"), (0, 0), "it was there before");
        assert_eq!(fs::metadata(&logs).unwrap().uid(), 0);
    });
}
