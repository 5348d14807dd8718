//! What every worker is doing right now, in memory that all processes share.
//!
//! A cell belongs to a slot; its worker alone writes it, without a lock or a system call. Everybody may read it at any
//! time, also after its writer has died, and believes nothing that cannot be true. Counters belong to the slot and are
//! never reset, so no sum of them ever goes back.

mod cell;
mod last_words;
mod text;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::{fmt, io};

use crate::ids::{Moment, SLOTS, Slot};
use crate::sys::mapping::{attach, share, shareable};

pub(crate) use cell::{Cell, Counts, RecordView, Tenant};
pub(crate) use last_words::{LastWords, Span};

shareable! {
    /// The whole board.
    #[repr(C, align(4096))]
    struct Board {
        orders: OrderBoard,
        cells: [Cell; SLOTS as usize],
    }

    /// What the master tells its workers. It comes first and keeps its layout, so that a new program can stop the workers of
    /// an old one whose cells it cannot read.
    #[repr(C, align(4096))]
    struct OrderBoard {
        /// Set by the master once a stop was announced.
        leaving: AtomicU32,
        /// By slot, the end of the drain that the master wants, in nanoseconds of the monotonic clock; 0 while it wants none.
        /// Written before it sends SIGTERM. The signal alone does not tell who sent it: one that comes while another is pending
        /// is lost, and with it its sender (signal(7), standard signals do not queue).
        drains: [AtomicU64; SLOTS as usize],
        /// By slot, which of its worker's listeners are left to it: bit n is the n-th. Nobody else will take what waits there.
        left: [AtomicU64; SLOTS as usize],
    }
}

/// What tells one layout of the cells from another: a number that changes with their meaning, and their size.
pub(crate) const LAYOUT: u64 = 1 << 32 | size_of::<Cell>() as u64;

/// A handle to the board; copies name the same memory.
#[derive(Clone, Copy)]
pub(crate) struct Scoreboard(&'static Board);

/// A handle to the part of a board that every version knows.
#[derive(Clone, Copy)]
pub(crate) struct Orders(&'static OrderBoard);

impl fmt::Debug for Scoreboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scoreboard")
    }
}

impl Scoreboard {
    /// Makes a board that all children share; the file is for a program that takes over.
    ///
    /// # Errors
    /// Where the kernel refuses the memory.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        share("prefork-scoreboard").map(|(board, file)| (Self(board), file))
    }

    /// The board of the program before this one, if its cells are laid out as ours.
    ///
    /// # Errors
    /// It is none, or the kernel refuses it.
    pub(crate) fn of_another(file: &OwnedFd) -> io::Result<Self> {
        attach(file).map(Self)
    }

    pub(crate) fn orders(self) -> Orders {
        Orders(&self.0.orders)
    }

    pub(crate) fn cell(self, slot: Slot) -> &'static Cell {
        at(&self.0.cells, slot)
    }

    /// Makes a slot fit for its next worker.
    pub(crate) fn vacate(self, slot: Slot) {
        self.orders().take_back(slot);
        self.cell(slot).vacate();
    }
}

impl Orders {
    /// Those on the board of another program, whatever its cells are.
    ///
    /// # Errors
    /// It is none, or the kernel refuses it.
    pub(crate) fn of_another(file: &OwnedFd) -> io::Result<Self> {
        attach(file).map(Self)
    }

    fn take_back(self, slot: Slot) {
        at(&self.0.drains, slot).store(0, Ordering::Release);
        at(&self.0.left, slot).store(0, Ordering::Release);
    }

    /// What makes a SIGTERM an order of the master's. `left` are the listeners that the worker has to empty, as bits.
    pub(crate) fn order_drain(self, slot: Slot, until: Moment, left: u64) {
        at(&self.0.left, slot).store(left, Ordering::Release);
        at(&self.0.drains, slot).store(until.as_nanos().max(1), Ordering::Release);
    }

    /// When the drain that the master wants of the slot's worker has to be over, if it wants one.
    pub(crate) fn drain_until(self, slot: Slot) -> Option<Moment> {
        let nanos = at(&self.0.drains, slot).load(Ordering::Acquire);
        Some(nanos).filter(|nanos| *nanos != 0).map(Moment::from_nanos)
    }

    /// These listeners are left to the slot's worker, whatever it is at.
    pub(crate) fn leave_to(self, slot: Slot, left: u64) {
        at(&self.0.left, slot).fetch_or(left, Ordering::Release);
    }

    /// Which of its listeners are left to the slot's worker.
    pub(crate) fn left(self, slot: Slot) -> u64 {
        at(&self.0.left, slot).load(Ordering::Acquire)
    }

    /// The server will stop soon.
    pub(crate) fn announce_leave(self) {
        self.0.leaving.store(1, Ordering::Release);
    }

    /// Whether a stop was announced.
    pub(crate) fn is_leaving(self) -> bool {
        self.0.leaving.load(Ordering::Acquire) != 0
    }
}

/// A slot's place. Slots come from the arbiter, which gives out none beyond the last.
fn at<T>(places: &[T; SLOTS as usize], slot: Slot) -> &T {
    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    &places[usize::from(slot.0 % SLOTS)]
}
