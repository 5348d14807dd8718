//! Descriptors: how many a process may have, and that none leaks.

use kit::{Server, Signal, children, descriptor_kinds, descriptor_limits};

/// Starts a command with this soft and hard limit of descriptors.
fn limited(soft: u32, hard: u32) -> [String; 4] {
    ["sh".into(), "-c".into(), format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$@\""), "sh".into()]
}

#[test]
fn workers_may_have_as_many_as_the_hard_limit_allows() {
    let server = Server::echo("[server]\nworkers = 1\n").under(limited(256, 2000)).start();
    let worker = *server.wait_for_workers(1).first().expect("a worker");
    assert_eq!(descriptor_limits(worker), Some((2000, 2000)));
    assert_eq!(server.line_with(&["limit of descriptors"]), None, "{}", server.said());
}

#[test]
fn a_hard_limit_that_is_too_low_is_told_at_the_start_with_what_to_do() {
    let asynchronous = "worker_class = \"async\"\nworker_connections = 2000\n";
    for (class, hard, needed) in [("", 1023, "1024"), (asynchronous, 2063, "2064"), (asynchronous, 2064, "")]
    {
        let server =
            Server::echo(&format!("[server]\nworkers = 1\n{class}")).under(limited(256, hard)).start();
        let told = server.line_with(&["limit of descriptors"]);
        let words = ["WARNING", &hard.to_string(), needed, "LimitNOFILE"];
        let as_told = told.as_ref().map(|line| words.iter().all(|word| line.contains(word)));
        assert_eq!(as_told, Some(true).filter(|_| !needed.is_empty()), "{}", server.said());
        assert_eq!(server.said().matches("limit of descriptors").count(), usize::from(told.is_some()));
    }
}

#[test]
fn deaths_and_reloads_leave_the_descriptors_of_all_as_they_were() {
    let keys = "pidfile = \"a.pid\"\ncontrol_socket = \"a.ctl\"\n[hooks]\npost_fork = \"true\"\n";
    let config = format!("[server]\nworkers = 2\nkeepalive = 1\n{keys}[logging]\ndir = \"logs\"\n");
    let server = Server::echo(&config).flags(["-b", "unix:a.sock"]).start();
    let kinds = |server: &Server| -> Vec<Vec<String>> {
        let workers = server.wait_for_workers(2);
        workers.into_iter().chain([server.pid()]).map(descriptor_kinds).collect()
    };
    let settled = |before: Option<&Vec<Vec<String>>>| {
        server.wait_for("no hook and nobody who leaves", |server| {
            let now = kinds(server);
            let is_quiet = children(server.pid()).len() == 2 && now[0] == now[1];
            (is_quiet && before.is_none_or(|before| *before == now)).then_some(now)
        })
    };
    let before = settled(None);
    for _ in 0..50 {
        server.lose_a_worker(Signal::KILL, 2);
    }
    for _ in 0..10 {
        let workers = server.wait_for_workers(2);
        server.signal(Signal::HUP);
        server.wait_for_others(&workers, 2);
        server.wait_for_the_last_reload();
    }
    assert_eq!(settled(Some(&before)), before);
    // A worker has nothing that is the master's alone: its siblings, its pidfile, and the operators' socket.
    let [worker, _, master] = &before[..] else { panic!("{before:?}") };
    for (kind, of_master, of_worker) in [("[pidfd]", 2, 0), ("a.pid", 1, 0), ("socket:[]", 3, 2)] {
        let count = |kinds: &[String]| kinds.iter().filter(|name| name.ends_with(kind)).count();
        assert_eq!((count(master), count(worker)), (of_master, of_worker), "{kind}: {before:#?}");
    }
}
