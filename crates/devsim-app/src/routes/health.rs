//! Health of the worker and of its machine.

use std::process;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::answer::json;
use super::state::Host;
use crate::domain::csv::Table;
use crate::health::{Figures, Status, System};
use crate::store::Store;

/// The version of the contract that these answers keep, not of this program.
const VERSION: &str = "1.0.0";

/// A database that takes longer for one row is none to send requests to.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);

/// `GET /api/health`
pub(super) async fn basic() -> Response {
    #[derive(Serialize)]
    struct Basic {
        status: &'static str,
        service: &'static str,
        version: &'static str,
    }

    json(StatusCode::OK, &Basic { status: "healthy", service: "device-simulator", version: VERSION })
}

/// `GET /api/health/liveness`
pub(super) async fn liveness() -> Response {
    #[derive(Serialize)]
    struct Liveness {
        alive: bool,
        timestamp: f64,
        pid: u32,
    }

    json(StatusCode::OK, &Liveness { alive: true, timestamp: unix_now(), pid: process::id() })
}

/// `GET /api/health/readiness`
pub(super) async fn readiness(State(store): State<Store>, State(host): State<Host>) -> Response {
    #[derive(Serialize)]
    struct Checks {
        database: bool,
        secrets: bool,
        basic_functionality: bool,
    }

    #[derive(Serialize)]
    struct Readiness {
        ready: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'static str>,
        checks: Checks,
        timestamp: f64,
    }

    let draining = (host.draining)();
    let checks = Checks {
        database: matches!(tokio::time::timeout(DATABASE_PATIENCE, store.ping()).await, Ok(Ok(()))),
        secrets: true, // nothing is kept secret yet
        basic_functionality: Table::parse(b"a\n1\n".to_vec()).is_ok(),
    };
    let ready = !draining && checks.database && checks.secrets && checks.basic_functionality;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let error = draining.then_some("the worker is draining");
    json(status, &Readiness { ready, error, checks, timestamp: unix_now() })
}

/// `GET /api/health/system`
pub(super) async fn system(State(system): State<System>) -> Response {
    #[derive(Serialize)]
    struct Answer {
        status: Status,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
        system: Body,
    }

    #[derive(Serialize)]
    struct Body {
        #[serde(flatten)]
        figures: Option<Figures>,
        load_balancer_ready: bool,
        response_time: f64,
    }

    let begun = Instant::now();
    let figures = system.figures().await;
    let status = figures.as_ref().map_or(Status::Healthy, Figures::status);
    let load_balancer_ready = status != Status::Critical;
    let answer = Answer {
        status,
        note: figures.is_none().then_some("no figures of the machine are available"),
        system: Body { figures, load_balancer_ready, response_time: begun.elapsed().as_secs_f64() },
    };
    json(if load_balancer_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &answer)
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
