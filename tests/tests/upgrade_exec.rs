//! SIGUSR2 with `upgrade = "exec"`: a new program takes the old one's place in its process, or the old one comes back.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use kit::{Broken, Ended, Server, Signal, children, descriptors, install_echo, install_script, is_alive};

const TWO: &str = "[server]\nworkers = 2\nupgrade = \"exec\"\n";

/// How often the server has said that an upgrade is done.
fn done(server: &Server) -> usize {
    server.said().matches("upgrade: done").count()
}

/// Sends the upgrade's signal, and waits until the new program has taken over and its workers serve alone.
fn upgrade(server: &Server) {
    let (before, count) = (server.workers(), done(server));
    let wanted = before.len();
    server.signal(Signal::USR2);
    server.wait_for("the end of the upgrade", |server| (done(server) > count).then_some(()));
    server.wait_for_others(&before, wanted);
}

/// Sends the upgrade's signal, and waits for a line with all of these words.
fn fail_to_upgrade(server: &Server, words: &[&str]) {
    let told = server.said().len();
    server.signal(Signal::USR2);
    server.wait_for(&format!("the end of the upgrade, with {words:?}"), |server| {
        let said = server.said().split_off(told);
        let ended = said.contains("upgrade: failed");
        (ended && words.iter().all(|word| said.contains(word))).then_some(())
    });
}

#[test]
fn the_process_stays_the_program_and_its_workers_are_new_and_nothing_fails() {
    let server =
        Server::installed_echo(&format!("{TWO}pidfile = \"pid\"\n")).flags(["-b", "unix:socket"]).start();
    let old_workers = server.wait_for_workers(2);
    let (pid, hammer) = (server.pid(), server.hammer());
    let socket = server.path().join("socket");
    let mut running = server.occupy("x-echo-sleep: 3\r\n", "/running");
    install_echo(&server.path().join("echo"));
    assert!(kit::executable(pid).to_string_lossy().ends_with(" (deleted)"));
    server.signal(Signal::USR2);
    server.wait_for_line(&["upgrade: done"]);
    assert_eq!(kit::executable(pid), server.path().join("echo"));
    assert_eq!(running.answer().expect("an answer").status, 200);
    let new_workers = server.wait_for_others(&old_workers, 2);
    for worker in new_workers {
        assert_eq!(kit::executable(worker), server.path().join("echo"));
    }
    assert!(UnixStream::connect(&socket).is_ok());
    hammer.strike(50);
    hammer.verdict();
    assert_eq!(fs::read_to_string(server.path().join("pid")).ok(), Some(format!("{pid}\n")));
    assert_eq!(a_second_master_on_the_pidfile(&server).code, Some(5));
    let mut server = server;
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(!socket.exists() && !server.path().join("pid").exists());
}

fn a_second_master_on_the_pidfile(server: &Server) -> Ended {
    let pidfile = server.path().join("pid");
    let config = format!("[server]\nworkers = 1\npidfile = \"{}\"\n", pidfile.display());
    Server::echo(&config).run_to_its_end()
}

#[test]
fn a_program_that_cannot_start_is_never_executed() {
    let server = Server::installed_echo(TWO).start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    let place = server.path().join("echo");
    for broken in Broken::ALL {
        broken.install(&place);
        fail_to_upgrade(&server, &[broken.complaint()]);
    }
    install_script(&place, "exit 0");
    fail_to_upgrade(&server, &["has not read what it was to take over"]);
    install_script(&place, "kill -SEGV $$");
    fail_to_upgrade(&server, &["SIGSEGV"]);
    install_echo(&place);
    server.rewrite(&format!("{TWO}workerz = 3\n"));
    fail_to_upgrade(&server, &["did you mean", "exit status 1"]);
    assert_eq!(server.workers(), before);
    server.rewrite(TWO);
    upgrade(&server);
    hammer.verdict();
}

#[test]
fn a_check_that_hangs_is_ended_with_all_that_it_has_started() {
    let server = Server::installed_echo(&format!("{TWO}boot_timeout = 1\n")).start();
    let before = server.wait_for_workers(2);
    install_script(&server.path().join("echo"), "sleep 1000 & echo $! > child; wait");
    fail_to_upgrade(&server, &["check of its configuration took", "boot_timeout"]);
    assert_eq!(server.workers(), before);
    assert_eq!(children(server.pid()).len(), 2);
    let child = fs::read_to_string(server.path().join("child")).expect("the script has run");
    server.wait_until_gone(child.trim().parse().expect("a process id"));
}

#[test]
fn a_program_that_cannot_serve_gives_the_place_back_with_the_settings_that_were_in_force() {
    let server = Server::installed_echo(TWO).start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    install_echo(&server.path().join("echo"));
    let descriptors_before = descriptors(server.pid());
    let ground = || {
        (kit::status(server.pid(), "Umask"), std::fs::read_link(format!("/proc/{}/cwd", server.pid())).ok())
    };
    let ground_before = ground();
    std::fs::create_dir(server.path().join("elsewhere")).expect("a directory can be made");
    for (raw_env, complaint) in [
        ("ECHO_BOOT=fail", "could not be built"),
        ("ECHO_BOOT=panic", "exit status"),
        ("ECHO_PREPARE=fail", "preparation ended with exit status 1"),
    ] {
        let elsewhere = "chdir = \"elsewhere\"\numask = \"0o027\"\n";
        server.rewrite(&format!(
            "[server]\nworkers = 3\nupgrade = \"exec\"\nraw_env = [\"{raw_env}\"]\n{elsewhere}"
        ));
        fail_to_upgrade(&server, &["could not serve", complaint]);
        assert!(
            kit::executable(server.pid()).to_string_lossy().ends_with(" (deleted)"),
            "the old one is back"
        );
        assert_eq!(server.workers(), before);
        assert_eq!(ground(), ground_before, "it works where it did, with the umask that it had");
    }
    // A worker that asks for its replacement is heard, and gets one as the old settings have it.
    server.lose_a_worker(Signal::TERM, 2);
    server.wait_for("flat descriptors", |server| {
        (descriptors(server.pid()) == descriptors_before).then_some(())
    });
    hammer.strike(50);
    // A mended file is read by the next reload, and the upgrade goes well after it.
    let before = server.workers();
    server.reconfigure("[server]\nworkers = 3\nupgrade = \"exec\"\n");
    server.wait_for_others(&before, 3);
    upgrade(&server);
    hammer.verdict();
}

