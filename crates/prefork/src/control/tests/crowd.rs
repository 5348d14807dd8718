//! Many clients.

use rustix::io::Errno;

use super::super::Command;
use super::stage::{Client, Stage};

#[test]
fn stalled_clients_cannot_keep_an_operator_out() {
    let mut stage = Stage::new();
    let mut stalled: Vec<Client> = Vec::new();
    for say in ["", "{", "[1,2,3]\n"] {
        for _ in 0..20 {
            let mut client = stage.client();
            client.send(say.repeat(1000));
            stalled.push(client);
            stage.settle();
        }
    }
    let mut operator = stage.client();
    operator.ask("status");
    assert_eq!(stage.settle().len(), 1);
    assert_eq!(operator.hear().lines.len(), 1);
    let left = stalled.iter_mut().map(|client| client.hear().ended).filter(|ended| !ended).count();
    assert_eq!(left, 31, "32 have a place, and the operator has one of them");
}

#[test]
fn who_had_to_go_for_another_is_told_so() {
    let mut stage = Stage::new();
    let mut first = stage.client();
    stage.settle();
    stage.pass(1.0);
    let others: Vec<Client> = (0..32).map(|_| stage.client()).collect();
    stage.settle();
    assert_eq!(first.refusal(), ("busy".into(), true));
    drop(others);
    stage.settle();
    assert_eq!(stage.control.next_deadline(), None, "nobody is left");
}

#[test]
fn a_client_whose_command_runs_keeps_its_place_before_those_that_are_silent() {
    let mut stage = Stage::new();
    let mut operator = stage.client();
    operator.ask("reload");
    let [reload] = stage.settle_unanswered().try_into().expect("one request");
    stage.pass(1.0);
    let _silent: Vec<Client> = (0..60).map(|_| stage.client()).collect();
    stage.settle();
    stage.control.answer(reload.ticket, &Ok(super::stage::echo(&Command::Reload)), stage.now);
    assert_eq!(operator.hear().lines.len(), 1);
}

#[test]
fn even_running_commands_cannot_keep_an_operator_out() {
    let mut stage = Stage::new();
    let mut waiting: Vec<Client> = (0..32).map(|_| stage.client()).collect();
    for client in &mut waiting {
        client.ask("reload");
        stage.settle_unanswered();
        stage.pass(0.1);
    }
    let mut operator = stage.client();
    operator.ask("stop");
    let asked = stage.settle_unanswered();
    assert_eq!(
        asked.iter().map(|asked| asked.command.clone()).collect::<Vec<_>>(),
        [Command::Stop { quick: false }]
    );
    assert_eq!(waiting[0].refusal(), ("busy".into(), true), "the one that waits longest has to go");
}

#[test]
fn a_call_does_a_bounded_amount_of_work() {
    let mut stage = Stage::new();
    let mut clients: Vec<Client> = (0..40).map(|_| stage.client()).collect();
    for client in &mut clients {
        client.send("\n".repeat(10_000));
    }
    stage.control.hear(stage.now);
    let answers: usize = clients.iter_mut().map(|client| client.hear().lines.len()).sum();
    assert!(answers <= 40 * 4, "{answers} answers in one call");
    assert!(stage.would_wake(), "more is to do");
}

#[test]
fn accepting_rests_when_the_kernel_has_no_descriptors() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    client.ask("status");
    stage.control.rest(Errno::MFILE, stage.now);
    assert_eq!(stage.control.sources().count(), 0, "poll would tell of the client without end");
    let end = stage.control.next_deadline().expect("it tries again");
    assert!(end > stage.now);
    assert_eq!(stage.settle(), []);
    stage.now = end;
    assert_eq!(stage.settle().len(), 1);
}
