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
