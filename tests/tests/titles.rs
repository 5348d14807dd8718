//! What `ps` shows of the processes.

use std::collections::BTreeSet;
use std::process::Command;

use kit::{Server, Setup, Signal, children, title};

/// Waits until the workers' titles are these.
fn wait_for_titles(server: &Server, titles: &[&str]) {
    let wanted: BTreeSet<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    server.wait_for(&format!("{titles:?}"), |server| {
        let workers = server.workers();
        let shown: BTreeSet<String> = workers.iter().copied().map(title).collect();
        (shown == wanted && workers.len() == titles.len()).then_some(())
    });
}

#[test]
fn every_process_says_what_it_is() {
    let server = Server::devsim("[server]\nworkers = 3\n").start();
    assert_eq!(title(server.pid()), "devsim-backend: master");
    wait_for_titles(
        &server,
        &[
            "devsim-backend: worker 0 gen 1",
            "devsim-backend: worker 1 gen 1",
            "devsim-backend: worker 2 gen 1",
        ],
    );
}

#[test]
fn a_preparation_says_so_and_the_librarys_name_is_the_programs() {
    let server = Server::echo("").variable("ECHO_PREPARE", "slow=60").start_slowly();
    assert_eq!(title(server.pid()), "echo: master");
    server.wait_for("the preparation's title", |server| {
        children(server.pid()).into_iter().map(title).find(|title| title == "echo: prepare")
    });
}

#[test]
fn a_worker_is_busy_while_a_request_has_its_turn() {
    let server = Server::echo("[server]\nworkers = 1\n").flags(["-n", "shop"]).start();
    wait_for_titles(&server, &["shop: worker 0 gen 1"]);
    for how in ["x-echo-sleep: 0.2\r\n", "x-echo-block: 0.2\r\n", "x-echo-panic: 1\r\nx-echo-sleep: 0.2\r\n"]
    {
        let mut busy = server.occupy(how, "/");
        wait_for_titles(&server, &["shop: worker 0 gen 1 busy"]);
        busy.answer().expect("an answer");
        wait_for_titles(&server, &["shop: worker 0 gen 1"]);
    }
}

#[test]
fn an_async_worker_is_busy_until_its_last_request_is_done() {
    let server = Server::echo("[server]\nworkers = 1\nworker_class = \"async\"\n").start();
    let _long = server.occupy("x-echo-sleep: 60\r\n", "/");
    let mut short = server.occupy("x-echo-sleep: 0.1\r\n", "/");
    short.answer().expect("an answer");
    wait_for_titles(&server, &["echo: worker 0 gen 1 busy"]);
}

#[test]
fn a_reload_takes_another_name_and_a_refused_one_does_not() {
    let server = Server::echo("[server]\nworkers = 1\nproc_name = \"old\"\n").start();
    server.reconfigure("[server]\nworkers = 1\nproc_name = \"bad\"\nraw_env = [\"ECHO_BOOT=fail\"]\n");
    server.wait_for_line(&["reload", "refused"]);
    assert_eq!(title(server.pid()), "old: master");
    server.reconfigure("[server]\nworkers = 1\nproc_name = \"new\"\n");
    server.wait_for_line(&["serves alone"]);
    assert_eq!(title(server.pid()), "new: master");
    wait_for_titles(&server, &["new: worker 1 gen 3"]);
    // One that is replaced later has the name too.
    let before = server.workers();
    server.signal_worker(*before.first().expect("a worker"), Signal::KILL);
    server.wait_for_others(&before, 1);
    wait_for_titles(&server, &["new: worker 0 gen 3"]);
}

/// The bench, called by a name of one letter and without a flag.
fn called_e(config: &str) -> Setup {
    let called = ["bash", "-c", "exec -a e \"$0\""];
    Server::echo(config).under(called).variable("DEVSIM_SERVER__BIND", "127.0.0.1:0")
}

#[test]
fn a_title_is_longer_than_the_command_line_was() {
    let server = called_e("").variable("DEVSIM_SERVER__WORKERS", "1").start();
    assert_eq!(title(server.pid()), "e: master");
    wait_for_titles(&server, &["e: worker 0 gen 1"]);
}

#[test]
fn a_huge_environment_is_no_hindrance_and_a_name_that_is_too_long_is_cut() {
    let name = "n".repeat(1000);
    let server = Server::echo(&format!("[server]\nworkers = 1\nproc_name = \"{name}\"\n"))
        .variable("AAA", &"a".repeat(100_000))
        .start();
    let shown = title(server.pid());
    assert!(shown.starts_with("nnnn") && shown.ends_with("n: master"), "{shown}");
    assert!(shown.len() > 100 && shown.len() < 300, "{shown}");
    let worker = *server.wait_for_workers(1).first().expect("a worker");
    let _busy = server.occupy("x-echo-sleep: 60\r\n", "/");
    server.wait_for("its title", |_| title(worker).ends_with("n: worker 0 gen 1 busy").then_some(()));
}

#[test]
fn environment_and_raw_env_reach_the_application_although_titles_lie_over_them() {
    let name = "n".repeat(1000);
    let with = |raw_env: &str| format!("[server]\nproc_name = \"{name}\"\nraw_env = [{raw_env}]\n");
    let outer = ["env", "-i", "ECHO_PREPARE=what the environment says"];
    let ended = Server::echo(&with("")).under(outer).run_to_its_end();
    assert!(ended.said.contains("ECHO_PREPARE=what the environment says is neither"), "{}", ended.said);
    let inner = "\"ECHO_PREPARE=what raw_env says in its place, at length\"";
    let ended = Server::echo(&with(inner)).under(outer).run_to_its_end();
    let said = "ECHO_PREPARE=what raw_env says in its place, at length is neither";
    assert!(ended.said.contains(said), "{}", ended.said);
}

#[test]
fn without_proc_there_are_no_titles_and_all_else_is_well() {
    let mask = "mount -t tmpfs none /proc";
    let probe = Command::new("unshare").args(["-m", "sh", "-c", mask]).status();
    if !probe.is_ok_and(|status| status.success()) {
        return kit::skipped("/proc cannot be hidden from a process here");
    }
    let masked = ["unshare", "-m", "sh", "-c", &format!("{mask} && exec \"$@\""), "sh"];
    let server = Server::echo("[server]\nworkers = 1\n").under(masked).start();
    assert!(title(server.pid()).contains("examples/echo -c "), "{}", title(server.pid()));
    assert_eq!(server.get("/").status, 200);
}
