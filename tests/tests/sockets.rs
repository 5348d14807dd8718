//! Addresses: at the start, and over reloads.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use kit::{Connection, Place, Server, Setup, Signal, accept_queue, skipped, until};
use socket2::{Domain, Socket, Type};

/// A configuration with one worker that listens there.
fn config(bind: &[&str], rest: &str) -> String {
    format!("[server]\nworkers = 1\nbind = {bind:?}\n{rest}")
}

fn at(bind: &[&str], rest: &str) -> Setup {
    Server::echo(&config(bind, rest)).without_bind()
}

/// The status of an answer from there.
fn ask(place: &Place) -> Option<u16> {
    Some(Connection::open(place).ok()?.get("/", "Connection: close\r\n").ok()?.status)
}

fn has_v6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

/// A port that the kernel gives to nobody who asks for any, and to whoever asks for it by its number.
fn reserved() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("its address");
    (socket, address)
}

#[test]
fn all_addresses_are_served_by_the_same_worker() {
    let mut bind = vec!["127.0.0.1:0", "unix:a.sock", "127.0.0.1:0"];
    if has_v6() {
        bind.push("[::1]:0");
    } else {
        skipped("this machine has no IPv6: the other addresses are asked");
    }
    let server = at(&bind, "").start();
    let places = server.places();
    assert_eq!(places.len(), bind.len(), "{}", server.said());
    let worker = *server.wait_for_workers(1).first().expect("a worker");
    for place in &places {
        let answer = Connection::open(place).and_then(|mut connection| connection.get("/", ""));
        assert_eq!(answer.expect("an answer").json()["pid"], worker, "{place:?}");
    }
}

#[test]
fn both_families_share_a_port() {
    if !has_v6() {
        return skipped("this machine has no IPv6");
    }
    let server = at(&["127.0.0.1:0"], "").start();
    let port = server.address().port();
    server.reconfigure(&config(&["127.0.0.1:0", &format!("[::1]:{port}")], ""));
    let six = Place::Tcp(([0, 0, 0, 0, 0, 0, 0, 1], port).into());
    server.wait_for("an answer over IPv6", |_| ask(&six).filter(|status| *status == 200));
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn an_address_that_is_given_twice_is_listened_at_once() {
    let (_kept, address) = reserved();
    let name = address.to_string();
    let server = at(&[&name, "unix:a.sock", &name, "unix:a.sock"], "").start();
    assert_eq!(server.places().len(), 2, "{}", server.said());
    server.signal(Signal::HUP);
    server.wait_for_line(&["generation 2 serves alone"]);
    assert_eq!(server.places().len(), 2, "{}", server.said());
}

#[test]
fn a_busy_address_ends_with_5_also_where_both_would_share_it() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.set_reuse_port(true).expect("an option");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    listener.listen(8).expect("it can listen");
    let address = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("its address");
    for rest in ["", "reuse_port = true\n"] {
        let ended = at(&[&address.to_string()], rest).run_to_its_end();
        assert_eq!(ended.code, Some(5), "{}", ended.said);
        assert!(ended.said.contains(&format!("{address} is in use")), "{}", ended.said);
    }
}

#[test]
fn reuse_port_lets_another_server_in_beside_this_one() {
    let server = at(&["127.0.0.1:0"], "reuse_port = true\n").start();
    let beside = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    assert!(beside.bind(&server.address().into()).is_err(), "one that shares nothing");
    beside.set_reuse_port(true).expect("an option");
    beside.bind(&server.address().into()).and_then(|()| beside.listen(8)).expect("there is room for both");
}

#[test]
fn of_many_that_start_at_once_on_an_address_one_serves_and_the_others_end_with_5() {
    for rest in ["", "reuse_port = true\n"] {
        let (_kept, address) = reserved();
        let mut masters: Vec<Server> =
            (0..20).map(|_| at(&[&address.to_string()], rest).start_unseen()).collect();
        let codes = until(|| {
            let codes: Vec<_> = masters.iter_mut().filter_map(Server::has_ended).collect();
            (codes.len() >= masters.len() - 1).then_some(codes)
        });
        assert_eq!(codes, Some(vec![Some(5); 19]), "{rest}");
        assert!(until(|| ask(&address.into()).filter(|status| *status == 200)).is_some(), "{rest}");
    }
}

#[test]
fn a_reload_adds_and_removes_addresses_and_fails_no_request_at_the_one_that_stays() {
    let few = config(&["127.0.0.1:0"], "");
    let many = config(&["unix:a.sock", "127.0.0.1:0", "127.0.0.2:0"], "");
    let server = Server::echo(&few).without_bind().start();
    let hammer = server.hammer();
    for _ in 0..3 {
        server.reconfigure(&many);
        let added = server
            .wait_for("all addresses", |server| Some(server.places()).filter(|places| places.len() == 3));
        for place in &added {
            server.wait_for("an answer", |_| ask(place).filter(|status| *status == 200));
        }
        server.wait_for_the_last_reload();
        server.reconfigure(&few);
        server.wait_for("one address", |server| (server.places().len() == 1).then_some(()));
        for place in &added[1..] {
            server.wait_for("a refusal", |_| Connection::open(place).err());
        }
        server.wait_for_the_last_reload();
        assert!(!server.path().join("a.sock").exists());
    }
    hammer.verdict();
}

