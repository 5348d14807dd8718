//! Many times over, the master stays as it was.

use std::fs;
use std::os::unix::fs::MetadataExt;

use kit::{Server, Signal, children, descriptors, memory, signal_to, threads, zombies};

/// What may not grow.
#[derive(Debug)]
struct Figures {
    descriptors: usize,
    children: usize,
    zombies: usize,
    threads: usize,
    mappings: usize,
}

impl Figures {
    fn of(server: &Server) -> Self {
        let pid = server.pid();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        Self {
            descriptors: descriptors(pid),
            children: children(pid).len(),
            zombies: zombies(pid),
            threads: threads(pid),
            mappings: maps.lines().filter(|line| line.contains("memfd:")).count(),
        }
    }

    /// Waits until no figure is higher than here: what was retired last may be on its way still, then as now.
    fn expect_no_more(&self, server: &Server) {
        let mut last = None;
        let calm = kit::until(|| {
            let now = last.insert(Self::of(server));
            let pairs = self.all().into_iter().zip(now.all());
            pairs.into_iter().all(|(before, now)| now <= before).then_some(())
        });
        assert!(calm.is_some(), "{self:?} has become {last:?}");
    }

    fn all(&self) -> [usize; 5] {
        let Self { descriptors, children, zombies, threads, mappings } = *self;
        [descriptors, children, zombies, threads, mappings]
    }
}

/// How much of the master's scoreboards was ever written to, in bytes.
fn scoreboard(server: &Server) -> u64 {
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).into_iter().flatten().flatten();
    let boards = open.filter(|entry| {
        fs::read_link(entry.path()).is_ok_and(|name| name.to_string_lossy().contains("memfd:"))
    });
    boards.filter_map(|entry| fs::metadata(entry.path()).ok()).map(|found| found.blocks() * 512).sum()
}

/// Memory may breathe; a leak of some hundred bytes in each of hundreds of turns would show.
fn assert_no_leak(server: &Server, before: u64) {
    let now = memory(server.pid());
    assert!(now <= before + 1024, "{before} KiB have become {now} KiB");
}

#[test]
fn five_hundred_respawns_leave_the_master_as_it_was() {
    let config = "[server]\nworkers = 4\nmax_requests = 1\nmax_requests_jitter = 0\ncontrol_socket = \"control.sock\"\n";
    let server = Server::echo(config).start();
    server.wait_for_workers(4);
    let deaths = |server: &Server, cause: &str| server.status()["deaths"][cause].as_u64().unwrap_or(0);
    // Workers that were killed come back at 20 a second at most; those that have served their time at once.
    let respawn = |killed: usize, recycled: u64| {
        for _ in 0..killed {
            server.lose_a_worker(Signal::KILL, 4);
        }
        let goal = deaths(&server, "max_requests") + recycled;
        server.wait_for("workers to be recycled", |server| {
            server.get("/");
            (deaths(server, "max_requests") >= goal).then_some(())
        });
        server.wait_for_workers(4);
    };
    respawn(10, 40);
    let (figures, used, written) = (Figures::of(&server), memory(server.pid()), scoreboard(&server));
    respawn(50, 450);
    figures.expect_no_more(&server);
    assert_no_leak(&server, used);
    // Each of 500 workers in a place of its own would need far more; how many drain at once is chance.
    let now = scoreboard(&server);
    assert!(now <= 2 * written, "{written} bytes have become {now}");
}

#[test]
fn forty_reloads_leave_the_master_as_it_was() {
    let server = Server::echo("[server]\nworkers = 2\ncontrol_socket = \"control.sock\"\n").start();
    server.wait_for_workers(2);
    let reload = |times: usize| {
        for _ in 0..times {
            let before = server.said().matches(" begins").count();
            (0..4).for_each(|_| server.signal(Signal::HUP));
            server.wait_for("a reload", |server| {
                (server.said().matches(" begins").count() > before).then_some(())
            });
        }
        server.ctl(["reload"]).done(); // all those before it have ended then
        server.wait_for_workers(2);
    };
    reload(1);
    let (figures, used) = (Figures::of(&server), memory(server.pid()));
    reload(8);
    figures.expect_no_more(&server);
    assert_no_leak(&server, used);
}

#[test]
fn ten_second_masters_in_a_row_are_all_alike() {
    let config = "[server]\nworkers = 2\npidfile = \"pid\"\ncontrol_socket = \"control.sock\"\n";
    let mut server = Server::installed_echo(config).start();
    server.wait_for_workers(2);
    let mut alike = None;
    for _ in 0..11 {
        let old = server.pid();
        let new = server.ctl(["--json", "upgrade"]).json()["pid"].as_i64();
        let new = new.and_then(|pid| i32::try_from(pid).ok()).expect("a process id");
        signal_to(old, Signal::TERM);
        server.wait_until_gone(old);
        server.follow(new);
        server.wait_for("the control socket", |server| server.control_socket().exists().then_some(()));
        server.wait_for_workers(2);
        let (figures, used) = alike.get_or_insert_with(|| (Figures::of(&server), memory(new)));
        figures.expect_no_more(&server);
        assert_no_leak(&server, *used);
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn eight_programs_in_the_same_process_leave_nothing_to_the_ninth() {
    let config =
        "[server]\nworkers = 2\npidfile = \"pid\"\ncontrol_socket = \"control.sock\"\nupgrade = \"exec\"\n";
    let server = Server::installed_echo(config).start();
    let mut before = server.wait_for_workers(2);
    let mut upgrade = || {
        server.ctl(["upgrade"]).done();
        before = server.wait_for_others(&before, 2);
    };
    upgrade();
    let (figures, used) = (Figures::of(&server), memory(server.pid()));
    (0..8).for_each(|_| upgrade());
    figures.expect_no_more(&server);
    assert_no_leak(&server, used);
}
