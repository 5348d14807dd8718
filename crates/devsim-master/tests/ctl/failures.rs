//! Every way to fail, with its exit status and with words that help.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::fake::{Ended, Fake, ctl_in, program};

/// Asserts on how it ended, and on words of its complaint.
fn expect(ended: &Ended, status: i32, words: &[&str]) {
    assert_eq!(ended.status, Some(status), "{ended:?}");
    for word in words {
        assert!(ended.errors.contains(word), "{word:?} is not in {ended:?}");
    }
}

#[test]
fn a_refusal_is_1_with_its_reason_and_with_json_an_object() {
    let refusal = "devsim.toml:3: server.nonsense: unknown key\ndevsim.toml:4: \u{1b}[2J";
    let ended = Fake::refusing("refused", refusal).ctl(&["reload"]);
    expect(&ended, 1, &["server.nonsense: unknown key\ndevsim.toml:4: \\u{1b}[2J"]);
    assert_eq!(ended.output, "");
    let ended = Fake::refusing("refused", refusal).ctl(&["reload", "--json"]);
    expect(&ended, 1, &["nonsense"]);
    let error: Value = serde_json::from_str(&ended.output).expect("it is JSON");
    assert_eq!(error, json!({"code": "refused", "message": refusal}));
}

#[test]
fn a_stop_that_is_refused_is_1() {
    expect(&Fake::refusing("busy", "an upgrade runs").ctl(&["stop"]), 1, &["an upgrade runs"]);
}

#[test]
fn a_connection_that_ends_before_the_answer_is_1() {
    for said in ["", "{\"v\": 1, \"ok\""] {
        expect(&Fake::saying(said).ctl(&["reload"]), 1, &["before it answered", "log"]);
    }
}

#[test]
fn silence_is_1_after_the_time_that_was_given() {
    let fake = Fake::dealing(|mut stream| {
        let _ = stream.read(&mut [0]); // until the client has gone
    });
    expect(&fake.ctl(&["status", "--timeout", "0.2"]), 1, &["no answer", "0.2 s", "--timeout"]);
}

#[test]
fn a_server_of_another_version_is_1_and_says_what_to_do() {
    let ended = Fake::saying("{\"v\": 2, \"anything\": 1}\n").ctl(&["status", "--json"]);
    expect(&ended, 1, &["version 2", "the devsim-ctl that came with the server"]);
    assert_eq!(serde_json::from_str::<Value>(&ended.output).expect("it is JSON")["code"], "version");
}

#[test]
fn what_is_no_answer_is_1() {
    for said in ["HTTP/1.1 400 Bad Request\r\n", "{\"v\": 1, \"ok\": true}\n", "\0\n"] {
        expect(&Fake::saying(said).ctl(&["status"]), 1, &["no answer of a control socket"]);
    }
    expect(&Fake::saying(&"x".repeat(3_000_000)).ctl(&["status"]), 1, &["more than"]);
    expect(&Fake::answering("{\"name\": 5}").ctl(&["status"]), 1, &["came with the server"]);
}

#[test]
fn wrong_usage_is_2() {
    let directory = tempfile::tempdir().expect("a directory");
    for words in [&["sttaus"][..], &["scale"], &["scale", "some"], &[], &["status", "--socket"]] {
        expect(&ctl_in(directory.path(), words, &[]), 2, &["--help"]);
    }
    let help = ctl_in(directory.path(), &["--help"], &[]);
    assert_eq!(help.status, Some(0));
    assert!(help.output.contains("Exit status:"), "{}", help.output);
}

#[test]
fn nobody_on_the_socket_is_3_and_names_it() {
    let directory = tempfile::tempdir().expect("a directory");
    // As what a killed server leaves behind: there is a socket, and nobody listens.
    let stale = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    let name = SockAddr::unix(directory.path().join("stale.sock")).expect("a name");
    stale.bind(&name).expect("it can be bound");
    fs::write(directory.path().join("file"), "").expect("it can be written");
    for name in ["missing.sock", "stale.sock", "file", "no/such/place.sock"] {
        let ended = ctl_in(directory.path(), &["--socket", name, "status"], &[]);
        expect(&ended, 3, &[name, "is the server running", "control_socket", "--socket"]);
    }
    let ended = ctl_in(directory.path(), &["--socket", "missing.sock", "stop", "--json"], &[]);
    expect(&ended, 3, &[]);
    assert_eq!(serde_json::from_str::<Value>(&ended.output).expect("it is JSON")["code"], "nobody");
}

#[test]
fn a_server_that_denies_is_4_even_if_it_reads_nothing() {
    let fake = Fake::refusing("denied", "uid 1000 may not use this control socket");
    expect(&fake.ctl(&["stop"]), 4, &["uid 1000"]);
    let directory = tempfile::tempdir().expect("a directory");
    let listener = UnixListener::bind(directory.path().join("c.sock")).expect("it can be bound");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let line = "{\"v\":1,\"ok\":false,\"error\":{\"code\":\"denied\",\"message\":\"not you\"}}\n";
        stream.write_all(line.as_bytes()).expect("the client has just connected");
    });
    expect(&ctl_in(directory.path(), &["--socket", "c.sock", "stop"], &[]), 4, &["not you"]);
    server.join().expect("the server has not failed");
}

#[test]
fn a_socket_that_one_may_not_connect_to_is_4() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("c.sock");
    let _listener = UnixListener::bind(&path).expect("it can be bound");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("a mode can be set");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    // Root may connect to anything, so it becomes somebody else: with a copy of the program, which that one can reach.
    let copy = directory.path().join("devsim-ctl");
    fs::copy(program(), &copy).expect("it can be copied");
    let mut command = Command::new(copy);
    command.args(["--socket", "c.sock", "status"]).current_dir(directory.path()).env_clear();
    if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        command.uid(65_534).gid(65_534);
    }
    // While a test beside this one is between fork and exec, it holds the copy open for writing (execve(2), ETXTBSY).
    let ended = loop {
        match command.output() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            output => break Ended::from(output.expect("devsim-ctl can be started")),
        }
    };
    expect(&ended, 4, &["no permission", "c.sock", "root"]);
}
