//! What the machine refuses, and what comes at the wrong moment.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kit::{Server, Setup, Signal, processor_time, signal_to, skipped};
use rustix::process::geteuid;

const ONE: &str = "[server]\nworkers = 1\n";
const TWO: &str = "[server]\nworkers = 2\n";

/// A command that runs another one as a user without privileges; `None`, said aloud, where nobody else can be become.
fn as_user(user: u32) -> Option<[String; 4]> {
    if !geteuid().is_root() {
        skipped("only root can become somebody else");
        return None;
    }
    Some(["setpriv".into(), format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".into()])
}

/// A server that such a user starts, who may write in its directory.
fn server_of(user: &[String; 4], config: &str) -> Setup {
    let open = |directory: &Path| {
        fs::set_permissions(directory, Permissions::from_mode(0o777)).expect("a mode can be set");
    };
    Server::installed_echo(config).prepared(open).under(user.clone())
}

/// Limits how many processes the server's user may have, for forks of the master.
fn limit_processes(server: &Server, user: &[String; 4], most: u32) {
    let limit = format!("--nproc={most}:");
    let command = [&limit, "--pid", &server.pid().to_string()].map(str::to_owned);
    let status = Command::new(&user[0]).args(&user[1..]).arg("prlimit").args(command).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{status:?}");
}

#[test]
fn a_fork_that_fails_is_tried_again_without_haste_until_it_works() {
    let Some(user) = as_user(47_121) else { return };
    let server = server_of(&user, TWO).start();
    let before = server.wait_for_workers(2);
    limit_processes(&server, &user, 1);
    let spent = processor_time(server.pid());
    server.signal_worker(*before.first().expect("a worker"), Signal::KILL);
    server.wait_for_line(&["[ERROR]", "could not be forked", "RLIMIT_NPROC", "the next try comes in 1.6 s"]);
    assert_eq!(server.get("/").status, 200, "the other one serves");
    assert!(server.said().matches("could not be forked").count() <= 6);
    let spent = processor_time(server.pid()).saturating_sub(spent);
    assert!(spent < Duration::from_millis(300), "the master has spent {spent:?}");
    limit_processes(&server, &user, 1000);
    server.wait_for_workers(2);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
}

#[test]
fn a_reload_whose_first_fork_fails_leaves_all_as_it_was() {
    let Some(user) = as_user(47_122) else { return };
    let server = server_of(&user, TWO).start();
    let before = server.wait_for_workers(2);
    limit_processes(&server, &user, 1);
    server.signal(Signal::HUP);
    server.wait_for_line(&["[ERROR]", "reload: generation 2 is refused"]);
    assert_eq!(server.workers(), before);
    limit_processes(&server, &user, 1000);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
}

#[test]
fn a_start_that_cannot_fork_ends_and_says_why() {
    let Some(user) = as_user(47_123) else { return };
    let ended = server_of(&user, ONE).under(["prlimit", "--nproc=0"]).run_to_its_end();
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert!(ended.said.contains("could not be forked"), "{}", ended.said);
}

#[test]
fn what_is_needed_and_cannot_be_written_ends_the_start_with_1_and_a_line() {
    for (config, words) in [
        ("pidfile = \"/proc/no/such/pid\"", ["server.pidfile", "/proc/no/such/pid"]),
        ("pidfile = \".\"", ["server.pidfile", "cannot open"]),
        ("pidfile = \"/dev/full\"", ["server.pidfile", "/dev/full"]),
        ("chdir = \"nowhere\"", ["server.chdir", "nowhere"]),
        ("bind = \"unix:/proc/no/such/sock\"", ["server.bind", "/proc/no/such"]),
    ] {
        let setup = Server::echo(&format!("{ONE}{config}\n"));
        let setup = if config.starts_with("bind") { setup.without_bind() } else { setup };
        let ended = setup.run_to_its_end();
        assert_eq!(ended.code, Some(1), "{config}: {}", ended.said);
        assert!(words.iter().all(|word| ended.said.contains(word)), "{config}: {}", ended.said);
        assert!(!ended.said.contains("panicked"), "{}", ended.said);
    }
    let config = format!("{ONE}[app]\ndatabase_url = \"sqlite:////proc/no/such.sqlite\"\n");
    let ended = Server::devsim(&config).run_to_its_end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("/proc/no"), "{}", ended.said);
}

#[test]
fn what_is_not_needed_and_cannot_be_written_is_a_line_and_the_server_serves() {
    for (config, words) in [
        ("[logging]\ndir = \"/proc/no/such\"", ["[WARNING]", "/proc/no/such", "console"]),
        ("control_socket = \"/proc/no/such/sock\"", ["[ERROR]", "server.control_socket", "runs without"]),
        (
            "request_buffer_dir = \"/proc/no/such\"",
            ["[WARNING]", "server.request_buffer_dir", "/proc/no/such"],
        ),
    ] {
        let mut server = Server::echo(&format!("{ONE}{config}\n")).start();
        server.wait_for_line(&words);
        let before = server.wait_for_workers(1);
        server.signal(Signal::HUP);
        server.wait_for_others(&before, 1);
        assert_eq!(server.get("/").status, 200);
        server.signal(Signal::TERM);
        assert_eq!(server.wait_for_end(), Some(0), "{config}");
    }
}

#[test]
fn a_body_that_cannot_be_buffered_is_refused_and_smaller_ones_are_served() {
    let server = Server::echo(&format!("{ONE}request_buffer_dir = \"/proc/no/such\"\n")).start();
    let large = vec![b'x'; 1 << 20];
    assert_eq!(server.send("POST", "/", "text/plain", &large).status, 503);
    assert_eq!(server.send("POST", "/", "text/plain", &large[..1000]).status, 200);
}

#[test]
fn a_directory_without_the_right_to_write_is_told_of() {
    let Some(user) = as_user(47_124) else { return };
    let lock = |directory: &Path| {
        fs::create_dir(directory.join("locked")).expect("a directory can be made");
        fs::set_permissions(directory.join("locked"), Permissions::from_mode(0o555))
            .expect("a mode can be set");
    };
    let setup = server_of(&user, &format!("{ONE}pidfile = \"locked/pid\"\n"));
    let ended = setup.prepared(lock).run_to_its_end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("locked/pid: Permission denied"), "{}", ended.said);
}

