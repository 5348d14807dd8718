//! SIGHUP, and scaling.

use kit::{Server, Signal};

#[test]
fn a_reload_replaces_every_worker_takes_new_settings_and_fails_no_request() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    server.reconfigure("[server]\nworkers = 4\n");
    server.wait_for_others(&before, 4);
    server.wait_for_line(&["reload", "generation 2 serves alone"]);
    hammer.verdict();
}

#[test]
fn a_reload_with_a_broken_file_names_every_problem_and_keeps_the_pool() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    server.reconfigure("[server]\nworkers = 2\nworkerz = 4\ntimeout = -1\n");
    server.wait_for_line(&["reload", "refused"]);
    for words in [["devsim.toml:3", "workerz"], ["devsim.toml:4", "timeout"]] {
        server.wait_for_line(&words);
    }
    assert_eq!(server.workers(), before);
    server.reconfigure("[server]\nworkers = 3\n");
    server.wait_for_others(&before, 3);
}

#[test]
fn a_reload_to_workers_that_cannot_boot_keeps_the_pool() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    server.reconfigure("[server]\nworkers = 2\nraw_env = [\"ECHO_BOOT=fail\"]\n");
    server.wait_for_line(&["reload", "refused", "could not be built"]);
    hammer.strike(50);
    assert_eq!(server.workers(), before);
    // A worker that is lost now comes back with the old settings.
    server.signal_worker(*before.first().expect("a worker"), Signal::KILL);
    server.wait_for("a replacement", |server| {
        (server.workers().len() == 2 && server.said().matches("ready after").count() == 3).then_some(())
    });
    drop(hammer);
    server.reconfigure("[server]\nworkers = 2\n");
    server.wait_for_others(&before, 2);
}

#[test]
fn a_reload_whose_first_worker_dies_at_once_keeps_the_pool() {
    let server = Server::echo("[server]\nworkers = 1\n").start();
    let before = server.wait_for_workers(1);
    server.signal(Signal::HUP);
    for _ in 0..3 {
        let young = server.wait_for("the new generation's first", |server| {
            server.workers().difference(&before).next().copied()
        });
        server.signal_worker(young, Signal::KILL);
        server.wait_for("its end", |server| (!server.workers().contains(&young)).then_some(()));
    }
    server.wait_for_line(&["reload", "refused", "SIGKILL"]);
    assert_eq!(server.workers(), before);
}

#[test]
fn the_old_generation_serves_while_the_new_one_boots_slowly() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    server.reconfigure("[server]\nworkers = 2\nraw_env = [\"ECHO_BOOT=slow=0.5\"]\n");
    server.wait_for("a booting worker", |server| (server.workers().len() == 3).then_some(()));
    assert!(server.workers().is_superset(&before), "nobody goes before the new one is ready");
    server.wait_for_others(&before, 2);
    hammer.verdict();
}

#[test]
fn a_program_that_panics_as_it_reads_its_settings_goes_on_with_those_that_it_has() {
    let server = Server::echo("[server]\nworkers = 2\n").variable("ECHO_RELOAD", "panic-if=broken").start();
    let before = server.wait_for_workers(2);
    std::fs::write(server.path().join("broken"), "").expect("a file can be made");
    server.signal(Signal::HUP);
    server.wait_for_line(&["[ERROR]", "the program panicked as it read its settings anew"]);
    server.wait_for_line(&["reload", "refused"]);
    assert_eq!((server.workers(), server.get("/").status), (before.clone(), 200));
    std::fs::remove_file(server.path().join("broken")).expect("it can be removed");
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 2);
}

#[test]
fn a_storm_of_reloads_fails_no_request_and_ends() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let hammer = server.hammer();
    for _ in 0..30 {
        server.signal(Signal::HUP);
        hammer.strike(20);
    }
    server.wait_for_others(&before, 2);
    server.wait_for_the_last_reload();
    hammer.verdict();
}

#[test]
fn a_reload_in_the_middle_of_the_first_boot_ends_whole() {
    let config = "[server]\nworkers = 3\nboot_concurrency = 3\nraw_env = [\"ECHO_BOOT=slow=0.5\"]\n";
    let server = Server::echo(config).start_slowly();
    let first = server
        .wait_for("the first fork", |server| Some(server.workers()).filter(|workers| workers.len() == 3));
    server.signal(Signal::HUP);
    server.wait_for_others(&first, 3);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_reload_keeps_within_surge() {
    let server = Server::echo("[server]\nworkers = 3\nsurge = 1\n").start();
    let before = server.wait_for_workers(3);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 3);
    // Those that drain are beyond surge; the master's lines tell how many others there were.
    let (mut live, mut most) = (0, 0);
    for line in server.said().lines() {
        live += usize::from(line.contains(" booting, "));
        live -= usize::from(line.contains(" retires: "));
        most = most.max(live);
    }
    assert_eq!(most, 4, "{}", server.said());
}

