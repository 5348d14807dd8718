//! The control socket: who may use it, where it is, and what it bears.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use kit::{Asking, Server, Signal, descriptors, memory, skipped};
use rustix::process::geteuid;

const CONFIG: &str = "[server]\nworkers = 2\ncontrol_socket = \"control.sock\"\n";
const AS_NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const AS_ANOTHER: [&str; 4] = ["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups"];
const STATUS: &[u8] = b"{\"v\":1,\"command\":\"status\"}\n";

/// A server whose directory everybody may enter; `None`, said aloud, where other users cannot be tried.
fn open_to_others(config: &str) -> Option<Server> {
    if !geteuid().is_root() {
        skipped("only root can become somebody else");
        return None;
    }
    let open = |directory: &std::path::Path| {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("a mode can be set");
    };
    let server = Server::echo(config).prepared(open).start();
    server.wait_for_workers(2);
    if server.begin_ctl_under(AS_ANOTHER, ["--version"]).told().code != Some(0) {
        skipped("other users cannot execute what was built here");
        return None;
    }
    Some(server)
}

fn as_another(server: &Server) -> Asking {
    server.begin_ctl_under(AS_ANOTHER, ["status"])
}

#[test]
fn other_users_are_kept_out_by_the_files_mode_and_by_the_master() {
    let Some(server) = open_to_others(CONFIG) else { return };
    let why = as_another(&server).told().refused(4);
    assert!(why.contains("no permission"), "{why}");
    let told = server.begin_ctl_under(AS_ANOTHER, ["stop", "--json"]).told();
    assert_eq!(told.code, Some(4));
    assert!(told.out.contains("\"denied\""), "{told:?}");
    server.rewrite(&format!("{CONFIG}control_socket_mode = \"0o666\"\n"));
    server.ctl(["reload"]).done();
    let why = as_another(&server).told().refused(4);
    assert!(why.contains("uid 4711 may not use"), "{why}");
    server.wait_for_line(&["[WARNING]", "uid 4711", "may not use this control socket"]);
    assert_eq!(server.status()["state"], "running");
}

#[test]
fn the_servers_user_owns_the_socket_and_is_served() {
    let config = format!("{CONFIG}user = \"65534\"\ngroup = \"65534\"\nrequest_buffer_dir = \"/var/tmp\"\n");
    let Some(server) = open_to_others(&config) else { return };
    let file = fs::metadata(server.control_socket()).expect("the socket's file");
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (65534, 65534, 0o600));
    let told = server.begin_ctl_under(AS_NOBODY, ["status"]).told();
    assert!(told.done().contains("is running"));
    server.ctl(["status"]).done(); // root is, too
    as_another(&server).told().refused(4);
}

#[test]
fn the_mode_is_what_the_settings_say_whatever_the_umask() {
    for (more, mode) in [("", 0o600), ("control_socket_mode = \"0o660\"\numask = \"0o077\"\n", 0o660)] {
        let server = Server::echo(&format!("{CONFIG}{more}")).start();
        let file = fs::metadata(server.control_socket()).expect("the socket's file");
        assert_eq!(file.mode() & 0o7777, mode, "{more}");
    }
}

#[test]
fn a_second_server_on_the_same_path_says_so_and_runs_without() {
    let first = Server::echo(CONFIG).start();
    let path = first.control_socket();
    let config = format!("[server]\nworkers = 1\ncontrol_socket = \"{}\"\n", path.display());
    let mut second = Server::echo(&config).start();
    second.wait_for_line(&["[ERROR]", "another server answers there", "runs without a control socket"]);
    assert_eq!(first.status()["pid"], first.pid());
    second.signal(Signal::TERM);
    assert_eq!(second.wait_for_end(), Some(0));
    assert_eq!(first.status()["pid"], first.pid(), "its file is there still");
}

#[test]
fn a_path_that_cannot_be_is_an_error_line_and_a_reload_can_mend_it() {
    let server = Server::echo("[server]\nworkers = 1\ncontrol_socket = \"no/such/control.sock\"\n").start();
    server.wait_for_line(&["[ERROR]", "server.control_socket", "there is no directory"]);
    fs::create_dir_all(server.path().join("no/such")).expect("a directory can be made");
    server.signal(Signal::HUP);
    server.wait_for("the socket", |server| server.path().join("no/such/control.sock").exists().then_some(()));
}

#[test]
fn a_stale_file_is_replaced_and_a_file_that_is_no_socket_is_not() {
    let first = Server::echo(CONFIG).start();
    let path = first.control_socket();
    first.signal(Signal::KILL);
    first.wait_until_gone(first.pid());
    assert!(path.exists());
    let config = format!("[server]\nworkers = 1\ncontrol_socket = \"{}\"\n", path.display());
    let second = Server::echo(&config).start();
    second.wait_for_line(&["control socket at", "control.sock"]);
    assert!(UnixStream::connect(&path).is_ok());
    let notes = |directory: &std::path::Path| {
        fs::write(directory.join("control.sock"), "notes").expect("a file can be written");
    };
    let third = Server::echo(CONFIG).prepared(notes).start();
    third.wait_for_line(&["[ERROR]", "no socket has this name"]);
    assert_eq!(fs::read_to_string(third.control_socket()).expect("it is there"), "notes");
}

