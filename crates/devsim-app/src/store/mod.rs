//! The database: the only module that knows SQL.
//!
//! Rules that keep several processes on one SQLite file from ever answering `database is locked`: one
//! connection a process, a busy timeout of 15 s, every transaction that writes is `BEGIN IMMEDIATE`, bodies
//! are parsed before it, and no read holds a snapshot for longer than one page of results.

mod connect;
mod datasets;
mod devices;
mod error;
mod housekeeping;
mod migrate;
mod random;
#[cfg(test)]
mod tests;
mod url;

pub(crate) use datasets::{BlockCursor, BlockPage};
pub(crate) use devices::DeviceFilter;
pub use error::{Fault, StoreError};
pub use url::{DatabaseUrl, InvalidDatabaseUrl};

use std::time::Duration;

use sqlx::sqlite::{Sqlite, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Transaction};

use housekeeping::Housekeeping;

/// One worker's access to the database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: SqlitePool,
    housekeeping: Housekeeping,
}

impl Store {
    /// Creates the database or brings it up to date; see [`prepare`](crate::prepare).
    pub(crate) async fn migrate(url: &DatabaseUrl) -> Result<(), StoreError> {
        migrate::run(url.path()).await
    }

    /// Whether the file can be DevSim's database, or become it. Nothing is changed.
    pub(crate) async fn check(url: &DatabaseUrl) -> Result<(), StoreError> {
        migrate::check(url.path()).await
    }

    /// Opens a database that was [migrated](Self::migrate).
    pub(crate) async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let path = url.path();
        let options = connect::options(path);
        let not_prepared =
            |source| StoreError::NotPrepared { path: path.to_owned(), source: Fault::from(source) };
        let mut connection = options.connect().await.map_err(not_prepared)?;
        let oldest_program = migrate::oldest_program(&mut connection).await.map_err(not_prepared)?;
        connection.close().await.map_err(not_prepared)?;
        migrate::check_program(path, oldest_program)?;

        // More connections would make it slower and cost a thread each: SQLite has one writer at a time.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(60))
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        Ok(Self { pool, housekeeping: Housekeeping::new(path) })
    }

    /// Whether the database answers: reads a row of it.
    pub(crate) async fn ping(&self) -> Result<(), Fault> {
        let mut connection = self.pool.acquire().await?;
        migrate::oldest_program(&mut connection).await?;
        Ok(())
    }

    /// Begins a transaction that writes. It takes the write lock at once: a transaction that reads first
    /// and writes then fails as soon as another process wrote in between, whatever the busy timeout.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>, Fault> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}