#[test]
fn who_waits_at_an_address_that_a_reload_removes_is_answered() {
    let server = at(&["127.0.0.1:0", "127.0.0.2:0", "unix:a.sock"], "").start();
    let [_, tcp, unix] = &server.places()[..] else { panic!("{}", server.said()) };
    let Place::Tcp(address) = tcp else { panic!("{tcp:?}") };
    let worker = *server.wait_for_workers(1).first().expect("a worker");
    let mut busy = server.occupy("x-echo-sleep: 2\r\n", "/busy");
    let mut waiting: Vec<Connection> =
        [tcp, unix].repeat(10).into_iter().map(|place| Connection::open(place).expect("room")).collect();
    for connection in &mut waiting {
        connection.send("GET /waiting HTTP/1.1\r\nHost: x\r\n\r\n").expect("bytes can be sent");
    }
    let queued = || accept_queue(*address).map(|queue| queue.waiting);
    server.wait_for("a queue", |_| (queued() == Some(10)).then_some(()));
    server.reconfigure(&config(&["127.0.0.1:0"], ""));
    server.wait_for_line(&["no longer listening at unix:"]);
    for connection in &mut waiting {
        let answer = connection.answer().expect("an answer");
        assert_eq!((answer.status, &answer.json()["pid"]), (200, &worker.into()));
    }
    assert_eq!(busy.answer().expect("an answer").status, 200);
    server.wait_for("a refusal", |_| Connection::open(tcp).err());
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_reload_to_an_address_in_use_is_refused_and_leaves_all_as_it_was() {
    let server = at(&["127.0.0.1:0"], "").start();
    let (before, workers) = (server.places(), server.wait_for_workers(1));
    let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let busy = held.local_addr().expect("its address").to_string();
    let _held = UnixListener::bind(server.path().join("busy.sock")).expect("a socket can be bound");
    let hammer = server.hammer();
    for busy in [busy.as_str(), "unix:busy.sock"] {
        server.reconfigure(&config(&["127.0.0.1:0", "unix:new.sock", "127.0.0.2:0", busy], ""));
        server.wait_for_line(&["ERROR", busy, "in use"]);
        hammer.strike(20);
        assert!(!server.path().join("new.sock").exists());
    }
    hammer.verdict();
    assert_eq!((server.places(), server.workers()), (before, workers), "{}", server.said());
}

#[test]
fn a_reload_that_fails_after_its_addresses_were_bound_closes_them_again() {
    let server = at(&["127.0.0.1:0"], "").start();
    let (before, workers) = (server.places(), server.wait_for_workers(1));
    for environment in ["ECHO_BOOT=fail", "ECHO_PREPARE=fail"] {
        let refused = server.said().matches("is refused").count();
        let rest = format!("raw_env = [\"{environment}\"]\n");
        server.reconfigure(&config(&["127.0.0.1:0", "unix:new.sock", "127.0.0.2:0"], &rest));
        server.wait_for("a refusal", |server| {
            (server.said().matches("is refused").count() > refused).then_some(())
        });
        server.wait_for("the old addresses", |server| (server.places() == before).then_some(()));
        assert!(!server.path().join("new.sock").exists());
    }
    let tried = server.said().matches("] listening at http://127.0.0.2:").count();
    assert_eq!((tried, server.workers()), (2, workers), "{}", server.said());
    assert_eq!(fs::read_to_string("/proc/net/unix").unwrap_or_default().matches("new.sock").count(), 0);
}

#[test]
fn a_reload_changes_the_backlog_and_how_long_a_first_byte_is_waited_for() {
    let server = at(&["127.0.0.1:0"], "backlog = 7\ndefer_accept = 30\n").start();
    let address = server.address();
    let queue = || accept_queue(address).expect("it listens");
    assert_eq!(queue().backlog, 7);
    let worker = server.wait_for_workers(1);
    let mut busy = server.occupy("x-echo-sleep: 1.5\r\n", "/busy");
    let _mute = server.connect();
    let mut talking = server.connect();
    talking.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("bytes can be sent");
    server.wait_for("the one that talks", |_| (queue().waiting == 1).then_some(()));
    assert_eq!(busy.answer().expect("an answer").status, 200);
    assert_eq!(talking.answer().expect("an answer").status, 200);

    server.reconfigure(&config(&["127.0.0.1:0"], "backlog = 9\ndefer_accept = 0\n"));
    server.wait_for_others(&worker, 1);
    server.wait_for("the new backlog", |_| (queue().backlog == 9).then_some(()));
    server.wait_for_line(&["generation 2 serves alone"]);
    let _busy = server.occupy("x-echo-sleep: 30\r\n", "/busy");
    let before = queue().waiting;
    let _mute = server.connect();
    server.wait_for("the mute one", |_| (queue().waiting == before + 1).then_some(()));
}
