//! Devices with their whole tables, which are too large to be built in memory.

use std::io;

use axum::body::Body;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};

use super::answer::{self, json_body, to_vec};
use super::api_error::ApiError;
use super::body::JsonBody;
use super::devices::Id;
use super::sized_body::SizedBody;
use super::state::AppState;
use crate::domain::dataset::Dataset;
use crate::domain::device::{Device, DeviceId, ListedDevice};
use crate::store::{BlockCursor, BlockPage, Store};

/// A device with its whole table.
pub(super) async fn read(store: Store, id: DeviceId) -> Result<Response, ApiError> {
    loop {
        let Some((device, table)) = store.device(id).await? else { return Err(ApiError::NoSuchDevice) };
        let Some(table) = table else {
            return Ok(answer::json(StatusCode::OK, &ListedDevice { device, csv_data: None }));
        };
        let mut before = open_device(&device);
        let Some(data_bytes) = table.data_bytes else {
            before.extend_from_slice(table.head.as_bytes());
            before.push(b'}');
            return Ok(json_body(StatusCode::OK, Body::from(before)));
        };
        let first = store.block_page(table.blocks()).await?;
        if first.blocks.is_empty() && data_bytes > 0 {
            continue; // another table was saved between the two reads
        }

        let members = table.head.strip_suffix('}').unwrap_or(&table.head);
        before.extend_from_slice(members.as_bytes());
        before.extend_from_slice(if members == "{" { b"\"data\":[" } else { b",\"data\":[" });
        let after = "]}}";
        let length = before.len() + after.len();
        let pieces = piece(before).chain(Box::pin(rows(store, first))).chain(piece(after));
        let length = u64::try_from(length).unwrap_or(u64::MAX).saturating_add_signed(data_bytes);
        return Ok(json_body(StatusCode::OK, Body::new(SizedBody::new(length, pieces))));
    }
}

/// `POST /api/devices/{id}/save`
pub(super) async fn save(
    State(store): State<Store>,
    State(state): State<AppState>,
    Id(id): Id,
    request: Request,
) -> Result<Response, ApiError> {
    if !store.device_exists(id).await? {
        return Err(ApiError::NoSuchDevice);
    }
    let body = JsonBody::from_request(request, &state).await?;
    let csv_data = body.object()?.get("csv_data").ok_or(ApiError::Field("csv_data is required"))?;
    let table = match csv_data.get() {
        "null" => None,
        _ => Some(Dataset::parse(csv_data)?),
    };
    let device = store.save_table(id, table.as_ref()).await?.ok_or(ApiError::NoSuchDevice)?;

    let mut before = br#"{"message":"Data saved","device":"#.to_vec();
    before.extend_from_slice(&open_device(&device));
    // What was stored is what came, so it goes back as it came.
    let table = body.share(csv_data);
    let after = "}}";
    let length = u64::try_from(before.len() + table.len() + after.len()).unwrap_or(u64::MAX);
    let pieces = piece(before).chain(piece(table)).chain(piece(after));
    Ok(json_body(StatusCode::OK, Body::new(SizedBody::new(length, pieces))))
}

/// A device's JSON up to the value of `csv_data`.
fn open_device(device: &Device) -> Vec<u8> {
    let mut text = to_vec(device);
    let brace = text.pop();
    debug_assert_eq!(brace, Some(b'}'));
    text.extend_from_slice(b",\"csv_data\":");
    text
}

fn piece(bytes: impl Into<Bytes>) -> impl Stream<Item = io::Result<Bytes>> + Unpin {
    stream::iter([Ok(bytes.into())])
}

/// The rows of a table, read page by page while they are sent.
fn rows(store: Store, first: BlockPage) -> impl Stream<Item = io::Result<Bytes>> {
    enum Next {
        First(BlockPage),
        At(BlockCursor),
    }

    stream::try_unfold(Some(Next::First(first)), move |next| {
        let store = store.clone();
        async move {
            let (page, mut text) = match next {
                None => return Ok(None),
                Some(Next::First(page)) => (page, String::new()),
                Some(Next::At(cursor)) => {
                    (store.block_page(cursor).await.map_err(io::Error::other)?, String::from(","))
                }
            };
            if page.blocks.is_empty() {
                return Ok(None); // the last page was full, or the table is gone: the announced length tells which
            }
            text.push_str(&page.blocks.join(","));
            Ok(Some((Bytes::from(text), page.next.map(Next::At))))
        }
    })
}
