//! What every worker is doing right now, in memory that all processes share.
//!
//! A cell belongs to a slot; its worker alone writes it, without a lock or a system call. Everybody may read it at any
//! time, also after its writer has died, and believes nothing that cannot be true. Counters belong to the slot and are
//! never reset, so no sum of them ever goes back.

mod cell;
mod last_words;
mod text;

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ids::{SLOTS, Slot};
use crate::sys::mapping::{share, shareable};

pub(crate) use cell::{Cell, Tenant};
pub(crate) use last_words::{LastWords, Span};

shareable! {
    /// The whole board.
    #[repr(C, align(4096))]
    struct Board {
        /// Set by the master once it is stopping: what a worker is told to drain then, nobody else will take.
        stopping: AtomicU32,
        /// By slot, set by the master before it sends SIGTERM. The signal alone does not tell who sent it: one that
        /// comes while another is pending is lost, and with it its sender (signal(7), standard signals do not queue).
        drains: [AtomicU32; SLOTS as usize],
        cells: [Cell; SLOTS as usize],
    }
}

/// A handle to the board; copies name the same memory.
#[derive(Clone, Copy)]
pub(crate) struct Scoreboard(&'static Board);

impl Scoreboard {
    /// Makes a board that all children share.
    ///
    /// # Errors
    /// Where the kernel refuses the memory.
    pub(crate) fn new() -> io::Result<Self> {
        share("prefork-scoreboard").map(Self)
    }

    pub(crate) fn cell(self, slot: Slot) -> &'static Cell {
        &self.0.cells[index(slot)]
    }

    /// Makes a slot fit for its next worker.
    pub(crate) fn vacate(self, slot: Slot) {
        self.0.drains[index(slot)].store(0, Ordering::Release);
        self.cell(slot).vacate();
    }

    /// What makes a SIGTERM an order of the master's.
    pub(crate) fn order_drain(self, slot: Slot) {
        self.0.drains[index(slot)].store(1, Ordering::Release);
    }

    /// Whether the master wants the slot's worker to drain.
    pub(crate) fn is_to_drain(self, slot: Slot) -> bool {
        self.0.drains[index(slot)].load(Ordering::Acquire) != 0
    }

    pub(crate) fn announce_stop(self) {
        self.0.stopping.store(1, Ordering::Release);
    }

    pub(crate) fn is_stopping(self) -> bool {
        self.0.stopping.load(Ordering::Acquire) != 0
    }
}

/// Slots come from the arbiter, which gives out no other.
fn index(slot: Slot) -> usize {
    usize::from(slot.0 % SLOTS)
}
