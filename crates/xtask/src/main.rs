//! Developer chores: `cargo xtask test | deny | bench`.

mod bench;
mod deny;
mod packages;
mod run;
mod test;

use std::process::ExitCode;

use crate::run::Failed;

const USAGE: &str = "\
Usage: cargo xtask <CHORE>

  test [ARGUMENTS]  install what the tests need, build the programs, run every test;
                    ARGUMENTS go to `cargo test`, as in `cargo xtask test -p devsim-tests reload`
  deny              check licences, banned and doubled crates, and where crates come from
  bench             print the figures of the release build: start, respawn, memory
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let chore = words.next();
    let rest: Vec<String> = words.collect();
    let done = match (chore.as_deref(), rest.as_slice()) {
        (Some("test"), rest) => test::test(rest),
        (Some("deny"), []) => deny::deny(),
        (Some("bench"), []) => bench::bench(),
        (None | Some("help" | "--help" | "-h"), []) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            let code = error.downcast_ref::<Failed>().and_then(Failed::code);
            code.map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}
