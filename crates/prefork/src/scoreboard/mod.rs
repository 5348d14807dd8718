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
        // Slots come from the arbiter, which gives out no other.
        &self.0.cells[usize::from(slot.0 % SLOTS)]
    }

    pub(crate) fn announce_stop(self) {
        self.0.stopping.store(1, Ordering::Release);
    }

    pub(crate) fn is_stopping(self) -> bool {
        self.0.stopping.load(Ordering::Acquire) != 0
    }
}
