//! What clients are told when something is wrong.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::answer;
use crate::domain::csv::CsvError;
use crate::domain::dataset::InvalidDataset;
use crate::domain::device::InvalidText;
use crate::domain::page::InvalidPage;
use crate::store::Fault;

/// An answer that is an error: a status and `{"error": "..."}`.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("Not found")]
    NoSuchRoute,
    #[error("Device not found")]
    NoSuchDevice,
    #[error("Method not allowed")]
    MethodNotAllowed,
    #[error("The body must be JSON with the Content-Type application/json")]
    NotJsonType,
    #[error("The body must be a JSON object")]
    NotAnObject,
    #[error("The body is larger than the {0} bytes allowed")]
    TooLarge(u64),
    #[error("The body ended early")]
    BrokenBody,
    #[error("{0}")]
    Field(&'static str),
    #[error(transparent)]
    Text(#[from] InvalidText),
    #[error(transparent)]
    Page(#[from] InvalidPage),
    #[error(transparent)]
    Csv(#[from] CsvError),
    #[error(transparent)]
    Dataset(#[from] InvalidDataset),
    /// What went wrong goes to the log, never to the client.
    #[error("Internal server error")]
    Internal(#[from] Fault),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRoute | Self::NoSuchDevice => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJsonType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotAnObject
            | Self::BrokenBody
            | Self::Field(_)
            | Self::Text(_)
            | Self::Page(_)
            | Self::Csv(_)
            | Self::Dataset(_) => StatusCode::BAD_REQUEST,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }

        if let Self::Internal(fault) = &self {
            tracing::error!(%fault, "a request failed");
        }
        answer::json(self.status(), &Body { error: self.to_string() })
    }
}
