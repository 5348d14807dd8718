//! Tables: shared, replaced, deleted.

use std::time::Duration;

use super::{Database, copies, create, number, rows, save, table_text};

const DATASETS: &str = "SELECT count(*) FROM datasets";
const BLOCKS: &str = "SELECT count(*) FROM dataset_blocks";

#[tokio::test]
async fn duplicates_share_a_table_and_the_last_one_deletes_it() {
    let database = Database::migrated().await;
    let (store, mut outside) = (database.store().await, database.connection().await);
    let original = create(&store, "pump").await;
    save(&store, original, &table_text(3)).await;
    let (_, made) = store.duplicate_device(original, copies(2)).await.unwrap().unwrap();
    assert_eq!(number(&mut outside, DATASETS).await, 1);
    let head = made[0].csv_data.as_ref().map(|head| head.get());
    assert_eq!(head, Some(r#"{"headers":["n"]}"#));

    let [first, second] = [made[0].device.id, made[1].device.id];
    save(&store, first, &table_text(1)).await;
    assert_eq!(number(&mut outside, DATASETS).await, 2, "another table for one of them");
    assert!(store.delete_device(original).await.unwrap());
    assert_eq!(rows(&store, second).await, r#"{"n":"0000"},{"n":"0001"},{"n":"0002"}"#);
    assert!(store.delete_device(second).await.unwrap());
    assert_eq!(number(&mut outside, DATASETS).await, 1);
    store.save_table(first, None).await.unwrap().unwrap();
    assert_eq!((number(&mut outside, DATASETS).await, number(&mut outside, BLOCKS).await), (0, 0));
    assert!(!store.delete_device(second).await.unwrap(), "it is gone");
}

#[tokio::test]
async fn a_table_of_many_pages_comes_back_whole() {
    let database = Database::migrated().await;
    let (store, mut outside) = (database.store().await, database.connection().await);
    let device = create(&store, "large").await;
    let table = table_text(200_000);
    save(&store, device, &table).await;
    assert!(number(&mut outside, BLOCKS).await > 32, "more than two pages");
    assert_eq!(number(&mut outside, "SELECT max(length(rows)) <= 65536 FROM dataset_blocks").await, 1);
    let expected = &table[table.find('[').unwrap()..];
    let expected = &expected[expected.find("[{").unwrap() + 1..expected.len() - 2];
    assert!(rows(&store, device).await == expected);
    assert_eq!(
        number(&mut outside, "SELECT bytes FROM datasets").await,
        i64::try_from(expected.len()).unwrap()
    );
}

#[tokio::test]
async fn saving_again_and_again_neither_grows_the_file_nor_the_log() {
    let database = Database::migrated().await;
    let store = database.store().await;
    let device = create(&store, "often").await;
    let table = table_text(100_000);
    for _ in 0..8 {
        save(&store, device, &table).await;
    }
    store.delete_device(device).await.unwrap();
    let size = |suffix: &str| {
        let path = format!("{}{suffix}", database.path().display());
        std::fs::metadata(path).map_or(0, |file| file.len())
    };
    let tidied = async {
        while size("") > table.len() as u64 / 4 || size("-wal") > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), tidied).await.expect("the file and its log shrink");
}

#[tokio::test]
async fn who_reads_a_table_that_goes_never_walks_into_another() {
    let database = Database::migrated().await;
    let store = database.store().await;
    let [read, other] = [create(&store, "read").await, create(&store, "other").await];
    let table = table_text(200_000);
    save(&store, read, &table).await;
    let (_, stored) = store.device(read).await.unwrap().unwrap();
    let first = store.block_page(stored.unwrap().blocks()).await.unwrap();
    let second = store.block_page(first.next.unwrap()).await.unwrap();
    assert!(!second.blocks.is_empty());

    assert!(store.delete_device(read).await.unwrap());
    save(&store, other, &table).await;
    let gone = store.block_page(second.next.unwrap()).await.unwrap();
    assert!(gone.blocks.is_empty(), "the rest would be another table's");
}

#[tokio::test]
async fn only_a_sensor_goes_back_to_its_first_row() {
    let database = Database::migrated().await;
    let (store, mut outside) = (database.store().await, database.connection().await);
    for (kind, row) in [("Sensor", 0), ("WebApp", 7)] {
        let device = create(&store, kind).await;
        sqlx::query("UPDATE devices SET device_type = $1, current_row_index = 7 WHERE id = $2")
            .bind(kind)
            .bind(device.get())
            .execute(&mut outside)
            .await
            .unwrap();
        save(&store, device, &table_text(1)).await;
        let (saved, _) = store.device(device).await.unwrap().unwrap();
        assert_eq!(saved.current_row_index, row, "{kind}");
    }
}
