//! `upgrade = "exec"`, and what may happen at any moment of it.

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use kit::{Server, Signal, children, install_echo, install_script, is_alive, signal_to};

/// A phase of an upgrade: how to make it last, and the words that say that it has begun.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The new program looks at its configuration.
    Checking,
    /// The new program has the process, and prepares its application.
    Preparing,
    /// Its first worker boots.
    Booting,
    /// Its first worker serves, and has to do so for a while.
    Proving,
    /// The others are replaced.
    Rolling,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Checking, Self::Preparing, Self::Booting, Self::Proving, Self::Rolling];

    fn config(self) -> String {
        let slow = match self {
            Self::Checking | Self::Proving => "",
            Self::Preparing => "ECHO_PREPARE=slow=0.8",
            Self::Booting => "ECHO_BOOT=slow=0.8",
            Self::Rolling => "ECHO_BOOT=slow=0.5",
        };
        format!("[server]\nworkers = 2\nupgrade = \"exec\"\nboot_concurrency = 1\nraw_env = [\"{slow}\"]\n")
            .replace("[\"\"]", "[]")
    }

    /// Begins an upgrade and waits until it is that far.
    fn reach(self, server: &Server) {
        server.rewrite(&self.config());
        let (place, real) = (server.path().join("echo"), server.path().join("real"));
        install_echo(&real);
        // The check is made by a script which takes its time, and then is the program.
        let wait = if matches!(self, Self::Checking) { "sleep 0.8; " } else { "" };
        install_script(&place, &format!("{wait}exec {} \"$@\"", real.display()));
        server.signal(Signal::USR2);
        match self {
            Self::Checking => {
                server.wait_for("the check", |server| (children(server.pid()).len() == 3).then_some(()))
            }
            Self::Preparing => drop(server.wait_for_line(&["generation 2 begins"])),
            Self::Booting => drop(server.wait_for_line(&["booting", "generation 2"])),
            Self::Proving => drop(server.wait_for_line(&["ready after", "generation 2"])),
            Self::Rolling => drop(server.wait_for_line(&["upgrade: done"])),
        }
    }
}

/// Tells a story of every phase, of all at once.
fn in_every_phase(story: impl Fn(Phase) + Sync) {
    thread::scope(|scope| {
        for phase in Phase::ALL {
            let story = &story;
            scope.spawn(move || story(phase));
        }
    });
}

fn start() -> Server {
    let server = Server::installed_echo("[server]\nworkers = 2\nupgrade = \"exec\"\n").start();
    server.wait_for_workers(2);
    server
}

#[test]
fn a_stop_ends_it_whole_in_every_phase() {
    for signal in [Signal::TERM, Signal::INT] {
        in_every_phase(|phase| {
            let mut server = start();
            phase.reach(&server);
            let family = children(server.pid());
            server.signal(signal);
            assert_eq!(server.wait_for_end(), Some(0), "{phase:?}: {}", server.said());
            let left: Vec<_> = family.into_iter().filter(|pid| is_alive(*pid)).collect();
            assert!(left.is_empty(), "{phase:?}: {left:?} live on; {}", server.said());
        });
    }
}

#[test]
fn a_reload_and_a_second_upgrade_have_an_answer_in_every_phase() {
    in_every_phase(|phase| {
        let server = start();
        let before = server.workers();
        let hammer = server.hammer();
        phase.reach(&server);
        server.signal(Signal::USR2);
        match phase {
            Phase::Rolling => {} // done: that is a new one, which waits for the end of this
            _ => drop(server.wait_for_line(&["upgrade: refused", "running already"])),
        }
        server.signal(Signal::HUP);
        server.signal(Signal::TTIN);
        server.wait_for_line(&["upgrade: done"]);
        server.wait_for_others(&before, 3);
        // The reload was not forgotten.
        server.wait_for_line(&["generation 3 has taken over"]);
        server.wait_for_workers(3);
        hammer.verdict();
    });
}

#[test]
fn workers_that_die_meanwhile_are_replaced() {
    in_every_phase(|phase| {
        let server = start();
        let before = server.workers();
        phase.reach(&server);
        before.iter().for_each(|worker| signal_to(*worker, Signal::KILL));
        server.wait_for_line(&["upgrade: done"]);
        server.wait_for_others(&before, 2);
        assert_eq!(server.get("/").status, 200, "{phase:?}");
    });
}

#[test]
fn the_first_worker_of_the_new_program_may_be_killed_by_somebody_else_and_the_upgrade_goes_on() {
    let server = start();
    let before = server.workers();
    Phase::Proving.reach(&server);
    let young = *server.workers().difference(&before).next().expect("the one on trial");
    signal_to(young, Signal::KILL);
    server.wait_for_line(&["upgrade: done"]);
    server.wait_for_others(&before, 2);
}

