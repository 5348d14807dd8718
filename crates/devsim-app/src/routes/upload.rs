//! CSV files to look at before they are saved.

use std::convert::Infallible;
use std::future::ready;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;

use super::answer::json_body;
use super::api_error::ApiError;
use super::body::collect;
use super::devices::Id;
use crate::domain::csv::Table;
use crate::limits::Limits;
use crate::store::Store;

/// `POST /api/devices/{id}/upload`: shows what is in the file. Neither the device changes nor any file on disk.
pub(super) async fn upload(
    State(store): State<Store>,
    State(limits): State<Limits>,
    Id(id): Id,
    request: Request,
) -> Result<Response, ApiError> {
    if !store.device_exists(id).await? {
        return Err(ApiError::NoSuchDevice);
    }
    let (head, body) = request.into_parts();
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|value| multer::parse_boundary(value).ok());
    let body = collect(&head.method, head.uri.path(), body, &limits).await?;

    let file = part(body, boundary.ok_or(NO_FILE)?).await?;
    let table = Table::parse(file.into())?;

    let before = std::iter::once(br#"{"message":"File processed","preview":"#.to_vec());
    let pieces = before.chain(table.into_json()).chain(std::iter::once(b"}".to_vec()));
    let pieces = pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    Ok(json_body(StatusCode::OK, Body::from_stream(stream::iter(pieces))))
}

const NO_FILE: ApiError = ApiError::Field("the body must be multipart/form-data with a part named file");

/// The content of the part `file`. A part without a file name is a form field, not a file.
async fn part(body: Bytes, boundary: String) -> Result<Bytes, ApiError> {
    const MALFORMED: ApiError = ApiError::Field("malformed multipart/form-data");

    let body = stream::once(ready(Ok::<_, Infallible>(body)));
    let mut parts = multer::Multipart::new(body, boundary);
    while let Some(part) = parts.next_field().await.map_err(|_| MALFORMED)? {
        let Some(file_name) = part.file_name().filter(|_| part.name() == Some("file")) else { continue };
        if file_name.is_empty() {
            return Err(ApiError::Field("no file selected"));
        }
        if !file_name.to_ascii_lowercase().ends_with(".csv") {
            return Err(ApiError::Field("only .csv files are read"));
        }
        return part.bytes().await.map_err(|_| MALFORMED);
    }
    Err(NO_FILE)
}
