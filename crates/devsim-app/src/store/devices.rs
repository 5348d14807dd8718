//! Devices.

use std::time::SystemTime;

use serde_json::value::RawValue;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::datasets::{self, DatasetId, StoredTable};
use super::random::random_reference;
use super::{Fault, Store};
use crate::domain::dataset::Dataset;
use crate::domain::device::{
    CopyCount, Description, Device, DeviceId, DeviceType, ListedDevice, Name, Reference,
};
use crate::domain::page::{Page, PageRequest};
use crate::domain::search::{Needle, fold};
use crate::domain::timestamp::Timestamp;

/// Which devices a list shows.
#[derive(Debug, Default)]
pub(crate) struct DeviceFilter {
    pub(crate) search: Option<Needle>,
    /// Exactly as it was asked for: of a type that there is not, there are no devices.
    pub(crate) device_type: Option<String>,
}

// Statements are put together from literals only: no text of a client ever becomes SQL.
macro_rules! select_devices {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.reference, d.name, d.description, d.created_at, d.device_type, ",
            "d.transmission_frequency, d.transmission_enabled, d.current_row_index, d.last_transmission, ",
            "d.selected_connection_id, d.include_device_id_in_payload, d.auto_reset_counter, ",
            "d.current_project_id, s.id AS dataset_id, s.head, s.has_data, s.bytes ",
            "FROM devices d LEFT JOIN datasets s ON s.id = d.dataset ",
            $rest
        )
    };
}

macro_rules! filtered {
    ($before:expr, $after:literal) => {
        concat!(
            $before,
            "WHERE ($1 IS NULL OR d.device_type = $1) ",
            "AND ($2 IS NULL OR instr(d.name_folded, $2) > 0 OR instr(d.description_folded, $2) > 0 ",
            "OR instr(lower(d.reference), $2) > 0) ",
            $after
        )
    };
}

const BY_ID: &str = select_devices!("WHERE d.id = $1");
const COUNT: &str = filtered!("SELECT count(*) FROM devices d ", "");
// Lists walk an index that has their order; a test sees to it that none sorts.
pub(super) const LIST: &str =
    filtered!(select_devices!(""), "ORDER BY d.created_at DESC, d.id DESC LIMIT $3 OFFSET $4");
pub(super) const UNASSIGNED: &str =
    select_devices!("WHERE d.current_project_id IS NULL ORDER BY d.created_at DESC, d.id DESC");

// A reference that is taken inserts nothing, and the next one is tried.
const INSERT: &str = "INSERT INTO devices \
    (reference, name, name_folded, description, description_folded, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (reference) DO NOTHING RETURNING id";
const INSERT_COPY: &str = "INSERT INTO devices \
    (reference, name, name_folded, created_at, description, description_folded, device_type, \
     transmission_frequency, selected_connection_id, include_device_id_in_payload, auto_reset_counter, \
     dataset, first_row, end_row, options) \
    SELECT $1, $2, $3, $4, description, description_folded, device_type, \
     transmission_frequency, selected_connection_id, include_device_id_in_payload, auto_reset_counter, \
     dataset, first_row, end_row, options \
    FROM devices WHERE id = $5 ON CONFLICT (reference) DO NOTHING RETURNING id";

// Another table begins at its first row; only a Sensor has a next row to go back to.
const SET_DATASET: &str = "UPDATE devices SET dataset = $2, first_row = NULL, end_row = NULL, \
    current_row_index = CASE device_type WHEN 'Sensor' THEN 0 ELSE current_row_index END, \
    revision = revision + 1 WHERE id = $1";