#[test]
fn ttin_and_ttou_scale_by_one_and_never_below_one() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    server.wait_for_workers(2);
    for (signal, count) in [(Signal::TTIN, 3), (Signal::TTOU, 2), (Signal::TTOU, 1)] {
        server.signal(signal);
        server.wait_for_workers(count);
    }
    let last = server.workers();
    server.signal(Signal::TTOU);
    server.wait_for("the third TTOU to be heard", |server| {
        (server.said().matches("SIGTTOU from").count() == 3).then_some(())
    });
    server.signal(Signal::TTIN); // what the refused one did is seen in what this one does
    assert!(server.wait_for_workers(2).is_superset(&last));
}

#[test]
fn a_reload_keeps_what_ttin_did_unless_the_file_says_another_number() {
    let server = Server::echo("[server]\nworkers = 1\n").start();
    server.signal(Signal::TTIN);
    let before = server.wait_for_workers(2);
    server.signal(Signal::HUP);
    let between = server.wait_for_others(&before, 2);
    server.reconfigure("[server]\nworkers = 3\n");
    server.wait_for_others(&between, 3);
}

#[test]
fn a_reload_that_shortens_the_grace_takes_none_from_those_that_run() {
    let server = Server::echo("[server]\nworkers = 1\ngraceful_timeout = 30\n").start();
    let before = server.wait_for_workers(1);
    let mut running = server.occupy("x-echo-sleep: 5\r\n", "/running");
    server.reconfigure("[server]\nworkers = 1\ngraceful_timeout = 1\n");
    assert_eq!(running.answer().expect("an answer").status, 200);
    server.wait_for_others(&before, 1);
}

#[test]
fn each_generation_is_judged_by_its_own_timeout() {
    // A worker beats four times in its timeout, and once a second at most.
    let server = Server::echo("[server]\nworkers = 1\ntimeout = 0.5\n").start();
    let quick = server.wait_for_workers(1);
    server.reconfigure("[server]\nworkers = 1\ntimeout = 60\n");
    let slow = server.wait_for_others(&quick, 1);
    let mut running = server.occupy("x-echo-sleep: 4\r\n", "/running");
    server.reconfigure("[server]\nworkers = 1\ntimeout = 0.5\n");
    assert_eq!(running.answer().expect("an answer").status, 200);
    server.wait_for_others(&slow, 1);
    assert_eq!(server.line_with(&["given up"]), None);
}

#[test]
fn a_generation_serves_alone_when_the_last_of_the_older_ones_has_gone() {
    let server = Server::echo("[server]\nworkers = 1\n").start();
    server.wait_for_workers(1);
    let mut running = server.occupy("x-echo-sleep: 4\r\n", "/running");
    server.signal(Signal::HUP);
    server.wait_for_line(&["reload", "has taken over"]);
    assert_eq!(server.line_with(&["serves alone"]), None);
    assert_eq!(running.answer().expect("an answer").status, 200);
    server.wait_for_line(&["reload", "generation 2 serves alone"]);
}

#[test]
fn the_console_follows_a_reload_that_is_taken_and_no_other() {
    let config = |logging: &str, more: &str| format!("[server]\nworkers = 1\n[logging]\n{logging}\n{more}");
    let server = Server::devsim(&config("", "")).start();
    let before = server.wait_for_workers(1);
    server.reconfigure(&config(
        "level = \"error\"",
        "[app]\ndatabase_url = \"sqlite:////proc/no/such.sqlite\"\n",
    ));
    server.wait_for_line(&["[ERROR]", "/proc/no"]);
    server.wait_for_line(&["reload", "refused"]);
    server.signal(Signal::TTIN);
    server.wait_for_line(&["[INFO]", "SIGTTIN"]);
    server.reconfigure(&config("format = \"json\"", ""));
    server.wait_for("a new generation", |server| server.workers().is_disjoint(&before).then_some(()));
    server.signal(Signal::TTOU);
    server.wait_for_line(&["\"message\"", "SIGTTOU"]);
}
