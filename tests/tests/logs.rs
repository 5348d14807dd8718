//! Log files: opened anew, lost, full, and what stands in them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kit::{Server, Signal, children};

/// With log files, two workers, and lines that tell their worker.
const TWO: &str =
    "[server]\nworkers = 2\n[logging]\ndir = \"logs\"\naccess_log_format = \"%(p)s %(r)s %(s)s %(B)s end\"\n";

/// The files that it then has.
const FILES: [&str; 5] =
    ["gunicorn_access.log", "gunicorn_error.log", "echo.log", "echo.json", "echo_errors.log"];

/// Moves a log file away, as logrotate does.
fn move_away(server: &Server, name: &str, to: &str) {
    fs::rename(server.log_path(name), server.log_path(to)).expect("the log file is there");
}

/// Waits until the master and its workers have a file of this name no longer open.
fn wait_until_closed(server: &Server, name: &str) {
    let closed = server.log_path(name);
    let has = |pid: i32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|file| file == closed)
    };
    server.wait_for(&format!("{name} to be closed"), |server| {
        let family = children(server.pid()).into_iter().chain([server.pid()]);
        (!family.into_iter().any(has)).then_some(())
    });
}

#[test]
fn usr1_opens_files_anew_in_the_master_and_in_every_worker() {
    let server = Server::echo(TWO).start();
    server.wait_for_workers(2);
    server.get("/before");
    server.wait_for_access(&["/before"]);
    FILES.iter().for_each(|name| move_away(&server, name, &format!("old_{name}")));
    server.signal(Signal::USR1);
    FILES.iter().for_each(|name| wait_until_closed(&server, &format!("old_{name}")));
    let old = server.log("old_gunicorn_access.log");
    let told: BTreeSet<String> = server.workers().iter().map(|worker| format!("<{worker}>")).collect();
    server.wait_for("lines of both workers", |server| {
        server.get("/after");
        let text = server.access_log();
        let pids: BTreeSet<String> =
            text.lines().filter_map(|line| Some(line.split_once(' ')?.0.into())).collect();
        (pids == told).then_some(())
    });
    assert_eq!(server.log("old_gunicorn_access.log"), old);
    for name in ["gunicorn_error.log", "echo.log", "echo.json"] {
        let text =
            server.wait_for("what was said", |server| Some(server.log(name)).filter(|text| !text.is_empty()));
        assert!(
            text.contains("SIGUSR1 from pid") && text.contains("log files are opened anew"),
            "{name}: {text}"
        );
    }
}

