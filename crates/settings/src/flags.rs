//! The command line, built from the keys. clap only tells flags from values: what a value means is found out
//! while loading, together with all other problems.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::catalog::Catalog;
use crate::gunicorn::REFUSED_FLAGS;
use crate::loader::Loader;
use crate::{EarlyExit, Key, Kind, Mode, Origin, Program};

/// What a command line says.
#[derive(Debug)]
pub(crate) struct CommandLine {
    pub(crate) flags: Flags,
    pub(crate) mode: Option<Mode>,
    pub(crate) config: Option<PathBuf>,
}

/// The values of flags, by the path of their key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(BTreeMap<String, Vec<String>>);

impl Flags {
    /// Lays the flags over the structs; `origin` makes the layer of a flag.
    pub(crate) fn apply(&self, loader: &mut Loader<'_, '_>, origin: impl Fn(String) -> Origin) {
        let given: Vec<_> = loader
            .catalog
            .iter()
            .filter_map(|(id, entry)| Some((id, entry.key.flag()?, self.0.get(&entry.key.path())?)))
            .collect();
        for (id, flag, texts) in given {
            loader.set_texts(id, texts, origin(flag));
        }
    }
}

/// Reads a command line without the program's name.
///
/// # Errors
/// Help or version were asked for, or the flags cannot be told apart.
pub(crate) fn parse(
    program: &Program,
    catalog: &Catalog,
    args: impl IntoIterator<Item = OsString>,
) -> Result<CommandLine, EarlyExit> {
    let matches = command(program, catalog).try_get_matches_from(args).map_err(|error| early_exit(&error))?;
    let flags = catalog.keys().filter_map(|key| Some((key.path(), values(&matches, key)?)));
    Ok(CommandLine {
        flags: Flags(flags.collect()),
        mode: match (matches.get_flag("check-config"), matches.get_flag("print-config")) {
            (_, true) => Some(Mode::PrintConfig),
            (true, false) => Some(Mode::CheckConfig),
            (false, false) => None,
        },
        config: matches.get_one::<PathBuf>("config").cloned(),
    })
}

fn values(matches: &ArgMatches, key: &Key) -> Option<Vec<String>> {
    key.flag()?;
    Some(matches.get_many::<String>(&key.path())?.cloned().collect())
}

fn command(program: &Program, catalog: &Catalog) -> clap::Command {
    let config_help = match program.default_file {
        Some(file) => format!("The TOML file with the settings [default: {file}, if there is one]"),
        None => "The TOML file with the settings".to_owned(),
    };
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    clap::Command::new(program.name)
        .about(program.about)
        .version(program.version)
        .no_binary_name(true)
        .disable_version_flag(true)
        .arg(
            Arg::new("config")
                .short('c')
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help(config_help)
                .overrides_with("config"),
        )
        .arg(switch("check-config", "Say what is wrong with the settings, and exit"))
        .arg(switch("print-config", "Print the settings in use and where each came from, and exit"))
        .arg(
            Arg::new("version")
                .short('v')
                .long("version")
                .help("Print the version")
                .action(ArgAction::Version),
        )
        .args(catalog.keys().filter(|key| !key.long.is_empty()).map(|key| argument(program, key)))
}

/// The flag of a key that has one.
fn argument(program: &Program, key: &Key) -> Arg {
    let mut help = key.doc.clone();
    if let Some(default) = &key.default {
        help.push_str(&format!(" [default: {default}]"));
    }
    let variables = [Some(key.variable(program.env_prefix)), key.env.map(str::to_owned)];
    let variables: Vec<String> = variables.into_iter().flatten().collect();
    help.push_str(&format!(" [env: {}]", variables.join(", ")));

    let mut names = key.long.iter();
    let mut argument = Arg::new(key.path())
        .help(help)
        .help_heading(format!("[{}]", key.section))
        .action(ArgAction::Append)
        // So that `-t -1` is a wrong value, with its explanation, and not an unknown flag "-1".
        .allow_negative_numbers(true)
        .value_name(key.field.to_uppercase());
    if let Some(long) = names.next() {
        argument = argument.long(long.clone());
    }
    argument = argument.visible_aliases(names.cloned());
    if let Some(letter) = key.short {
        argument = argument.short(letter);
    }
    match key.kind {
        Kind::Single | Kind::List => argument.num_args(1),
        // `--reload=false` lets the command line take back what the file switched on.
        Kind::Switch => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("true|false"),
    }
}

