//! Count of what could not be written.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many lines were dropped, and whether the last one was cut short: for this process only. A forked child
/// has a copy of its parent's memory, but the parent reports the parent's losses; so the process that a count
/// belongs to is kept in the same word, and what belongs to another process counts as nothing.
///
/// The word: process id (32 bits), cut short (1 bit), lines dropped (31 bits).
#[derive(Debug, Default)]
pub(crate) struct Loss(AtomicU64);

const CUT: u64 = 1 << 31;
const COUNT: u64 = CUT - 1;

impl Loss {
    /// Notes dropped lines.
    pub(crate) fn add(&self, lines: u32) {
        self.update(|word| (word & CUT) | ((word & COUNT) + u64::from(lines)).min(COUNT));
    }

    /// Notes that the output ends in the middle of a line.
    pub(crate) fn set_cut(&self) {
        self.update(|word| word | CUT);
    }

    /// The lines dropped, which are forgotten: the caller reports them, or adds them again.
    pub(crate) fn take_count(&self) -> u32 {
        // COUNT has 31 bits.
        (self.update(|word| word & CUT) & COUNT) as u32
    }

    /// Whether the output ends in the middle of a line, which is forgotten: the caller ends it.
    pub(crate) fn take_cut(&self) -> bool {
        self.update(|word| word & COUNT) & CUT != 0
    }

    /// Changes the 32 bits of this process and returns the old ones. Relaxed: the word stands for itself.
    fn update(&self, change: impl Fn(u64) -> u64) -> u64 {
        let pid = u64::from(std::process::id()) << 32;
        let own = |word: u64| if word & !(CUT | COUNT) == pid { word & (CUT | COUNT) } else { 0 };
        let mut old = self.0.load(Ordering::Relaxed);
        loop {
            let new = pid | change(own(old));
            match self.0.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return own(old),
                Err(current) => old = current,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_and_cut_are_taken_once_and_apart() {
        let loss = Loss::default();
        loss.add(2);
        loss.set_cut();
        loss.add(1);
        assert_eq!((loss.take_count(), loss.take_count()), (3, 0));
        assert_eq!((loss.take_cut(), loss.take_cut()), (true, false));
        loss.add(u32::MAX);
        loss.add(u32::MAX);
        assert_eq!((loss.take_count(), loss.take_cut()), (u32::MAX >> 1, false));
    }

    #[test]
    fn a_forked_child_begins_without_losses() {
        let parents = (u64::from(std::process::id()) + 1) << 32 | CUT | 5;
        let loss = Loss(AtomicU64::new(parents));
        assert!(!loss.take_cut());
        let loss = Loss(AtomicU64::new(parents));
        loss.add(1);
        assert_eq!(loss.take_count(), 1);
    }
}
