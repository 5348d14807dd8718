//! A worker's way from serving to leaving, as all its parts follow it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// Where a worker is. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// It takes nothing new, and leaves when the last connection is closed.
    Draining,
    /// The same, and nobody else will take what waits to be accepted.
    Stopping,
    /// As draining, and what holds the turn is answered 504.
    Aborting,
    /// The end: what waits for the turn is told that it will not get it.
    Cut,
}

/// The reading end.
#[derive(Clone, Debug)]
pub(super) struct Life(watch::Receiver<Phase>);

/// The writing end, held by the watch thread.
pub(super) struct LifeControl {
    phase: watch::Sender<Phase>,
    /// Whether the loop was seen to run after an abort.
    pub(super) loop_answers: Arc<AtomicBool>,
}

impl Life {
    pub(super) fn new() -> (Self, LifeControl) {
        let (phase, life) = watch::channel(Phase::Serving);
        (Self(life), LifeControl { phase, loop_answers: Arc::default() })
    }

    /// Whether every further answer closes its connection.
    pub(super) fn is_leaving(&self) -> bool {
        *self.0.borrow() > Phase::Serving
    }

    /// Whether the whole pool ends.
    pub(super) fn is_stopping(&self) -> bool {
        *self.0.borrow() == Phase::Stopping
    }

    /// Waits until the worker takes nothing new.
    pub(super) async fn leaving(&self) {
        self.reaches(Phase::Draining).await;
    }

    /// Waits for an abort.
    pub(super) async fn aborting(&self) {
        self.reaches(Phase::Aborting).await;
    }

    /// Waits until nothing more may begin.
    pub(super) async fn cut(&self) {
        self.reaches(Phase::Cut).await;
    }

    /// Waits for an abort that begins after this call: what gets its turn later still runs.
    pub(super) async fn aborted_from_now(&self) {
        let phase = if *self.0.borrow() >= Phase::Aborting { Phase::Cut } else { Phase::Aborting };
        self.reaches(phase).await;
    }

    async fn reaches(&self, phase: Phase) {
        let mut life = self.0.clone();
        if life.wait_for(|now| *now >= phase).await.is_err() {
            // The watch thread is gone without a word, which it never is while the process lives.
            std::future::pending::<()>().await;
        }
    }
}

impl LifeControl {
    /// Moves on to `phase`; says whether that was a step.
    pub(super) fn advance(&self, phase: Phase) -> bool {
        self.phase.send_if_modified(|now| {
            let step = phase > *now;
            *now = phase.max(*now);
            step
        })
    }
}

/// Tells the application when its worker begins to drain.
#[derive(Clone, Debug)]
pub struct Draining(Life);

impl Draining {
    pub(super) fn new(life: Life) -> Self {
        Self(life)
    }

    /// Whether it drains already.
    pub fn has_begun(&self) -> bool {
        self.0.is_leaving()
    }

    /// Waits until it does.
    pub async fn begun(&self) {
        self.0.leaving().await;
    }
}

/// Counts what has to end before the worker may leave.
#[derive(Clone, Default)]
pub(super) struct Open(Arc<OpenCount>);

#[derive(Default)]
struct OpenCount {
    count: AtomicUsize,
    changed: Notify,
}

/// One connection, request or listener that has to end first.
pub(super) struct OpenGuard(Open);

impl Open {
    pub(super) fn guard(&self) -> OpenGuard {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        OpenGuard(self.clone())
    }

    /// Waits until none is left.
    pub(super) async fn none(&self) {
        while self.0.count.load(Ordering::Relaxed) > 0 {
            self.0.changed.notified().await;
        }
    }
}

impl Clone for OpenGuard {
    fn clone(&self) -> Self {
        self.0.guard()
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.0.changed.notify_one();
    }
}
