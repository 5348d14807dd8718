//! One client at a time.

use std::net::Shutdown;

use nix::unistd::Uid;
use serde_json::json;

use super::super::{Code, Command, LONGEST_ANSWER, LONGEST_REQUEST, Refusal};
use super::stage::{Stage, echo};

#[test]
fn a_request_is_answered_with_its_id_and_the_next_one_follows() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    client.send("{\"v\":1,\"command\":\"scale\",\"workers\":5,\"id\":\"a\"}\n");
    let asked = stage.settle();
    let scale = Command::Scale { workers: 5 };
    assert_eq!(
        asked.iter().map(|asked| asked.command.clone()).collect::<Vec<_>>(),
        std::slice::from_ref(&scale)
    );
    let peer = asked[0].peer;
    assert_eq!((peer.pid.0, peer.uid), (std::process::id().cast_signed(), Uid::current()));
    assert_eq!(client.hear().lines, [json!({"v": 1, "id": "a", "ok": true, "result": echo(&scale)})]);
    client.ask("status");
    stage.settle();
    assert_eq!(client.hear().lines.len(), 1);
}

#[test]
fn half_a_line_waits_for_its_other_half() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    for piece in ["{\"v\":", "1,\"comm", "and\":\"status\"}"] {
        client.send(piece);
        assert_eq!(stage.settle(), []);
        assert!(client.hear().lines.is_empty());
    }
    client.send("\n");
    assert_eq!(stage.settle().len(), 1);
}

#[test]
fn a_client_that_has_said_all_is_answered_and_a_last_line_needs_no_end() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    client.send("{\"v\":1,\"command\":\"status\"}\n{\"v\":1,\"command\":\"config\"}");
    client.0.shutdown(Shutdown::Write).expect("the other way stays open");
    assert_eq!(stage.settle().len(), 2);
    let heard = client.hear();
    assert_eq!((heard.lines.len(), heard.ended), (2, true));
}

#[test]
fn a_thousand_requests_in_one_write_are_answered_in_order() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    let requests: String =
        (0..1000).map(|id| format!("{{\"v\":1,\"command\":\"status\",\"id\":{id}}}\n")).collect();
    assert_eq!(client.send(&requests), requests.len());
    let answers = stage.converse(&mut client).lines;
    let ids: Vec<_> = answers.iter().map(|line| line["id"].as_u64()).collect();
    assert_eq!(ids, (0..1000).map(Some).collect::<Vec<_>>());
}

#[test]
fn one_request_runs_at_a_time() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    client.ask("reload");
    client.ask("status");
    let reload = stage.settle_unanswered();
    assert_eq!(reload.iter().map(|asked| asked.command.clone()).collect::<Vec<_>>(), [Command::Reload]);
    stage.pass(3600.0);
    assert_eq!(stage.settle_unanswered(), [], "a command may take its time");
    stage.control.answer(reload[0].ticket, &Ok::<_, Refusal>(json!({})), stage.now);
    assert_eq!(stage.settle().len(), 1);
    assert_eq!(client.hear().lines.len(), 2);
}

#[test]
fn a_second_answer_to_a_request_and_one_to_nobody_go_nowhere() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    client.ask("status");
    let [asked] = stage.settle_unanswered().try_into().expect("one request");
    let busy = Err::<(), _>(Refusal::new(Code::Busy, "later"));
    stage.control.answer(asked.ticket, &busy, stage.now);
    stage.control.answer(asked.ticket, &busy, stage.now);
    assert_eq!(client.refusal(), ("busy".into(), false));
    client.ask("status");
    let [asked] = stage.settle_unanswered().try_into().expect("one request");
    drop(client);
    assert_eq!(stage.settle(), [], "a client that has gone while its command runs wakes nobody");
    stage.control.answer(asked.ticket, &busy, stage.now);
    stage.control.answer(asked.ticket, &busy, stage.now);
    stage.settle();
}

