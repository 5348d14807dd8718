//! What the service manager is told: systemd's protocol (sd_notify(3)).

use std::fs;
use std::time::Duration;

use kit::{Manager, Server, Setup, Signal, within};

/// What a service says that starts, reloads so many times, and stops.
fn life(reloads: usize) -> Vec<&'static str> {
    let reloads = std::iter::repeat_n(["RELOADING=1", "READY=1"], reloads).flatten();
    ["READY=1"].into_iter().chain(reloads).chain(["STOPPING=1"]).collect()
}

fn echo(more: &str) -> Setup {
    Server::echo(&config(more))
}

fn config(more: &str) -> String {
    format!("[server]\nworkers = 2\n{more}")
}

fn stop(server: &mut Server) {
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn it_is_ready_once_and_not_before_a_worker_serves() {
    for mut manager in [Manager::at_a_path(), Manager::at_an_abstract_name()] {
        let mut server = manager.of(echo("raw_env = [\"ECHO_BOOT=slow=0.5\"]\n")).start_slowly();
        manager.wait_for(&server, "READY=1", 1);
        assert_ne!(server.line_with(&["ready after"]), None, "{}", server.said());
        server.wait_for_workers(2);
        stop(&mut server);
        assert_eq!(manager.states(), life(0));
    }
}

#[test]
fn a_server_that_never_serves_is_never_ready() {
    let mut manager = Manager::at_a_path();
    let ended = manager.of(echo("raw_env = [\"ECHO_BOOT=fail\"]\n")).run_to_its_end();
    assert_eq!(ended.code, Some(4));
    assert_eq!(manager.count("READY=1"), 0);
}

#[test]
fn every_reload_is_announced_and_ends_with_one_ready_whatever_comes_of_it() {
    let mut manager = Manager::at_a_path();
    let mut server = manager.of(echo("boot_timeout = 2\n")).start();
    server.wait_for_workers(2);
    let reloads = [
        ("", "has taken over"),
        ("workerz = 3\n", "the settings have the problems"),
        ("raw_env = [\"ECHO_PREPARE=fail\"]\n", "preparation ended"),
        ("raw_env = [\"ECHO_BOOT=fail\"]\n", "could not be built"),
        ("boot_timeout = 1\nraw_env = [\"ECHO_BOOT=slow=60\"]\n", "boot_timeout"),
        ("", "generation 6 has taken over"),
    ];
    for (index, (more, outcome)) in reloads.iter().enumerate() {
        let before = monotonic_usec();
        server.reconfigure(&config(more));
        server.wait_for_line(&["reload", outcome]);
        manager.wait_for(&server, "READY=1", index + 2);
        let announced = manager.heard().iter().rev().find(|message| message.starts_with("RELOADING=1"));
        let usec = announced.and_then(|message| message.strip_prefix("RELOADING=1\nMONOTONIC_USEC="));
        let usec: u64 = usec.and_then(|usec| usec.parse().ok()).expect("a time in the same message");
        assert!((before..=monotonic_usec()).contains(&usec), "{usec} is not between {before} and now");
    }
    stop(&mut server);
    assert_eq!(manager.states(), life(reloads.len()));
}

/// CLOCK_MONOTONIC, as any process on the machine reads it.
fn monotonic_usec() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_nsec / 1000).unwrap_or_default()
}

#[test]
fn reloads_that_coalesce_are_each_announced_and_ended_once() {
    let mut manager = Manager::at_a_path();
    let mut server = manager.of(echo("")).start();
    let before = server.wait_for_workers(2);
    for _ in 0..10 {
        server.signal(Signal::HUP);
    }
    server.wait_for_others(&before, 2);
    server.wait_for_the_last_reload();
    manager.heard(); // its queue holds few messages (unix(7), max_dgram_qlen)
    stop(&mut server);
    let reloads = manager.count("RELOADING=1");
    assert!((1..=10).contains(&reloads), "{reloads}");
    assert_eq!(manager.states(), life(reloads));
}

#[test]
fn a_stop_in_the_middle_of_a_reload_ends_the_reload_first() {
    for delay in ["", "drain_delay = 1\n"] {
        let mut manager = Manager::at_a_path();
        let mut server = manager.of(echo(delay)).start();
        server.wait_for_workers(2);
        server.reconfigure(&config("raw_env = [\"ECHO_BOOT=slow=60\"]\n"));
        manager.wait_for(&server, "RELOADING=1", 1);
        stop(&mut server);
        assert_eq!(manager.states(), life(1));
    }
}

