//! `devsim-master -c devsim.toml`: the DevSim application in a pool of pre-forked workers.

use std::net::SocketAddr;
use std::process::{ExitCode, Termination};

use devsim_app::DevSim;
use devsim_master::{DevSimConfiguration, PROGRAM};
use prefork::{Revision, Server};
use settings::{Configuration, Report, Started};

fn main() -> ExitCode {
    let Started { configuration, report, source } = match PROGRAM.start::<DevSimConfiguration>() {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    if let Err(error) = configuration.server.process.enter() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let console = match logging::install_as("devsim", &configuration.logging) {
        Ok(console) => console,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    warn(&report);
    let DevSimConfiguration { server, app, .. } = configuration;
    let database = app.database_url.to_string();
    let reload = move || {
        let loaded = DevSimConfiguration::load(&source);
        let (configuration, report) = loaded.map_err(|problems| problems.to_string())?;
        warn(&report);
        let DevSimConfiguration { server, app, logging } = configuration;
        let console = console.clone();
        Ok(Revision::new(server, DevSim::new(app)).adopted_by(move || {
            if let Err(error) = console.apply(&logging) {
                tracing::error!("{error}");
            }
        }))
    };
    Server::new(server)
        .app(DevSim::new(app))
        .environment_prefix(PROGRAM.env_prefix)
        .on_reload(reload)
        .when_serving(move |addresses| announce(addresses, &database))
        .run()
        .report()
}

fn warn(report: &Report) {
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
}

/// Says where it serves, and what a newcomer may try.
fn announce(addresses: &[SocketAddr], database: &str) {
    for address in addresses {
        tracing::info!("DevSim serves at http://{address} with {database}");
    }
    if let Some(address) = addresses.first() {
        let devices = format!("http://{address}/api/devices");
        tracing::info!("try: curl http://{address}/api/health");
        tracing::info!("try: curl -H 'Content-Type: application/json' -d '{{\"name\": \"pump\"}}' {devices}");
        tracing::info!("try: curl -F file=@examples/data/greenhouse.csv {devices}/1/upload");
    }
}
