//! What one path answers to each method.

use std::future::ready;

use axum::handler::Handler;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter};

use super::api_error::ApiError;
use super::state::AppState;

/// Collects the methods of a path and answers the others: OPTIONS with what there is, the rest with 405.
pub(super) struct Resource {
    methods: MethodRouter<AppState>,
    allow: String,
}

impl Resource {
    pub(super) fn new() -> Self {
        Self { methods: MethodRouter::new(), allow: Method::OPTIONS.to_string() }
    }

    /// Also answers HEAD.
    pub(super) fn get<T: 'static>(self, handler: impl Handler<T, AppState>) -> Self {
        self.on("GET, HEAD", MethodFilter::GET, handler)
    }

    pub(super) fn post<T: 'static>(self, handler: impl Handler<T, AppState>) -> Self {
        self.on("POST", MethodFilter::POST, handler)
    }

    pub(super) fn delete<T: 'static>(self, handler: impl Handler<T, AppState>) -> Self {
        self.on("DELETE", MethodFilter::DELETE, handler)
    }

    fn on<T: 'static>(
        mut self,
        names: &str,
        method: MethodFilter,
        handler: impl Handler<T, AppState>,
    ) -> Self {
        self.methods = self.methods.on(method, handler);
        self.allow = format!("{}, {names}", self.allow);
        self
    }

    pub(super) fn build(self) -> MethodRouter<AppState> {
        let Self { methods, allow } = self;
        methods.fallback(move |method: Method| ready(other_method(&method, &allow)))
    }
}

fn other_method(method: &Method, allow: &str) -> Response {
    let allow = [(header::ALLOW, allow.to_owned())];
    if method == Method::OPTIONS {
        (StatusCode::OK, allow).into_response()
    } else {
        (allow, ApiError::MethodNotAllowed).into_response()
    }
}
