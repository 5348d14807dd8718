//! The newline that s6 and its kind wait for (DEVSIM_READY_FD).

use std::fs;

use kit::{Connection, Server, Setup, Signal};

fn echo() -> Setup {
    Server::echo("[server]\nworkers = 2\n")
}

#[test]
fn the_readiness_descriptor_gets_a_newline_and_is_closed() {
    let setup =
        echo().variable("DEVSIM_READY_FD", "9").under(["sh", "-c", "exec 9>ready; exec \"$@\"", "sh"]);
    let server = setup.start();
    server.wait_for("the newline", |server| {
        (fs::read(server.path().join("ready")).unwrap_or_default() == b"\n").then_some(())
    });
    let before = server.wait_for_workers(2);
    let family: Vec<i32> = before.iter().copied().chain([server.pid()]).collect();
    for pid in family {
        assert!(!holds(pid, "ready"), "{pid} holds it still");
    }
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
    assert_eq!(fs::read(server.path().join("ready")).unwrap_or_default(), b"\n");
    assert_eq!(server.line_with(&["WARN", "READY_FD"]), None);
}

fn holds(pid: i32, name: &str) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut files = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    files.any(|file| file.ends_with(name))
}

#[test]
fn a_readiness_descriptor_that_cannot_be_is_warned_of() {
    for number in ["1", "77", "-1", "three", ""] {
        let server = echo().variable("DEVSIM_READY_FD", number).start();
        server.wait_for_line(&["WARN", &format!("DEVSIM_READY_FD={number} ")]);
        assert!(Connection::open(server.address()).is_ok());
    }
}
