//! Hook commands: when they run, and what they know.

use std::collections::BTreeSet;
use std::fs;

use kit::{Server, Setup, Signal};

/// All hooks that have commands.
const ALL: [&str; 13] = [
    "on_starting",
    "when_ready",
    "pre_fork",
    "post_fork",
    "post_worker_init",
    "worker_int",
    "worker_abort",
    "pre_exec",
    "child_exit",
    "worker_exit",
    "nworkers_changed",
    "on_reload",
    "on_exit",
];

/// A configuration in which every hook notes that it ran, and what it was told, in a file.
fn noted_in(file: &str, server: &str, hooks: &[(&str, &str)]) -> String {
    let mut config = format!("[server]\n{server}[hooks]\n");
    for hook in ALL {
        let about = "$DEVSIM_WORKER_SLOT $DEVSIM_WORKER_GENERATION $DEVSIM_WORKER_PID $DEVSIM_WORKERS_BEFORE $DEVSIM_WORKERS $DEVSIM_EXIT";
        let note = format!("echo $DEVSIM_HOOK $DEVSIM_MASTER_PID {about} >> {file}");
        let command = match hooks.iter().find(|(other, _)| *other == hook) {
            Some((_, first)) => format!("{first}; {note}"),
            None => note,
        };
        config.push_str(&format!("{hook} = '''{command}'''\n"));
    }
    config
}

fn with_hooks(server: &str, hooks: &str) -> Setup {
    Server::echo(&format!("[server]\n{server}[hooks]\n{hooks}"))
}

/// What hooks have noted in a file, a line for each, without the master's process id.
fn notes(server: &Server, file: &str) -> Vec<String> {
    let noted = fs::read_to_string(server.path().join(file)).unwrap_or_default();
    let master = format!(" {}", server.pid());
    noted.lines().map(|line| line.replacen(&master, "", 1).trim_end().to_owned()).collect()
}

/// The notes about one thing only: hooks of different subjects run beside each other.
fn notes_about(server: &Server, words: &[String]) -> Vec<String> {
    let about = |line: &String| {
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
        words.iter().any(|word| rest.starts_with(word.as_str()))
    };
    notes(server, "notes").into_iter().filter(about).collect()
}

#[test]
fn every_hook_of_a_life_runs_in_order_and_knows_what_it_is_about() {
    let mut server = Server::echo(&noted_in("notes", "workers = 1\ntimeout = 1\n", &[])).start();
    let first = *server.wait_for_workers(1).first().expect("a worker");
    server.lose_a_worker(Signal::KILL, 1);
    let second = *server.workers().first().expect("a worker");
    server.signal(Signal::TTIN);
    server.wait_for_workers(2);
    server.signal(Signal::TTOU);
    server.wait_for_workers(1);
    let mut stuck = server.occupy("x-echo-block: 60\r\n", "/stuck");
    assert_eq!(stuck.answer().expect("an answer").status, 504);
    let before = server.wait_for_workers(1);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 1);
    server.wait_for_the_last_reload();
    server.signal(Signal::INT);
    assert_eq!(server.wait_for_end(), Some(0));

    let all = notes(&server, "notes");
    assert_eq!(all.first().map(String::as_str), Some("on_starting"));
    assert_eq!(all.last().map(String::as_str), Some("on_exit"));
    let of_the_server = ["when_ready", "nworkers_changed 1 2", "nworkers_changed 2 1", "on_reload"];
    let told: Vec<&String> = all.iter().filter(|line| of_the_server.contains(&line.as_str())).collect();
    assert_eq!(told, of_the_server, "{all:#?}");
    let mut lives = vec!["pre_fork 0 1 0".to_owned()];
    lives.extend(["post_fork", "post_worker_init"].map(|hook| format!("{hook} 0 1 {first}")));
    lives.extend(["child_exit", "worker_exit"].map(|hook| format!("{hook} 0 1 {first} SIGKILL (signal 9)")));
    let about = [format!("0 1 {first}"), "0 1 0".into()];
    assert_eq!(notes_about(&server, &about)[..5], lives);
    let told = notes_about(&server, &[format!("0 1 {second}")]);
    assert_eq!(told.last(), Some(&format!("worker_exit 0 1 {second} exit status 0")), "{all:#?}");
    for hook in ["worker_abort ", "worker_int "] {
        assert!(all.iter().any(|line| line.starts_with(hook)), "no {hook}in {all:#?}");
    }
}

