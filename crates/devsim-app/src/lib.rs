//! The DevSim application: CSV files replayed as IoT devices.
//!
//! A host (the pre-fork supervisor, or a test) calls [`prepare`] once before anything serves, then
//! [`build`] in every worker, after the fork: whatever a worker opens is its own, and nothing is global.
//!
//! | module | what it holds | what it may touch |
//! |---|---|---|
//! | `domain` | types and rules | nothing: no I/O, no clock |
//! | `store` | the database | SQL, which no other module knows |
//! | `health` | figures of the machine | `/proc` |
//! | `routes` | parse, call, render | the three above |

mod app;
mod domain;
mod error;
mod health;
mod limits;
mod routes;
mod settings;
mod store;

pub use app::DevSim;
pub use error::Error;
pub use routes::Host;
pub use settings::Settings;
pub use store::{DatabaseUrl, Fault, InvalidDatabaseUrl, StoreError};

use store::Store;

/// Creates the database if there is none and brings its schema up to date.
///
/// To be called before workers serve. Several hosts may call it at once: a file lock beside the
/// database lets one of them work at a time.
///
/// # Errors
/// When the database cannot be created, is not DevSim's, or is too new for this program.
pub async fn prepare(settings: &Settings) -> Result<(), Error> {
    Ok(Store::migrate(&settings.database_url).await?)
}

/// Whether [`prepare`] would have a database to begin with. Nothing is changed.
///
/// # Errors
/// When the file cannot be read, is not DevSim's, or is too new for this program.
pub async fn check(settings: &Settings) -> Result<(), Error> {
    Ok(Store::check(&settings.database_url).await?)
}

/// Opens the database and builds the application's routes: one call a worker.
///
/// Must be called inside the tokio runtime that will serve the router, since it starts background tasks.
///
/// # Errors
/// When the database is not there or not [prepared](prepare).
pub async fn build(settings: &Settings, host: Host) -> Result<axum::Router, Error> {
    let store = Store::open(&settings.database_url).await?;
    Ok(routes::router(store, settings.limits(), host))
}
