//! `devsim-ctl status`: asks a running devsim-master, or has it do something.

mod client;
mod command_line;
mod failure;
mod place;
mod show;
mod upgrade;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use command_line::CommandLine;
use failure::Failure;
use prefork::control::Command;

fn main() -> ExitCode {
    let line = match command_line::read(std::env::args_os()) {
        Ok(line) => line,
        Err(asked_for_help_or_wrong) => asked_for_help_or_wrong.exit(),
    };
    match run(&line) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if line.json {
                print(&show::json(&failure.to_json()));
            }
            let _ = writeln!(std::io::stderr(), "devsim-ctl: {}", show::in_lines(&failure.to_string()));
            ExitCode::from(failure.exit_status())
        }
    }
}

/// What is to be printed.
fn run(line: &CommandLine) -> Result<String, Failure> {
    let begun = Instant::now();
    let path = place::find(line)?;
    let result = match client::ask(&path, &line.command, line.timeout) {
        Err(Failure::Cut(path)) if line.command == Command::Upgrade => upgrade::follow(line, &path, begun),
        asked => asked,
    }?;
    if line.json { Ok(show::json(&result)) } else { show::result(&path, &line.command, result) }
}

/// Whoever reads may have gone, as `head` does.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