#[test]
fn what_hooks_of_the_start_and_of_the_end_do_is_waited_for() {
    let slow = [
        // What the server had said by then.
        ("on_starting", "sleep 0.5; cp output seen"),
        ("worker_exit", "sleep 0.5"),
        ("on_exit", "sleep 0.5"),
    ];
    let mut server = Server::echo(&noted_in("notes", "workers = 2\n", &slow)).start();
    server.wait_for_workers(2);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    let seen = fs::read_to_string(server.path().join("seen")).expect("what was said by then");
    assert!(seen.contains("listening at") && !seen.contains("booting"), "{seen}");
    let all = notes(&server, "notes");
    assert_eq!(all.first().map(String::as_str), Some("on_starting"));
    assert_eq!(all.iter().filter(|line| line.starts_with("worker_exit")).count(), 2);
    assert_eq!(all.last().map(String::as_str), Some("on_exit"));
}

#[test]
fn a_list_is_a_program_and_its_arguments_and_no_shell_sees_it() {
    let hooks = r#"on_starting = ["sh", "-c", 'echo "$0|$1" > words', "a b", "$HOME; true"]"#;
    let server = with_hooks("workers = 1\n", hooks).start();
    assert_eq!(fs::read_to_string(server.path().join("words")).expect("the words"), "a b|$HOME; true\n");
}

#[test]
fn a_hook_gets_no_secret_no_descriptor_and_signals_as_programs_expect_them() {
    let command = "env > env; ls /proc/self/fd > fds; cat /proc/self/status > status";
    let hooks = format!("post_worker_init = '{command}; mv status done'\n");
    let setup = with_hooks("workers = 1\nraw_env = [\"TOKEN=hidden\"]\n", &hooks);
    let setup = setup.variable("SECRET_KEY", "hidden").variable("DEVSIM_SECRET", "hidden");
    let setup = setup.variable("NOTIFY_SOCKET", "/no/hidden").variable("LANG", "C");
    // Whoever starts the server leaves it a descriptor.
    let server = setup.under(["sh", "-c", "exec 9> left; exec \"$@\"", "sh"]).start();
    let read = |name: &str| fs::read_to_string(server.path().join(name));
    let status = server.wait_for("the hook's end", |_| read("done").ok());
    let env = read("env").expect("an environment");
    let names: BTreeSet<&str> = env.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let known = [
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "PWD", "OLDPWD",
        "SHLVL", "_",
    ];
    let told = ["HOOK", "MASTER_PID", "WORKER_PID", "WORKER_SLOT", "WORKER_GENERATION"];
    let told: BTreeSet<String> = told.iter().map(|name| format!("DEVSIM_{name}")).collect();
    let strange: Vec<_> =
        names.iter().filter(|name| !known.contains(name) && !told.contains(**name)).collect();
    assert!(strange.is_empty() && !env.contains("hidden"), "{env}");
    assert!(told.iter().all(|name| names.contains(name.as_str())) && names.contains("PATH"), "{env}");
    // The fourth is what ls reads the directory with.
    assert_eq!(read("fds").expect("descriptors"), "0\n1\n2\n3\n");
    for field in ["SigBlk:\t", "SigIgn:\t"] {
        let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix(field)?, 16).ok());
        // The 31 standard signals (signal(7)); those of the C library are its own.
        assert_eq!(mask.map(|mask| mask & 0x7FFF_FFFF), Some(0), "{field}{mask:x?}");
    }
}

