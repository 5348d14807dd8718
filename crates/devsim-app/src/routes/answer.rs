//! JSON answers.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

/// An answer of a value.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    json_body(status, Body::from(to_vec(value)))
}

/// An answer of JSON text that was made already, or is on its way.
pub(super) fn json_body(status: StatusCode, body: Body) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], body).into_response()
}

/// A value's JSON.
pub(super) fn to_vec(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("answers have string keys, and a Vec takes every write")
}
