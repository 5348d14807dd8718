//! Why the application cannot start.

use crate::StoreError;

/// Why [`prepare`](crate::prepare) or [`build`](crate::build) failed; its text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}
