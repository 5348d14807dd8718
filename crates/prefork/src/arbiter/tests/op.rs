//! What may befall the machine, and under which policy.

use std::time::Duration;

use proptest::prelude::*;

use crate::arbiter::event::{Signal, Wish};
use crate::arbiter::{Limits, OnCrashLoop, Policy, UpgradeWay};

/// Something that befalls the machine. `who` picks a process by its place among the living.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Wait {
        ms: u64,
    },
    /// Nothing runs for a while: suspend, or a paused virtual machine.
    Sleep {
        ms: u64,
    },
    Signal(Signal),
    Kill {
        who: usize,
    },
    Crash {
        who: usize,
        code: i32,
    },
    /// The loop is blocked: no heartbeat, and no order but an abort is heard.
    Block {
        who: usize,
    },
    /// Hears nothing, not even an abort.
    Stop {
        who: usize,
    },
    HoldTurn {
        who: usize,
    },
    ReleaseTurn {
        who: usize,
    },
    Wish {
        who: usize,
        wish: Wish,
    },
    /// A drain takes as long as it may from now on.
    BusyConnections(bool),
    Boot(Boot),
    Prepare(Boot),
    /// What becomes of the next upgrade.
    Program(Program),
    /// The second master ends.
    SuccessorEnds,
    HooksHang(bool),
    Scale {
        to: u16,
    },
    /// The arbiter is written and read again.
    Written,
    ForkFails {
        times: u32,
    },
    /// What the settings say from now on; nothing if they are broken.
    File(Option<Policy>),
}

/// What becomes of a new program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Program {
    /// Of its check, or of a second master that runs it.
    pub(super) check: Boot,
    /// It is no server, and says that all is well.
    pub(super) is_another: bool,
    /// It cannot be executed, or no second master forked.
    pub(super) exec_fails: bool,
    /// Nor can the one before it.
    pub(super) way_back_fails: bool,
}

impl Program {
    pub(super) const GOOD: Self =
        Self { check: Boot::Takes { ms: 20 }, is_another: false, exec_fails: false, way_back_fails: false };
}

/// What becomes of the next boots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Boot {
    Takes {
        ms: u64,
    },
    Exits {
        code: i32,
    },
    /// Ready at once, and dead soon after.
    Flickers,
    Faults,
    Hangs,
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let who = 0..6usize;
    let boot = || {
        prop_oneof![
            4 => (1..400u64).prop_map(|ms| Boot::Takes { ms }),
            1 => (400..9_000u64).prop_map(|ms| Boot::Takes { ms }),
            1 => prop::sample::select(vec![1, 3, 4]).prop_map(|code| Boot::Exits { code }),
            1 => Just(Boot::Flickers),
            1 => Just(Boot::Faults),
            1 => Just(Boot::Hangs),
        ]
    };
    let mut signals = vec![Signal::Hup; 6];
    signals.extend([Signal::Ttin, Signal::Ttin, Signal::Ttou, Signal::Ttou, Signal::Winch]);
    signals.extend([Signal::Usr2; 3]);
    let seldom = || prop::bool::weighted(0.2);
    let program = (boot(), seldom(), seldom(), seldom());
    prop_oneof![
        8 => (0..3_000u64).prop_map(|ms| Op::Wait { ms }),
        1 => (1_000..40_000u64).prop_map(|ms| Op::Wait { ms }),
        1 => (1_000..90_000u64).prop_map(|ms| Op::Sleep { ms }),
        6 => prop::sample::select(signals).prop_map(Op::Signal),
        3 => who.clone().prop_map(|who| Op::Kill { who }),
        2 => (who.clone(), 0..5i32).prop_map(|(who, code)| Op::Crash { who, code }),
        1 => who.clone().prop_map(|who| Op::Block { who }),
        1 => who.clone().prop_map(|who| Op::Stop { who }),
        1 => who.clone().prop_map(|who| Op::HoldTurn { who }),
        1 => who.clone().prop_map(|who| Op::ReleaseTurn { who }),
        2 => (who, prop::sample::select(vec![Wish::MaxRequests, Wish::ForeignTerm, Wish::Restart]))
            .prop_map(|(who, wish)| Op::Wish { who, wish }),
        1 => any::<bool>().prop_map(Op::BusyConnections),
        2 => boot().prop_map(Op::Boot),
        1 => boot().prop_map(Op::Prepare),
        1 => program.prop_map(|(check, is_another, exec_fails, way_back_fails)| {
            Op::Program(Program { check, is_another, exec_fails, way_back_fails })
        }),
        1 => Just(Op::SuccessorEnds),
        1 => any::<bool>().prop_map(Op::HooksHang),
        1 => (0..8u16).prop_map(|to| Op::Scale { to }),
        1 => Just(Op::Written),
        1 => (1..4u32).prop_map(|times| Op::ForkFails { times }),
        2 => prop::option::weighted(0.7, policy()).prop_map(Op::File),
    ]
}

pub(super) fn policy() -> impl Strategy<Value = Policy> {
    let upgrade = prop::sample::select(vec![UpgradeWay::Fork, UpgradeWay::Exec]);
    let crash_loop = prop_oneof![4 => Just(OnCrashLoop::Wait), 1 => Just(OnCrashLoop::Exit)];
    let numbers = (1..6u16, 1..3u16, 1..4u16, 1..6u16, prop::option::of(1..6u32));
    (numbers, 0..4u64, upgrade, crash_loop, limits()).prop_map(
        |(numbers, drain_delay, upgrade, on_crash_loop, limits)| {
            let (workers, surge, boot_concurrency, max_draining, boot_failures_max) = numbers;
            let drain_delay = Duration::from_secs(drain_delay);
            Policy {
                workers,
                surge,
                max_draining,
                boot_concurrency,
                boot_failures_max,
                on_crash_loop,
                drain_delay,
                upgrade,
                limits,
            }
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    // Also such that a worker of one generation beats far more seldom than another's timeout.
    let timeout =
        prop_oneof![1 => Just(Duration::from_millis(800)), 5 => (1..30u64).prop_map(Duration::from_secs)];
    (prop::option::weighted(0.9, timeout), 1..8u64, 0..6u64).prop_map(|(timeout, boot, grace)| Limits {
        timeout,
        boot_timeout: Duration::from_secs(boot),
        graceful_timeout: Duration::from_secs(grace),
    })
}
