//! SIGUSR2 with `upgrade = "fork"`: a second master serves beside the first, until one of them is ended.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use kit::{Broken, Server, Signal, children, install_echo, is_alive, signal_to, until};

/// Sends the upgrade's signal, and waits until the second master serves.
fn upgrade(server: &Server) -> i32 {
    let before = server.said().len();
    server.signal(Signal::USR2);
    server.wait_for("a second master that serves", |server| {
        let said = server.said().split_off(before);
        let (_, rest) = said.split_once("the new master is pid ")?;
        let pid = rest.lines().next()?.parse().ok()?;
        said.contains("serves beside this one").then_some(pid)
    })
}

/// Waits until a master that the kit has not started has so many workers that serve.
fn wait_for_workers_of(server: &mut Server, master: i32, count: usize) {
    let first = server.pid();
    server.follow(master);
    server.wait_for_workers(count);
    server.follow(first);
}

fn number_in(server: &Server, file: &str) -> Option<i32> {
    fs::read_to_string(server.path().join(file)).ok()?.trim().parse().ok()
}

fn wait_for_number(server: &Server, file: &str, pid: i32) {
    server
        .wait_for(&format!("{pid} in {file}"), |server| (number_in(server, file) == Some(pid)).then_some(()));
}

const TWO: &str = "[server]\nworkers = 2\npidfile = \"pid\"\n";

#[test]
fn term_to_the_old_master_finishes_the_upgrade_and_nothing_fails() {
    let mut server = Server::installed_echo(TWO).start();
    server.wait_for_workers(2);
    let hammer = server.hammer();
    install_echo(&server.path().join("echo"));
    let (old, new) = (server.pid(), upgrade(&server));
    assert_eq!((number_in(&server, "pid"), number_in(&server, "pid.2")), (Some(old), Some(new)));
    wait_for_workers_of(&mut server, new, 2);
    hammer.strike(100);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    server.follow(new);
    wait_for_number(&server, "pid", new);
    assert!(!server.path().join("pid.2").exists());
    hammer.strike(100);
    hammer.verdict();
    assert_eq!(kit::executable(new), server.path().join("echo"));
    let before = server.wait_for_workers(2);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
    server.signal(Signal::TERM);
    server.wait_until_gone(new);
    assert!(!server.path().join("pid").exists());
}

#[test]
fn term_to_the_new_master_goes_back_and_nothing_fails() {
    let server = Server::installed_echo(TWO).start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    let new = upgrade(&server);
    signal_to(new, Signal::TERM);
    server.wait_for_line(&["upgrade", "the new master has ended with exit status 0", "goes on alone"]);
    hammer.strike(50);
    hammer.verdict();
    assert_eq!(server.workers(), before);
    assert_eq!(number_in(&server, "pid"), Some(server.pid()));
    assert!(!server.path().join("pid.2").exists());
    // And it may be tried again.
    upgrade(&server);
}

#[test]
fn a_new_program_that_cannot_start_leaves_the_old_master_as_it_was() {
    let server = Server::installed_echo(TWO).start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    let place = server.path().join("echo");
    for broken in Broken::ALL {
        let told = server.said().len();
        broken.install(&place);
        server.signal(Signal::USR2);
        server.wait_for(&format!("the end of the upgrade to {broken:?}"), |server| {
            let said = server.said().split_off(told);
            (said.contains("upgrade: failed") && said.contains(broken.complaint())).then_some(())
        });
    }
    assert_eq!(server.workers(), before);
    install_echo(&place);
    upgrade(&server);
    hammer.verdict();
}

#[test]
fn a_configuration_that_the_new_master_refuses_leaves_the_old_one_as_it_was() {
    let server = Server::installed_echo(TWO).start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    for (config, complaint) in [
        ("[server]\nworkers = 2\npidfile = \"pid\"\nworkerz = 3\n", "ended with exit status 1"),
        ("[server]\nworkers = 2\npidfile = \"pid\"\nraw_env = [\"ECHO_BOOT=fail\"]\n", "exit status 4"),
        ("[server]\nworkers = 2\npidfile = \"pid\"\nraw_env = [\"ECHO_PREPARE=fail\"]\n", "exit status 1"),
        (
            "[server]\nworkers = 2\npidfile = \"pid\"\nboot_timeout = 1\nraw_env = [\"ECHO_BOOT=slow=60\"]\n",
            "exit status 3",
        ),
    ] {
        let told = server.said().len();
        server.rewrite(config);
        server.signal(Signal::USR2);
        server.wait_for(&format!("the end of the upgrade with {config}"), |server| {
            let said = server.said().split_off(told);
            said.lines()
                .any(|line| line.contains("upgrade: failed") && line.contains(complaint))
                .then_some(())
        });
        assert_eq!(number_in(&server, "pid"), Some(server.pid()));
    }
    hammer.verdict();
    assert_eq!(server.workers(), before);
    server.reconfigure(TWO);
    server.wait_for_others(&before, 2);
}

