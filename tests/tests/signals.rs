//! Every signal that the master knows, also where it comes at a bad moment.

use std::fs::{self, File};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use kit::{Server, Setup, Signal, children, is_alive, signal_to};

const HEEDED: [Signal; 7] =
    [Signal::HUP, Signal::USR1, Signal::USR2, Signal::TTIN, Signal::TTOU, Signal::WINCH, Signal::CHILD];

#[test]
fn winch_without_a_terminal_retires_all_until_a_reload() {
    if kit::has_terminal() {
        return kit::skipped("this test has a terminal, and SIGWINCH says that its window has changed");
    }
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let before = server.wait_for_workers(2);
    let mut running = server.occupy("x-echo-sleep: 1\r\n", "/running");
    server.signal(Signal::WINCH);
    server.wait_for_line(&["halted"]);
    assert_eq!(running.answer().expect("an answer").status, 200);
    server.wait_for("no workers", |_| before.iter().all(|worker| !is_alive(*worker)).then_some(()));
    // Nobody comes for one worker more; it is remembered.
    server.signal(Signal::TTIN);
    server.wait_for_line(&["workers wanted: 3"]);
    assert!(children(server.pid()).is_empty());
    let mut waiting = server.connect();
    waiting.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 3);
    assert_eq!(waiting.answer().expect("an answer after the halt").status, 200);
}

#[test]
fn winch_with_a_terminal_says_that_its_window_has_changed() {
    // script(1) gives the server a terminal; its standard error stays the kit's, which so knows whom to end.
    let with_a_terminal = ["sh", "-c", "exec script -qefc \"$* 2>>output\" /dev/null", "sh"];
    if !std::process::Command::new("script").arg("--version").output().is_ok_and(|it| it.status.success()) {
        return kit::skipped("there is no script(1) to make a terminal with");
    }
    let mut server = Server::echo("[server]\nworkers = 1\n").under(with_a_terminal).start();
    let line = server.wait_for_line(&["listening at", "(pid "]);
    let pid =
        line.rsplit_once("(pid ").and_then(|(_, pid)| pid.trim_end().trim_end_matches(')').parse().ok());
    server.follow(pid.expect("it names its process id"));
    let before = server.wait_for_workers(1);
    for count in 2..=4 {
        server.signal(Signal::WINCH);
        server.signal(Signal::TTIN);
        server.wait_for_workers(count);
    }
    assert!(server.workers().is_superset(&before) && server.line_with(&["halted"]).is_none());
}

#[test]
fn a_quick_stop_overtakes_the_delay_and_the_drain_of_a_graceful_one() {
    for signal in [Signal::INT, Signal::QUIT] {
        for (config, words) in [
            ("[server]\nworkers = 2\ndrain_delay = 60\n", "leaving"),
            ("[server]\nworkers = 2\n", "stopping: workers finish what they have"),
        ] {
            let mut server = Server::echo(config).start();
            let family = server.wait_for_workers(2);
            let mut running = server.occupy("x-echo-sleep: 60\r\n", "/running");
            server.signal(Signal::TERM);
            server.wait_for_line(&[words]);
            server.signal(signal);
            assert_eq!(server.wait_for_end(), Some(0), "{}", server.said());
            assert!(running.answer().is_err(), "what runs is cut");
            assert!(family.iter().all(|worker| !is_alive(*worker)));
        }
    }
}

#[test]
fn a_server_that_is_on_its_way_out_does_not_change_its_mind() {
    for (config, words) in [
        ("[server]\nworkers = 2\ndrain_delay = 60\n", "leaving"),
        ("[server]\nworkers = 2\n", "stopping: workers finish what they have"),
    ] {
        let mut server = Server::echo(config).start();
        let family = server.wait_for_workers(2);
        let mut running = server.occupy("x-echo-sleep: 2\r\n", "/running");
        server.signal(Signal::TERM);
        server.wait_for_line(&[words]);
        for (signal, name) in [
            (Signal::HUP, "SIGHUP"),
            (Signal::USR2, "SIGUSR2"),
            (Signal::TTIN, "SIGTTIN"),
            (Signal::TTOU, "SIGTTOU"),
        ] {
            server.signal(signal);
            server.wait_for_line(&[name, "stopping already"]);
        }
        assert!(server.workers().is_subset(&family), "nobody new comes: {}", server.said());
        server.signal(Signal::TERM);
        assert_eq!(running.answer().expect("an answer").status, 200);
        assert_eq!(server.wait_for_end(), Some(0));
    }
}

