//! What DevSim's programs have in common: where their settings come from.

mod configuration;

pub use configuration::DevSimConfiguration;

use settings::Program;

/// The server, as it is known to those who configure it.
pub const PROGRAM: Program = Program {
    default_file: Some("devsim.toml"),
    ..Program::new(
        "devsim-master",
        "Serves the DevSim application from a pool of pre-forked workers",
        env!("CARGO_PKG_VERSION"),
        "DEVSIM_",
    )
};

/// Its name where a file is named after it.
pub const NAME: &str = "devsim";