#[test]
fn a_new_master_that_finds_an_address_in_use_leaves_nothing_behind() {
    let config = |bind: &str| format!("{TWO}bind = {bind}\n");
    let server = Server::installed_echo(&config("\"127.0.0.1:0\"")).without_bind().start();
    server.wait_for_workers(2);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    server.rewrite(&config(&format!("[\"127.0.0.1:0\", \"unix:fresh\", \"{address}\"]")));
    server.signal(Signal::USR2);
    server.wait_for_line(&["upgrade: failed", "exit status 5"]);
    assert!(!server.path().join("pid.2").exists() && !server.path().join("fresh").exists());
    assert_eq!(number_in(&server, "pid"), Some(server.pid()));
}

#[test]
fn a_second_upgrade_is_refused_while_one_runs() {
    let server = Server::installed_echo(TWO).start();
    server.wait_for_workers(2);
    let new = upgrade(&server);
    server.signal(Signal::USR2);
    server.wait_for_line(&["upgrade: refused", "one is running"]);
    // Neither can the new one be replaced before the old one has gone: there would be three.
    signal_to(new, Signal::USR2);
    server.wait_for_line(&[&format!("[{new}]"), "upgrade: refused", "the master before this one"]);
    assert!(is_alive(new));
    assert_eq!(server.said().matches("the new master is pid").count(), 1);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn an_upgrade_is_refused_while_the_server_starts() {
    let config = "[server]\nworkers = 1\nraw_env = [\"ECHO_BOOT=slow=0.5\"]\n";
    let server = Server::echo(config).start_slowly();
    server.signal(Signal::USR2);
    server.wait_for_line(&["upgrade: refused", "no worker serves yet"]);
    server.wait_for_workers(1);
    upgrade(&server);
}

#[test]
fn when_the_old_master_is_killed_the_new_one_takes_everything_over() {
    let mut server = Server::installed_echo(TWO).flags(["-b", "unix:socket"]).start();
    let old_workers = server.wait_for_workers(2);
    let hammer = server.hammer();
    let new = upgrade(&server);
    wait_for_workers_of(&mut server, new, 2);
    let mut running = server.occupy("x-echo-sleep: 1\r\n", "/running");
    signal_to(server.pid(), Signal::KILL);
    server.wait_for_end();
    server.follow(new);
    wait_for_number(&server, "pid", new);
    assert_eq!(running.answer().expect("an answer").status, 200);
    for worker in old_workers {
        server.wait_until_gone(worker);
    }
    hammer.strike(50);
    hammer.verdict();
    let socket = server.path().join("socket");
    assert!(UnixStream::connect(&socket).is_ok());
    server.signal(Signal::TERM);
    server.wait_until_gone(new);
    assert!(!socket.exists() && !server.path().join("pid").exists());
}

/// Begins an upgrade to a master that takes its time to boot, and gives its process id.
fn begin_a_slow_upgrade(server: &Server) -> i32 {
    server.rewrite(&format!("{TWO}raw_env = [\"ECHO_BOOT=slow=1\"]\n"));
    server.signal(Signal::USR2);
    let line = server.wait_for_line(&["the new master is pid"]);
    let new = line.rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id");
    server.wait_for("its workers", |_| (children(new).len() == 2).then_some(()));
    new
}

#[test]
fn the_old_master_may_die_before_the_new_one_serves() {
    let mut server = Server::installed_echo(TWO).start();
    server.wait_for_workers(2);
    let hammer = server.hammer();
    let new = begin_a_slow_upgrade(&server);
    server.signal(Signal::KILL);
    server.wait_for_end();
    server.follow(new);
    wait_for_number(&server, "pid", new);
    server.wait_for_workers(2);
    hammer.strike(50);
    hammer.verdict();
}

#[test]
fn a_stop_before_the_new_master_serves_answers_whoever_has_connected() {
    let mut server = Server::installed_echo(TWO).start();
    server.wait_for_workers(2);
    begin_a_slow_upgrade(&server);
    let _busy = [(); 2].map(|()| server.occupy("", "/?x-echo-block=0.5"));
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let mut client = server.connect();
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("it can be sent");
            client
        })
        .collect();
    server.signal(Signal::TERM);
    for mut client in waiting {
        assert_eq!(client.answer().expect("an answer").status, 200);
    }
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn a_stop_before_the_new_master_serves_is_one_of_both() {
    let mut server = Server::installed_echo(TWO).flags(["-b", "unix:socket"]).start();
    server.wait_for_workers(2);
    let new = begin_a_slow_upgrade(&server);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    server.wait_until_gone(new);
    for left in ["pid", "pid.2", "socket"] {
        assert!(!server.path().join(left).exists(), "{left}");
    }
}