#[test]
fn what_is_no_request_is_answered_and_the_client_may_go_on() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    client.send("\n\0\0\nGET / HTTP/1.1\r\n\r\n[1,2,3]\n{\"v\":9,\"command\":\"status\"}\n");
    assert_eq!(stage.settle(), []);
    let codes: Vec<_> = client.hear().lines.iter().map(|line| line["error"]["code"].clone()).collect();
    assert_eq!(codes[..5], ["bad_request"; 5]);
    assert_eq!(codes[5..], ["version"]);
    client.ask("status");
    assert_eq!(stage.settle().len(), 1);
}

#[test]
fn a_line_without_end_is_refused_and_its_client_let_go() {
    for bytes in [vec![0; 100_000], vec![b'{'; LONGEST_REQUEST + 1]] {
        let mut stage = Stage::new();
        let mut client = stage.client();
        client.send(&bytes);
        assert_eq!(stage.settle(), []);
        assert_eq!(client.refusal(), ("bad_request".into(), true));
    }
}

#[test]
fn a_peer_who_is_not_among_the_served_is_told_so() {
    let mut stage = Stage::serving(vec![]);
    let mut client = stage.client();
    client.send("{\"v\":1,\"command\":\"stop\"}\n");
    assert_eq!(stage.settle(), []);
    assert_eq!(client.refusal(), ("denied".into(), true));
}

#[test]
fn a_client_that_asks_nothing_for_ten_seconds_is_let_go() {
    let mut stage = Stage::new();
    let (mut silent, mut half) = (stage.client(), stage.client());
    stage.settle();
    assert_eq!(stage.control.next_deadline().map(|end| end.since(stage.now).as_secs()), Some(10));
    for _ in 0..9 {
        stage.pass(1.0);
        half.send("{"); // a drop now and then is no request
        stage.settle();
    }
    assert!(!silent.hear().ended && !half.hear().ended);
    stage.pass(1.1);
    stage.settle();
    assert!(silent.hear().ended && half.hear().ended);
    assert_eq!(stage.control.next_deadline(), None);
}

#[test]
fn a_request_that_lies_there_is_not_late_when_the_master_is() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    stage.settle();
    client.ask("status");
    stage.pass(60.0);
    assert_eq!(stage.settle().len(), 1);
    assert_eq!(client.hear().lines.len(), 1);
}

#[test]
fn a_slow_reader_gets_all_and_one_that_does_not_read_is_let_go() {
    let mut stage = Stage::new();
    let (mut slow, mut deaf) = (stage.client(), stage.client());
    let long = Ok::<_, Refusal>(json!({"text": "x".repeat(LONGEST_ANSWER - 100)}));
    slow.ask("workers");
    deaf.ask("workers");
    for asked in stage.settle_unanswered() {
        stage.control.answer(asked.ticket, &long, stage.now);
    }
    stage.settle();
    let mut bytes = 0;
    let mut piece = vec![0; 100_000];
    while bytes < LONGEST_ANSWER - 1000 {
        stage.pass(1.0);
        bytes += std::io::Read::read(&mut slow.0, &mut piece).expect("something is there");
        stage.settle();
    }
    assert!(!slow.hear().ended);
    stage.pass(3.0);
    stage.settle();
    let mut rest = Vec::new();
    let end = std::io::Read::read_to_end(&mut deaf.0, &mut rest);
    assert!(end.is_ok() && rest.len() < LONGEST_ANSWER - 1000, "it ends in the middle: {end:?}");
}

#[test]
fn an_answer_that_is_too_long_becomes_a_refusal() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    client.ask("workers");
    let [asked] = stage.settle_unanswered().try_into().expect("one request");
    let long = Ok::<_, Refusal>("x".repeat(LONGEST_ANSWER));
    stage.control.answer(asked.ticket, &long, stage.now);
    assert_eq!(client.refusal(), ("failed".into(), false));
}
