//! One slot's cell, its writer and its readers.

#[cfg(test)]
use std::array::from_fn;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering, fence};

use serde::{Deserialize, Serialize};

use crate::ids::{Generation, Moment, Pid};
use crate::sys;
use crate::sys::mapping::shareable;

use super::text::Text;

/// How many requests a cell can show at once. A sync worker runs one; more may wait for its turn.
pub(crate) const HELD: usize = 8;
/// How many finished ones it remembers.
const FINISHED: usize = 16;
/// Latency classes: the class of a request is the bit length of its microseconds, so class 20 is about a second.
const CLASSES: usize = 32;

const FREE: u32 = 0;
const WAITING: u32 = 1;
const RUNNING: u32 = 2;

shareable! {
    /// A slot's part of the board.
    #[repr(C, align(64))]
    pub(crate) struct Cell {
        pid: AtomicI32,
        generation: AtomicU32,
        /// Nanoseconds of the monotonic clock.
        beat: AtomicU64,
        /// When the request that holds the turn began; 0 when none does.
        turn: AtomicU64,
        requests: AtomicU64,
        errors: AtomicU64,
        connections: AtomicU64,
        /// How many of these are closed again.
        closed: AtomicU64,
        latency: [AtomicU64; CLASSES],
        held: [Record; HELD],
        finished: [Record; FINISHED],
        next_finished: AtomicU32,
    }

    /// A request in a cell.
    #[repr(C)]
    struct Record {
        /// Odd while the record is being written.
        sequence: AtomicU32,
        /// `FREE`, `WAITING` or `RUNNING`; of a finished one, its status.
        state: AtomicU32,
        since: AtomicU64,
        took: AtomicU64,
        id: AtomicU64,
        method: Text<2>,
        path: Text<24>,
    }
}

/// What a slot's tenants have counted, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Connections that are open now.
    pub(crate) open: u64,
}

/// A request, as read from a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecordView {
    pub(crate) state: u32,
    pub(crate) since: Moment,
    /// Nanoseconds; 0 while it is held.
    pub(crate) took: u64,
    pub(crate) id: u64,
    pub(crate) method: String,
    pub(crate) path: String,
}

impl RecordView {
    pub(crate) fn is_running(&self) -> bool {
        self.state == RUNNING
    }
}

impl Record {
    fn write(&self, change: impl FnOnce(&Self)) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence | 1, Ordering::Relaxed);
        fence(Ordering::Release);
        change(self);
        self.sequence.store((sequence | 1).wrapping_add(1), Ordering::Release);
    }

    /// Three tries to read it whole, then as it is: its writer may have died in the middle of it.
    fn read(&self) -> RecordView {
        let mut tries = 0;
        loop {
            tries += 1;
            let before = self.sequence.load(Ordering::Acquire);
            let view = RecordView {
                state: self.state.load(Ordering::Relaxed),
                since: Moment::from_nanos(self.since.load(Ordering::Relaxed)),
                took: self.took.load(Ordering::Relaxed),
                id: self.id.load(Ordering::Relaxed),
                method: self.method.read(),
                path: self.path.read(),
            };
            fence(Ordering::Acquire);
            let after = self.sequence.load(Ordering::Relaxed);
            if tries == 3 || (before == after && before.is_multiple_of(2)) {
                return view;
            }
        }
    }
}

impl Cell {
    /// The generation of its last worker.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Relaxed))
    }

    /// When its worker last said that it lives.
    pub(crate) fn beat(&self) -> Moment {
        Moment::from_nanos(self.beat.load(Ordering::Relaxed))
    }

    /// Since when a request holds the turn.
    pub(crate) fn turn(&self) -> Option<Moment> {
        Some(self.turn.load(Ordering::Relaxed)).filter(|began| *began != 0).map(Moment::from_nanos)
    }

    /// The requests that it holds, the oldest first.
    pub(crate) fn held(&self) -> Vec<RecordView> {
        let mut held: Vec<_> = self.held.iter().map(Record::read).filter(|view| view.state != FREE).collect();
        held.sort_by_key(|view| view.since);
        held
    }

    /// The last finished ones, the latest first.
    pub(crate) fn finished(&self) -> Vec<RecordView> {
        let mut finished: Vec<_> =
            self.finished.iter().map(Record::read).filter(|v| v.state != FREE).collect();
        finished.sort_by_key(|view| std::cmp::Reverse(view.since));
        finished
    }

    /// Forgets what the last tenant held and finished. For the master, while there is no tenant: the next one may end before
    /// it could move in, and these must not become its last words.
    pub(super) fn vacate(&self) {
        self.turn.store(0, Ordering::Relaxed);
        self.closed.store(self.connections.load(Ordering::Relaxed), Ordering::Relaxed);
        for record in self.held.iter().chain(&self.finished) {
            record.write(|record| record.state.store(FREE, Ordering::Relaxed));
        }
    }

    /// What its tenants have counted.
    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let open = read(&self.connections).saturating_sub(read(&self.closed));
        Counts { requests: self.requests(), errors: read(&self.errors), open }
    }

    /// How many requests the slot's tenants have answered, ever.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// The writing end of a cell: there is one, in the worker.
pub(crate) struct Tenant {
    cell: &'static Cell,
}

