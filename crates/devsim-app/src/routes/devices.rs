//! Devices.

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;

use super::answer::json;
use super::api_error::ApiError;
use super::body::{JsonBody, field};
use super::table;
use crate::domain::device::{CopyCount, Description, DeviceId, ListedDevice, Name};
use crate::domain::page::PageRequest;
use crate::domain::search::Needle;
use crate::store::{DeviceFilter, Store};

/// The id in the path: what is no id is no device.
pub(super) struct Id(pub(super) DeviceId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| ApiError::NoSuchDevice)?;
        text.parse().map(Self).map_err(|_| ApiError::NoSuchDevice)
    }
}

/// The parameters behind the `?`; of a repeated one the first counts.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(parameters) = query.map_err(|_| ApiError::Field("malformed query"))?;
        Ok(Self(parameters))
    }
}

/// `POST /api/devices`
pub(super) async fn create(State(store): State<Store>, body: JsonBody) -> Result<Response, ApiError> {
    let object = body.object()?;
    let name: Option<String> = field(&object, "name", "name must be a string")?;
    let name = Name::parse(&name.ok_or(ApiError::Field("name is required"))?)?;
    let description = match field(&object, "description", "description must be a string")? {
        Some(text) => Description::parse(text)?,
        None => Description::default(),
    };
    let device = store.create_device(&name, &description).await?;
    Ok(json(StatusCode::CREATED, &device))
}

/// `GET /api/devices`
pub(super) async fn list(State(store): State<Store>, parameters: Parameters) -> Result<Response, ApiError> {
    let page = PageRequest::parse(parameters.get("page"), parameters.get("per_page"))?;
    let filter = DeviceFilter {
        search: parameters.get("search").and_then(Needle::parse),
        device_type: parameters.get("type").filter(|text| !text.is_empty()).map(str::to_owned),
    };
    Ok(json(StatusCode::OK, &store.devices(&filter, page).await?))
}

/// `GET /api/devices/unassigned`
pub(super) async fn unassigned(State(store): State<Store>) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, &store.unassigned_devices().await?))
}

/// `GET /api/devices/{id}`
pub(super) async fn read(State(store): State<Store>, Id(id): Id) -> Result<Response, ApiError> {
    table::read(store, id).await
}

/// `DELETE /api/devices/{id}`
pub(super) async fn delete(State(store): State<Store>, Id(id): Id) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Deleted {
        deleted: bool,
        device_id: DeviceId,
    }

    if !store.delete_device(id).await? {
        return Err(ApiError::NoSuchDevice);
    }
    Ok(json(StatusCode::OK, &Deleted { deleted: true, device_id: id }))
}

/// `POST /api/devices/{id}/duplicate`
pub(super) async fn duplicate(
    State(store): State<Store>,
    Id(id): Id,
    body: JsonBody,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Duplicated {
        original_device_id: DeviceId,
        original_device_name: String,
        duplicates_created: usize,
        duplicated_devices: Vec<ListedDevice>,
    }

    const WRONG: &str = "count must be an integer from 1 to 50";
    let count = field(&body.object()?, "count", WRONG)?.and_then(CopyCount::new);
    let count = count.ok_or(ApiError::Field(WRONG))?;
    let (original, copies) = store.duplicate_device(id, count).await?.ok_or(ApiError::NoSuchDevice)?;
    let answer = Duplicated {
        original_device_id: original.id,
        original_device_name: original.name,
        duplicates_created: copies.len(),
        duplicated_devices: copies,
    };
    Ok(json(StatusCode::CREATED, &answer))
}
