//! All settings of a program, from its command line to its first and every later reading.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::{Mode, Problems, Program, Report, Section, Source, print_config};

/// Every section that a program has.
pub trait Configuration: Sized {
    /// What holds where nobody says otherwise.
    fn built_in() -> Self;

    /// Its sections.
    fn sections(&mut self) -> Vec<&mut dyn Section>;

    /// Fills in what depends on other keys, after all layers were read.
    fn complete(&mut self, report: &Report) {
        let _ = report;
    }

    /// Reads all layers over the built-in ones; to be called anew for a reload.
    ///
    /// # Errors
    /// Every problem of every layer.
    fn load(source: &Source) -> Result<(Self, Report), Problems> {
        let mut configuration = Self::built_in();
        let report = source.load(&mut configuration.sections())?;
        configuration.complete(&report);
        Ok((configuration, report))
    }
}

/// The variable that names settings which were in force: `<pid>:<descriptor>` of a file with one `section.key = value` a line.
/// A program that finds itself named starts with these, and reads its usual layers at its next reload.
pub const RESTORED_SETTINGS: &str = "SETTINGS_IN_FORCE";

/// A program that is to do its work.
#[derive(Debug)]
pub struct Started<C> {
    /// What to do: run, or check.
    pub mode: Mode,
    /// Its settings.
    pub configuration: C,
    /// Where they came from, and what to warn of.
    pub report: Report,
    /// Where they can be read again.
    pub source: Source,
}

impl Program {
    /// Reads the process's command line, environment and file. Where there is nothing more to do (help, the version, a
    /// print), or something is wrong, that is said and the exit code given: 0, or 1 if something is wrong. A check goes on in the
    /// program, which may have more to check.
    ///
    /// # Errors
    /// The process's exit code.
    pub fn start<C: Configuration>(&self) -> Result<Started<C>, ExitCode> {
        let parsed = self.parse(&C::built_in().sections(), std::env::args_os(), std::env::vars_os());
        let command = parsed.map_err(|exit| {
            let _ = exit.print();
            ExitCode::from(exit.code)
        })?;
        let loaded = match restored() {
            Some(file) => C::load(&Source::only(file)),
            None => C::load(&command.source),
        };
        let (mut configuration, report) = loaded.map_err(|problems| {
            let _ = writeln!(std::io::stderr(), "{problems}");
            ExitCode::FAILURE
        })?;
        match command.mode {
            mode @ Mode::Run => Ok(Started { mode, configuration, report, source: command.source }),
            mode @ Mode::CheckConfig => {
                warn(&report);
                Ok(Started { mode, configuration, report, source: command.source })
            }
            Mode::PrintConfig => {
                warn(&report);
                let text = print_config(&configuration.sections(), &report);
                let written = std::io::stdout().write_all(text.as_bytes());
                Err(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
        }
    }
}

/// The file with the settings in force, if this process was given one.
fn restored() -> Option<PathBuf> {
    let text = std::env::var(RESTORED_SETTINGS).ok()?;
    let (pid, number) = text.split_once(':')?;
    let number: u32 = number.parse().ok()?;
    (pid.parse() == Ok(std::process::id())).then(|| format!("/proc/self/fd/{number}").into())
}

fn warn(report: &Report) {
    for warning in &report.warnings {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
}
