//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use prefork::control::Command;

const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  the server has refused it, or it has failed, or no answer came in time
  2  wrong usage, or a configuration that cannot be read
  3  nobody answers on the control socket
  4  no permission";

/// How long a question may take. The server answers such ones at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What the operator wants.
#[derive(Debug)]
pub(crate) struct CommandLine {
    pub(crate) socket: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) json: bool,
    /// How long to wait for the answer; `None` for as long as it takes.
    pub(crate) timeout: Option<Duration>,
    pub(crate) command: Command,
}

/// Reads it; `args` begins with the program's name.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<CommandLine, clap::Error> {
    let matches = program().try_get_matches_from(args)?;
    let (name, its_own) = matches.subcommand().unwrap_or(("status", &matches)); // clap asks for one
    let command = command(name, its_own);
    let given = matches.get_one::<Duration>("timeout").copied();
    Ok(CommandLine {
        socket: matches.get_one("socket").cloned(),
        config: matches.get_one("config").cloned(),
        json: matches.get_flag("json"),
        timeout: given.or_else(|| patience(&command)),
        command,
    })
}

fn command(name: &str, matches: &ArgMatches) -> Command {
    let number = |id: &str| matches.get_one::<u16>(id).copied().unwrap_or_default(); // clap asks for it
    match name {
        "workers" => Command::Workers,
        "reload" => Command::Reload,
        "upgrade" => Command::Upgrade,
        "scale" => Command::Scale { workers: number("workers") },
        "restart" => Command::Restart { slot: number("slot") },
        "reopen" => Command::Reopen,
        "stop" => Command::Stop { quick: matches.get_flag("quick") },
        "config" => Command::Config,
        _ => Command::Status,
    }
}

/// What changes the pool ends when the pool has changed, and that may be a matter of `graceful_timeout`.
fn patience(command: &Command) -> Option<Duration> {
    match command {
        Command::Status | Command::Workers | Command::Config | Command::Reopen => Some(PATIENCE),
        Command::Reload
        | Command::Upgrade
        | Command::Scale { .. }
        | Command::Restart { .. }
        | Command::Stop { .. } => None,
    }
}

fn program() -> clap::Command {
    let subcommand = |name: &'static str, about: &'static str| clap::Command::new(name).about(about);
    let number = |id: &'static str, name: &'static str, help: &'static str| {
        Arg::new(id).value_name(name).help(help).required(true).value_parser(value_parser!(u16))
    };
    clap::Command::new("devsim-ctl")
        .about("Asks a running devsim-master, or has it do something")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(EXIT_STATUS)
        .subcommand_required(true)
        .args([
            Arg::new("socket")
                .long("socket")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .help("The server's control socket [default: control_socket of its configuration]"),
            Arg::new("config")
                .short('c')
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The server's configuration [default: devsim.toml, if there is one]"),
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the result, or the error, as a JSON object"),
            Arg::new("timeout")
                .long("timeout")
                .value_name("SECONDS")
                .value_parser(seconds)
                .help("How long to wait for the answer [default: 10 for what only asks, else as long as it takes]"),
        ].map(|argument| argument.global(true)))
        .subcommands([
            subcommand("status", "Tell how the server is"),
            subcommand("workers", "Tell what each worker is doing"),
            subcommand("reload", "Read the configuration anew and replace the workers; returns when the old ones have left"),
            subcommand("upgrade", "Go over to the program that is on disk now"),
            subcommand("scale", "Change the number of workers; returns when they are that many")
                .arg(number("workers", "N", "How many workers").value_parser(value_parser!(u16).range(1..))),
            subcommand("restart", "Replace one worker; returns when its replacement serves")
                .arg(number("slot", "SLOT", "Its slot, as `workers` tells it")),
            subcommand("reopen", "Open the log files anew"),
            subcommand("stop", "Stop the server; returns when it has gone").arg(
                Arg::new("quick").long("quick").action(ArgAction::SetTrue).help("Cut what runs"),
            ),
            subcommand("config", "Tell the settings in use, and where each came from"),
        ])
}

fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| "give a number of seconds above 0".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prefork::control::COMMANDS;

    fn parse(words: &[&str]) -> Result<CommandLine, clap::Error> {
        read(["devsim-ctl"].iter().chain(words).map(OsString::from))
    }

    #[test]
    fn every_command_of_the_protocol_can_be_given() {
        program().debug_assert();
        for name in COMMANDS {
            let words: &[&str] = if matches!(name, "scale" | "restart") { &[name, "3"] } else { &[name] };
            let command = parse(words).expect(name).command;
            let line = prefork::control::Request { id: None, command }.to_line();
            assert!(String::from_utf8_lossy(&line).contains(&format!("{name:?}")), "{name}");
        }
    }

    #[test]
    fn options_stand_before_the_command_or_after_it() {
        for words in [
            ["--json", "--socket", "s", "--timeout", "0.5", "stop", "--quick"],
            ["stop", "--quick", "--timeout", "0.5", "--socket", "s", "--json"],
        ] {
            let line = parse(&words).expect("good words");
            assert!(line.json);
            assert_eq!(line.socket, Some("s".into()));
            assert_eq!(line.timeout, Some(Duration::from_millis(500)));
            assert_eq!(line.command, Command::Stop { quick: true });
        }
        assert_eq!(parse(&["status"]).expect("good").timeout, Some(PATIENCE));
        assert_eq!(parse(&["reload"]).expect("good").timeout, None);
    }

    #[test]
    fn wrong_usage_is_2() {
        for words in [
            &[][..],
            &["sttaus"],
            &["scale"],
            &["scale", "0"],
            &["scale", "many"],
            &["restart", "-1"],
            &["status", "--timeout", "0"],
            &["status", "--quick"],
        ] {
            assert_eq!(parse(words).expect_err("wrong").exit_code(), 2, "{words:?}");
        }
    }
}
