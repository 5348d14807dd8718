//! Who is connected, and whose request is held: for the moment when the loop is stuck and somebody else has to answer.

use std::array::from_fn;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::{HeaderMap, StatusCode};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use socket2::Socket;

use crate::http::{Entry, Flow, Stream, has_input, raw_refusal};

/// How many are remembered; a sync worker runs one.
const PLACES: usize = 8;

/// What a client is told whose request took too long.
pub(super) const TIMED_OUT: &str = "the request took too long";
/// What a client is told whose request did not get its turn before the worker had to go.
pub(super) const NEVER_BEGUN: &str = "the server was busy for too long; nothing was done";

/// A place per held request, and every open connection. Locks are held for a few instructions by the loop, and only tried
/// by the watch thread.
pub(super) struct HeldSockets {
    held: [Mutex<Option<Held>>; PLACES],
    open: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    last: u64,
    by_number: BTreeMap<u64, (Weak<Stream>, Weak<Flow>)>,
}

/// A connection that is known until this is dropped.
pub(super) struct Known {
    sockets: Arc<HeldSockets>,
    number: u64,
}

struct Held {
    stream: Arc<Stream>,
    flow: Arc<Flow>,
    entry: Option<Arc<Entry>>,
    runs: bool,
}

/// A request's place; empty again when dropped.
pub(super) struct HeldSocket {
    sockets: Arc<HeldSockets>,
    place: Option<usize>,
}

impl HeldSockets {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { held: from_fn(|_| Mutex::new(None)), open: Mutex::default() })
    }

    /// Remembers a connection.
    pub(super) fn know(self: &Arc<Self>, stream: &Arc<Stream>, flow: &Arc<Flow>) -> Known {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.last += 1;
        let number = open.last;
        open.by_number.insert(number, (Arc::downgrade(stream), Arc::downgrade(flow)));
        Known { sockets: Arc::clone(self), number }
    }

    pub(super) fn enter(
        self: &Arc<Self>,
        stream: &Arc<Stream>,
        flow: &Arc<Flow>,
        entry: Option<Arc<Entry>>,
    ) -> HeldSocket {
        let mut held = Some(Held { stream: Arc::clone(stream), flow: Arc::clone(flow), entry, runs: false });
        let place = self.held.iter().position(|place| match place.try_lock() {
            Ok(mut place) if place.is_none() => {
                *place = held.take();
                true
            }
            _ => false,
        });
        HeldSocket { sockets: Arc::clone(self), place }
    }

    /// Answers every request that has no byte of an answer yet: 504 to what runs, 503 to what waits, in the worker or unread.
    /// `taken` are connections that nobody may have looked at yet. Called by the watch thread when the loop is stuck, so
    /// nobody else reads or writes. Gives the number of those that were unread.
    pub(super) fn answer_all(&self, taken: &[Socket]) -> usize {
        for place in &self.held {
            let Ok(held) = place.try_lock() else { continue };
            let Some(Held { stream, flow, entry, runs }) = &*held else { continue };
            if flow.is_write_blocked() {
                continue; // an earlier answer is not out yet
            }
            let (status, why) = match runs {
                true => (StatusCode::GATEWAY_TIMEOUT, TIMED_OUT),
                false => (StatusCode::SERVICE_UNAVAILABLE, NEVER_BEGUN),
            };
            let answer = raw_refusal(status, why);
            finish(&**stream, &answer);
            if let Some(entry) = entry {
                let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                entry.answered(status, &HeaderMap::new()).sent(body.len());
            }
        }
        let mut unread = taken.iter().filter(|stream| answer_unread(stream)).count();
        let Ok(open) = self.open.try_lock() else { return unread };
        for (stream, flow) in open.by_number.values() {
            let (Some(stream), Some(flow)) = (stream.upgrade(), flow.upgrade()) else { continue };
            unread += usize::from(flow.is_at_rest() && answer_unread(&*stream));
        }
        unread
    }
}

/// Answers 503 to what nobody has read, if there is something.
fn answer_unread(stream: impl AsFd + Copy) -> bool {
    if !has_input(stream) {
        return false;
    }
    discard(stream);
    finish(stream, &raw_refusal(StatusCode::SERVICE_UNAVAILABLE, NEVER_BEGUN));
    true
}

fn finish(stream: impl AsFd + Copy, answer: &str) {
    let _ = send(stream, answer.as_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    let _ = shutdown(stream, Shutdown::Write);
}

/// Reads what is there, a megabyte at most: unread bytes would turn the close into a reset, which overtakes the answer.
fn discard(stream: impl AsFd + Copy) {
    let mut bytes = [0; 4096];
    for _ in 0..256 {
        match recv(stream, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((1.., _)) => {}
            _ => return,
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.sockets.open.lock().unwrap_or_else(PoisonError::into_inner).by_number.remove(&self.number);
    }
}

impl HeldSocket {
    /// Its turn has come.
    pub(super) fn runs(&mut self) {
        self.change(|held| {
            if let Some(held) = held {
                held.runs = true;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Option<Held>)) {
        if let Some(place) = self.place.and_then(|index| self.sockets.held.get(index)) {
            change(&mut place.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for HeldSocket {
    fn drop(&mut self) {
        self.change(|held| *held = None);
    }
}
