//! What a program says about itself, and its command line.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};

use crate::catalog::Catalog;
use crate::environment::Environment;
use crate::gunicorn::split_words;
use crate::source::{ConfigFile, Source};
use crate::{Section, flags};

/// A program that is configured by keys.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name, for help and version.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What its environment variables begin with, the underscore included.
    pub env_prefix: &'static str,
    /// The file that is read, if it is there, when none is given.
    pub default_file: Option<&'static str>,
    /// An environment variable that holds flags.
    pub flags_variable: Option<&'static str>,
}

/// What a program was told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Do its work.
    Run,
    /// Say what is wrong with the settings.
    CheckConfig,
    /// Print the settings with [`print_config`](crate::print_config).
    PrintConfig,
}

/// A command line that was understood.
#[derive(Clone, Debug)]
pub struct Command {
    /// What to do.
    pub mode: Mode,
    /// Where the settings come from, to be loaded as often as needed.
    pub source: Source,
}

/// The program's work ends before it began: help or the version was asked for, or the flags make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct EarlyExit {
    /// The exit status: 0 if all is well, 1 otherwise.
    pub code: u8,
    /// What to print, with its line end.
    pub text: String,
}

impl fmt::Display for EarlyExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl EarlyExit {
    /// Prints the text, to standard error if something is wrong.
    ///
    /// # Errors
    /// The stream cannot be written to.
    pub fn print(&self) -> io::Result<()> {
        match self.code {
            0 => io::stdout().write_all(self.text.as_bytes()),
            _ => io::stderr().write_all(self.text.as_bytes()),
        }
    }
}

impl Program {
    /// A program that reads flags also from `GUNICORN_CMD_ARGS`, and has no default file. Its environment variables
    /// begin with `env_prefix`, as `DEVSIM_`.
    pub const fn new(
        name: &'static str,
        about: &'static str,
        version: &'static str,
        env_prefix: &'static str,
    ) -> Self {
        Self {
            name,
            about,
            version,
            env_prefix,
            default_file: None,
            flags_variable: Some("GUNICORN_CMD_ARGS"),
        }
    }

    /// Reads the command line, but no value in it. `args` begins with the program's name, as
    /// [`args_os`](std::env::args_os) does; `environment` is as [`vars_os`](std::env::vars_os) gives it. Of the
    /// structs only the keys are looked at.
    ///
    /// # Errors
    /// There is something to print, and nothing more to do.
    ///
    /// # Panics
    /// Two keys have the same name, flag or variable: a mistake in the program.
    pub fn parse<A: Into<OsString>>(
        &self,
        sections: &[&mut dyn Section],
        args: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Command, EarlyExit> {
        let catalog = Catalog::new(sections);
        let environment =
            Environment::new(self.env_prefix, &catalog, self.flags_variable.as_slice(), environment);
        let line = flags::parse(self, &catalog, args.into_iter().skip(1).map(Into::into))?;
        let weaker = self.parse_variable(&catalog, &environment)?;
        Ok(Command {
            mode: line.mode.or(weaker.mode).unwrap_or(Mode::Run),
            source: Source {
                file: match line.config.or(weaker.config) {
                    Some(path) => ConfigFile::given(path),
                    None => self.default_file.map_or(ConfigFile::None, ConfigFile::default_file),
                },
                environment,
                flags_variable: self.flags_variable.map(|variable| (variable, weaker.flags)),
                flags: line.flags,
            },
        })
    }

    /// Reads the flags in the environment variable.
    fn parse_variable(
        &self,
        catalog: &Catalog,
        environment: &Environment,
    ) -> Result<flags::CommandLine, EarlyExit> {
        let variable = self.flags_variable.unwrap_or_default();
        let text = environment.get(variable).unwrap_or_default();
        let words = split_words(text)
            .map_err(|message| EarlyExit { code: 1, text: format!("error: {variable}: {message}\n") })?;
        flags::parse(self, catalog, words.into_iter().map(Into::into)).map_err(|exit| match exit.code {
            0 => exit,
            code => EarlyExit { code, text: format!("in {variable}: {}", exit.text) },
        })
    }
}
