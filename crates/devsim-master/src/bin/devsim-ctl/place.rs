//! Where the server's control socket is.

use std::ffi::OsString;
use std::path::PathBuf;

use devsim_master::{DevSimConfiguration, NAME, PROGRAM};
use prefork::control::default_place;
use settings::Configuration as _;

use crate::command_line::CommandLine;
use crate::failure::Failure;

/// The socket that was given, else the one that the server's configuration gives, else the one in the default place.
pub(crate) fn find(line: &CommandLine) -> Result<PathBuf, Failure> {
    match &line.socket {
        Some(path) => Ok(path.clone()),
        None => configured(line)?.or_else(|| default_place(NAME)).ok_or(Failure::NoPlace),
    }
}

/// The key `control_socket`. A server runs on while its file is broken for the next reload, and is asked for its status then
/// of all times: other problems of the file are no reason not to find it.
fn configured(line: &CommandLine) -> Result<Option<PathBuf>, Failure> {
    let flags = line.config.iter().flat_map(|file| [OsString::from("-c"), file.into()]);
    let words = std::iter::once(OsString::from(PROGRAM.name)).chain(flags);
    let mut configuration = DevSimConfiguration::built_in();
    let parsed = PROGRAM.parse(&configuration.sections(), words, std::env::vars_os());
    let command = parsed.map_err(|exit| Failure::Configuration(exit.text.trim_end().into()))?;
    let loaded = command.source.load(&mut configuration.sections());
    match (configuration.server.control.control_socket, loaded) {
        (None, Err(problems)) => Err(Failure::Configuration(problems.to_string())),
        (found, _) => Ok(found),
    }
}
