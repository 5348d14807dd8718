//! The server as process 1 of a container.

use std::fs;
use std::process::Command;

use kit::{Server, Setup, Signal, children, install_echo, is_alive};

/// Starts the server as process 1 of a namespace of its own, and follows it; `None` where that is forbidden.
fn start_as_process_one(config: &str) -> Option<Server> {
    let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let (command, flags) = unshare.split_first()?;
    let allowed = Command::new(command).args(flags).arg("true").output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        kit::skipped("a namespace of process ids cannot be made here");
        return None;
    }
    let setup: Setup = Server::installed_echo(config).under(unshare);
    let mut server = setup.start();
    let first = server.wait_for("the server", |server| children(server.pid()).first().copied());
    server.follow(first);
    Some(server)
}

/// The workers, by their number of all: process ids in the namespace mean nothing here.
fn wait_for_workers(server: &Server, count: usize) -> Vec<i32> {
    server.wait_for(&format!("{count} workers"), |server| {
        Some(children(server.pid())).filter(|workers| workers.len() == count)
    })
}

#[test]
fn it_stops_as_it_is_told_and_says_so_with_its_exit_code() {
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 0), (Signal::QUIT, 0)] {
        let Some(mut server) = start_as_process_one("[server]\nworkers = 2\n") else { return };
        wait_for_workers(&server, 2);
        server.signal(signal);
        assert_eq!(server.wait_for_end(), Some(code), "{}", server.said());
    }
}

#[test]
fn an_upgrade_keeps_the_process_whatever_is_configured() {
    let Some(server) = start_as_process_one("[server]\nworkers = 2\nupgrade = \"fork\"\n") else { return };
    let before = wait_for_workers(&server, 2);
    let hammer = server.hammer();
    for count in 1..=2 {
        install_echo(&server.path().join("echo"));
        server.signal(Signal::USR2);
        server.wait_for("the upgrade", |server| {
            (server.said().matches("upgrade: done").count() == count).then_some(())
        });
        assert_eq!(kit::executable(server.pid()), server.path().join("echo"));
    }
    server.wait_for("new workers", |_| before.iter().all(|worker| !is_alive(*worker)).then_some(()));
    wait_for_workers(&server, 2);
    server.rewrite("[server]\nworkers = 2\nraw_env = [\"ECHO_BOOT=fail\"]\n");
    server.signal(Signal::USR2);
    server.wait_for_line(&["upgrade: failed", "could not serve"]);
    hammer.strike(50);
    hammer.verdict();
    assert_eq!(children(server.pid()).len(), 2);
}

#[test]
fn orphans_of_others_are_reaped() {
    // The command's grandchild outlives it, and is process 1's from then on.
    let config =
        "[server]\nworkers = 1\n[hooks]\non_reload = \"(sleep 0.2; echo over >> orphans) & exit 0\"\n";
    let Some(server) = start_as_process_one(config) else { return };
    wait_for_workers(&server, 1);
    for count in 1..=3 {
        server.signal(Signal::HUP);
        server.wait_for("the orphan's end", |server| {
            let orphans = fs::read_to_string(server.path().join("orphans")).unwrap_or_default();
            (orphans.lines().count() == count).then_some(())
        });
        server.wait_for("one child, dead ones among them", |server| {
            let list = format!("/proc/{0}/task/{0}/children", server.pid());
            let all = fs::read_to_string(list).unwrap_or_default();
            (all.split_whitespace().count() == 1).then_some(())
        });
    }
    assert_eq!(server.get("/").status, 200);
}
