//! Keeping the file and its log small.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _};

use super::connect;

/// Bytes written or freed between two rounds of [`tidy`].
const TIDY_AFTER: i64 = 1024 * 1024;

/// Waiting longer would hold up those who serve: the next round is as good.
const PATIENCE: Duration = Duration::from_millis(250);

/// Pages given back in a round: 32 MiB, a tenth of a second of writing.
const VACUUM: &str = "PRAGMA incremental_vacuum(8192)";

/// Without it the log grows as long as anybody reads: to 910 MB in a trial, with it to 43.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Counts what tables were written and deleted, and tidies up behind them.
#[derive(Debug, Clone)]
pub(super) struct Housekeeping(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    churn: AtomicI64,
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl Housekeeping {
    pub(super) fn new(path: &Path) -> Self {
        Self(Arc::new(Shared {
            path: path.to_owned(),
            churn: AtomicI64::new(0),
            one_at_a_time: tokio::sync::Mutex::new(()),
        }))
    }

    /// To be told after a commit how many bytes of tables it wrote or freed. Tidies in a task of its own, so
    /// that nobody's answer waits and nobody's leaving cuts it short.
    pub(super) fn churned(&self, bytes: i64) {
        if self.0.churn.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) < TIDY_AFTER {
            return;
        }
        self.0.churn.store(0, Ordering::Relaxed);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let Ok(_turn) = shared.one_at_a_time.try_lock() else { return };
            if let Err(error) = tidy(&shared.path).await {
                tracing::debug!(%error, "the database was too busy to be tidied");
            }
        });
    }
}

/// Gives free pages back and empties the log. On a connection of its own, since its patience differs.
async fn tidy(path: &Path) -> Result<(), sqlx::Error> {
    let mut connection = connect::options(path).busy_timeout(PATIENCE).connect().await?;
    sqlx::query(VACUUM).execute(&mut connection).await?;
    sqlx::query(CHECKPOINT).execute(&mut connection).await?;
    connection.close().await
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A round at once.
    pub(in crate::store) async fn tidy_now(path: &Path) {
        tidy(path).await.unwrap();
    }
}