#[test]
fn signals_before_the_first_worker_serves_are_kept_or_answered() {
    let slow = "[server]\nworkers = 2\nraw_env = [\"ECHO_PREPARE=slow=0.5\", \"ECHO_BOOT=slow=0.5\"]\n";
    let server = Server::echo(slow).start_slowly();
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::TTIN] {
        server.signal(signal);
    }
    server.wait_for_line(&["generation 2 has taken over"]);
    server.wait_for_workers(3);
    server.wait_for_line(&["upgrade: refused", "no worker serves yet"]);
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::echo(slow).start_slowly();
        server.signal(signal);
        assert_eq!(server.wait_for_end(), Some(0), "{}", server.said());
    }
}

#[test]
fn a_stop_in_the_middle_of_the_start_leaves_nothing_behind() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        // Whoever makes a socket waits for a while for others who do so in its directory: here, for the kit.
        let setup =
            Server::echo("[server]\nworkers = 1\npidfile = \"pid\"\n").flags(["-b", "unix:sockets/one"]);
        let (lock, locked) = mpsc::channel();
        let setup = setup.prepared(move |directory| {
            let sockets = directory.join("sockets");
            fs::create_dir(&sockets).expect("a directory can be made");
            let sockets = File::open(sockets).expect("a directory can be opened");
            sockets.lock().expect("it can be locked");
            let _ = lock.send(sockets);
        });
        let mut server = setup.start_unseen();
        let _locked = locked.recv().expect("it was locked");
        let pidfile = server.path().join("pid");
        server.wait_for("the pidfile", |_| pidfile.exists().then_some(()));
        server.signal(signal);
        assert_eq!(server.wait_for_end(), Some(0), "{}", server.said());
        assert!(!pidfile.exists() && !server.path().join("sockets/one").exists());
    }
}

/// Moments and choices that nobody has chosen; a failure names the seed.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(since.map_or(1, |since| since.as_nanos() as u64) | 1)
    }

    /// A number below that, by xorshift.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Two hundred signals from the first line on; then the server is whole, and ends as it is told.
fn a_storm_is_survived(setup: Setup) {
    let mut chance = Chance::new();
    let seed = chance.0;
    let mut server = setup.start_slowly();
    let mut masters = vec![server.pid()];
    for _ in 0..200 {
        let signal = HEEDED[chance.below(HEEDED.len() as u64) as usize];
        let master = masters[chance.below(masters.len() as u64) as usize];
        signal_to(master, signal);
        // Moments are the point here: there is no condition to wait for.
        std::thread::sleep(Duration::from_millis(chance.below(12)));
        masters = masters_of(&server);
        assert!(masters.contains(&server.pid()), "seed {seed}: the master is gone: {}", server.said());
    }
    for master in &masters {
        signal_to(*master, Signal::HUP); // whoever was halted comes back
    }
    server.wait_for(&format!("an answer; seed {seed}"), |server| server.try_get("/").ok());
    let family = children(server.pid());
    for master in masters_of(&server) {
        signal_to(master, Signal::TERM);
    }
    assert_eq!(server.wait_for_end(), Some(0), "seed {seed}: {}", server.said());
    let others = masters.into_iter().chain(family);
    others.for_each(|pid| server.wait_until_gone(pid));
}

/// The first master, and a second one that it has started.
fn masters_of(server: &Server) -> Vec<i32> {
    let said = server.said();
    let started = said.lines().filter_map(|line| line.split_once("the new master is pid ")?.1.parse().ok());
    let living = started.filter(|pid| children(server.pid()).contains(pid));
    [server.pid()].into_iter().filter(|pid| is_alive(*pid)).chain(living).collect()
}

const STORMY: &str = "[server]\nworkers = 2\nraw_env = [\"ECHO_BOOT=slow=0.05\"]\n";

#[test]
fn a_storm_of_all_signals_is_survived_with_upgrades_in_place() {
    a_storm_is_survived(Server::installed_echo(&format!("{STORMY}upgrade = \"exec\"\n")));
}

#[test]
fn a_storm_of_all_signals_is_survived_with_second_masters() {
    a_storm_is_survived(Server::installed_echo(&format!("{STORMY}pidfile = \"pid\"\n")));
}
