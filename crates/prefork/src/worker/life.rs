//! A worker's way from serving to leaving, as all its parts follow it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

use crate::scoreboard::Scoreboard;

use super::accept::Left;

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
    /// The listeners that are left to this worker. A fact beside the phase, as an abort may come before the stop or after it.
    left: Left,
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
        let (state, life) = watch::channel(State { phase: Phase::Serving, left: Left::default() });
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

    /// Which listeners this worker has to empty before it leaves.
    pub(super) fn left(&self) -> Left {
        self.0.borrow().left
    }

    /// Waits until there is one.
    pub(super) async fn left_something(&self) {
        self.until(|state| !state.left.is_none()).await;
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

    /// Drains, if that is a step on; says whether it was. These listeners are left to this worker.
    pub(super) fn drain(&self, left: Left) -> bool {
        self.change(|now| {
            *now = State { phase: now.phase.max(Phase::Draining), left: Left(now.left.0 | left.0) }
        })
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

/// Tells the application when its worker begins to drain, and when the server is about to stop.
#[derive(Clone, Debug)]
pub struct Draining {
    life: Life,
    board: Scoreboard,
}

impl Draining {
    pub(super) fn new(life: Life, board: Scoreboard) -> Self {
        Self { life, board }
    }

    /// Whether the whole server is about to stop, or stops. Readiness should say so, so that whoever balances the load looks
    /// elsewhere. A worker that drains because another takes its place says nothing of the server.
    pub fn is_for_the_server(&self) -> bool {
        self.board.orders().is_leaving()
    }

    /// Whether it drains already.
    pub fn has_begun(&self) -> bool {
        self.life.is_leaving()
    }

    /// Waits until it does.
    pub async fn begun(&self) {
        self.life.leaving().await;
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
        assert!(life.left().is_none());
        assert!(!control.drain(Left(1)), "no step back");
        assert!(life.left() == Left(1) && life.is_aborting());

        let (life, control) = Life::new();
        assert!(control.drain(Left(1)));
        assert!(life.is_leaving() && !life.is_aborting());
        assert!(control.advance(Phase::Aborting));
        assert!(life.left() == Left(1) && life.is_aborting());
    }
}