#[test]
fn when_the_new_master_is_killed_the_workers_of_the_old_one_come_back() {
    let server = Server::installed_echo(TWO).start();
    server.wait_for_workers(2);
    let new = upgrade(&server);
    server.signal(Signal::WINCH);
    server.wait_for("no workers", |server| server.workers().is_empty().then_some(()));
    let hammer = server.hammer();
    let orphans = children(new);
    signal_to(new, Signal::KILL);
    server.wait_for_line(&["the new master has ended with SIGKILL"]);
    server.wait_for_workers(2);
    orphans.iter().for_each(|orphan| server.wait_until_gone(*orphan));
    assert!(!server.path().join("pid.2").exists(), "its number may be anybody's next");
    hammer.strike(50);
    hammer.verdict();
}

#[test]
fn a_reload_brings_back_the_workers_that_winch_has_retired() {
    let mut server = Server::installed_echo(TWO).start();
    server.wait_for_workers(2);
    let new = upgrade(&server);
    wait_for_workers_of(&mut server, new, 2);
    let hammer = server.hammer();
    server.signal(Signal::WINCH);
    server.wait_for("no workers", |server| server.workers().is_empty().then_some(()));
    hammer.strike(50);
    server.signal(Signal::HUP);
    server.wait_for_workers(2);
    signal_to(new, Signal::TERM);
    server.wait_for_line(&["the new master has ended with exit status 0"]);
    hammer.strike(50);
    hammer.verdict();
}

#[test]
fn the_file_of_a_unix_socket_is_unlinked_by_its_last_owner_only() {
    for old_ends_first in [true, false] {
        let mut server = Server::installed_echo(TWO).flags(["-b", "unix:socket"]).start();
        let socket = server.path().join("socket");
        let new = upgrade(&server);
        let (first, last) = if old_ends_first { (server.pid(), new) } else { (new, server.pid()) };
        signal_to(first, Signal::TERM);
        server.wait_until_gone(first);
        assert!(UnixStream::connect(&socket).is_ok(), "{}", server.said());
        if old_ends_first {
            wait_for_number(&server, "pid", new);
        } else {
            server.wait_for_line(&["goes on alone"]);
        }
        signal_to(last, Signal::TERM);
        server.wait_until_gone(last);
        assert!(!socket.exists(), "{}", server.said());
        server.follow(last);
    }
}

#[test]
fn the_new_master_listens_where_its_configuration_says() {
    let mut server =
        Server::installed_echo("[server]\nworkers = 1\nbind = \"127.0.0.1:0\"\n").without_bind().start();
    server.wait_for_workers(1);
    server.rewrite("[server]\nworkers = 1\nbind = [\"127.0.0.1:0\", \"unix:added\"]\n");
    let hammer = server.hammer();
    let new = upgrade(&server);
    assert!(UnixStream::connect(server.path().join("added")).is_ok());
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    hammer.strike(50);
    hammer.verdict();
    server.follow(new);
    assert!(UnixStream::connect(server.path().join("added")).is_ok());
}

#[test]
fn sockets_that_came_by_activation_are_handed_on_for_ever() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let activate = ["sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "sh"];
    let setup = Server::installed_echo("[server]\nworkers = 1\n").without_bind();
    let mut server = setup.handing([socket.into()]).under(activate).start();
    server.wait_for_workers(1);
    let hammer = server.hammer();
    for _ in 0..3 {
        let new = upgrade(&server);
        server.signal(Signal::TERM);
        server.wait_until_gone(server.pid());
        server.follow(new);
        server.wait_for_line(&[&format!("[{new}]"), "this one is the server now"]);
    }
    hammer.strike(50);
    hammer.verdict();
}

#[test]
fn an_upgraded_master_is_upgraded_again() {
    let mut server = Server::installed_echo(TWO).start();
    server.wait_for_workers(2);
    let hammer = server.hammer();
    let mut descriptors = Vec::new();
    for _ in 0..4 {
        install_echo(&server.path().join("echo"));
        let new = upgrade(&server);
        server.signal(Signal::TERM);
        server.wait_until_gone(server.pid());
        server.follow(new);
        wait_for_number(&server, "pid", new);
        server.wait_for_workers(2);
        descriptors.push(until(|| Some(kit::descriptors(new))));
    }
    hammer.verdict();
    assert!(descriptors.iter().all(|count| *count == descriptors[0]), "{descriptors:?}");
}

#[test]
fn a_term_to_both_masters_ends_both() {
    let mut server = Server::installed_echo(TWO).flags(["-b", "unix:socket"]).start();
    server.wait_for_workers(2);
    let new = upgrade(&server);
    server.signal(Signal::TERM);
    signal_to(new, Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    server.wait_until_gone(new);
    for left in ["pid", "pid.2", "socket"] {
        assert!(!server.path().join(left).exists(), "{left}");
    }
}

#[test]
fn the_new_master_heeds_every_signal_that_the_old_one_did() {
    let server = Server::installed_echo(TWO).start();
    let new = upgrade(&server);
    for mask in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(kit::status_field(new, mask), kit::status_field(server.pid(), mask), "{mask}");
    }
}
