//! What handlers share.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRef;

use crate::health::System;
use crate::limits::Limits;
use crate::store::Store;

/// What the host tells the application while it runs.
#[derive(Clone)]
pub struct Host {
    /// Whether the worker is leaving: it then answers that it is not ready, so that a load balancer passes
    /// it by while running requests finish.
    pub draining: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Default for Host {
    /// A host that never drains.
    fn default() -> Self {
        Self { draining: Arc::new(|| false) }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
pub(super) struct AppState {
    store: Store,
    limits: Limits,
    host: Host,
    system: System,
}

impl AppState {
    pub(super) fn new(store: Store, limits: Limits, host: Host) -> Self {
        Self { store, limits, host, system: System::watch() }
    }
}

impl FromRef<AppState> for Store {
    fn from_ref(state: &AppState) -> Self {
        state.store.clone()
    }
}

impl FromRef<AppState> for Limits {
    fn from_ref(state: &AppState) -> Self {
        state.limits
    }
}

impl FromRef<AppState> for Host {
    fn from_ref(state: &AppState) -> Self {
        state.host.clone()
    }
}

impl FromRef<AppState> for System {
    fn from_ref(state: &AppState) -> Self {
        state.system.clone()
    }
}