/// A request's place in its worker's cell, free again when dropped.
pub(crate) struct HeldRequest {
    cell: &'static Cell,
    /// `None` when every place was taken: it is counted, but not shown.
    index: Option<usize>,
    began: Moment,
    runs: bool,
    /// Whether the cell says that it holds the turn.
    watched: bool,
    /// What it was answered. A handler that panics says nothing, and its client gets 500.
    status: u16,
}

impl Tenant {
    /// Takes a vacated cell over; counters go on.
    pub(crate) fn move_in(cell: &'static Cell, pid: Pid, generation: Generation) -> Self {
        cell.pid.store(pid.0, Ordering::Relaxed);
        cell.generation.store(generation.0, Ordering::Relaxed);
        let tenant = Self { cell };
        tenant.beat();
        tenant
    }

    /// Says that the worker lives.
    pub(crate) fn beat(&self) {
        self.cell.beat.store(sys::now().as_nanos(), Ordering::Relaxed);
    }

    /// Counts an accepted connection.
    pub(crate) fn connected(&self) {
        count(&self.cell.connections, 1);
    }

    /// Counts one that is closed.
    pub(crate) fn disconnected(&self) {
        count(&self.cell.closed, 1);
    }

    /// Shows a request that waits for its turn.
    pub(crate) fn hold(&self, method: &str, path: &str, id: u64) -> HeldRequest {
        let began = sys::now();
        let free = |record: &Record| record.state.load(Ordering::Relaxed) == FREE;
        let index = self.cell.held.iter().position(free);
        if let Some(record) = index.and_then(|index| self.cell.held.get(index)) {
            record.write(|record| {
                record.state.store(WAITING, Ordering::Relaxed);
                record.since.store(began.as_nanos(), Ordering::Relaxed);
                record.took.store(0, Ordering::Relaxed);
                record.id.store(id, Ordering::Relaxed);
                record.method.write(method);
                record.path.write(path);
            });
        }
        HeldRequest { cell: self.cell, index, began, runs: false, watched: false, status: 500 }
    }
}

impl HeldRequest {
    fn record(&self) -> Option<&Record> {
        self.index.and_then(|index| self.cell.held.get(index))
    }

    /// Its turn has come. With `watched`, the master's timeout counts from now on.
    pub(crate) fn runs(&mut self, watched: bool) {
        self.began = sys::now();
        let nanos = self.began.as_nanos();
        self.runs = true;
        self.watched = watched;
        if watched {
            self.cell.turn.store(nanos, Ordering::Relaxed);
        }
        if let Some(record) = self.record() {
            record.write(|record| {
                record.state.store(RUNNING, Ordering::Relaxed);
                record.since.store(nanos, Ordering::Relaxed);
            });
        }
    }

    /// Its handler is done: the turn is free, and the request counted.
    pub(crate) fn finished(mut self, status: u16) {
        self.status = status;
    }

    fn count(&self) {
        let took = sys::now().since(self.began).as_nanos() as u64;
        count(&self.cell.requests, 1);
        count(&self.cell.errors, u64::from(self.status >= 500));
        let class = (u64::BITS - (took / 1_000).leading_zeros()) as usize;
        if let Some(class) = self.cell.latency.get(class.min(CLASSES - 1)) {
            count(class, 1);
        }
        let Some(held) = self.record() else { return };
        let next = self.cell.next_finished.load(Ordering::Relaxed);
        self.cell.next_finished.store(next.wrapping_add(1), Ordering::Relaxed);
        let Some(place) = self.cell.finished.get(next as usize % FINISHED) else { return };
        place.write(|record| {
            record.state.store(u32::from(self.status), Ordering::Relaxed);
            record.since.store(held.since.load(Ordering::Relaxed), Ordering::Relaxed);
            record.took.store(took, Ordering::Relaxed);
            record.id.store(held.id.load(Ordering::Relaxed), Ordering::Relaxed);
            record.method.copy_from(&held.method);
            record.path.copy_from(&held.path);
        });
    }
}

impl Drop for HeldRequest {
    fn drop(&mut self) {
        if self.runs {
            self.count();
        }
        if self.watched {
            self.cell.turn.store(0, Ordering::Relaxed);
        }
        if let Some(record) = self.record() {
            record.write(|record| record.state.store(FREE, Ordering::Relaxed));
        }
    }
}

/// Only the worker writes its counters, so no read-modify-write is needed.
fn count(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

#[cfg(test)]
impl Default for Record {
    fn default() -> Self {
        Self {
            sequence: AtomicU32::new(0),
            state: AtomicU32::new(FREE),
            since: AtomicU64::new(0),
            took: AtomicU64::new(0),
            id: AtomicU64::new(0),
            method: Text::default(),
            path: Text::default(),
        }
    }
}

#[cfg(test)]
impl Cell {
    /// A cell for tests, which lives as long as they do.
    pub(crate) fn for_test() -> &'static Self {
        Box::leak(Box::new(Self {
            pid: AtomicI32::new(0),
            generation: AtomicU32::new(0),
            beat: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            latency: from_fn(|_| AtomicU64::new(0)),
            held: from_fn(|_| Record::default()),
            finished: from_fn(|_| Record::default()),
            next_finished: AtomicU32::new(0),
        }))
    }
}
