//! Where a connection is between its requests: what its time limits depend on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::ids::Moment;
use crate::settings::{Timeouts, limit};
use crate::sys;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Its first byte.
    Fresh { since: Moment },
    /// The rest of a request's head.
    Head { since: Moment },
    /// A request's body, its turn, or its answer: the clocks of these run elsewhere.
    Busy,
    /// The next request.
    Idle { since: Moment },
}

/// A time limit that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nothing has begun: the connection is closed without a word.
    Idle,
    /// A request's head is incomplete: 408.
    Head,
    /// The client does not read.
    Write,
}

/// The state that a connection's parts share: its wire, its requests and their answers. All of them run on one thread,
/// so the lock is never waited for.
pub(crate) struct Flow {
    state: Mutex<State>,
    /// The client has not been read to the end: its rest has to be read before the close, lest a reset overtake the answer.
    unread: AtomicBool,
    settled: AtomicBool,
    settling: Notify,
}

struct State {
    stage: Stage,
    write_blocked: Option<Blocked>,
}

/// An answer that the kernel takes no more of.
struct Blocked {
    /// When it last moved.
    since: Moment,
    /// How much of it was unacknowledged then, if that is known.
    unacknowledged: Option<u32>,
}

impl Flow {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State { stage: Stage::Fresh { since: sys::now() }, write_blocked: None }),
            unread: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            settling: Notify::new(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        // A panic in between leaves nothing half done: each change is one assignment.
        change(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// Bytes have come.
    pub(super) fn received(&self) {
        self.change(|state| {
            if let Stage::Fresh { .. } | Stage::Idle { .. } = state.stage {
                state.stage = Stage::Head { since: sys::now() };
            }
        });
    }

    /// A request's head is whole.
    pub(crate) fn begins(&self) {
        self.change(|state| state.stage = Stage::Busy);
    }

    /// The last byte of an answer was handed over.
    pub(super) fn answered(&self) {
        self.change(|state| state.stage = Stage::Idle { since: sys::now() });
    }

    /// The client takes no more bytes for now.
    pub(super) fn write_blocked(&self) {
        self.change(|state| {
            state.write_blocked.get_or_insert_with(|| Blocked { since: sys::now(), unacknowledged: None });
        });
    }

    /// How much of what was sent the client has not acknowledged yet. A socket takes more only when a good part of its
    /// buffer is free, which can be long after a slow client has read something: less than before is progress too.
    pub(super) fn sample(&self, unacknowledged: u32) {
        self.change(|state| {
            let Some(blocked) = &mut state.write_blocked else { return };
            // The limit runs from the first look, as only the second one can tell whether anything moved.
            if blocked.unacknowledged.is_none_or(|before| unacknowledged < before) {
                blocked.since = sys::now();
            }
            blocked.unacknowledged = Some(unacknowledged);
        });
    }

    /// Bytes have gone.
    pub(super) fn written(&self) {
        self.change(|state| {
            if state.write_blocked.take().is_some()
                && let Stage::Idle { since } = &mut state.stage
            {
                *since = sys::now(); // the answer was still on its way
            }
        });
    }

    /// Whether an earlier answer still waits to be sent.
    pub(crate) fn is_write_blocked(&self) -> bool {
        self.state.try_lock().is_ok_and(|state| state.write_blocked.is_some())
    }

    /// Whether the client waits for nothing that this worker knows of: whatever bytes are there were not read. Never waits
    /// for the lock.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.state.try_lock().is_ok_and(|state| {
            state.write_blocked.is_none() && matches!(state.stage, Stage::Fresh { .. } | Stage::Idle { .. })
        })
    }

    pub(crate) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// What was accepted with this connection has reached its turn, or waits for the client.
    pub(crate) fn settle(&self) {
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.settling.notify_one();
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// Waits for [`Self::settle`].
    pub(crate) async fn settled(&self) {
        if !self.settled.load(Ordering::Relaxed) {
            self.settling.notified().await;
        }
    }

    /// The limit that has passed, or how long the next one is away. While draining, a connection on which nothing ever
    /// came waits no longer than an idle one.
    pub(super) fn check(&self, timeouts: &Timeouts, draining: bool) -> Result<Duration, Overdue> {
        const FAR: Duration = Duration::from_secs(3600);
        let now = sys::now();
        let mut answer = Ok(FAR);
        self.change(|state| {
            let fresh = if draining { timeouts.keepalive } else { timeouts.header_timeout };
            let (since, allowed, overdue) = match (&state.write_blocked, state.stage) {
                (Some(blocked), _) => (blocked.since, timeouts.write_timeout, Overdue::Write),
                (None, Stage::Busy) => return,
                (None, Stage::Fresh { since }) => (since, fresh, Overdue::Idle),
                (None, Stage::Head { since }) => (since, timeouts.header_timeout, Overdue::Head),
                (None, Stage::Idle { since }) => (since, timeouts.keepalive, Overdue::Idle),
            };
            if let Some(allowed) = limit(allowed) {
                let left = allowed.saturating_sub(now.since(since));
                answer = if left.is_zero() { Err(overdue) } else { Ok(left) };
            }
        });
        answer
    }
}
