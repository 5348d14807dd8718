//! `devsim-master -c devsim.toml`: the DevSim application in a pool of pre-forked workers.

mod configuration;

use std::net::SocketAddr;
use std::process::{ExitCode, Termination};

use devsim_app::DevSim;
use prefork::Server;
use settings::{Mode, print_config};

use configuration::{Configuration, PROGRAM};

fn main() -> ExitCode {
    let mut built_in = Configuration::built_in();
    let command = match PROGRAM.parse(&built_in.sections(), std::env::args_os(), std::env::vars_os()) {
        Ok(command) => command,
        Err(exit) => {
            let _ = exit.print();
            return ExitCode::from(exit.code);
        }
    };
    let (mut configuration, report) = match Configuration::load(&command.source) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    match command.mode {
        Mode::Run => {}
        Mode::CheckConfig => return ExitCode::SUCCESS,
        Mode::PrintConfig => {
            print!("{}", print_config(&configuration.sections(), &report));
            return ExitCode::SUCCESS;
        }
    }
    let console = match logging::install_as("devsim", &configuration.logging) {
        Ok(console) => console,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    let database = configuration.app.database_url.to_string();
    let source = command.source;
    let outcome = Server::new(configuration.server)
        .app(DevSim::new(configuration.app.config()))
        .on_reload(move || {
            let (configuration, report) =
                Configuration::load(&source).map_err(|problems| problems.to_string())?;
            for warning in &report.warnings {
                tracing::warn!("{warning}");
            }
            console.apply(&configuration.logging).map_err(|error| error.to_string())?;
            Ok((configuration.server, DevSim::new(configuration.app.config())))
        })
        .when_serving(move |addresses| announce(addresses, &database))
        .run();
    outcome.report()
}

/// Says where it serves, and what a newcomer may try.
fn announce(addresses: &[SocketAddr], database: &str) {
    for address in addresses {
        tracing::info!("DevSim serves at http://{address} with {database}");
    }
    if let Some(address) = addresses.first() {
        tracing::info!("try: curl http://{address}/api/health");
        tracing::info!(
            "try: curl -H 'Content-Type: application/json' -d '{{\"name\": \"pump\"}}' http://{address}/api/devices"
        );
        tracing::info!(
            "try: curl -F file=@examples/data/greenhouse.csv http://{address}/api/devices/1/upload"
        );
    }
}
