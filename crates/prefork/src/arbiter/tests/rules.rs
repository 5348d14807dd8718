//! Each rule, over random histories; then all of them, over a hundred thousand.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::arbiter::event::{Event, ExitStatus, Signal};
use crate::arbiter::{Arbiter, Limits, OnCrashLoop, Policy, UpgradeRefusal, UpgradeWay};
use crate::arbiter::{action::Action, action::Cause, action::Report};
use crate::ids::{Generation, Moment, Slot};

use super::op::{Op, op, policy};
use super::referee::Rule;
use super::world::World;

/// How a history ends.
#[derive(Clone, Debug)]
struct End {
    /// Whether the machine heals and has time to, first; else the stop meets whatever state there is.
    calm: bool,
    /// The signals that stop it, each so many milliseconds after the one before it.
    stops: Vec<(u64, Signal)>,
}

fn end() -> impl Strategy<Value = End> {
    let stop = prop::sample::select(vec![Signal::Term, Signal::Int, Signal::Quit]);
    let pause = prop_oneof![1 => Just(0), 1 => 0..5_000u64];
    (prop::bool::weighted(0.7), vec((pause, stop), 1..3)).prop_map(|(calm, stops)| End { calm, stops })
}

/// Plays a history to its end; the rules that were broken.
fn play(policy: Policy, history: &[Op], end: &End) -> Vec<(Rule, String)> {
    let mut world = World::new(policy);
    for op in history {
        world.befall(op);
        if world.exit.is_some() {
            return world.broken;
        }
    }
    if end.calm {
        world.calm();
        let longest_timeout = Duration::from_secs(30);
        world.run(longest_timeout * 3 + Duration::from_secs(30));
        if world.exit.is_some() {
            return world.broken;
        }
        world.expect_whole();
    }
    let quick = end.stops.iter().any(|(_, stop)| *stop != Signal::Term);
    let delay = world.arbiter.policy.drain_delay;
    let waits: Duration = end.stops.iter().map(|(ms, _)| Duration::from_millis(*ms)).sum();
    let (begun, bound) = (world.now, world.longest_stop(quick) + delay + waits);
    for (ms, stop) in &end.stops {
        world.befall(&Op::Wait { ms: *ms });
        if world.exit.is_none() {
            world.befall(&Op::Signal(*stop));
        }
    }
    world.run(bound * 2);
    match world.exit {
        // A start that had failed already keeps its own code, and so does a crash loop that ended it all.
        Some((code, at)) if at.since(begun) <= bound && (code == 0 || !world.ever_ready || world.gave_up) => {
        }
        other => {
            world.broken.push((Rule::Ends, format!("after {end:?}: {other:?}, wanted 0 within {bound:?}")))
        }
    }
    world.broken
}

/// Looks for a history that breaks `rule` (any, if `None`), and shows the shortest that it finds.
fn search(cases: u32, seed: u8, rule: Option<Rule>) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let found = runner.run(&(policy(), vec(op(), 0..24), end()), |(policy, history, end)| {
        let broken = play(policy, &history, &end);
        match broken.into_iter().find(|(broken, _)| rule.is_none_or(|rule| rule == *broken)) {
            Some((rule, what)) => Err(TestCaseError::fail(format!("{rule:?}: {what}"))),
            None => Ok(()),
        }
    });
    match found {
        Ok(()) => {}
        Err(TestError::Fail(why, (policy, history, end))) => {
            let told: Vec<String> = history.iter().map(|op| format!("  {op:?}")).collect();
            panic!("{why}\nunder {policy:?}\nby\n{}\nthen {end:?}", told.join("\n"));
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
    the_arbiter_survives_an_exec: Survives,
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
        max_draining: 5,
        boot_concurrency: 2,
        boot_failures_max: Some(10),
        on_crash_loop: OnCrashLoop::Wait,
        drain_delay: Duration::ZERO,
        upgrade: UpgradeWay::Fork,
        limits: Limits {
            timeout: Some(Duration::from_secs(60)),
            boot_timeout: Duration::from_secs(60),
            graceful_timeout: Duration::from_secs(30),
        },
    }
}

/// The five, of which the first boot.
fn booting(now: Moment) -> Arbiter {
    let (mut arbiter, _) = Arbiter::start(five(), now);
    arbiter.handle(Event::HooksEnded, now);
    arbiter.handle(Event::HelperExited(ExitStatus::Code(0)), now);
    arbiter
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
        let mut arbiter = booting(now);
        arbiter.handle(Event::Exited { slot: Slot(0), status }, now);
        arbiter.handle(Event::Exited { slot: Slot(1), status: ExitStatus::Code(0) }, now);
        let last = arbiter.handle(Event::HooksEnded, now);
        assert_eq!(last.last(), Some(&Action::Exit(code)), "{status:?}");
    }
}

#[test]
fn a_worker_that_is_killed_while_it_boots_is_replaced_at_once() {
    let now = Moment::from_origin(Duration::from_secs(1));
    let mut arbiter = booting(now);
    let actions = arbiter.handle(Event::Exited { slot: Slot(0), status: ExitStatus::Signal(9) }, now);
    assert!(actions.contains(&Action::Spawn { slot: Slot(0), generation: Generation(1) }), "{actions:?}");
}

