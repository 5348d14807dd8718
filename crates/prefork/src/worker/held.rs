//! The sockets of the requests that a worker holds, for the moment when its loop is stuck.

use std::array::from_fn;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use tokio::net::TcpStream;

use crate::http::{Flow, raw_refusal};

/// How many are remembered; a sync worker runs one.
const PLACES: usize = 8;

/// What a client is told whose request took too long.
pub(crate) const TIMED_OUT: &str = "the request took too long";
/// What a client is told whose request did not get its turn before the worker had to go.
pub(crate) const NEVER_BEGUN: &str = "the server was busy for too long; nothing was done";

/// One place per held request. Locks are held for a few instructions by the loop, and only tried by the watch thread.
pub(crate) struct HeldSockets([Mutex<Option<Held>>; PLACES]);

struct Held {
    stream: Arc<TcpStream>,
    flow: Arc<Flow>,
    runs: bool,
}

/// A request's place; empty again when dropped.
pub(crate) struct HeldSocket {
    sockets: Arc<HeldSockets>,
    place: Option<usize>,
}

impl HeldSockets {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(from_fn(|_| Mutex::new(None))))
    }

    pub(crate) fn enter(self: &Arc<Self>, stream: &Arc<TcpStream>, flow: &Arc<Flow>) -> HeldSocket {
        let mut held = Some(Held { stream: Arc::clone(stream), flow: Arc::clone(flow), runs: false });
        let place = self.0.iter().position(|place| match place.try_lock() {
            Ok(mut place) if place.is_none() => {
                *place = held.take();
                true
            }
            _ => false,
        });
        HeldSocket { sockets: Arc::clone(self), place }
    }

    /// Answers every held request that has no byte of an answer yet: 504 to what runs, 503 to what waits. Called by the
    /// watch thread when the loop is stuck, so nobody else writes.
    pub(super) fn answer_all(&self) {
        for place in &self.0 {
            let Ok(held) = place.try_lock() else { continue };
            let Some(Held { stream, flow, runs }) = &*held else { continue };
            if flow.is_write_blocked() {
                continue; // an earlier answer is not out yet
            }
            let answer = match runs {
                true => raw_refusal(StatusCode::GATEWAY_TIMEOUT, TIMED_OUT),
                false => raw_refusal(StatusCode::SERVICE_UNAVAILABLE, NEVER_BEGUN),
            };
            let _ = send(stream, answer.as_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            let _ = shutdown(stream, Shutdown::Write);
        }
    }
}

impl HeldSocket {
    /// Its turn has come.
    pub(crate) fn runs(&mut self) {
        self.change(|held| {
            if let Some(held) = held {
                held.runs = true;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Option<Held>)) {
        if let Some(place) = self.place.and_then(|index| self.sockets.0.get(index)) {
            change(&mut place.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        }
    }
}

impl Drop for HeldSocket {
    fn drop(&mut self) {
        self.change(|held| *held = None);
    }
}
