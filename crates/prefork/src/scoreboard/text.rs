//! Short texts as atomics: any reader at any time, one writer, no lock.

#[cfg(test)]
use std::array::from_fn;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::mapping::shareable;

shareable! {
    /// Up to `8 * WORDS` bytes of text, ended by a zero byte where it is shorter. A longer text is cut.
    ///
    /// Each word is written and read whole; a text that changes meanwhile can come out mixed. Whoever must not see that
    /// guards it by a sequence number (see `cell.rs`).
    #[repr(C)]
    pub(crate) struct Text<const WORDS: usize> {
        words: [AtomicU64; WORDS],
    }
}

impl<const WORDS: usize> Text<WORDS> {
    pub(super) fn write(&self, text: &str) {
        let mut rest = text.as_bytes();
        for word in &self.words {
            let (now, later) = rest.split_at(rest.len().min(8));
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(now).for_each(|(place, byte)| *place = *byte);
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
            if now.len() < 8 {
                return; // the zero that ends the text is written
            }
            rest = later;
        }
    }

    pub(super) fn read(&self) -> String {
        let words = self.words.iter().map(|word| word.load(Ordering::Relaxed));
        let bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).take_while(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn copy_from(&self, other: &Self) {
        for (to, from) in self.words.iter().zip(&other.words) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
impl<const WORDS: usize> Default for Text<WORDS> {
    fn default() -> Self {
        Self { words: from_fn(|_| AtomicU64::new(0)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read_up_to_the_cut(texts in prop::collection::vec("[ -~]{0,40}", 1..4)) {
            let text: Text<3> = Text::default();
            for written in &texts {
                text.write(written);
                prop_assert_eq!(text.read(), &written[..written.len().min(24)]);
            }
        }
    }
}
