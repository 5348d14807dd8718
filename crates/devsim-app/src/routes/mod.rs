//! The HTTP face: parse, call, render. One file per noun of the contract.

mod answer;
mod api_error;
mod body;
mod devices;
mod health;
mod resource;
mod sized_body;
mod state;
mod table;
mod upload;

pub(crate) use body::body_limit;
pub use state::Host;

use axum::Router;

use self::api_error::ApiError;
use self::resource::Resource;
use self::state::AppState;
use crate::limits::Limits;
use crate::store::Store;

pub(crate) fn router(store: Store, limits: Limits, host: Host) -> Router {
    Router::new()
        .route("/api/health", Resource::new().get(health::basic).build())
        .route("/api/health/liveness", Resource::new().get(health::liveness).build())
        .route("/api/health/readiness", Resource::new().get(health::readiness).build())
        .route("/api/health/system", Resource::new().get(health::system).build())
        .route("/api/devices", Resource::new().get(devices::list).post(devices::create).build())
        .route("/api/devices/unassigned", Resource::new().get(devices::unassigned).build())
        .route("/api/devices/{id}", Resource::new().get(devices::read).delete(devices::delete).build())
        .route("/api/devices/{id}/duplicate", Resource::new().post(devices::duplicate).build())
        .route("/api/devices/{id}/upload", Resource::new().post(upload::upload).build())
        .route(body::SAVE_ROUTE, Resource::new().post(table::save).build())
        .fallback(async || ApiError::NoSuchRoute)
        .with_state(AppState::new(store, limits, host))
}
