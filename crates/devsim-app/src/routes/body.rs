//! Request bodies: how large they may be, and JSON in them.

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRef as _, FromRequest, Request};
use axum::http::{HeaderMap, Method, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;

use super::api_error::ApiError;
use super::state::AppState;
use crate::domain::json::Object;
use crate::limits::Limits;

/// The one route whose bodies may be larger than others.
pub(super) const SAVE_ROUTE: &str = "/api/devices/{id}/save";

/// How many bytes the body of a request may have. A host that collects bodies asks this before it does;
/// the routes ask it too.
pub(crate) fn body_limit(method: &Method, path: &str, limits: &Limits) -> u64 {
    let mut segments = path.split('/');
    let matches_save = SAVE_ROUTE
        .split('/')
        .all(|expected| segments.next().is_some_and(|given| expected == "{id}" || expected == given))
        && segments.next().is_none();
    if method == Method::POST && matches_save { limits.save() } else { limits.max_content_length }
}

/// Receives the whole body.
pub(super) async fn collect(
    method: &Method,
    path: &str,
    body: Body,
    limits: &Limits,
) -> Result<Bytes, ApiError> {
    let limit = body_limit(method, path, limits);
    if body.size_hint().lower() > limit {
        return Err(ApiError::TooLarge(limit)); // without reading it first
    }
    match Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX)).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge(limit)),
        Err(_) => Err(ApiError::BrokenBody),
    }
}

/// A body that says that it is JSON. What it says is read by [`object`](Self::object).
pub(super) struct JsonBody(Bytes);

impl JsonBody {
    pub(super) fn object(&self) -> Result<Object<'_>, ApiError> {
        let text = std::str::from_utf8(&self.0).map_err(|_| ApiError::NotAnObject)?;
        Object::parse(text).map_err(|_| ApiError::NotAnObject)
    }

    /// The bytes of a value in the body, without copying them.
    pub(super) fn share(&self, value: &serde_json::value::RawValue) -> Bytes {
        self.0.slice_ref(value.get().as_bytes())
    }
}

impl FromRequest<AppState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        if !is_json(&head.headers) {
            return Err(ApiError::NotJsonType);
        }
        let bytes = collect(&head.method, head.uri.path(), body, &Limits::from_ref(state)).await?;
        Ok(Self(bytes))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    media_type == "application/json"
        || media_type.starts_with("application/") && media_type.ends_with("+json")
}

/// A field of a body, if it is there.
pub(super) fn field<'a, T: Deserialize<'a>>(
    object: &Object<'a>,
    key: &str,
    wrong: &'static str,
) -> Result<Option<T>, ApiError> {
    let value = object.get(key).map(|value| serde_json::from_str(value.get()));
    value.transpose().map_err(|_| ApiError::Field(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_save_route_takes_more() {
        let limits = Limits { max_content_length: 10 };
        for (method, path, limit) in [
            (Method::POST, "/api/devices/1/save", 60),
            (Method::GET, "/api/devices/1/save", 10),
            (Method::POST, "/api/devices/1/save/", 10),
            (Method::POST, "/api/devices/1/upload", 10),
            (Method::POST, "/api/devices/1/2/save", 10),
            (Method::POST, "/x/api/devices/1/save", 10),
            (Method::POST, "/api/devices", 10),
            (Method::POST, "/", 10),
        ] {
            assert_eq!(body_limit(&method, path, &limits), limit, "{method} {path}");
        }
    }
}
