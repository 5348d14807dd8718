//! What can go wrong with a database.

use std::io;
use std::path::PathBuf;

/// An unexpected failure of the database during a request. It says so to the log only.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Fault(#[from] sqlx::Error);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Its folder is not there and cannot be made.
    #[error("cannot create the folder {} for the database: {source}; create it, or set DATABASE_URL to another place", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The lock file beside the database cannot be taken.
    #[error("cannot lock {}: {source}; the user that the program runs as must be able to write it", .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be read or written.
    #[error("cannot use the database {}: {source}; check that it is a SQLite file which the program's user can write, as well as its folder", .path.display())]
    Unusable {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: Fault,
    },
    /// It was not prepared before a worker opened it.
    #[error("the database {} is not prepared: {source}; start the whole server, which prepares it before its workers", .path.display())]
    NotPrepared {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: Fault,
    },
    /// Its tables are those of the Python application.
    #[error("{0} is a database of the Python application, which cannot be used in place; set DATABASE_URL to a new file and run `devsim-ctl import-database {0}`", .path.display())]
    PythonApplication {
        /// The database.
        path: PathBuf,
    },
    /// It holds tables of something else.
    #[error("{} is a SQLite database of another program (it has a table `{table}`); set DATABASE_URL to a new file", .path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// One of its tables.
        table: String,
    },
    /// A newer program changed it in a way that this one cannot live with.
    #[error("the database {} needs a program of schema {oldest} or newer, and this one has {own}; install the newer release again, or restore a backup", .path.display())]
    ProgramTooOld {
        /// The database.
        path: PathBuf,
        /// The oldest schema number of a program that may use it.
        oldest: i64,
        /// This program's.
        own: i64,
    },
    /// A migration failed; it was rolled back.
    #[error("cannot bring the database {} up to date: {reason}; nothing was changed by the step that failed", .path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
}
