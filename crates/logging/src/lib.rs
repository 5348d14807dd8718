//! Log lines for programs that fork: text or JSON, on a console that never blocks.
//!
//! An event becomes one line in a buffer of its own and goes out in one `write(2)`. There is no thread, no lock
//! and no buffer that outlives the event, so that a process may fork at any time, and a thread can log while
//! another is stuck in the middle of logging.
//!
//! When nobody reads the console, lines are dropped and counted rather than waited for; the next line that can
//! be written is preceded by one that says how many were lost.
//!
//! ```no_run
//! let settings = logging::Settings { level: logging::Level::Debug, ..Default::default() };
//! let handle = logging::install_as("devsim", &settings)?;
//! tracing::info!(workers = 3, "ready");
//! // After a reload of the configuration:
//! handle.apply(&logging::Settings::default())?;
//! # Ok::<(), logging::Error>(())
//! ```

mod console;
mod escape;
mod format;
mod loss;
mod record;
mod settings;
mod sink;
mod stamp;

use std::io;
use std::sync::Arc;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;

pub use console::Console;
pub use settings::{Format, Level, Settings, Stream};

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

/// Changes the settings of an installed console, without a lock.
#[derive(Clone, Debug)]
pub struct Handle(Arc<console::State>);

impl Handle {
    /// Takes over level, format and stream, for this process and those that it forks from now on.
    ///
    /// # Errors
    /// The new stream is not open; all remains as it was.
    pub fn apply(&self, settings: &Settings) -> Result<(), Error> {
        self.0.apply(settings)?;
        // The disabled call sites were told so for good; let them ask again.
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }
}

/// Makes a console the process's one subscriber. The logger's name in a line is the event's target. To have
/// other layers beside it, put [`Console`] into a registry instead.
///
/// # Errors
/// The stream is not open, or there is a subscriber already.
pub fn install(settings: &Settings) -> Result<Handle, Error> {
    install_console(Console::new(None, settings)?)
}

/// [`install`] for a program whose events show `name` as the logger, see [`Console::new`].
///
/// # Errors
/// As [`install`].
pub fn install_as(name: &'static str, settings: &Settings) -> Result<Handle, Error> {
    install_console(Console::new(Some(name), settings)?)
}

fn install_console((console, handle): (Console, Handle)) -> Result<Handle, Error> {
    tracing::subscriber::set_global_default(Registry::default().with(console))
        .map_err(|_| Error::Installed)?;
    Ok(handle)
}