impl Store {
    /// Makes a device without a table.
    pub(crate) async fn create_device(
        &self,
        name: &Name,
        description: &Description,
    ) -> Result<ListedDevice, Fault> {
        let mut transaction = self.write().await?;
        let created_at = created_now();
        let id = loop {
            let inserted = sqlx::query_scalar(INSERT)
                .bind(random_reference()?.as_str())
                .bind(name.as_str())
                .bind(fold(name.as_str()))
                .bind(description.as_str())
                .bind(fold(description.as_str()))
                .bind(created_at.micros())
                .fetch_optional(&mut *transaction)
                .await?;
            if let Some(id) = inserted {
                break DeviceId::new(id);
            }
        };
        let (device, _) = by_id(&mut transaction, id).await?.ok_or(sqlx::Error::RowNotFound)?;
        transaction.commit().await?;
        Ok(ListedDevice { device, csv_data: None })
    }

    /// A device and its table.
    pub(crate) async fn device(&self, id: DeviceId) -> Result<Option<(Device, Option<StoredTable>)>, Fault> {
        let mut connection = self.pool.acquire().await?;
        Ok(by_id(&mut connection, id).await?)
    }

    /// Whether there is such a device.
    pub(crate) async fn device_exists(&self, id: DeviceId) -> Result<bool, Fault> {
        let found = sqlx::query("SELECT 1 FROM devices WHERE id = $1").bind(id.get());
        Ok(found.fetch_optional(&self.pool).await?.is_some())
    }

    /// A page of devices, newest first.
    pub(crate) async fn devices(
        &self,
        filter: &DeviceFilter,
        page: PageRequest,
    ) -> Result<Page<ListedDevice>, Fault> {
        let device_type = filter.device_type.as_deref();
        let needle = filter.search.as_ref().map(Needle::as_str);
        let total = sqlx::query_scalar(COUNT).bind(device_type).bind(needle).fetch_one(&self.pool).await?;
        let rows = sqlx::query(LIST)
            .bind(device_type)
            .bind(needle)
            .bind(page.limit())
            .bind(page.offset())
            .fetch_all(&self.pool)
            .await?;
        Ok(Page::new(page, listed_all(&rows)?, total))
    }

    /// All devices that are in no project, newest first.
    pub(crate) async fn unassigned_devices(&self) -> Result<Vec<ListedDevice>, Fault> {
        Ok(listed_all(&sqlx::query(UNASSIGNED).fetch_all(&self.pool).await?)?)
    }

    /// Deletes a device, and its table if no other has it; false if there is no such device.
    pub(crate) async fn delete_device(&self, id: DeviceId) -> Result<bool, Fault> {
        let mut transaction = self.write().await?;
        let deleted: Option<Option<i64>> =
            sqlx::query_scalar("DELETE FROM devices WHERE id = $1 RETURNING dataset")
                .bind(id.get())
                .fetch_optional(&mut *transaction)
                .await?;
        let Some(dataset) = deleted else { return Ok(false) };
        let freed = leave(&mut transaction, dataset).await?;
        transaction.commit().await?;
        self.housekeeping.churned(freed);
        Ok(true)
    }

    /// Makes copies of a device that share its table: all of them, or none if there is no such device.
    pub(crate) async fn duplicate_device(
        &self,
        id: DeviceId,
        count: CopyCount,
    ) -> Result<Option<(Device, Vec<ListedDevice>)>, Fault> {
        let mut transaction = self.write().await?;
        let Some((original, _)) = by_id(&mut transaction, id).await? else { return Ok(None) };
        let created_at = created_now();
        let mut copies = Vec::new();
        for number in count.numbers() {
            let name = format!("{} {number}", original.name);
            let copy = loop {
                let inserted = sqlx::query_scalar(INSERT_COPY)
                    .bind(random_reference()?.as_str())
                    .bind(&name)
                    .bind(fold(&name))
                    .bind(created_at.micros())
                    .bind(id.get())
                    .fetch_optional(&mut *transaction)
                    .await?;
                if let Some(copy) = inserted {
                    break DeviceId::new(copy);
                }
            };
            let row = sqlx::query(BY_ID).bind(copy.get()).fetch_one(&mut *transaction).await?;
            copies.push(listed(&row)?);
        }
        transaction.commit().await?;
        Ok(Some((original, copies)))
    }