/// What clap has to say, in our words where it cannot know better.
fn early_exit(error: &clap::Error) -> EarlyExit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return EarlyExit { code: 0, text: error.to_string() };
    }
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) if error.kind() == ErrorKind::UnknownArgument => Some(name.as_str()),
        _ => None,
    };
    let text = unknown.and_then(refusal).unwrap_or_else(|| error.to_string());
    EarlyExit { code: 1, text }
}

/// The error for an argument that makes sense to Gunicorn.
fn refusal(argument: &str) -> Option<String> {
    let Some(flag) = argument.strip_prefix('-') else {
        return Some(format!("error: {argument}: leave it out: the application is built in\n"));
    };
    let flag = flag.trim_start_matches('-');
    let flag = flag.split_once('=').map_or(flag, |(flag, _)| flag);
    let (_, instead) = REFUSED_FLAGS.iter().find(|(refused, _)| *refused == flag)?;
    Some(format!("error: {argument} is not supported; {instead}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::section! {
        /// Sample.
        struct Server("server") {
            /// Where to listen.
            bind ['b']: Vec<String> = vec!["a:1".to_owned()],
            /// How many.
            workers ['w', "workers", "processes", env "WEB_CONCURRENCY"]: u32 = 1,
            /// Watch files.
            reload: bool = false,
            /// Only in the file.
            hidden [no flag]: u32 = 1,
        }
    }

    fn parse_words(words: &[&str]) -> Result<CommandLine, EarlyExit> {
        let program = Program::new("prog", "A program.", "1.2", "DEVSIM_");
        parse(&program, &Catalog::new(&[&mut Server::default()]), words.iter().map(OsString::from))
    }

    fn given(words: &[&str]) -> BTreeMap<String, Vec<String>> {
        parse_words(words).unwrap().flags.0
    }

    #[test]
    fn flags_are_told_from_values_and_values_are_not_judged() {
        assert_eq!(given(&[]), BTreeMap::new());
        let flags = given(&["-b", "x", "--bind=y", "-w", "-3", "--processes", "many", "--reload"]);
        assert_eq!(flags["server.bind"], ["x", "y"]);
        assert_eq!(flags["server.workers"], ["-3", "many"]);
        assert_eq!(flags["server.reload"], ["true"]);
        assert_eq!(given(&["--reload=false"])["server.reload"], ["false"]);
    }

    #[test]
    fn modes_and_the_file_are_no_settings() {
        let line = parse_words(&["-c", "a.toml", "--config", "b.toml", "--check-config"]).unwrap();
        assert_eq!((line.config, line.mode), (Some("b.toml".into()), Some(Mode::CheckConfig)));
    }

    #[test]
    fn help_shows_the_documentation_by_section() {
        let exit = parse_words(&["--help"]).unwrap_err();
        assert_eq!(exit.code, 0);
        for part in [
            "[server]:",
            "Where to listen. [default: [\"a:1\"]] [env: DEVSIM_SERVER__BIND]",
            "--reload[=<true|false>]",
        ] {
            assert!(exit.text.contains(part), "{part} is not in {}", exit.text);
        }
        assert!(!exit.text.contains("hidden"));
        assert_eq!(parse_words(&["--version"]).unwrap_err().text, "prog 1.2\n");
    }

    #[test]
    fn flags_of_gunicorn_are_refused_with_what_to_do_instead() {
        for (words, expected) in [
            (vec!["-D"], "error: -D is not supported; run it under systemd"),
            (vec!["--threads=4"], "error: --threads is not supported; give more workers with --workers"),
            (vec!["--paste", "x.ini"], "error: --paste is not supported; the application is built in"),
            (vec!["wsgi:app"], "error: wsgi:app: leave it out"),
            (vec!["--wrokers", "3"], "error: unexpected argument '--wrokers'"),
            (vec!["--hidden", "3"], "error: unexpected argument '--hidden'"),
            (vec!["-w"], "error: a value is required for '--workers"),
        ] {
            let exit = parse_words(&words).unwrap_err();
            assert_eq!(exit.code, 1);
            assert!(exit.text.starts_with(expected), "{}", exit.text);
        }
    }
}
