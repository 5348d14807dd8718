//! How large requests may be.

/// How large request bodies may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of a request body, `MAX_CONTENT_LENGTH`; the whole body counts, not only the file in it.
    pub(crate) max_content_length: u64,
}

impl Limits {
    /// A table saved as JSON is 2.4 to 4.3 times the CSV that it came from, so the save route takes more.
    const SAVE_FACTOR: u64 = 6;

    /// The limit of a saved table.
    pub(crate) fn save(self) -> u64 {
        self.max_content_length.saturating_mul(Self::SAVE_FACTOR)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_content_length: 10 * 1024 * 1024 }
    }
}