#[test]
fn a_stop_is_announced_once_however_often_it_is_asked_for() {
    let mut manager = Manager::at_a_path();
    let mut server = manager.of(echo("drain_delay = 60\n")).start();
    let _running = server.occupy("x-echo-sleep: 60\r\n", "/running");
    for (signal, line) in
        [(Signal::TERM, "leaving"), (Signal::TERM, "workers finish"), (Signal::INT, "leave at once")]
    {
        server.signal(signal);
        server.wait_for_line(&[line]);
    }
    assert_eq!(server.wait_for_end(), Some(0));
    assert_eq!(manager.states(), life(0));
    let last = manager.heard().iter().rfind(|message| message.starts_with("STATUS="));
    assert!(last.is_some_and(|status| status.contains("stopping")), "{last:?}");
}

#[test]
fn the_status_has_the_pools_figures_and_the_reason_of_a_refused_reload() {
    let mut manager = Manager::at_a_path();
    let server = manager.of(echo("")).start();
    manager.wait_for_status(&server, &["2 of 2 workers ready"]);
    server.signal(Signal::TTIN);
    manager.wait_for_status(&server, &["3 of 3 workers ready"]);
    server.signal(Signal::TTOU);
    manager.wait_for_status(&server, &["2 of 2 workers ready", "0 draining"]);
    server.reconfigure(&config("raw_env = [\"ECHO_BOOT=fail\"]\n"));
    manager.wait_for_status(&server, &["generation 1", "generation 2, was refused", "could not be built"]);
    // However much is wrong, the line is one that systemd takes.
    let problems: String = (0..300).map(|number| format!("'wörkerz {number}' = 3\n")).collect();
    server.reconfigure(&config(&problems));
    let status = manager.wait_for_status(&server, &["generation 3, was refused", "devsim.toml:3"]);
    assert!(status.len() < 4000, "{} bytes", status.len());
    server.reconfigure(&config(""));
    let status =
        manager.wait_for_status(&server, &["2 of 2 workers ready, 0 booting, 0 draining; generation 3"]);
    assert!(!status.contains("refused"), "{status}");
}

#[test]
fn the_watchdog_is_served_by_the_master_alone_while_it_runs() {
    let mut manager = Manager::at_a_path();
    let setup = manager.of(echo("timeout = 0\n")).variable("WATCHDOG_USEC", "200000");
    let server = setup.start();
    server.wait_for_workers(2);
    let _stuck = [server.occupy("x-echo-block: 60\r\n", "/a"), server.occupy("x-echo-block: 60\r\n", "/b")];
    let before = manager.count("WATCHDOG=1");
    manager.wait_for(&server, "WATCHDOG=1", before + 5);
    server.signal(Signal::STOP);
    server.wait_for("the master to stand still", |server| is_stopped(server.pid()).then_some(()));
    let before = manager.count("WATCHDOG=1");
    // Five intervals, in which nothing is to come.
    let more = within(Duration::from_millis(500), || (manager.count("WATCHDOG=1") > before).then_some(()));
    assert_eq!(more, None, "a master that stands still says that it lives");
    server.signal(Signal::CONT);
    manager.wait_for(&server, "WATCHDOG=1", before + 2);
}

/// Whether a process is stopped (proc_pid_stat(5)).
fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

#[test]
fn a_watchdog_that_is_meant_for_another_process_is_left_alone() {
    for (assignment, is_served) in [("WATCHDOG_PID=$$", true), ("WATCHDOG_PID=1", false)] {
        let mut manager = Manager::at_a_path();
        let start = format!("{assignment} exec \"$@\"");
        let setup = manager.of(echo("")).variable("WATCHDOG_USEC", "20000");
        let mut server = setup.under(["sh", "-c", &start, "sh"]).start();
        server.wait_for_workers(2);
        stop(&mut server);
        assert_eq!(manager.count("WATCHDOG=1") > 0, is_served, "{assignment}: {:?}", manager.heard());
    }
}

#[test]
fn a_watchdog_that_makes_no_sense_is_warned_of() {
    let manager = Manager::at_a_path();
    let server = manager.of(echo("")).variable("WATCHDOG_USEC", "soon").start();
    server.wait_for_line(&["WARN", "WATCHDOG_USEC=soon"]);
}

