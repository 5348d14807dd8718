//! Each rule, over random histories; then all of them, over a hundred thousand.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::arbiter::event::{Event, ExitStatus, Signal};
use crate::arbiter::{Arbiter, Policy};
use crate::arbiter::{action::Action, action::Report};
use crate::ids::{Generation, Moment, Slot};

use super::world::{Op, Rule, World, longest_stop, op, policy};

/// Plays a history, then a calm, then a stop; the rules that were broken.
fn play(policy: Policy, history: &[Op], stop: Signal) -> Vec<(Rule, String)> {
    let mut world = World::new(policy);
    for op in history {
        world.befall(op);
        if world.exit.is_some() {
            return world.broken;
        }
    }
    world.calm();
    let longest_timeout = Duration::from_secs(30);
    world.run(longest_timeout * 3 + Duration::from_secs(30));
    if world.exit.is_some() {
        return world.broken;
    }
    world.expect_whole();
    let (begun, bound) = (world.now, longest_stop(world.arbiter.policy()));
    world.befall(&Op::Signal(stop));
    world.run(bound * 2);
    match world.exit {
        Some((0, at)) if at.since(begun) <= bound => {}
        other => {
            world.broken.push((Rule::Ends, format!("after {stop:?}: {other:?}, wanted 0 within {bound:?}")))
        }
    }
    world.broken
}

/// Looks for a history that breaks `rule` (any, if `None`), and shows the shortest that it finds.
fn search(cases: u32, seed: u8, rule: Option<Rule>) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let stops = prop::sample::select(vec![Signal::Term, Signal::Int, Signal::Quit]);
    let found = runner.run(&(policy(), vec(op(), 0..24), stops), |(policy, history, stop)| {
        let broken = play(policy, &history, stop);
        match broken.into_iter().find(|(broken, _)| rule.is_none_or(|rule| rule == *broken)) {
            Some((rule, what)) => Err(TestCaseError::fail(format!("{rule:?}: {what}"))),
            None => Ok(()),
        }
    });
    match found {
        Ok(()) => {}
        Err(TestError::Fail(why, (policy, history, stop))) => {
            let told: Vec<String> = history.iter().map(|op| format!("  {op:?}")).collect();
            panic!("{why}\nunder {policy:?}\nby\n{}\nthen a calm, then {stop:?}", told.join("\n"));
        }
        Err(other) => panic!("{other}"),
    }
}

macro_rules! rules {
    ($($name:ident: $rule:ident,)*) => {$(
        #[test]
        fn $name() {
            search(1_000, 1, Some(Rule::$rule));
        }
    )*};
}

rules! {
    the_pool_returns_to_its_target_size: Whole,
    surge_and_boot_concurrency_bound_the_pool: Bounded,
    nobody_is_retired_before_the_replacement_is_ready: ReadyFirst,
    a_kill_comes_only_after_the_grace: Grace,
    failing_boots_back_off_and_deaths_do_not_spin: Boot,
    hups_coalesce: OneReload,
    a_stop_always_ends: Ends,
    nobody_is_aborted_for_nothing: Just,
}

/// Two halves, so that two cores share them.
#[test]
fn a_hundred_thousand_lives_first_half() {
    search(50_000, 2, None);
}

#[test]
fn a_hundred_thousand_lives_second_half() {
    search(50_000, 3, None);
}

fn five() -> Policy {
    Policy {
        workers: 5,
        surge: 1,
        boot_concurrency: 2,
        timeout: Some(Duration::from_secs(60)),
        boot_timeout: Duration::from_secs(60),
        graceful_timeout: Duration::from_secs(30),
    }
}

fn reports(actions: &[Action]) -> Vec<Report> {
    let report = |action: &Action| match action {
        Action::Report(report) => Some(report.clone()),
        _ => None,
    };
    actions.iter().filter_map(report).collect()
}

#[test]
fn the_first_start_ends_with_the_code_of_what_failed() {
    for (status, code) in [
        (ExitStatus::Code(4), 4),
        (ExitStatus::Code(3), 3),
        (ExitStatus::Code(0), 3),
        (ExitStatus::Signal(11), 3),
    ] {
        let now = Moment::from_origin(Duration::from_secs(1));
        let (mut arbiter, _) = Arbiter::start(five(), now);
        arbiter.handle(Event::HelperExited(ExitStatus::Code(0)), now);
        arbiter.handle(Event::Exited { slot: Slot(0), status }, now);
        let last = arbiter.handle(Event::Exited { slot: Slot(1), status: ExitStatus::Code(0) }, now);
        assert_eq!(last.last(), Some(&Action::Exit(code)), "{status}");
    }
}

#[test]
fn a_worker_that_is_killed_while_it_boots_is_replaced_at_once() {
    let now = Moment::from_origin(Duration::from_secs(1));
    let (mut arbiter, _) = Arbiter::start(five(), now);
    arbiter.handle(Event::HelperExited(ExitStatus::Code(0)), now);
    let actions = arbiter.handle(Event::Exited { slot: Slot(0), status: ExitStatus::Signal(9) }, now);
    assert!(actions.contains(&Action::Spawn { slot: Slot(0), generation: Generation(1) }), "{actions:?}");
}

#[test]
fn hups_during_a_reload_make_one_more() {
    let now = Moment::from_origin(Duration::from_secs(1));
    let (mut arbiter, _) = Arbiter::start(five(), now);
    arbiter.handle(Event::HelperExited(ExitStatus::Code(0)), now);
    arbiter.handle(Event::Ready(Slot(0)), now);
    let first = arbiter.handle(Event::Signal(Signal::Hup), now);
    assert!(first.contains(&Action::ReadSettings { candidate: Generation(2) }), "{first:?}");
    for _ in 0..50 {
        let more = arbiter.handle(Event::Signal(Signal::Hup), now);
        assert!(!more.iter().any(|action| matches!(action, Action::ReadSettings { .. })), "{more:?}");
    }
    let refused = arbiter.handle(Event::SettingsRefused, now);
    assert!(refused.contains(&Action::ReadSettings { candidate: Generation(2) }), "the waiting one follows");
    let again = arbiter.handle(Event::SettingsRefused, now);
    assert!(!again.iter().any(|action| matches!(action, Action::ReadSettings { .. })), "and no other");
    assert_eq!(reports(&again).len(), 1);
}