    /// Gives a device another table, or none; `None` if there is no such device.
    pub(crate) async fn save_table(
        &self,
        id: DeviceId,
        table: Option<&Dataset<'_>>,
    ) -> Result<Option<Device>, Fault> {
        let mut transaction = self.write().await?;
        let Some((_, old)) = by_id(&mut transaction, id).await? else { return Ok(None) };
        let new = match table {
            Some(table) => Some(datasets::insert(&mut transaction, table).await?),
            None => None,
        };
        sqlx::query(SET_DATASET)
            .bind(id.get())
            .bind(new.map(|DatasetId(id)| id))
            .execute(&mut *transaction)
            .await?;
        let freed = leave(&mut transaction, old.map(|table| table.id.0)).await?;
        let (device, _) = by_id(&mut transaction, id).await?.ok_or(sqlx::Error::RowNotFound)?;
        transaction.commit().await?;
        self.housekeeping.churned(freed + table.map_or(0, Dataset::bytes));
        Ok(Some(device))
    }
}

/// To be called inside the transaction that writes, so that later ids never have earlier times. Whole
/// seconds, since that is what clients see: among equal ones they expect the higher id first.
fn created_now() -> Timestamp {
    Timestamp::from(SystemTime::now()).whole_seconds()
}

async fn leave(connection: &mut SqliteConnection, dataset: Option<i64>) -> Result<i64, sqlx::Error> {
    match dataset {
        Some(dataset) => datasets::leave(connection, DatasetId(dataset)).await,
        None => Ok(0),
    }
}

async fn by_id(
    connection: &mut SqliteConnection,
    id: DeviceId,
) -> Result<Option<(Device, Option<StoredTable>)>, sqlx::Error> {
    let row = sqlx::query(BY_ID).bind(id.get()).fetch_optional(connection).await?;
    row.map(|row| Ok((device(&row)?, table(&row)?))).transpose()
}

fn listed_all(rows: &[SqliteRow]) -> Result<Vec<ListedDevice>, sqlx::Error> {
    rows.iter().map(listed).collect()
}

fn listed(row: &SqliteRow) -> Result<ListedDevice, sqlx::Error> {
    let csv_data = row
        .try_get::<Option<String>, _>("head")?
        .map(RawValue::from_string)
        .transpose()
        .map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(ListedDevice { device: device(row)?, csv_data })
}

fn device(row: &SqliteRow) -> Result<Device, sqlx::Error> {
    let device_type: &str = row.try_get("device_type")?;
    let device_type = DeviceType::parse(device_type)
        .ok_or_else(|| sqlx::Error::Decode(format!("device_type {device_type}").into()))?;
    Ok(Device {
        id: DeviceId::new(row.try_get("id")?),
        reference: Reference::stored(row.try_get("reference")?),
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        device_type,
        transmission_frequency: row.try_get("transmission_frequency")?,
        transmission_enabled: row.try_get("transmission_enabled")?,
        current_row_index: row.try_get("current_row_index")?,
        last_transmission: row.try_get::<Option<i64>, _>("last_transmission")?.map(Timestamp::from_micros),
        selected_connection_id: row.try_get("selected_connection_id")?,
        include_device_id_in_payload: row.try_get("include_device_id_in_payload")?,
        auto_reset_counter: row.try_get("auto_reset_counter")?,
        current_project_id: row.try_get("current_project_id")?,
    })
}

fn table(row: &SqliteRow) -> Result<Option<StoredTable>, sqlx::Error> {
    let Some(id) = row.try_get::<Option<i64>, _>("dataset_id")? else { return Ok(None) };
    let bytes: i64 = row.try_get("bytes")?;
    let has_data: bool = row.try_get("has_data")?;
    Ok(Some(StoredTable {
        id: DatasetId(id),
        head: row.try_get("head")?,
        data_bytes: has_data.then_some(bytes),
    }))
}