#[test]
fn workers_that_die_while_the_new_program_fails_are_replaced_by_the_old_one() {
    let server = start();
    let before = server.workers();
    server.rewrite("[server]\nworkers = 2\nupgrade = \"exec\"\nraw_env = [\"ECHO_PREPARE=slow=1\", \"ECHO_BOOT=fail\"]\n");
    server.signal(Signal::USR2);
    server.wait_for_line(&["generation 2 begins"]);
    before.iter().for_each(|worker| signal_to(*worker, Signal::KILL));
    server.wait_for_line(&["upgrade: failed", "could not serve"]);
    server.wait_for_others(&before, 2);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn an_upgrade_waits_for_the_reload_that_runs_and_comes_before_one_that_waits() {
    let server = start();
    let first = server.workers();
    let hammer = server.hammer();
    server.reconfigure("[server]\nworkers = 2\nupgrade = \"exec\"\nraw_env = [\"ECHO_BOOT=slow=0.3\"]\n");
    server.wait_for_line(&["generation 2 begins"]);
    server.signal(Signal::USR2);
    server.signal(Signal::HUP);
    server.wait_for_line(&["upgrade: done", "generation 3"]);
    server.wait_for_line(&["generation 4 has taken over"]);
    server.wait_for_others(&first, 2);
    hammer.verdict();
}

#[test]
fn a_stop_with_a_delay_ends_a_check_and_does_not_call_that_a_failure() {
    let mut server = start();
    server.reconfigure("[server]\nworkers = 2\nupgrade = \"exec\"\ndrain_delay = 1\n");
    server.wait_for_line(&["generation 2 serves alone"]);
    install_script(&server.path().join("echo"), "exec sleep 1000");
    server.signal(Signal::USR2);
    server.wait_for("the check", |server| (children(server.pid()).len() == 3).then_some(()));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert_eq!(server.line_with(&["upgrade: failed"]), None);
}

#[test]
fn when_the_master_is_killed_all_of_its_workers_go() {
    in_every_phase(|phase| {
        let mut server = start();
        phase.reach(&server);
        let family = children(server.pid());
        server.signal(Signal::KILL);
        assert_eq!(server.wait_for_end(), None);
        family.iter().for_each(|pid| server.wait_until_gone(*pid));
    });
}

#[test]
fn a_reload_that_cannot_end_does_not_keep_an_upgrade_waiting() {
    let server = start();
    let first = server.workers();
    let config =
        "[server]\nworkers = 3\nupgrade = \"exec\"\nboot_timeout = 1\nraw_env = [\"ECHO_BOOT=slow=0.3\"]\n";
    server.reconfigure(config);
    server
        .wait_for("the new generation's first", |server| server.serving().difference(&first).next().copied());
    // All others of its generation stop while they boot.
    server.wait_for("a failed boot", |server| {
        let booting = &server.workers() - &server.serving();
        booting.iter().for_each(|worker| signal_to(*worker, Signal::STOP));
        server.line_with(&["given up", "boot_timeout"])
    });
    server.signal(Signal::USR2);
    server.wait_for("the new program", |server| {
        let booting = &server.workers() - &server.serving();
        let over = server.line_with(&["takes over"]);
        if over.is_none() {
            booting.iter().for_each(|worker| signal_to(*worker, Signal::STOP));
        }
        over
    });
    server.wait_for_line(&["upgrade: done"]);
    server.wait_for_others(&first, 3);
}

#[test]
fn a_halted_server_stays_halted_over_an_upgrade() {
    let server = start();
    server.signal(Signal::WINCH);
    if server.line_with(&["halted"]).is_none() && kit::has_terminal() {
        return kit::skipped("this test has a terminal, and SIGWINCH says that its window has changed");
    }
    server.wait_for("no workers", |server| server.workers().is_empty().then_some(()));
    server.signal(Signal::USR2);
    server.wait_for_line(&["upgrade: done"]);
    server.wait_for("no workers", |server| server.workers().is_empty().then_some(()));
    server.signal(Signal::HUP);
    server.wait_for_others(&BTreeSet::new(), 2);
}

#[test]
fn a_hook_that_hangs_holds_an_upgrade_up_no_longer_than_it_may_run() {
    let config = "[server]\nworkers = 1\nupgrade = \"exec\"\n[hooks]\npre_exec = \"echo $DEVSIM_HOOK > told; exec sleep 1000\"\n";
    let server = Server::installed_echo(config).start();
    server.wait_for_workers(1);
    server.signal(Signal::USR2);
    server.wait_for_line(&["upgrade: done"]);
    assert_eq!(fs::read_to_string(server.path().join("told")).ok().as_deref(), Some("pre_exec\n"));
    server.wait_for("one child", |server| (children(server.pid()).len() == 1).then_some(()));
}
