//! Settings described once.
//!
//! A key is declared in one place, a field of a struct inside [`section!`]. From that declaration come its
//! documentation, its default, how it is read from a TOML file, its environment variables, its command-line
//! flag, its line in `--print-config` and the hints in error messages. Any number of structs, one per concern,
//! may give keys to the same section of the file.
//!
//! ```
//! use std::path::PathBuf;
//! use settings::{Program, Seconds};
//!
//! settings::section! {
//!     /// When a worker is given up on.
//!     pub struct Timeouts("server") {
//!         /// Seconds without a heartbeat after which a worker is aborted; 0 means never.
//!         pub timeout ['t']: Seconds = Seconds::new(60),
//!         /// Where the master writes its process id.
//!         pub pidfile ["pid", 'p']: Option<PathBuf> = None,
//!     }
//! }
//!
//! let program = Program { default_file: Some("devsim.toml"), ..Program::new("devsim-master", "A supervisor", "1.0", "DEVSIM_") };
//! let mut timeouts = Timeouts::default();
//! let command = program.parse(&[&mut timeouts], ["devsim-master", "-t", "0.5"], []).expect("good flags");
//! let report = command.source.load(&mut [&mut timeouts]).expect("good settings");
//! assert_eq!(timeouts.timeout, Seconds::from_millis(500));
//! assert_eq!(report.origin("server", "timeout").to_string(), "--timeout");
//! ```
//!
//! # Layers
//!
//! From the weakest to the strongest; the stronger one replaces the whole value, lists included:
//! 1. what the structs hold when [`Source::load`] is called: the built-in defaults;
//! 2. the TOML file;
//! 3. plain environment variables that a key names, as `WEB_CONCURRENCY`; an empty one counts as unset;
//! 4. `DEVSIM_<SECTION>__<KEY>`, in upper case, with two underscores also for each dot in the key's name;
//! 5. flags in one environment variable, `GUNICORN_CMD_ARGS`;
//! 6. the command line.
//!
//! Loading finds every problem of every layer before it answers, so that an operator mends them in one go.
//! It never touches the process's real environment or arguments: these are given by the caller.

mod catalog;
mod choice;
mod configuration;
mod directory;
mod environment;
mod file;
mod flags;
mod gunicorn;
mod key;
mod loader;
mod print;
mod program;
mod report;
mod section;
mod source;
mod value;

pub use choice::Choice;
pub use configuration::{Configuration, RESTORED_SETTINGS, Started};
pub use directory::start_directory;
pub use key::{Attribute, Key};
pub use print::{Described, describe, print_config};
pub use program::{Command, EarlyExit, Mode, Program};
pub use report::{Origin, Place, Problem, Problems, Report};
pub use section::{Section, Slot};
pub use source::Source;
pub use value::octal::Octal;
pub use value::seconds::Seconds;
pub use value::{Kind, Value, mismatch, quote};

/// A value as the TOML file gives it: what [`Value::from_toml`] reads.
pub use toml::de::DeValue as Toml;
