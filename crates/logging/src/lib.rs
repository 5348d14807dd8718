//! Log lines for programs that fork: text or JSON, on a console that never blocks and in files that can be opened anew.
//!
//! An event becomes one line in a buffer of its own and goes out in one `write(2)` to each place. There is no thread, no lock
//! and no buffer that outlives the event, so that a process may fork at any time, and a thread can log while
//! another is stuck in the middle of logging.
//!
//! When nobody reads the console, or a disk is full, lines are dropped and counted rather than waited for; the next line that can
//! be written is preceded by one that says how many were lost. A file that cannot be opened at all is a warning, and what
//! should stand in it goes to the console.
//!
//! ```no_run
//! let settings = logging::Settings { level: logging::Level::Debug, ..Default::default() };
//! let handle = logging::install_as("devsim", &settings)?;
//! tracing::info!(workers = 3, "ready");
//! // After a reload of the configuration:
//! handle.apply(&logging::Settings::default())?;
//! // After somebody has moved the files away:
//! handle.reopen();
//! # Ok::<(), logging::Error>(())
//! ```

mod escape;
mod file;
mod format;
mod handle;
mod log;
mod loss;
mod record;
mod routes;
mod settings;
mod sink;
mod stamp;

use std::io;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;

pub use handle::Handle;
pub use log::Log;
pub use settings::{Destination, Format, Level, Settings, Stream};

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream of the console is not open.
    #[error("cannot log to {stream}: {source}; choose another stream with logging.console", stream = .stream.as_str())]
    Stream {
        /// The stream that was asked for.
        stream: Stream,
        /// What the kernel said.
        source: io::Error,
    },
    /// Some subscriber is installed for the whole process already.
    #[error("logging is installed already")]
    Installed,
}

/// Makes a log the process's one subscriber. The logger's name in a line is the event's target. To have
/// other layers beside it, put [`Log`] into a registry instead.
///
/// # Errors
/// The console's stream is not open, or there is a subscriber already.
pub fn install(settings: &Settings) -> Result<Handle, Error> {
    install_log(Log::new(None, settings)?, settings)
}

/// [`install`] for a program whose events show `name` as the logger, see [`Log::new`].
///
/// # Errors
/// As [`install`].
pub fn install_as(name: &'static str, settings: &Settings) -> Result<Handle, Error> {
    install_log(Log::new(Some(name), settings)?, settings)
}

fn install_log((log, handle): (Log, Handle), settings: &Settings) -> Result<Handle, Error> {
    tracing::subscriber::set_global_default(Registry::default().with(log)).map_err(|_| Error::Installed)?;
    handle.apply(settings)?;
    Ok(handle)
}