#[test]
fn a_full_disk_leaves_no_half_pidfile() {
    let full = "mount -t tmpfs -o size=8k tmpfs full || exit 77; head -c 9000 /dev/zero >full/rest 2>/dev/null; \
                \"$@\"; code=$?; ls full; exit $code";
    let make = |directory: &Path| fs::create_dir(directory.join("full")).expect("a directory can be made");
    let setup = Server::echo(&format!("{ONE}pidfile = \"full/pid\"\n")).prepared(make);
    let ended = setup.under(["unshare", "-m", "sh", "-c", full, "sh"]).run_to_its_end();
    if ended.code == Some(77) || ended.said.contains("unshare failed") {
        return skipped("no file system can be mounted here");
    }
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("No space left on device"), "{}", ended.said);
    assert!(ended.said.ends_with("rest\n") && !ended.said.contains("\npid\n"), "{}", ended.said);
}

#[test]
fn without_proc_it_starts_serves_reloads_and_stops() {
    if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
        return skipped("no mount namespace can be made here");
    }
    let hide = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"];
    let config = "[server]\nworkers = 2\npidfile = \"pid\"\ncontrol_socket = \"control.sock\"\n";
    let mut server = Server::echo(config).under(hide).start();
    let before = server.wait_for_workers(2);
    server.lose_a_worker(Signal::KILL, 2);
    let told = server.ctl(["workers", "--json"]).json();
    assert_eq!(told["workers"].as_array().map(Vec::len), Some(2));
    server.ctl(["reload"]).done();
    server.wait_for_others(&before, 2);
    server.signal(Signal::USR1);
    server.signal(Signal::TTIN);
    server.wait_for_workers(3);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

#[test]
fn a_storm_of_signals_without_meaning_fails_no_request() {
    let server = Server::echo(TWO).start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    let everybody: Vec<i32> = before.iter().copied().chain([server.pid()]).collect();
    for round in 0..700 {
        let signal = [Signal::URG, Signal::CONT, Signal::USR1][round % 3];
        everybody.iter().for_each(|pid| signal_to(*pid, signal));
    }
    hammer.strike(100);
    hammer.verdict();
    assert_eq!(server.workers(), before);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
}

#[test]
fn a_low_limit_of_descriptors_is_raised_as_far_as_it_goes() {
    let server = Server::echo("[server]\nworkers = 20\n").under(["prlimit", "--nofile=16:4096"]).start();
    server.wait_for_workers(20);
    assert_eq!(server.line_with(&["RLIMIT_NOFILE"]), None);
}

#[test]
fn a_limit_of_descriptors_that_is_too_low_is_told_of_and_what_fits_serves() {
    let mut server = Server::echo("[server]\nworkers = 20\n").under(["prlimit", "--nofile=40"]).start();
    server.wait_for_line(&["[WARNING]", "the hard limit of descriptors is 40"]);
    server.wait_for_line(&["[ERROR]", "could not be forked", "Too many open files", "RLIMIT_NOFILE"]);
    assert_eq!(server.get("/").status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn with_its_standard_descriptors_closed_it_serves_and_reloads() {
    let close = ["sh", "-c", "exec \"$@\" <&- 2>&-", "sh"];
    let server = Server::echo(TWO).under(close).start();
    let before = server.wait_for_workers(2);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
}

#[test]
fn with_all_signals_blocked_and_ignored_it_heeds_those_that_it_has() {
    let deaf = ["env", "--ignore-signal", "--block-signal"];
    let mut server = Server::echo(TWO).under(deaf).start();
    let before = server.wait_for_workers(2);
    server.lose_a_worker(Signal::KILL, 2);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn under_nohup_a_hangup_is_a_reload() {
    let server = Server::echo(TWO).under(["nohup"]).start();
    let before = server.wait_for_workers(2);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
}