#[test]
fn a_storm_of_requests_over_many_usr1_loses_tears_and_doubles_no_line() {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 300;
    let server = Server::echo(TWO).start();
    server.wait_for_workers(2);
    let over = AtomicBool::new(false);
    let mut moved = 0;
    thread::scope(|scope| {
        let (server, over) = (&server, &over);
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || ask(server, client, REQUESTS))).collect();
        let waiter = scope.spawn(move || {
            for client in clients {
                client.join().expect("a client");
            }
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            if server.log_path("gunicorn_access.log").exists() {
                moved += 1;
                move_away(server, "gunicorn_access.log", &format!("access.{moved}"));
                server.signal(Signal::USR1);
            }
        }
        waiter.join().expect("the clients");
    });
    assert!(moved >= 3, "{moved} files only");
    let all = |server: &Server| -> Vec<String> {
        let files =
            (1..=moved).map(|number| format!("access.{number}")).chain(["gunicorn_access.log".into()]);
        files.flat_map(|name| server.log(&name).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let lines = server.wait_for("a line for each request", |server| {
        let lines: Vec<String> = all(server).into_iter().filter(|line| line.contains("/storm/")).collect();
        (lines.len() >= CLIENTS * REQUESTS).then_some(lines)
    });
    let mut seen = BTreeSet::new();
    for line in &lines {
        assert!(line.starts_with('<') && line.ends_with(" end"), "{line}");
        assert!(seen.insert(line.split(' ').nth(2)), "{line}");
    }
    assert_eq!(lines.len(), CLIENTS * REQUESTS);
}

/// Asks so often, on kept connections and on new ones in turn.
fn ask(server: &Server, client: usize, times: usize) {
    let mut kept = server.connect();
    for number in 0..times {
        let path = format!("/storm/{client}-{number}");
        let answer = match number % 2 {
            0 => kept.get(&path, "").expect("an answer"),
            _ => server.get(&path),
        };
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn a_worker_that_boots_when_usr1_comes_lives_and_opens_its_files_anew() {
    let config = "[server]\nworkers = 1\nraw_env = [\"ECHO_BOOT=slow=1\"]\n[logging]\ndir = \"logs\"\n";
    let server = Server::echo(config).start_slowly();
    let worker = server.wait_for("a booting worker", |server| server.workers().first().copied());
    server.signal_worker(worker, Signal::STOP); // that it surely boots still
    move_away(&server, "gunicorn_access.log", "old");
    server.signal(Signal::USR1);
    server.wait_for_line(&["SIGUSR1", "log files are opened anew"]);
    assert!(server.serving().is_empty());
    server.signal_worker(worker, Signal::CONT);
    assert_eq!(server.wait_for_workers(1), BTreeSet::from([worker]));
    server.get("/after");
    server.wait_for_access(&["/after"]);
    assert_eq!(server.log("old"), "");
}

#[test]
fn usr1_is_heard_while_the_server_stops() {
    let mut server = Server::echo(TWO).start();
    server.wait_for_workers(2);
    let mut running = server.occupy("x-echo-sleep: 3\r\n", "/running");
    server.signal(Signal::TERM);
    server.wait_for_line(&["stopping"]);
    move_away(&server, "gunicorn_access.log", "old");
    server.signal(Signal::USR1);
    wait_until_closed(&server, "old");
    assert_eq!(running.answer().expect("an answer").status, 200);
    server.wait_for_access(&["/running"]);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn usr1_that_hits_the_whole_family_does_not_end_the_preparation() {
    let server = Server::echo(TWO).variable("ECHO_PREPARE", "slow=1").start_slowly();
    let helper = server.wait_for("a preparation that hears signals", |server| {
        let helper = children(server.pid()).first().copied()?;
        let status = fs::read_to_string(format!("/proc/{helper}/status")).ok()?;
        status.contains("SigBlk:\t0000000000000000").then_some(helper)
    });
    server.signal_worker(helper, Signal::USR1);
    server.wait_for_workers(2);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_full_disk_fails_no_request_and_what_was_lost_is_counted() {
    let server = Server::echo(TWO).start();
    server.wait_for_workers(2);
    for name in FILES {
        move_away(&server, name, &format!("old_{name}"));
        symlink("/dev/full", server.log_path(name)).expect("a link");
    }
    server.signal(Signal::USR1);
    FILES.iter().for_each(|name| wait_until_closed(&server, &format!("old_{name}")));
    let hammer = server.hammer();
    hammer.strike(300);
    hammer.verdict();
    let before = server.workers();
    let mut seen = BTreeSet::new();
    server.wait_for("answers of both workers", |server| {
        let pid = server.get("/no/room").json()["pid"].as_i64();
        seen.extend(pid.and_then(|pid| i32::try_from(pid).ok()));
        (seen == before).then_some(())
    });
    FILES.iter().for_each(|name| fs::remove_file(server.log_path(name)).expect("the link is there"));
    server.signal(Signal::USR1);
    server.wait_for("the count of both workers", |server| {
        server.get("/room/again");
        let said = server.log("echo.log");
        (said.matches("lines were dropped").count() == 2).then_some(())
    });
    assert!(server.log("echo.log").contains("gunicorn_access.log did not take them"));
    server.wait_for_access(&["/room/again"]);
    assert_eq!(server.workers(), before);
}

#[test]
fn an_unusable_directory_is_one_warning_and_the_console_has_all() {
    let server =
        Server::echo("[server]\nworkers = 2\n[logging]\ndir = \"/proc/no/such\"\nconsole = \"none\"\n");
    let server = server.start();
    server.wait_for_workers(2);
    server.get("/told");
    server.wait_for_line(&["GET /told HTTP/1.1"]);
    server.signal(Signal::USR1);
    server.wait_for_line(&["SIGUSR1", "log files are opened anew"]);
    let workers = server.workers();
    server.signal(Signal::HUP);
    server.wait_for_others(&workers, 2);
    let said = server.said();
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains("WARNING")).collect();
    assert_eq!(warnings.len(), 1, "{said}");
    assert!(warnings[0].contains("/proc/no/such") && warnings[0].contains("console"), "{said}");
}

#[test]
fn files_belong_to_the_user_that_workers_become_and_who_opens_them_anew() {
    if !rustix::process::geteuid().is_root() {
        return kit::skipped("only root can become somebody else");
    }
    let config = TWO.replace("[logging]", "user = \"nobody\"\nrequest_buffer_dir = \"/var/tmp\"\n[logging]");
    let server = Server::echo(&config).start();
    server.wait_for_workers(2);
    // The kit's directories are for their owner only.
    fs::set_permissions(server.path(), PermissionsExt::from_mode(0o755)).expect("the directory is ours");
    let owner = |name: &str| fs::metadata(server.log_path(name)).map_or(0, |file| file.uid());
    assert_ne!(owner("gunicorn_access.log"), 0);
    move_away(&server, "gunicorn_access.log", "old");
    server.signal(Signal::USR1);
    wait_until_closed(&server, "old");
    assert_ne!(owner("gunicorn_access.log"), 0);
    assert_ne!(owner("echo.log"), 0);
    server.get("/by/nobody");
    server.wait_for_access(&["/by/nobody"]);
    assert_eq!(server.line_with(&["WARNING"]), None);
}

#[test]
fn a_directory_that_was_removed_is_made_anew() {
    let server = Server::echo("[server]\nworkers = 1\n[logging]\ndir = \"logs\"\n").start();
    server.wait_for_workers(1);
    fs::remove_dir_all(server.log_path("")).expect("removable");
    server.signal(Signal::USR1);
    server.wait_for("a line in a new file", |server| {
        server.get("/new");
        server.log("gunicorn_access.log").contains("/new").then_some(())
    });
}

#[test]
fn a_file_that_cannot_be_opened_anew_goes_on_being_written_and_is_told_of_once() {
    let server = Server::echo("[server]\nworkers = 1\n[logging]\ndir = \"logs\"\n").start();
    server.wait_for_workers(1);
    move_away(&server, "gunicorn_access.log", "old");
    fs::create_dir(server.log_path("gunicorn_access.log")).expect("a directory in its place");
    let told = |server: &Server| server.said().matches("gunicorn_access.log cannot be opened").count();
    server.signal(Signal::USR1);
    server.wait_for("a warning of each process", |server| (told(server) == 2).then_some(()));
    server.get("/kept");
    server.wait_for("a line in the old file", |server| server.log("old").contains("/kept").then_some(()));
    fs::remove_dir(server.log_path("gunicorn_access.log")).expect("it is empty");
    server.signal(Signal::USR1);
    wait_until_closed(&server, "old");
    server.get("/new");
    server.wait_for_access(&["/new"]);
    assert_eq!(told(&server), 2);
}

#[test]
fn hup_takes_other_files_formats_and_exclusions() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let first = server.wait_for_workers(2);
    assert!(!server.path().join("logs").exists());
    server.reconfigure(
        "[server]\nworkers = 2\n[logging]\ndir = \"logs\"\naccess_log_exclude = [\"/quiet*\"]\n",
    );
    let second = server.wait_for_others(&first, 2);
    server.get("/quiet/one");
    server.get("/loud");
    server.wait_for_access(&["127.0.0.1", "/loud"]);
    assert!(!server.access_log().contains("/quiet"));
    server.reconfigure(
        "[server]\nworkers = 2\n[logging]\ndir = \"logs\"\naccess_logfile = \"other.log\"\naccess_log_format = \"other %(U)s\"\n",
    );
    server.wait_for_others(&second, 2);
    server.get("/quiet/one");
    server.wait_for("a line in the other file", |server| {
        server.log("other.log").contains("other /quiet/one\n").then_some(())
    });
    server.wait_for("the master's word in a file", |server| {
        server.log("gunicorn_error.log").contains("has taken over").then_some(())
    });
}

#[test]
fn a_reload_that_is_refused_keeps_the_files() {
    let server = Server::echo(TWO).start();
    let workers = server.wait_for_workers(2);
    server.reconfigure(
        "[server]\nworkers = 2\n[logging]\ndir = \"others\"\naccess_log_format = \"%(what)s\"\n",
    );
    server.wait_for_line(&["access_log_format", "%(what)s is unknown"]);
    assert_eq!(server.workers(), workers);
    assert!(!server.path().join("others").exists());
    server.get("/kept");
    server.wait_for_access(&["/kept"]);
}
