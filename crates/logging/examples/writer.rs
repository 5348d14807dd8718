//! A process that logs, for `tests/processes.rs` to look at from outside: `writer <WHAT>`.

use logging::{Error, Format, Level, Settings, Stream};

fn main() -> Result<(), Error> {
    let what = std::env::args().nth(1).unwrap_or_default();
    match what.as_str() {
        "lines-of-all-lengths" => lines_of_all_lengths(),
        "much" => much(),
        "changing-settings" => changing_settings(),
        _ => {
            eprintln!("usage: writer lines-of-all-lengths|much|changing-settings");
            std::process::exit(1);
        }
    }
}

fn lines_of_all_lengths() -> Result<(), Error> {
    logging::install_as("test", &Settings { format: Format::Json, ..settings() })?;
    for length in (0..5000).step_by(5) {
        tracing::info!(target: "test.part", length, "{}", "x".repeat(length));
    }
    Ok(())
}

fn much() -> Result<(), Error> {
    logging::install_as("test", &settings())?;
    for number in 0..10_000 {
        tracing::info!(number, "nobody reads this");
    }
    Ok(())
}

/// Says 1 at a level that is not shown, 2 at one that is, 3 to no console, and "four" as at first.
fn changing_settings() -> Result<(), Error> {
    let quiet = Settings { level: Level::Warning, ..settings() };
    let handle = logging::install_as("test", &quiet)?;
    let say = |what| tracing::info!(what, "said");
    say(1);
    handle.apply(&Settings { level: Level::Info, format: Format::Detailed, ..quiet.clone() })?;
    say(2);
    handle.apply(&Settings { console: Stream::None, ..quiet.clone() })?;
    say(3);
    handle.apply(&quiet)?;
    tracing::warn!("four");
    if !matches!(logging::install_as("test", &quiet), Err(Error::Installed)) {
        tracing::error!("a second installation was taken");
    }
    Ok(())
}

fn settings() -> Settings {
    Settings { console: Stream::Stderr, ..Settings::default() }
}
