//! Log files: opened anew, lost, full, and what stands in them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kit::{Server, Signal, children};

/// With log files, two workers, and lines that tell their worker.
const TWO: &str =
    "[server]\nworkers = 2\n[logging]\ndir = \"logs\"\naccess_log_format = \"%(p)s %(r)s %(s)s %(B)s end\"\n";

fn path(server: &Server, name: &str) -> PathBuf {
    server.path().join("logs").join(name)
}

fn read(server: &Server, name: &str) -> String {
    fs::read_to_string(path(server, name)).unwrap_or_default()
}

fn access(server: &Server) -> String {
    read(server, "gunicorn_access.log")
}

/// The line of the access log with these words: it may be written a moment after its answer has arrived.
fn access_line(server: &Server, words: &[&str]) -> String {
    server.wait_for(&format!("a line of the access log with {words:?}"), |server| {
        let text = access(server);
        text.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
    })
}

/// Moves a log file away, as logrotate does.
fn move_away(server: &Server, name: &str, to: &str) {
    fs::rename(path(server, name), path(server, to)).expect("the log file is there");
}

/// Waits until the master and its workers have a file of this name no longer open.
fn wait_until_closed(server: &Server, name: &str) {
    let closed = path(server, name);
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
    access_line(&server, &["/before"]);
    for name in ["gunicorn_access.log", "gunicorn_error.log", "echo.log", "echo.json", "echo_errors.log"] {
        move_away(&server, name, &format!("old_{name}"));
    }
    server.signal(Signal::USR1);
    for name in ["gunicorn_access.log", "gunicorn_error.log", "echo.log", "echo.json", "echo_errors.log"] {
        wait_until_closed(&server, &format!("old_{name}"));
    }
    let old = read(&server, "old_gunicorn_access.log");
    let mut told = BTreeSet::new();
    for worker in server.workers() {
        told.insert(format!("<{worker}>"));
    }
    server.wait_for("lines of both workers", |server| {
        server.get("/after");
        let text = access(server);
        let pids: BTreeSet<String> =
            text.lines().filter_map(|line| Some(line.split_once(' ')?.0.into())).collect();
        (pids == told).then_some(())
    });
    assert_eq!(read(&server, "old_gunicorn_access.log"), old);
    for name in ["gunicorn_error.log", "echo.log", "echo.json"] {
        let text = server
            .wait_for("what was said", |server| Some(read(server, name)).filter(|text| !text.is_empty()));
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
            if path(server, "gunicorn_access.log").exists() {
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
        files.flat_map(|name| read(server, &name).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
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
    access_line(&server, &["/after"]);
    assert_eq!(read(&server, "old"), "");
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
    access_line(&server, &["/running"]);
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
fn standard_streams_take_the_access_log_and_what_the_server_says() {
    let config = "[server]\nworkers = 1\n[logging]\nconsole = \"none\"\n";
    let server = Server::echo(config).flags(["--access-logfile", "-", "--error-logfile", "-"]).start();
    server.get("/seen");
    let line = server.wait_for_line(&["GET /seen HTTP/1.1"]);
    assert!(line.starts_with("127.0.0.1 - - [") && line.contains("+0000] \"GET"), "{line}");
    assert!(server.line_with(&["[INFO] worker 0 booting"]).is_some());
    assert_eq!(server.said().matches("worker 0 booting").count(), 1, "{}", server.said());
    assert!(!path(&server, "").exists(), "no file was asked for");
}

#[test]
fn every_answer_has_its_line_also_those_that_are_not_the_applications() {
    let config = "[server]\nworkers = 2\ntimeout = 1\nlimit_request_body = 10\n[logging]\ndir = \"logs\"\naccess_log_format = \"%(r)s %(s)s %(B)s %(b)s\"\n";
    let server = Server::echo(config).start();
    server.wait_for_workers(2);
    let answer = server.get("/whole");
    access_line(&server, &[&format!("GET /whole HTTP/1.1 200 {}", answer.body.len())]);
    server.get("/?x-echo-size=3000000");
    access_line(&server, &["GET /?x-echo-size=3000000 HTTP/1.1 200 3000000 3000000"]);
    server.send("HEAD", "/head", "text/plain", b"");
    access_line(&server, &["HEAD /head HTTP/1.1 200 0 -"]);
    server.send("POST", "/large", "text/plain", &[b'x'; 100]);
    access_line(&server, &["POST /large HTTP/1.1 413"]);
    server.connect().get("/coded", "Content-Encoding: gzip\r\n").expect("an answer");
    access_line(&server, &["GET /coded HTTP/1.1 415"]);
    let panicked = server.get("/?x-echo-panic=1");
    access_line(&server, &[&format!("GET /?x-echo-panic=1 HTTP/1.1 500 {}", panicked.body.len())]);
    let slept = server.get("/?x-echo-sleep=60");
    access_line(&server, &[&format!("GET /?x-echo-sleep=60 HTTP/1.1 504 {}", slept.body.len())]);
    // Its loop is stuck: the answer and the line are its second thread's.
    let blocked = server.get("/?x-echo-block=60");
    access_line(&server, &[&format!("GET /?x-echo-block=60 HTTP/1.1 504 {}", blocked.body.len())]);
    for line in access(&server).lines() {
        assert_eq!(access(&server).lines().filter(|other| *other == line).count(), 1, "{line}");
    }
}

#[test]
fn the_atoms_are_gunicorns() {
    let format = "%(h)s|%(l)s|%(u)s|%(t)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(f)s|%(a)s|%(T)s|%(M)s|%(D)s|%(L)s|%(p)s|%({x-mark}i)s|%({content-type}o)s";
    let config = "[server]\nworkers = 1\n[logging]\ndir = \"logs\"\n";
    let server = Server::echo(config).flags(["--access-logformat", format]).start();
    let fields =
        "Authorization: Basic dXNlcjpwdw==\r\nReferer: http://r/\r\nUser-Agent: a\"b\\c\r\nX-Mark: m1\r\n";
    let answer = server.connect().get("/path%0Ax?q=1%22&x-echo-sleep=0.1", fields).expect("an answer");
    let line = access_line(&server, &["m1"]);
    let found: Vec<&str> = line.split('|').collect();
    let bytes = answer.body.len().to_string();
    let pid = format!("<{}>", answer.json()["pid"]);
    let expected = [
        "127.0.0.1",
        "-",
        "user",
        "",
        "GET /path%0Ax?q=1%22&x-echo-sleep=0.1 HTTP/1.1",
        "GET",
        "/path%0Ax",
        "q=1%22&x-echo-sleep=0.1",
        "HTTP/1.1",
        "200",
        &bytes,
        &bytes,
        "http://r/",
        "a\\\"b\\\\c",
        "0",
        "",
        "",
        "",
        &pid,
        "m1",
        "application/json",
    ];
    assert_eq!(found.len(), expected.len(), "{line}");
    for (found, expected) in found.iter().zip(expected).filter(|(_, expected)| !expected.is_empty()) {
        assert_eq!(*found, expected, "{line}");
    }
    assert!(found[3].starts_with('[') && found[3].ends_with(" +0000]"), "{line}");
    let number = |place: usize| found[place].parse::<f64>().expect("a number");
    assert!(number(15) >= 100.0 && number(16) >= 100_000.0 && number(17) >= 0.1, "{line}");
}

#[test]
fn no_client_forges_or_breaks_a_line() {
    let config = "[server]\nworkers = 1\n[logging]\ndir = \"logs\"\n";
    let server = Server::echo(config).start();
    let before = access(&server).lines().count();
    let forged = "127.0.0.1 - - [01/Jan/2030:00:00:00 +0000] \"GET /forged HTTP/1.1\" 200 1 \"-\" \"-\"";
    let user = "Basic YWRtaW4gWzAxL0phbi8yMDMwOjAwOjAwOjAwICswMDAwXSAiR0VUIC9mb3JnZWQgSFRUUC8xLjEiIDIwMDpw"; // "admin [01/...] \"GET ..."
    for value in [
        "a\" 200 9 \"-\" \"evil".as_bytes(),
        b"back\\\" slash\\",
        b"\tTab",
        b"\x80\x85\x9b31m\xff",
        "\u{85}\u{2028}\u{2029}\u{9b}é".as_bytes(),
        format!("x\u{85}{forged}").as_bytes(),
    ] {
        let mut request = b"GET /honest HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: ".to_vec();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\nReferer: ");
        request.extend_from_slice(value);
        request.extend_from_slice(format!("\r\nAuthorization: {user}\r\n\r\n").as_bytes());
        let answer = server.raw(request);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    let text = server.wait_for("the lines", |server| {
        let text = access(server);
        (text.lines().count() >= before + 6).then_some(text)
    });
    assert_eq!(text.lines().count(), before + 6);
    assert!(
        !text.contains(|c: char| c != '\n' && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))),
        "{text:?}"
    );
    for line in text.lines().skip(before) {
        let mut bare = line.replace("\\\\", "").replace("\\\"", "");
        let quotes = bare.matches('"').count();
        assert_eq!(quotes, 6, "{line}");
        bare.truncate(bare.find('"').unwrap_or_default());
        assert_eq!(bare.split(' ').count(), 6, "{line}"); // client, identity, user, two of the time, and nothing
    }
}

#[test]
fn a_full_disk_fails_no_request_and_what_was_lost_is_counted() {
    let server = Server::echo(TWO).start();
    server.wait_for_workers(2);
    let names = ["gunicorn_access.log", "gunicorn_error.log", "echo.log", "echo.json", "echo_errors.log"];
    for name in names {
        move_away(&server, name, &format!("old_{name}"));
        symlink("/dev/full", path(&server, name)).expect("a link");
    }
    server.signal(Signal::USR1);
    names.iter().for_each(|name| wait_until_closed(&server, &format!("old_{name}")));
    let hammer = server.hammer();
    hammer.strike(300);
    hammer.verdict();
    let before = server.workers();
    names.iter().for_each(|name| fs::remove_file(path(&server, name)).expect("the link is there"));
    server.signal(Signal::USR1);
    server.wait_for("the count of both workers", |server| {
        server.get("/room/again");
        let said = read(server, "echo.log");
        (said.matches("lines of the access log were dropped").count() == 2).then_some(())
    });
    assert!(read(&server, "echo.log").contains("gunicorn_access.log did not take them"));
    access_line(&server, &["/room/again"]);
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
    let owner = |name: &str| fs::metadata(path(&server, name)).map_or(0, |file| file.uid());
    assert_ne!(owner("gunicorn_access.log"), 0);
    move_away(&server, "gunicorn_access.log", "old");
    server.signal(Signal::USR1);
    wait_until_closed(&server, "old");
    assert_ne!(owner("gunicorn_access.log"), 0);
    assert_ne!(owner("echo.log"), 0);
    server.get("/by/nobody");
    access_line(&server, &["/by/nobody"]);
    assert_eq!(server.line_with(&["WARNING"]), None);
}

#[test]
fn a_file_that_cannot_be_opened_anew_goes_on_being_written_and_is_told_of_once() {
    let server = Server::echo("[server]\nworkers = 1\n[logging]\ndir = \"logs\"\n").start();
    server.wait_for_workers(1);
    move_away(&server, "gunicorn_access.log", "old");
    fs::create_dir(path(&server, "gunicorn_access.log")).expect("a directory in its place");
    let told = |server: &Server| server.said().matches("gunicorn_access.log cannot be opened").count();
    server.signal(Signal::USR1);
    server.wait_for("a warning of each process", |server| (told(server) == 2).then_some(()));
    server.get("/kept");
    server.wait_for("a line in the old file", |server| read(server, "old").contains("/kept").then_some(()));
    fs::remove_dir(path(&server, "gunicorn_access.log")).expect("it is empty");
    server.signal(Signal::USR1);
    wait_until_closed(&server, "old");
    server.get("/new");
    access_line(&server, &["/new"]);
    assert_eq!(told(&server), 2);
}

#[test]
fn hup_takes_other_files_formats_and_exclusions() {
    let server = Server::echo("[server]\nworkers = 2\n").start();
    let first = server.wait_for_workers(2);
    assert!(!path(&server, "").exists());
    server.reconfigure(
        "[server]\nworkers = 2\n[logging]\ndir = \"logs\"\naccess_log_exclude = [\"/quiet*\"]\n",
    );
    let second = server.wait_for_others(&first, 2);
    server.get("/quiet/one");
    server.get("/loud");
    access_line(&server, &["127.0.0.1", "/loud"]);
    assert!(!access(&server).contains("/quiet"));
    server.reconfigure(
        "[server]\nworkers = 2\n[logging]\ndir = \"logs\"\naccess_logfile = \"other.log\"\naccess_log_format = \"other %(U)s\"\n",
    );
    server.wait_for_others(&second, 2);
    server.get("/quiet/one");
    server.wait_for("a line in the other file", |server| {
        read(server, "other.log").contains("other /quiet/one\n").then_some(())
    });
    server.wait_for("the master's word in a file", |server| {
        read(server, "gunicorn_error.log").contains("has taken over").then_some(())
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
    access_line(&server, &["/kept"]);
}

#[test]
fn an_access_log_on_a_pipe_that_nobody_reads_stalls_nothing() {
    let config = "[server]\nworkers = 2\n[logging]\nconsole = \"stderr\"\n";
    let deaf = ["sh", "-c", "mkfifo deaf && exec \"$@\" 1<>deaf", "sh"];
    let mut server = Server::echo(config).flags(["--access-logfile", "-"]).under(deaf).start();
    let long = "x".repeat(500);
    for number in 0..400 {
        assert_eq!(server.get(&format!("/{long}/{number}")).status, 200);
    }
    let mut reader = fs::File::open(server.path().join("deaf")).expect("the pipe is there");
    let mut text = vec![0; 1 << 16];
    let read = std::io::Read::read(&mut reader, &mut text).expect("something is in it");
    let text = String::from_utf8_lossy(&text[..read]).into_owned();
    assert!(
        text.lines().take(50).all(|line| line.starts_with("127.0.0.1") && line.ends_with("\"-\" \"-\"")),
        "{text}"
    );
    server.wait_for("the count of what was lost", |server| {
        server.get("/room/again");
        server.line_with(&["WARNING", "lines of the access log were dropped"])
    });
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn devsim_tells_how_long_a_request_took_and_names_its_files() {
    let server = Server::devsim("[server]\nworkers = 1\n[logging]\ndir = \"logs\"\n").start();
    server.get("/api/health?told");
    let line = access_line(&server, &["GET /api/health?told HTTP/1.1\" 200"]);
    let micros = line.rsplit(' ').next().unwrap_or_default();
    assert!(micros.parse::<u64>().is_ok(), "{line}");
    for name in ["devsim.log", "devsim.json", "gunicorn_error.log"] {
        let text = read(&server, name);
        assert!(text.lines().count() > 2 && text.contains("listening at"), "{name}: {text}");
    }
    assert_eq!(read(&server, "devsim_errors.log"), "");
}