#[test]
fn a_manager_that_reads_nothing_delays_nothing_and_hears_all_that_counts_when_it_does() {
    let mut manager = Manager::at_a_path();
    // Messages come faster than any queue holds them, before the first worker serves and after.
    let setup = manager.of(echo("raw_env = [\"ECHO_BOOT=slow=0.5\"]\n")).variable("WATCHDOG_USEC", "2000");
    let server = setup.start();
    let before = server.wait_for_workers(2);
    server.reconfigure(&config(""));
    let between = server.wait_for_others(&before, 2);
    server.wait_for_the_last_reload();
    server.signal(Signal::HUP);
    server.wait_for_others(&between, 2);
    server.wait_for_the_last_reload();
    assert_eq!(server.get("/").status, 200);
    let (served, mut server) = (life(2), server);
    manager.wait_for(&server, "READY=1", 3);
    assert_eq!(manager.states(), served[..served.len() - 1]);
    manager.wait_for_status(&server, &["2 of 2 workers ready", "generation 3"]);
    stop(&mut server);
}

#[test]
fn a_manager_that_cannot_be_told_harms_nobody() {
    let gone = Manager::at_a_path();
    let left = gone.of(echo(""));
    drop(gone);
    for (setup, warned) in [
        (left, false),
        (echo("").variable("NOTIFY_SOCKET", "/no/such/socket"), false),
        (echo("").variable("NOTIFY_SOCKET", "vsock:2:1234"), true),
    ] {
        let mut server = setup.variable("WATCHDOG_USEC", "2000").start();
        let before = server.wait_for_workers(2);
        server.signal(Signal::HUP);
        server.wait_for_others(&before, 2);
        assert_eq!(server.line_with(&["WARN", "NOTIFY_SOCKET"]).is_some(), warned, "{}", server.said());
        stop(&mut server);
    }
}

#[test]
fn a_second_master_is_heard_when_it_is_the_service_and_not_before() {
    let mut manager = Manager::at_a_path();
    let mut server = manager.of(echo("")).variable("WATCHDOG_USEC", "200000").start();
    server.signal(Signal::USR2);
    server.wait_for_line(&["the new master serves beside this one"]);
    let first = successor(&server);
    assert_eq!(manager.states(), ["READY=1"]);
    first.signal("TERM");
    server.wait_for_line(&["the new master has ended"]);
    assert_eq!(manager.states(), ["READY=1"], "whoever goes back stops nothing");

    server.signal(Signal::USR2);
    server.wait_for("another one", |server| {
        (server.said().matches("the new master serves beside this one").count() == 2).then_some(())
    });
    let second = successor(&server);
    stop(&mut server);
    let handed_over = format!("MAINPID={}", second.0);
    manager.wait_for(&server, "READY=1", 2);
    assert_eq!(manager.states(), ["READY=1", &handed_over, "READY=1"]);
    let status = manager.wait_for_status(&server, &["2 of 2 workers ready"]);
    assert!(!status.contains("stopping"), "{status}");
    let before = manager.count("WATCHDOG=1");
    manager.wait_for(&server, "WATCHDOG=1", before + 2);
    second.signal("TERM");
    manager.wait_for(&server, "STOPPING=1", 1);
}

#[test]
fn a_second_master_keeps_the_watchdog_while_the_first_one_drains() {
    let mut manager = Manager::at_a_path();
    let mut server = manager.of(echo("")).variable("WATCHDOG_USEC", "200000").start();
    let mut long = server.occupy("", "/?x-echo-sleep=3");
    server.signal(Signal::USR2);
    server.wait_for_line(&["the new master serves beside this one"]);
    let second = successor(&server);
    server.signal(Signal::TERM);
    manager.wait_for(&server, &format!("MAINPID={}", second.0), 1);
    let before = manager.count("WATCHDOG=1");
    manager.wait_for(&server, "WATCHDOG=1", before + 5);
    assert_eq!(manager.states().len(), 2, "the first one drains still: {:?}", manager.states());
    assert_eq!(long.answer().expect("an answer").status, 200);
    assert_eq!(server.wait_for_end(), Some(0));
    second.signal("TERM");
    manager.wait_for(&server, "STOPPING=1", 1);
}

/// A second master, which ends with the test.
struct Successor(i32);

impl Successor {
    fn signal(&self, signal: &str) {
        let pid = self.0.to_string();
        let sent = std::process::Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{signal} to {pid}");
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if kit::is_alive(self.0) {
            self.signal("QUIT");
        }
    }
}

/// The one that was started last.
fn successor(server: &Server) -> Successor {
    let said = server.said();
    let (_, pid) = said.rsplit_once("the new master is pid ").expect("there is one");
    Successor(pid.lines().next().and_then(|pid| pid.parse().ok()).expect("a number"))
}
