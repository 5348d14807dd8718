//! Commands that run at the steps of the server's life.

use settings::{Toml, Value, quote};

settings::section! {
    /// A command for each step of the server's life. It runs beside the server, as the workers' user, with `<PREFIX>HOOK`,
    /// `<PREFIX>MASTER_PID` and, where it is about a worker, `<PREFIX>WORKER_PID`, `<PREFIX>WORKER_SLOT` and
    /// `<PREFIX>WORKER_GENERATION` in its environment, and little else. One that takes longer than 5 seconds is killed.
    pub struct HookCommands("hooks") {
        /// Before anything is forked; its end is waited for.
        pub on_starting [no flag]: Option<HookCommand> = None,
        /// The listeners are bound.
        pub when_ready [no flag]: Option<HookCommand> = None,
        /// A worker is about to be forked.
        pub pre_fork [no flag]: Option<HookCommand> = None,
        /// A worker was forked.
        pub post_fork [no flag]: Option<HookCommand> = None,
        /// A worker is ready.
        pub post_worker_init [no flag]: Option<HookCommand> = None,
        /// A worker was told to leave at once.
        pub worker_int [no flag]: Option<HookCommand> = None,
        /// A worker was given up on: its request or its boot took too long, or it was silent.
        pub worker_abort [no flag]: Option<HookCommand> = None,
        /// A new program is about to be started (SIGUSR2).
        pub pre_exec [no flag]: Option<HookCommand> = None,
        /// A worker has ended; `<PREFIX>EXIT` says how.
        pub child_exit [no flag]: Option<HookCommand> = None,
        /// The same, after child_exit.
        pub worker_exit [no flag]: Option<HookCommand> = None,
        /// Another number of workers is wanted: `<PREFIX>WORKERS`, until now `<PREFIX>WORKERS_BEFORE`.
        pub nworkers_changed [no flag]: Option<HookCommand> = None,
        /// A reload begins, to the generation `<PREFIX>GENERATION`.
        pub on_reload [no flag]: Option<HookCommand> = None,
        /// The last worker has gone; its end is waited for.
        pub on_exit [no flag]: Option<HookCommand> = None,
    }
}

fn is_command(words: &[String]) -> bool {
    words.first().is_some_and(|program| !program.is_empty()) && words.iter().all(|word| !word.contains('\0'))
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookCommand {
    /// A line for /bin/sh.
    Shell(String),
    /// A program and its arguments. Never empty.
    Program(Vec<String>),
}

impl Value for HookCommand {
    fn expects() -> String {
        "a command for /bin/sh, or a list of a program and its arguments".into()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.contains('\0') { Err(settings::mismatch::<Self>(text)) } else { Ok(Self::Shell(text.into())) }
    }

    fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
        let Toml::Array(array) = value else {
            return value
                .as_str()
                .ok_or_else(|| format!("it is not {}", Self::expects()))
                .and_then(Self::from_text);
        };
        let words: Option<Vec<String>> =
            array.iter().map(|word| word.get_ref().as_str().map(str::to_owned)).collect();
        match words {
            Some(words) if is_command(&words) => Ok(Self::Program(words)),
            _ => Err(format!("it is not {}", Self::expects())),
        }
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Shell(line) => quote(line),
            Self::Program(words) => {
                format!("[{}]", words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(", "))
            }
        }
    }
}
