//! Workers that have been told to finish what they have: long-lived connections hold up no reload and never pile up.

use kit::{Connection, Server, Setup, Signal, is_alive};

fn echo(workers: usize, max_draining: usize) -> Setup {
    Server::echo(&format!(
        "[server]\nworkers = {workers}\nmax_draining = {max_draining}\ngraceful_timeout = 600\nkeepalive = 600\nwrite_timeout = 600\n"
    ))
}

/// A request for each worker that it will not have finished by itself.
fn occupy_all(server: &Server, workers: usize) -> Vec<Connection> {
    (0..workers).map(|_| server.occupy("x-echo-sleep: 600\r\n", "/running")).collect()
}

/// The most workers that there were at once, by the master's lines.
fn most_at_once(server: &Server) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in server.said().lines() {
        now += usize::from(line.contains(" booting, pid "));
        now -= usize::from(line.contains("] worker ") && line.contains(" ended by "));
        most = most.max(now);
    }
    most
}

#[test]
fn reloads_in_a_row_end_although_every_worker_has_clients_that_never_leave() {
    let server = echo(2, 2).start();
    server.wait_for_workers(2);
    let (mut running, mut idle, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for reloads in 1..=3 {
        for _ in 0..4 {
            let mut client = server.connect();
            client.get("/", "").expect("an answer");
            idle.push(client);
            // It reads nothing.
            slow.push(server.occupy("", "/big?x-echo-size=100000000"));
        }
        running.push(occupy_all(&server, 2));
        server.signal(Signal::HUP);
        wait_for_reloads(&server, reloads);
    }
    assert!(most_at_once(&server) <= 5, "workers, surge and max_draining:\n{}", server.said());
    server.wait_for_line(&["WARN", "has drained for longest", "it gets 5.0 s more"]);
    // All but the last pair had to go for the next ones.
    for client in running.iter_mut().take(2).flatten() {
        let answer = client.answer().expect("an answer");
        assert_eq!((answer.status, answer.closes()), (504, true));
    }
    for client in idle.iter_mut().take(8) {
        assert_eq!(client.to_the_end().expect("an end without a reset"), b"");
    }
    let of_the_slow = slow[0].to_the_end().unwrap_or_default();
    assert!(of_the_slow.len() < 100_000_000, "it was cut");
    assert!(!server.said().contains("SIGKILL"), "they leave by themselves:\n{}", server.said());
}

/// Waits until so many reloads have ended well; those that drain are there still.
fn wait_for_reloads(server: &Server, count: usize) {
    server.wait_for("a reload's end", |server| {
        (server.said().matches("has taken over").count() == count).then_some(())
    });
}

#[test]
fn the_oldest_drain_is_cut_and_the_others_keep_their_grace() {
    let server = echo(1, 2).start();
    let mut clients = Vec::new();
    for reloads in 1..=3 {
        clients.extend(occupy_all(&server, 1));
        server.signal(Signal::HUP);
        wait_for_reloads(&server, reloads);
    }
    assert_eq!(clients[0].answer().expect("an answer").status, 504);
    assert!(clients[1].is_silent() && clients[2].is_silent(), "{}", server.said());
    assert_eq!(server.said().matches("has drained for longest").count(), 1, "{}", server.said());
    assert!(most_at_once(&server) <= 4, "{}", server.said());
}

#[test]
fn scaling_down_keeps_the_bound_too() {
    let server = echo(3, 1).start();
    server.wait_for_workers(3);
    let mut clients = occupy_all(&server, 3);
    server.signal(Signal::TTOU);
    server.wait_for_line(&["workers wanted: 2"]); // a signal that is pending takes no second one in
    server.signal(Signal::TTOU);
    server.wait_for_line(&["has drained for longest"]);
    server.wait_for("two to retire", |server| {
        (server.said().matches(" retires: there are more workers than wanted").count() == 2).then_some(())
    });
    let cut = clients.iter_mut().find_map(|client| (!client.is_silent()).then(|| client.answer()));
    assert_eq!(cut.expect("one of them").expect("an answer").status, 504);
    let said = server.said();
    let (ended, retires) = (said.find(" ended by "), said.rfind(" retires: "));
    assert!(ended.is_some() && ended < retires, "two drained at once:\n{said}");
}

#[test]
fn a_halt_keeps_the_bound_and_a_reload_brings_the_workers_back() {
    // Without a terminal, from which WINCH would mean that its window has changed.
    let server = echo(2, 1).under(["setsid"]).start();
    let before = server.wait_for_workers(2);
    let _clients = occupy_all(&server, 2);
    server.signal(Signal::WINCH);
    server.wait_for_line(&["halted"]);
    server.wait_for_line(&["has drained for longest"]);
    // Nobody takes anything from now on.
    server.wait_for("both to retire", |server| {
        (server.said().matches(" retires: ").count() == 2).then_some(())
    });
    assert!(server.workers().len() == 1, "two drained at once:\n{}", server.said());
    let mut waiting = server.connect();
    waiting.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request can be sent");
    server.signal(Signal::HUP);
    assert_eq!(waiting.answer().expect("an answer").status, 200);
    server.wait_for("two others", |server| (server.serving().difference(&before).count() >= 2).then_some(()));
}

#[test]
fn a_worker_that_hears_nothing_is_killed_when_others_wait_to_drain() {
    let server = echo(1, 1).start();
    let first = *server.wait_for_workers(1).first().expect("a worker");
    let _client = occupy_all(&server, 1);
    server.signal(Signal::HUP);
    server.wait_for_line(&["generation 2 has taken over"]);
    server.signal_worker(first, Signal::STOP);
    server.signal(Signal::HUP);
    server.wait_for_line(&["generation 3 has taken over"]);
    server.wait_for("its end", |_| (!is_alive(first)).then_some(()));
    server.wait_for_line(&["ended by SIGKILL", "did not leave within graceful_timeout"]);
}

#[test]
fn a_stop_takes_no_drain_more_time_than_it_had() {
    let mut server = Server::echo("[server]\nworkers = 1\nmax_draining = 1\ngraceful_timeout = 2\n").start();
    let mut running = occupy_all(&server, 1);
    server.signal(Signal::HUP);
    server.wait_for_line(&["generation 2 has taken over"]);
    server.signal(Signal::TERM);
    assert_eq!(running[0].answer().expect("an answer").status, 504);
    assert_eq!(server.wait_for_end(), Some(0));
}
