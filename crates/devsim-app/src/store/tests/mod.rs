//! The store on a file of its own.

mod concurrency;
mod datasets;
mod schema;

use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, SqlSafeStr};
use tempfile::TempDir;

use super::{DatabaseUrl, Store};
use crate::domain::dataset::Dataset;
use crate::domain::device::{CopyCount, Description, DeviceId, Name};

/// A folder with a database in it, removed at the end.
struct Database {
    folder: TempDir,
}

impl Database {
    fn nowhere_yet() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    async fn migrated() -> Self {
        let database = Self::nowhere_yet();
        Store::migrate(&database.url()).await.unwrap();
        database
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data/devsim.sqlite")
    }

    fn url(&self) -> DatabaseUrl {
        format!("sqlite:///{}", self.path().display()).parse().unwrap()
    }

    async fn store(&self) -> Store {
        Store::open(&self.url()).await.unwrap()
    }

    /// A connection that looks in from outside.
    async fn connection(&self) -> SqliteConnection {
        connect(&self.path()).await
    }
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn number(connection: &mut SqliteConnection, sql: impl SqlSafeStr) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

async fn create(store: &Store, name: &str) -> DeviceId {
    let name = Name::parse(name).unwrap();
    store.create_device(&name, &Description::default()).await.unwrap().device.id
}

/// A table of rows `{"n":"0000"}`.
fn table_text(rows: usize) -> String {
    let rows: Vec<String> = (0..rows).map(|n| format!(r#"{{"n":"{n:04}"}}"#)).collect();
    format!(r#"{{"headers":["n"],"data":[{}]}}"#, rows.join(","))
}

async fn save(store: &Store, id: DeviceId, table: &str) {
    let raw: &RawValue = serde_json::from_str(table).unwrap();
    let table = Dataset::parse(raw).unwrap();
    assert!(store.save_table(id, Some(&table)).await.unwrap().is_some());
}

/// All rows of a device's table.
async fn rows(store: &Store, id: DeviceId) -> String {
    let (_, table) = store.device(id).await.unwrap().unwrap();
    let mut blocks = Vec::new();
    let mut next = table.map(|table| table.blocks());
    while let Some(cursor) = next {
        let page = store.block_page(cursor).await.unwrap();
        blocks.extend(page.blocks);
        next = page.next;
    }
    blocks.join(",")
}

fn copies(count: u8) -> CopyCount {
    CopyCount::new(count).unwrap()
}