#[test]
fn an_address_that_is_in_use_sends_the_new_program_back() {
    let server =
        Server::installed_echo("[server]\nworkers = 2\nupgrade = \"exec\"\nbind = \"127.0.0.1:0\"\n")
            .without_bind()
            .start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    server.rewrite(&format!(
        "[server]\nworkers = 2\nupgrade = \"exec\"\nbind = [\"127.0.0.1:0\", \"unix:fresh\", \"{address}\"]\n"
    ));
    fail_to_upgrade(&server, &["is in use"]);
    hammer.strike(50);
    assert_eq!(server.workers(), before);
    assert!(!server.path().join("fresh").exists(), "what the new program has bound is gone with it");
    hammer.verdict();
}

#[test]
fn what_was_bound_for_a_program_that_could_not_serve_is_closed() {
    let server =
        Server::installed_echo("[server]\nworkers = 2\nupgrade = \"exec\"\nbind = \"127.0.0.1:0\"\n")
            .without_bind()
            .start();
    server.wait_for_workers(2);
    let fresh = server.path().join("fresh");
    server.rewrite(
        "[server]\nworkers = 2\nupgrade = \"exec\"\nbind = [\"127.0.0.1:0\", \"unix:fresh\"]\nraw_env = [\"ECHO_BOOT=fail\"]\n",
    );
    fail_to_upgrade(&server, &["could not serve"]);
    server.wait_for("the socket to go", |_| (!fresh.exists()).then_some(()));
}

#[test]
fn what_was_scaled_and_what_drains_is_carried_over() {
    let server = Server::installed_echo(&format!("{TWO}max_draining = 8\n")).start();
    server.wait_for_workers(2);
    server.signal(Signal::TTIN);
    let first = server.wait_for_workers(3);
    let mut oldest = server.occupy("x-echo-sleep: 8\r\n", "/oldest");
    server.signal(Signal::HUP);
    server.wait_for_line(&["generation 2 has taken over"]);
    let drain = || first.iter().filter(|pid| is_alive(**pid)).count();
    server.wait_for("one that drains", |_| (drain() == 1).then_some(()));
    server.signal(Signal::USR2);
    server.wait_for_line(&["upgrade: done"]);
    assert_eq!(oldest.answer().expect("an answer").status, 200);
    server.wait_for_others(&first, 3);
}

#[test]
fn sockets_that_came_by_activation_are_handed_on() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let activate = ["sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "sh"];
    let server = Server::installed_echo(TWO).without_bind().handing([socket.into()]).under(activate).start();
    server.wait_for_workers(2);
    let hammer = server.hammer();
    for _ in 0..3 {
        upgrade(&server);
    }
    let before = server.workers();
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
    hammer.verdict();
}

#[test]
fn fifteen_upgrades_in_a_row_leave_nothing_behind_and_fail_nothing() {
    let server = Server::installed_echo(TWO).start();
    server.wait_for_workers(2);
    let hammer = server.hammer();
    let measure = || {
        server.wait_for("two children", |server| (children(server.pid()).len() == 2).then_some(()));
        let memory = kit::status_field(server.pid(), "VmRSS").and_then(|kib| kib.parse::<u64>().ok());
        (descriptors(server.pid()), memory.expect("its memory is known"))
    };
    upgrade(&server);
    let (open, memory) = measure();
    for _ in 0..15 {
        upgrade(&server);
    }
    let (_, memory_after) = measure();
    // A worker's are closed a moment after its end, and the first count may have come before that.
    server.wait_for("no more descriptors than before", |server| {
        (descriptors(server.pid()) <= open).then_some(())
    });
    assert!(memory_after < memory + 2048, "{memory} KiB became {memory_after}");
    hammer.verdict();
}

/// The environment in which the server executes a program.
fn environment_of_a_program(server: &Server, way: &str) -> BTreeSet<String> {
    let (place, told) = (server.path().join("echo"), server.path().join(way));
    install_script(&place, &format!("env > {}; exit 1", told.display()));
    fail_to_upgrade(server, &["exit status 1"]);
    install_echo(&place);
    let told = fs::read_to_string(told).expect("the script has run");
    told.lines().map(|line| line.split_once(':').map_or(line, |(start, _)| start).to_owned()).collect()
}

#[test]
fn the_environment_is_the_same_after_any_number_of_upgrades() {
    let server = Server::installed_echo(TWO).start();
    server.wait_for_workers(2);
    let before = environment_of_a_program(&server, "before");
    upgrade(&server);
    server.rewrite(&format!("{TWO}raw_env = [\"ECHO_BOOT=fail\"]"));
    fail_to_upgrade(&server, &["could not serve"]);
    server.rewrite(TWO);
    let after = environment_of_a_program(&server, "after");
    // Of the estate's variable, which names the process, the process's id is its own.
    let known = |line: &&String| !line.starts_with("PREFORK_ESTATE=");
    assert_eq!(
        before.iter().filter(known).collect::<Vec<_>>(),
        after.iter().filter(known).collect::<Vec<_>>()
    );
    assert_eq!(before.len(), after.len());
}