#[test]
fn without_a_setting_it_is_in_the_services_directory_where_devsim_ctl_finds_it() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let place = folder.path().to_str().expect("a name");
    let mut server = Server::echo("[server]\nworkers = 1\n").variable("RUNTIME_DIRECTORY", place).start();
    let socket = folder.path().join("devsim.sock");
    assert!(socket.exists());
    let variable = format!("RUNTIME_DIRECTORY={place}");
    let told = server.ctl_without_socket(["env", &variable], ["status"]).done();
    assert!(told.contains(&format!("pid {}", server.pid())), "{told}");
    let why = server.ctl_without_socket(["env"], ["status"]).refused(3);
    assert!(why.contains("no control socket is known"), "{why}");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn devsim_ctl_finds_it_by_the_configuration_even_one_that_is_broken() {
    let server = Server::echo(CONFIG).start();
    server.ctl_without_socket(["env"], ["status"]).done();
    server.rewrite(&format!("{CONFIG}workerz = 3\n"));
    server.ctl_without_socket(["env"], ["-c", "devsim.toml", "status"]).done();
    let why = server.ctl_without_socket(["env"], ["reload"]).refused(1);
    assert!(why.contains("workerz"), "{why}");
}

#[test]
fn it_moves_with_a_reload_and_who_asked_for_that_is_answered() {
    let server = Server::echo(CONFIG).start();
    let old = server.control_socket();
    let moved = server.path().join("moved.sock");
    server.rewrite("[server]\nworkers = 2\ncontrol_socket = \"moved.sock\"\n");
    server.ctl(["reload"]).done();
    assert!(!old.exists() && moved.exists());
    server.rewrite("[server]\nworkers = 2\ncontrol_socket = \"no/such.sock\"\n");
    let told = server.ctl_without_socket(["env"], ["--socket", "moved.sock", "reload"]);
    assert!(told.done().contains("generation 3"));
    server.wait_for_line(&["[ERROR]", "there is no directory", "stays at"]);
    assert!(UnixStream::connect(&moved).is_ok());
}

#[test]
fn no_worker_and_no_helper_takes_its_file_along() {
    let server = Server::echo(CONFIG).start();
    server.wait_for_workers(2);
    for signal in [Signal::TERM, Signal::QUIT, Signal::ABORT, Signal::KILL] {
        server.lose_a_worker(signal, 2);
    }
    assert!(server.try_get("/?x-echo-exit=0").is_err());
    server.ctl(["reload"]).done();
    assert_eq!(server.status()["state"], "running");
}

#[test]
fn it_answers_while_every_worker_is_stuck_or_stopped() {
    let server = Server::echo(CONFIG).start();
    let workers = server.wait_for_workers(2);
    let _stuck = server.occupy("x-echo-block: 60\r\n", "/stuck");
    let busy = server.wait_for("the busy worker", |server| {
        let told = server.ctl(["workers", "--json"]).json();
        let found = told["workers"].as_array()?.iter().find(|worker| worker["busy"] == true)?.clone();
        found["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    });
    let other = *workers.iter().find(|worker| **worker != busy).expect("another worker");
    server.signal_worker(other, Signal::STOP);
    assert!(server.ctl(["status"]).done().contains("2 of 2 ready"));
    assert!(server.ctl(["workers"]).done().contains("GET /stuck"));
    server.ctl(["config"]).done();
    server.signal_worker(other, Signal::CONT);
}

#[test]
fn sixty_stalled_clients_keep_nobody_out() {
    let server = Server::echo(CONFIG).start();
    let mut stalled = Vec::new();
    for index in 0..60 {
        let mut client = server.control();
        let sent: Vec<u8> = match index % 3 {
            0 => Vec::new(),
            1 => b"{\"v\":1,\"comm".to_vec(),
            // Asks for far more than a socket holds, and reads nothing.
            _ => b"{\"v\":1,\"command\":\"config\"}\n".repeat(200),
        };
        client.set_nonblocking(true).expect("a client need not wait");
        let _ = client.write(&sent); // it may be closed already, for others
        stalled.push(client);
    }
    let told = server.ctl(["--timeout", "8", "status"]).done();
    assert!(told.contains("is running"), "{told}");
    server.ctl(["--timeout", "20", "scale", "3"]).done();
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn two_thousand_questions_leave_the_master_as_it_was() {
    let server = Server::echo(CONFIG).start();
    server.wait_for_workers(2);
    let open = descriptors(server.pid());
    let ask = |count: usize| (0..count).for_each(|_| drop(server.status()));
    let ask_in_one_go = |count: usize| {
        let mut client = server.control();
        let mut reader = BufReader::new(client.try_clone().expect("a descriptor can be copied"));
        for _ in 0..count {
            client.write_all(STATUS).expect("it can be asked");
            let mut line = String::new();
            reader.read_line(&mut line).expect("it answers");
            assert!(line.contains("\"ok\":true"), "{line}");
        }
    };
    ask(200);
    ask_in_one_go(200);
    let used = memory(server.pid());
    ask(1000);
    ask_in_one_go(1000);
    server.wait_for("the same descriptors", |server| (descriptors(server.pid()) == open).then_some(()));
    let now = memory(server.pid());
    assert!(now <= used + 512, "{used} KiB have become {now} KiB");
}
