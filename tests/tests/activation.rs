//! Sockets that whoever starts the server has bound for it: LISTEN_FDS and fd://N.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use kit::{Connection, Ended, Place, Server, Setup, Signal, accept_queue, descriptors};
use tempfile::TempDir;

const ONE: &str = "[server]\nworkers = 1\n";

fn folder() -> TempDir {
    TempDir::with_prefix("devsim-activation-").expect("a temporary directory can be made")
}

fn tcp() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

fn copy(socket: impl AsFd) -> OwnedFd {
    socket.as_fd().try_clone_to_owned().expect("a descriptor can be copied")
}

/// Started as systemd does, which can name the process only once it is there.
fn activated<const N: usize>(setup: Setup, sockets: [OwnedFd; N], variables: &str) -> Setup {
    let shell = format!("export {variables}; exec \"$@\"");
    setup.handing(sockets).under(["sh", "-c", &shell, "sh"])
}

fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(words.iter().all(|word| ended.said.contains(word)), "{words:?} are not all in:\n{}", ended.said);
}

#[test]
fn sockets_that_are_handed_over_take_the_place_of_addresses_and_their_names_are_told() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let (web, address) = tcp();
    let admin = UnixListener::bind(&path).expect("a socket can be bound");
    let sockets = [web.into(), admin.into()];
    let variables = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:admin";
    let mut server = activated(Server::echo(ONE), sockets, variables).start();
    let places = [Place::Tcp(address), Place::Unix(path.clone())];
    assert_eq!(server.places(), places, "{}", server.said());
    for place in &places {
        let answer = Connection::open(place).and_then(|mut connection| connection.get("/", ""));
        assert_eq!(answer.expect("an answer").status, 200);
    }
    for words in [["descriptor 3 (web)", &address.to_string()], ["descriptor 4 (admin)", "a.sock"]] {
        server.wait_for_line(&words);
    }

    // They are not the configuration's to change.
    server.reconfigure(&format!("{ONE}bind = \"127.0.0.1:0\"\n"));
    server.wait_for_line(&["generation 2 serves alone"]);
    assert_eq!(server.places(), places);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    assert!(path.exists(), "the file is whoever's who made it");
}

#[test]
fn sockets_that_are_meant_for_another_process_are_not_touched() {
    for pid in ["1", "", "-5", "x"] {
        let (listener, address) = tcp();
        let variables = format!("LISTEN_PID={pid} LISTEN_FDS=1");
        let server = activated(Server::echo(ONE), [listener.into()], &variables).start();
        assert_ne!(server.address(), address, "LISTEN_PID={pid}");
        server.wait_for_line(&["LISTEN_PID names another process"]);
    }
}

#[test]
fn what_is_no_listening_stream_socket_is_refused_with_its_number() {
    let (listener, address) = tcp();
    let datagram = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let connected = std::net::TcpStream::connect(address).expect("it is listened on");
    let file = fs::File::open("/dev/null").expect("it is there");
    let wrong: [(OwnedFd, &str); 3] = [
        (datagram.into(), "datagram"),
        (connected.into(), "does not listen"),
        (file.into(), "Socket operation on non-socket"),
    ];
    for (wrong, why) in wrong {
        let sockets = [copy(&listener), wrong];
        let ended = activated(Server::echo(ONE), sockets, "LISTEN_PID=$$ LISTEN_FDS=2").run_to_its_end();
        assert_refused(&ended, &["fd://4", why]);
    }
    let closed = "LISTEN_PID=$$ LISTEN_FDS=2; exec 4<&-";
    let ended = activated(Server::echo(ONE), [copy(&listener)], closed).run_to_its_end();
    assert_refused(&ended, &["fd://4", "left it open"]);
}

#[test]
fn a_number_of_sockets_that_makes_no_sense_is_refused() {
    for count in ["-1", "x", "", "65", "99999999999"] {
        let variables = format!("LISTEN_PID=$$ LISTEN_FDS={count}");
        let ended = activated(Server::echo(ONE), [tcp().0.into()], &variables).run_to_its_end();
        assert_refused(&ended, &["LISTEN_FDS", &format!("{count:?}"), "64"]);
    }
}

#[test]
fn a_descriptor_is_an_address_too() {
    let (listener, address) = tcp();
    let setup = || Server::echo(ONE).without_bind();
    let server = setup().handing([copy(&listener)]).flags(["-b", "fd://3"]).start();
    assert_eq!(server.address(), address);
    let before = server.wait_for_workers(1);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 1);
    assert_eq!(server.get("/").status, 200);
    // It chooses among those that were handed over, and stands beside addresses.
    let setup = setup().flags(["-b", "127.0.0.1:0", "-b", "fd://4"]);
    let server = activated(setup, [tcp().0.into(), copy(&listener)], "LISTEN_PID=$$ LISTEN_FDS=2").start();
    assert_eq!(server.places()[1..], [Place::Tcp(address)], "{}", server.said());

    let ended = Server::echo(ONE).without_bind().flags(["-b", "fd://777"]).run_to_its_end();
    assert_refused(&ended, &["fd://777", "left it open"]);
}

#[test]
fn who_waits_in_an_activated_socket_when_the_server_stops_is_answered_by_the_next() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let (web, address) = tcp();
    let unix = UnixListener::bind(&path).expect("a socket can be bound");
    let start = || {
        let sockets = [copy(&web), copy(&unix)];
        activated(Server::echo(ONE), sockets, "LISTEN_PID=$$ LISTEN_FDS=2")
    };
    let mut first = start().start();
    let mut busy = first.occupy("x-echo-sleep: 1\r\n", "/busy");
    let places = [Place::Tcp(address), Place::Unix(path)];
    let mut waiting: Vec<Connection> =
        places.iter().cycle().take(40).map(|place| Connection::open(place).expect("room")).collect();
    for connection in &mut waiting {
        connection.send("GET /waiting HTTP/1.1\r\nHost: x\r\n\r\n").expect("bytes can be sent");
    }
    let queued = || accept_queue(address).map(|queue| queue.waiting);
    first.wait_for("a queue", |_| (queued() == Some(20)).then_some(()));
    first.signal(Signal::TERM);
    assert_eq!(busy.answer().expect("an answer").status, 200);
    assert_eq!(first.wait_for_end(), Some(0));
    assert_eq!(queued(), Some(20), "{}", first.said());
    // Who comes in between waits as well.
    waiting.push(Connection::open(address).expect("room"));
    let next = start().start();
    for connection in &mut waiting[..40] {
        assert_eq!(connection.answer().expect("an answer").status, 200, "{}", next.said());
    }
    assert_eq!(waiting[40].get("/late", "").expect("an answer").status, 200);
}

#[test]
fn a_reload_to_a_descriptor_of_the_servers_own_is_refused_and_harms_nothing() {
    let config = |bind: &str| format!("{ONE}bind = [\"127.0.0.1:0\"{bind}]\ncontrol_socket = \"a.ctl\"\n");
    let nothing_left = "for number in {3..40}; do eval \"exec $number<&-\"; done; exec \"$@\"";
    let setup = Server::echo(&config("")).without_bind().under(["bash", "-c", nothing_left, "bash"]);
    let server = setup.start();
    let before = (server.wait_for_workers(1), descriptors(server.pid()));
    for number in 3..20 {
        server.reconfigure(&config(&format!(", \"fd://{number}\"")));
        server.wait_for_line(&[&format!("fd://{number} is not"), "left it open"]);
    }
    assert_eq!((server.wait_for_workers(1), descriptors(server.pid())), before, "{}", server.said());
    server.reconfigure(&config(""));
    server.wait_for_others(&before.0, 1);
}
