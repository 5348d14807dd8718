//! What a worker inherits, and what it does not.

use std::fs;

use kit::{Server, Signal, descriptors, threads};

#[test]
fn every_worker_holds_the_same_few_descriptors_also_after_many_respawns() {
    let server = Server::echo("[server]\nworkers = 4\n").start();
    server.wait_for_workers(4);
    let count = |server: &Server| {
        server.wait_for("equal numbers of descriptors", |server| {
            let counts: Vec<usize> = server.workers().into_iter().map(descriptors).collect();
            (counts.len() == 4 && counts.iter().all(|count| *count == counts[0])).then_some(counts[0])
        })
    };
    let before = count(&server);
    for _ in 0..20 {
        server.lose_a_worker(Signal::KILL, 4);
    }
    assert_eq!(count(&server), before);
}

#[test]
fn a_worker_leads_its_own_process_group_and_has_two_threads_and_the_master_one() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    for worker in server.wait_for_workers(2) {
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).expect("the worker's state");
        let (_, rest) = stat.rsplit_once(") ").expect("its name ends with a parenthesis");
        let group: i32 = rest.split(' ').nth(2).and_then(|group| group.parse().ok()).expect("its group");
        assert_eq!(group, worker);
        assert_eq!(threads(worker), 2);
    }
    assert_eq!(threads(server.pid()), 1);
}

#[test]
fn signals_that_were_ignored_at_the_start_are_heard_all_the_same() {
    let ignoring = ["sh", "-c", "trap '' INT QUIT HUP CHLD TERM; exec \"$@\"", "sh"];
    let mut server = Server::echo("[server]\nworkers = 2\n").under(ignoring).start();
    let before = server.wait_for_workers(2);
    for worker in &before {
        server.signal_worker(*worker, Signal::KILL);
    }
    server.wait_for_others(&before, 2);
    server.signal(Signal::INT);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn workers_drop_to_the_user_and_group_for_good() {
    let config = "[server]\nworkers = 1\nuser = \"nobody\"\nrequest_buffer_dir = \"/var/tmp\"\n";
    if !rustix::process::geteuid().is_root() {
        return kit::skipped("only root can become somebody else");
    }
    let server = Server::echo(config).start();
    let worker = *server.wait_for_workers(1).first().expect("a worker");
    let status = fs::read_to_string(format!("/proc/{worker}/status")).expect("the worker's status");
    let ids = |name: &str| -> Vec<String> {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    for name in ["Uid:", "Gid:"] {
        let ids = ids(name);
        assert!(ids.len() == 4 && ids.iter().all(|id| *id == ids[0] && *id != "0"), "{name} {ids:?}");
    }
    assert!(!ids("Groups:").contains(&"0".to_owned()), "{status}");
}
