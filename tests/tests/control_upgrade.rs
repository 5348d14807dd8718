//! devsim-ctl upgrade: it says how the upgrade went, also where the program that it asked has gone meanwhile.

use std::fs;

use kit::{Server, Setup, Signal, install_echo, install_script, is_alive, signal_to};
use serde_json::Value;

fn setup(way: &str) -> Setup {
    let config = format!("[server]\nworkers = 1\ncontrol_socket = \"control.sock\"\nupgrade = \"{way}\"\n");
    Server::installed_echo(&config)
}

/// The process id in an answer.
fn pid(told: &Value) -> i32 {
    told["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a process id")
}

#[test]
fn a_new_program_in_the_same_process_answers_for_the_old_one() {
    let server = setup("exec").start();
    let before = server.wait_for_workers(1);
    let text = server.ctl(["upgrade"]).done();
    assert_eq!(text, format!("the upgraded server serves, pid {}\n", server.pid()));
    server.wait_for_others(&before, 1);
    let status = server.status();
    assert_eq!((&status["last_upgrade"]["result"], &status["upgrade"]), (&"ok".into(), &Value::Null));
    // And once more: the first one's end is not taken for the second one's.
    install_echo(&server.path().join("echo"));
    assert_eq!(pid(&server.ctl(["--json", "upgrade"]).json()), server.pid());
    assert_eq!(server.said().matches("upgrade: done").count(), 2);
    assert!(server.ctl(["status"]).done().contains("this program took over"));
}

#[test]
fn a_new_program_that_cannot_serve_is_told_of_by_the_old_one() {
    let server = setup("exec").start();
    let before = server.wait_for_workers(1);
    let config = fs::read_to_string(server.path().join("devsim.toml")).expect("its configuration");
    server.rewrite(&format!("{config}raw_env = [\"ECHO_BOOT=fail\"]\n"));
    let why = server.ctl(["upgrade"]).refused(1);
    assert!(why.contains("could not be built"), "{why}");
    let status = server.status();
    assert_eq!(status["last_upgrade"]["result"], "failed");
    assert_eq!(server.workers(), before);
    server.rewrite(&config);
    assert_eq!(pid(&server.ctl(["--json", "upgrade"]).json()), server.pid());
}

#[test]
fn a_new_program_that_cannot_even_begin_tells_why() {
    let config = |bind: &str| {
        format!(
            "[server]\nworkers = 1\ncontrol_socket = \"control.sock\"\nupgrade = \"exec\"\nbind = [\"127.0.0.1:0\"{bind}]\n"
        )
    };
    let other = Server::echo("[server]\nworkers = 1\n").start();
    let server = Server::installed_echo(&config("")).without_bind().start();
    let before = server.wait_for_workers(1);
    let taken = other.address().to_string();
    server.rewrite(&config(&format!(", \"{taken}\"")));
    let why = server.ctl(["upgrade"]).refused(1);
    assert!(why.contains(&taken), "{why}");
    assert_eq!(server.workers(), before);
}

#[test]
fn a_program_that_fails_its_check_is_refused_by_the_old_one() {
    for way in ["exec", "fork"] {
        let server = setup(way).start();
        let before = server.wait_for_workers(1);
        install_script(&server.path().join("echo"), "exit 7");
        let why = server.ctl(["upgrade"]).refused(1);
        assert!(why.contains("exit status 7"), "{way}: {why}");
        let last = server.status()["last_upgrade"].clone();
        assert_eq!(last["result"], "failed");
        assert!(last["reason"].as_str().is_some_and(|reason| reason.contains("exit status 7")), "{last}");
        assert_eq!(server.workers(), before);
    }
}

#[test]
fn a_program_that_ends_in_the_place_of_the_old_one_leaves_an_error() {
    let mut server = setup("exec").start();
    server.wait_for_workers(1);
    let place = server.path().join("echo");
    fs::rename(&place, server.path().join("real")).expect("a file can be renamed");
    install_script(&place, "case \"$*\" in *--check-config*) exec ./real \"$@\";; esac\nexit 9");
    let why = server.ctl(["upgrade"]).refused(1);
    assert!(why.contains("may have ended"), "{why}");
    assert_eq!(server.wait_for_end(), Some(9));
}

#[test]
fn one_upgrade_runs_at_a_time_and_status_tells_of_it() {
    let server = setup("fork").start();
    server.wait_for_workers(1);
    let new = pid(&server.ctl(["--json", "upgrade"]).json());
    let why = server.ctl(["upgrade"]).refused(1);
    assert!(why.contains("running already"), "{why}");
    let upgrade = server.status()["upgrade"].clone();
    assert_eq!(upgrade["state"], "a second master serves beside this one");
    assert_eq!(pid(&upgrade), new);
}

#[test]
fn the_control_socket_goes_over_to_a_second_master_when_the_first_has_gone() {
    let mut server = setup("fork").start();
    server.wait_for_workers(1);
    let new = pid(&server.ctl(["--json", "upgrade"]).json());
    assert_eq!(pid(&server.status()), server.pid(), "the old one keeps it until then");
    assert_eq!(server.line_with(&["[ERROR]"]), None);
    server.ctl(["stop"]).done();
    assert_eq!(server.wait_for_end(), Some(0));
    server.follow(new);
    server.wait_for("the new master's socket", |server| server.control_socket().exists().then_some(()));
    assert_eq!(pid(&server.status()), new);
    assert_eq!(server.get("/").status, 200);
    server.ctl(["stop"]).done();
    server.wait_until_gone(new);
    assert!(!server.control_socket().exists());
}

#[test]
fn a_second_master_that_goes_back_leaves_the_control_socket() {
    let server = setup("fork").start();
    server.wait_for_workers(1);
    let new = pid(&server.ctl(["--json", "upgrade"]).json());
    signal_to(new, Signal::TERM);
    let status = server.wait_for("the end of the upgrade", |server| {
        Some(server.status()).filter(|status| status["upgrade"].is_null())
    });
    assert_eq!((pid(&status), &status["last_upgrade"]["result"]), (server.pid(), &"failed".into()));
    assert!(!is_alive(new));
}

#[test]
fn who_waits_for_something_else_is_told_of_the_upgrade() {
    let server = setup("exec").start();
    server.wait_for_workers(1);
    let place = server.path().join("echo");
    fs::rename(&place, server.path().join("real")).expect("a file can be renamed");
    // The check waits until the other command has come.
    let script =
        "case \"$*\" in *--check-config*) until [ -e go ]; do sleep 0.01; done;; esac\nexec ./real \"$@\"";
    install_script(&place, script);
    let upgrade = server.begin_ctl(["upgrade"]);
    server.wait_for("the check", |server| {
        (server.status()["upgrade"]["state"] == "the new program is checked").then_some(())
    });
    let reload = server.begin_ctl(["reload"]);
    server.wait_for_line(&["control: Reload"]);
    fs::write(server.path().join("go"), "").expect("a file can be written");
    let why = reload.told().refused(1);
    assert!(why.contains("an upgrade came first"), "{why}");
    upgrade.told().done();
    server.wait_for_line(&["generation 3 serves alone"]); // the reload is not lost
}
