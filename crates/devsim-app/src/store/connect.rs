//! How connections are set up.

use std::path::Path;
use std::time::Duration;

use log::LevelFilter;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};

/// Longer than any write of ours takes, several of them in a queue included.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection to a database that is there already.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        // With a write-ahead log a commit survives the process's death; a power cut may take back the last.
        .synchronous(SqliteSynchronous::Normal)
        .pragma("temp_store", "MEMORY")
        // A log file that takes what is of use for finding faults is not to be full of statements.
        .log_statements(LevelFilter::Trace)
}
