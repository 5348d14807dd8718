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
    /// As draining, and what holds the turn is answered 504.
    Aborting,
    /// The end: what waits for the turn is told that it will not get it.
    Cut,
}

/// What the parts of a worker have to know.
#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    /// Whether the whole pool ends, so that nobody else takes what waits to be accepted. A fact beside the phase, as an
    /// abort may come before the stop or after it.
    stopping: bool,
}

/// The reading end.
#[derive(Clone, Debug)]
pub(super) struct Life(watch::Receiver<State>);

/// The writing end, held by the watch thread.
pub(super) struct LifeControl {
    state: watch::Sender<State>,
    /// Whether the loop was seen to run after an abort.
    pub(super) loop_answers: Arc<AtomicBool>,
}

impl Life {
    pub(super) fn new() -> (Self, LifeControl) {
        let (state, life) = watch::channel(State { phase: Phase::Serving, stopping: false });
        (Self(life), LifeControl { state, loop_answers: Arc::default() })
    }

    /// Whether every further answer closes its connection.
    pub(super) fn is_leaving(&self) -> bool {
        self.0.borrow().phase > Phase::Serving
    }

    /// Whether it was aborted, or its grace is over.
    pub(super) fn is_aborting(&self) -> bool {
        self.0.borrow().phase >= Phase::Aborting
    }

    /// Whether nothing more may begin.
    pub(super) fn is_cut(&self) -> bool {
        self.0.borrow().phase >= Phase::Cut
    }

    /// Whether the whole pool ends.
    pub(super) fn is_stopping(&self) -> bool {
        self.0.borrow().stopping
    }

    /// Waits until the whole pool ends.
    pub(super) async fn stopping(&self) {
        self.until(|state| state.stopping).await;
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
        let phase = if self.is_aborting() { Phase::Cut } else { Phase::Aborting };
        self.reaches(phase).await;
    }

    async fn reaches(&self, phase: Phase) {
        self.until(|state| state.phase >= phase).await;
    }

    async fn until(&self, condition: impl FnMut(&State) -> bool) {
        let mut life = self.0.clone();
        if life.wait_for(condition).await.is_err() {
            // The watch thread is gone without a word, which it never is while the process lives.
            std::future::pending::<()>().await;
        }
    }
}

impl LifeControl {
    /// Moves on to `phase`; says whether that was a step.
    pub(super) fn advance(&self, phase: Phase) -> bool {
        self.change(|now| now.phase = phase.max(now.phase))
    }

    /// The whole pool ends: drains if that is a step on; says whether it was.
    pub(super) fn stop(&self) -> bool {
        self.change(|now| *now = State { phase: now.phase.max(Phase::Draining), stopping: true })
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> bool {
        let mut step = false;
        self.state.send_modify(|now| {
            let before = now.phase;
            change(now);
            step = now.phase > before;
        });
        step
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_one_whether_the_abort_comes_before_it_or_after() {
        let (life, control) = Life::new();
        assert!(control.advance(Phase::Aborting));
        assert!(!life.is_stopping());
        assert!(!control.stop(), "no step back");
        assert!(life.is_stopping() && life.is_aborting());

        let (life, control) = Life::new();
        assert!(control.stop());
        assert!(life.is_leaving() && !life.is_aborting());
        assert!(control.advance(Phase::Aborting));
        assert!(life.is_stopping() && life.is_aborting());
    }
}
