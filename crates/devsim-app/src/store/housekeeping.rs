//! Keeping the file and its log small.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _};

use super::connect;

/// Bytes written or freed between two rounds of [`tidy`].
const TIDY_AFTER: i64 = 1024 * 1024;

/// Waiting longer would hold up those who serve: a later try is as good.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a busy database is left alone, and how often it is tried again before the next write does.
const PAUSE: Duration = Duration::from_secs(1);
const TRIES: u32 = 30;

/// Pages given back at once: 32 MiB, a tenth of a second of writing.
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
        if self.0.churn.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) >= TIDY_AFTER {
            tokio::spawn(Arc::clone(&self.0).tidy_up());
        }
    }
}

impl Shared {
    /// Rounds until less was written since the last one than makes one worth while. What somebody else's round is at is
    /// left to it.
    async fn tidy_up(self: Arc<Self>) {
        let Ok(_turn) = self.one_at_a_time.try_lock() else { return };
        let mut tries = 0;
        while tries < TRIES && self.churn.load(Ordering::Relaxed) >= TIDY_AFTER {
            let churn = self.churn.swap(0, Ordering::Relaxed);
            match tidy(&self.path, PATIENCE).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "the database could not be tidied"),
            }
            self.churn.fetch_add(churn, Ordering::Relaxed);
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Gives free pages back and empties the log; says whether it could do all of it. On a connection of its own, since its
/// patience with other writers differs; with readers it has none.
pub(super) async fn tidy(path: &Path, patience: Duration) -> Result<bool, sqlx::Error> {
    let mut connection = connect::options(path).busy_timeout(patience).connect().await?;
    let mut free = free_pages(&mut connection).await?;
    while free > 0 {
        sqlx::query(VACUUM).execute(&mut connection).await?;
        let left = free_pages(&mut connection).await?;
        if left >= free {
            break; // others free as fast, or the file was made by somebody who wanted no vacuum
        }
        free = left;
    }
    // It holds the writers' lock while it waits for readers, so it must not wait.
    sqlx::query("PRAGMA busy_timeout = 0").execute(&mut connection).await?;
    // Its first column says whether readers or writers kept it from the end of the log.
    let busy: i64 = sqlx::query_scalar(CHECKPOINT).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(busy == 0)
}

async fn free_pages(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA freelist_count").fetch_one(connection).await
}