#[test]
fn a_reload_brings_other_hooks() {
    let mut server = Server::echo(&noted_in("old", "workers = 1\n", &[])).start();
    let before = server.wait_for_workers(1);
    server.reconfigure(&noted_in("new", "workers = 1\n", &[]));
    server.wait_for_others(&before, 1);
    server.wait_for_the_last_reload();
    let between = server.workers();
    let old = server.wait_for("the old hooks' end", |server| {
        let notes = notes(server, "old");
        notes.iter().any(|line| line == "on_reload").then_some(notes)
    });
    server.reconfigure("[server]\nworkers = 1\n[hooks]\non_exit = 3\n");
    server.wait_for_line(&["devsim.toml:4", "hooks.on_exit"]);
    assert_eq!(server.workers(), between);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(!old.iter().any(|line| line.contains("on_exit")), "{old:?}");
    assert_eq!(notes(&server, "new").last().map(String::as_str), Some("on_exit"));
}

#[test]
fn a_reload_to_another_number_of_workers_says_so() {
    let server = Server::echo(&noted_in("notes", "workers = 1\n", &[])).start();
    server.wait_for_workers(1);
    server.reconfigure(&noted_in("notes", "workers = 3\n", &[]));
    server.wait_for("the hook", |server| {
        notes(server, "notes").iter().any(|line| line == "nworkers_changed 1 3").then_some(())
    });
}

#[test]
fn an_upgrade_runs_pre_exec_first() {
    let mut server = with_hooks("workers = 1\n", "pre_exec = 'echo $DEVSIM_MASTER_PID > pre_exec'\n").start();
    server.signal(Signal::USR2);
    let noted = |server: &Server| fs::read_to_string(server.path().join("pre_exec")).ok();
    let master = server.wait_for("the hook", |server| noted(server)?.trim().parse::<i32>().ok());
    assert_eq!(master, server.pid());
    server.wait_for_line(&["the new master serves beside this one"]);
    let said = server.said();
    let (_, pid) = said.split_once("the new master is pid ").expect("there is one");
    let pid: i32 = pid.lines().next().and_then(|pid| pid.parse().ok()).expect("a number");
    server.signal_worker(pid, Signal::QUIT); // a child is a child
    server.wait_for_line(&["the new master has ended"]);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn a_hook_of_the_wrong_kind_is_an_error_of_the_configuration() {
    for (line, word) in [
        ("on_exit = 3", "hooks.on_exit"),
        ("on_exit = true", "hooks.on_exit"),
        ("on_exit = []", "hooks.on_exit"),
        ("on_exit = ['']", "hooks.on_exit"),
        ("on_exit = ['a', 3]", "hooks.on_exit"),
        ("on_exit = {a = 1}", "hooks.on_exit"),
        ("on_exi = 'true'", "did you mean `on_exit`?"),
        ("pre_request = 'true'", "hooks.pre_request: unknown key"),
        ("post_request = 'true'", "hooks.post_request: unknown key"),
    ] {
        for flags in [&["--check-config"][..], &[]] {
            let setup = with_hooks("workers = 1\n", line);
            let setup = flags.iter().fold(setup, |setup, flag| setup.flags([*flag]));
            let ended = setup.run_to_its_end();
            assert_eq!(ended.code, Some(1), "{line}: {}", ended.said);
            assert!(ended.said.contains("devsim.toml:4") && ended.said.contains(word), "{}", ended.said);
        }
    }
}

#[test]
fn a_hook_runs_as_the_workers_user() {
    if !rustix::process::geteuid().is_root() {
        return kit::skipped("only root can become somebody else");
    }
    let server = with_hooks("workers = 1\nuser = \"nobody\"\n", "on_starting = 'echo hook of $(id -un)'\n");
    server.start().wait_for_line(&["hook of nobody"]);
}
