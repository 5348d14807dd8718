//! `devsim-master -c devsim.toml`: the DevSim application in a pool of pre-forked workers.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitCode, Termination};

use devsim_app::DevSim;
use devsim_master::{DevSimConfiguration, PROGRAM};
use prefork::{Revision, Server};
use settings::{Configuration, Mode, Report, Started, describe};

fn main() -> ExitCode {
    prefork::hold_signals();
    let Started { mode, mut configuration, report, source } = match PROGRAM.start::<DevSimConfiguration>() {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    if let Err(error) = configuration.server.process.enter() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    if mode == Mode::CheckConfig {
        let DevSimConfiguration { server, app, .. } = configuration;
        return Server::new(server).app(DevSim::new(app)).check().report();
    }
    let log = match logging::install_as("devsim", &configuration.logging) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    warn(&report);
    let shown = describe(&configuration.sections(), &report);
    let DevSimConfiguration { server, app, .. } = configuration;
    let (uid, gid) = server.identity.owner();
    log.owned_by(uid, gid);
    let database = app.database_url.to_string();
    let (reloaded, access, reopened) = (log.clone(), log.clone(), log);
    let file = source.file().map(Path::to_owned);
    let reload = move || {
        let loaded = DevSimConfiguration::load(&source);
        let (mut configuration, report) = loaded.map_err(|problems| problems.to_string())?;
        warn(&report);
        let shown = describe(&configuration.sections(), &report);
        let DevSimConfiguration { server, app, logging } = configuration;
        let (uid, gid) = server.identity.owner();
        let log = reloaded.clone();
        Ok(Revision::new(server, DevSim::new(app)).shown_as(shown).adopted_by(move || {
            log.owned_by(uid, gid);
            if let Err(error) = log.apply(&logging) {
                tracing::error!("{error}");
            }
        }))
    };
    Server::new(server)
        .app(DevSim::new(app))
        .environment_prefix(PROGRAM.env_prefix)
        .version(PROGRAM.version)
        .shown_as(shown)
        .watching(file)
        .on_reload(reload)
        .on_reopen(move || reopened.reopen())
        .access_log(move || access.access_log())
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
