//! Creating the database and bringing it up to date.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _};

use super::connect;
use super::error::{Fault, StoreError};

/// The schema number of this program. It rises with each migration that older programs cannot live with.
const PROGRAM: i64 = 1;

pub(super) async fn run(path: &Path) -> Result<(), StoreError> {
    create_folder(path)?;
    let _lock = MigrationLock::take(path).await?;
    check(path).await?;

    let unusable = |source| StoreError::Unusable { path: path.to_owned(), source: Fault::from(source) };
    let mut migrator: Migrator = sqlx::migrate!("src/store/migrations");
    // Migrations of a newer program that still admits this one.
    migrator.set_ignore_missing(true);
    let mut connection = connect::options(path)
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental) // cannot be added once there are tables
        .journal_mode(SqliteJournalMode::Wal)
        .connect()
        .await
        .map_err(unusable)?;
    migrator
        .run(&mut connection)
        .await
        .map_err(|error| StoreError::Migration { path: path.to_owned(), reason: error.to_string() })?;
    connection.close().await.map_err(unusable)
}

/// Whether a file can be this program's database, or become it. Nothing is changed.
pub(super) async fn check(path: &Path) -> Result<(), StoreError> {
    let unusable = |source| StoreError::Unusable { path: path.to_owned(), source: Fault::from(source) };
    match inspect(path).await.map_err(unusable)? {
        Contents::Empty => Ok(()),
        Contents::Ours { oldest_program } => check_program(path, oldest_program),
        Contents::PythonApplication => Err(StoreError::PythonApplication { path: path.to_owned() }),
        Contents::Foreign { table } => Err(StoreError::Foreign { path: path.to_owned(), table }),
    }
}

/// Refuses a database that this program is too old for.
pub(super) fn check_program(path: &Path, oldest: i64) -> Result<(), StoreError> {
    if oldest > PROGRAM {
        return Err(StoreError::ProgramTooOld { path: path.to_owned(), oldest, own: PROGRAM });
    }
    Ok(())
}

/// The oldest program that may use the database.
pub(super) async fn oldest_program(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT oldest_program FROM schema_info").fetch_one(connection).await
}

/// What a file holds.
enum Contents {
    Empty,
    Ours { oldest_program: i64 },
    PythonApplication,
    Foreign { table: String },
}

/// Looks into a file without changing it: a foreign database must not even be turned to WAL.
async fn inspect(path: &Path) -> Result<Contents, sqlx::Error> {
    if !path.exists() {
        return Ok(Contents::Empty);
    }
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(&mut connection)
    .await?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    let contents = if has("schema_info") && has("_sqlx_migrations") {
        Contents::Ours { oldest_program: oldest_program(&mut connection).await? }
    } else if has("devices") {
        Contents::PythonApplication
    } else {
        // sqlx makes its own table first: alone, it is what a killed migration leaves behind.
        match tables.into_iter().find(|table| table != "_sqlx_migrations") {
            Some(table) => Contents::Foreign { table },
            None => Contents::Empty,
        }
    };
    connection.close().await?;
    Ok(contents)
}

fn create_folder(path: &Path) -> Result<(), StoreError> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::create_dir_all(folder)
            .map_err(|source| StoreError::Folder { path: folder.to_owned(), source }),
        _ => Ok(()),
    }
}

/// Held while migrating, since several servers may start at once. sqlx's own lock does nothing on SQLite.
///
/// The file stays: removing it would let a second one lock a name that a third one creates anew.
struct MigrationLock {
    _file: File,
}

impl MigrationLock {
    async fn take(database: &Path) -> Result<Self, StoreError> {
        let mut name = database.as_os_str().to_owned();
        name.push(".migrate-lock");
        let path = PathBuf::from(name);
        let failed = |source| StoreError::Lock { path: path.clone(), source };
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        // Waiting for the lock blocks its thread.
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
        let file = locked.map_err(io::Error::other).and_then(|locked| locked).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