#[test]
fn hups_during_a_reload_make_one_more() {
    let now = Moment::from_origin(Duration::from_secs(1));
    let mut arbiter = booting(now);
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

#[test]
fn a_boot_that_takes_too_long_later_on_backs_off() {
    let mut now = Moment::from_origin(Duration::from_secs(1));
    let mut arbiter = booting(now);
    arbiter.handle(Event::Ready(Slot(0)), now);
    let mut told = Vec::new();
    for _ in 0..five().limits.boot_timeout.as_secs() {
        now = now + Duration::from_secs(1);
        told = arbiter.handle(Event::Tick, now);
    }
    let backed_off = reports(&told).into_iter().filter(|report| matches!(report, Report::BootBackOff { .. }));
    assert_eq!(backed_off.count(), 2, "two booted at once: {told:?}");
}

#[test]
fn a_second_master_begins_no_upgrade_before_the_first_one_has_gone() {
    let now = Moment::from_origin(Duration::from_secs(1));
    let (mut arbiter, _) = Arbiter::start(five(), now);
    arbiter.stand_beside_another();
    arbiter.handle(Event::HooksEnded, now);
    arbiter.handle(Event::HelperExited(ExitStatus::Code(0)), now);
    arbiter.handle(Event::Ready(Slot(0)), now);
    let refused = arbiter.handle(Event::Signal(Signal::Usr2), now);
    assert_eq!(reports(&refused), [Report::UpgradeRefused(UpgradeRefusal::Unfinished)]);
    arbiter.handle(Event::PredecessorGone, now);
    let begun = arbiter.handle(Event::Signal(Signal::Usr2), now);
    assert!(begun.contains(&Action::StartSuccessor), "{begun:?}");
}

#[test]
fn a_second_term_skips_the_delay() {
    let now = Moment::from_origin(Duration::from_secs(1));
    let (mut arbiter, _) = Arbiter::start(Policy { drain_delay: Duration::from_secs(10), ..five() }, now);
    arbiter.handle(Event::HooksEnded, now);
    arbiter.handle(Event::HelperExited(ExitStatus::Code(0)), now);
    arbiter.handle(Event::Ready(Slot(0)), now);
    let announced = arbiter.handle(Event::Signal(Signal::Term), now);
    assert!(announced.contains(&Action::AnnounceStop) && !announced.contains(&Action::CloseListeners));
    assert!(!arbiter.heeds(Signal::Hup) && arbiter.heeds(Signal::Term));
    let begun = arbiter.handle(Event::Signal(Signal::Term), now);
    assert!(begun.contains(&Action::CloseListeners), "{begun:?}");
}

#[test]
fn in_a_crash_loop_a_reload_is_tried_at_once() {
    let mut now = Moment::from_origin(Duration::from_secs(1));
    let policy = Policy { workers: 1, boot_failures_max: Some(2), ..five() };
    let (mut arbiter, _) = Arbiter::start(policy.clone(), now);
    arbiter.handle(Event::HooksEnded, now);
    arbiter.handle(Event::HelperExited(ExitStatus::Code(0)), now);
    arbiter.handle(Event::Ready(Slot(0)), now);
    arbiter.handle(Event::Exited { slot: Slot(0), status: ExitStatus::Signal(9) }, now);
    arbiter.handle(Event::Exited { slot: Slot(0), status: ExitStatus::Code(4) }, now);
    now = now + Duration::from_secs(1);
    arbiter.handle(Event::Tick, now);
    let looping = arbiter.handle(Event::Exited { slot: Slot(0), status: ExitStatus::Code(4) }, now);
    assert!(
        matches!(reports(&looping)[..], [Report::Dead(_), Report::CrashLoop { failures: 2, .. }]),
        "{looping:?}"
    );
    arbiter.handle(Event::Signal(Signal::Hup), now);
    arbiter.handle(Event::SettingsAccepted(policy), now);
    let tried = arbiter.handle(Event::HelperExited(ExitStatus::Code(0)), now);
    assert!(tried.contains(&Action::Spawn { slot: Slot(0), generation: Generation(2) }), "{tried:?}");
    let over = arbiter.handle(Event::Ready(Slot(0)), now);
    assert!(reports(&over).contains(&Report::CrashLoopOver), "{over:?}");
}

#[test]
fn a_request_that_blocks_has_all_of_its_timeout_whenever_the_last_beat_was() {
    let begun = Moment::from_origin(Duration::from_secs(1));
    let mut arbiter = booting(begun);
    arbiter.handle(Event::Ready(Slot(0)), begun);
    let timeout = five().limits.timeout.expect("one is set");
    // The loop has beaten for the last time, and blocks from just before its next beat on.
    let turn = begun + arbiter.tick().saturating_sub(Duration::from_millis(1));
    let mut now = begun;
    let mut look = |until: Moment| {
        let mut told = Vec::new();
        while now < until {
            now = until.min(now + Duration::from_millis(100));
            arbiter.handle(Event::Tick, now);
            told.extend(arbiter.handle(Event::Beat { slot: Slot(0), beat: begun, turn: Some(turn) }, now));
        }
        reports(&told)
    };
    assert_eq!(look(turn + timeout), []);
    let late = timeout + Duration::from_millis(1);
    assert_eq!(look(turn + late), [Report::GivenUp(Slot(0), Cause::Turn(late))]);
}
