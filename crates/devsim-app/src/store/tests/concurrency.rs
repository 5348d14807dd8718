//! Several stores on one file, as several workers have them.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::Connection as _;

use super::{Database, copies, create, number, save, table_text};
use crate::domain::device::DeviceId;
use crate::store::Store;
use crate::store::housekeeping::tidy;

const STORES: usize = 6;
const ROUNDS: usize = 40;

/// Makes, fills, copies and deletes devices; returns the ids of those that must still be there.
async fn work(store: &Store, part: usize) -> Vec<DeviceId> {
    let mut kept = Vec::new();
    for round in 0..ROUNDS {
        let device = create(store, &format!("{part}-{round}")).await;
        save(store, device, &table_text(50)).await;
        let (_, made) = store.duplicate_device(device, copies(2)).await.unwrap().unwrap();
        assert!(store.delete_device(device).await.unwrap());
        assert!(store.delete_device(made[0].device.id).await.unwrap());
        kept.push(made[1].device.id);
    }
    kept
}

#[tokio::test]
async fn six_writers_lose_nothing_and_are_never_refused() {
    let database = Database::migrated().await;
    let mut stores = Vec::new();
    for _ in 0..STORES {
        stores.push(database.store().await);
    }
    let kept = join_all(stores.iter().enumerate().map(|(part, store)| work(store, part))).await;
    let kept: BTreeSet<i64> = kept.into_iter().flatten().map(DeviceId::get).collect();
    assert_eq!(kept.len(), STORES * ROUNDS);

    let there = stores[0].unassigned_devices().await.unwrap();
    let there: BTreeSet<i64> = there.into_iter().map(|listed| listed.device.id.get()).collect();
    assert_eq!(there, kept);
    let mut outside = database.connection().await;
    let tables = number(&mut outside, "SELECT count(*) FROM datasets").await;
    assert_eq!(tables, i64::try_from(kept.len()).unwrap(), "each has its table, and no other is left");
}

#[tokio::test]
async fn no_writer_waits_while_tidying_is_kept_from_its_end_by_a_reader() {
    const DEVICES: &str = "SELECT count(*) FROM devices";
    let database = Database::migrated().await;
    let store = database.store().await;
    create(&store, "seen").await;
    let mut outside = database.connection().await;
    let mut reader = outside.begin().await.unwrap();
    assert_eq!(number(&mut reader, DEVICES).await, 1);
    create(&store, "unseen").await; // the log goes on behind the reader, who keeps it from being emptied

    // Tidying that waited for the reader would lock writers out for longer than any of them waits.
    let path = database.path();
    let tidying = tokio::spawn(async move { tidy(&path, Duration::from_secs(3600)).await });
    let mut writer = database.connection().await;
    while !tidying.is_finished() {
        sqlx::query("UPDATE devices SET name = name").execute(&mut writer).await.unwrap();
    }
    assert!(!tidying.await.unwrap().unwrap(), "the reader did not keep it from the log's end");
    assert_eq!(number(&mut reader, DEVICES).await, 1, "the reader is where it was");
}
