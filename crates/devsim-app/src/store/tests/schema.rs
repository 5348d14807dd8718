//! How the file is made, and which files are refused.

use sqlx::{Connection as _, Row as _};

use super::super::StoreError;
use super::super::devices::{LIST, UNASSIGNED};
use super::{Database, Store, connect, create, number};

#[tokio::test]
async fn a_new_file_has_its_modes_for_good() {
    let database = Database::migrated().await;
    let mut outside = database.connection().await;
    assert_eq!(number(&mut outside, "PRAGMA auto_vacuum").await, 2, "incremental");
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut outside).await.unwrap();
    assert_eq!(mode, "wal");

    let store = database.store().await;
    let mut inside = store.pool.acquire().await.unwrap();
    for (pragma, value) in [
        ("PRAGMA foreign_keys", 1),
        ("PRAGMA synchronous", 1),
        ("PRAGMA temp_store", 2),
        ("PRAGMA busy_timeout", 15_000),
    ] {
        assert_eq!(number(&mut inside, pragma).await, value, "{pragma}");
    }
}

#[tokio::test]
async fn migrating_at_once_and_again_changes_nothing() {
    let database = Database::nowhere_yet();
    let url = database.url();
    let starts = (0..6).map(|_| Store::migrate(&url));
    for start in futures_util::future::join_all(starts).await {
        start.unwrap();
    }
    let store = database.store().await;
    let id = create(&store, "kept").await;
    Store::migrate(&url).await.unwrap();
    assert!(store.device_exists(id).await.unwrap());
}

#[tokio::test]
async fn a_file_of_the_python_application_is_refused_untouched() {
    let database = Database::nowhere_yet();
    std::fs::create_dir(database.path().parent().unwrap()).unwrap();
    let mut python = connect(&database.path()).await;
    sqlx::query("CREATE TABLE devices (id INTEGER PRIMARY KEY, reference VARCHAR(8), csv_data TEXT)")
        .execute(&mut python)
        .await
        .unwrap();
    python.close().await.unwrap();
    let before = std::fs::read(database.path()).unwrap();

    let refused = Store::migrate(&database.url()).await.unwrap_err();
    assert!(matches!(refused, StoreError::PythonApplication { .. }), "{refused}");
    assert!(refused.to_string().contains("devsim-ctl import-database"), "{refused}");
    assert!(refused.to_string().contains("devsim.sqlite"), "{refused}");
    assert_eq!(std::fs::read(database.path()).unwrap(), before);
    assert!(matches!(Store::open(&database.url()).await, Err(StoreError::NotPrepared { .. })));
}

#[tokio::test]
async fn files_of_others_are_refused() {
    let database = Database::nowhere_yet();
    std::fs::create_dir(database.path().parent().unwrap()).unwrap();
    let mut other = connect(&database.path()).await;
    sqlx::query("CREATE TABLE bookmarks (id INTEGER)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let refused = Store::migrate(&database.url()).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Foreign { table, .. } if table == "bookmarks"), "{refused}");

    std::fs::write(database.path(), "no database at all, but a text long enough to have a header".repeat(20))
        .unwrap();
    let refused = Store::migrate(&database.url()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unusable { .. }), "{refused}");
}

#[tokio::test]
async fn a_database_that_was_not_prepared_is_not_opened() {
    let database = Database::nowhere_yet();
    let refused = Store::open(&database.url()).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotPrepared { .. }), "{refused}");
    assert!(!database.path().exists(), "opening makes no file");
}

#[tokio::test]
async fn a_program_older_than_the_schema_allows_is_refused() {
    let database = Database::migrated().await;
    let mut newer = database.connection().await;
    // A newer program's migration that still admits this one.
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'newer', 1, x'00', 0)",
    )
    .execute(&mut newer)
    .await
    .unwrap();
    Store::migrate(&database.url()).await.unwrap();
    database.store().await;

    sqlx::query("UPDATE schema_info SET oldest_program = 2").execute(&mut newer).await.unwrap();
    for refused in [Store::migrate(&database.url()).await.err(), Store::open(&database.url()).await.err()] {
        assert!(matches!(refused, Some(StoreError::ProgramTooOld { oldest: 2, own: 1, .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn lists_walk_an_index_and_never_sort() {
    let database = Database::migrated().await;
    let mut connection = database.connection().await;
    for (sql, index) in [(LIST, "devices_newest"), (UNASSIGNED, "devices_newest_of_project")] {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let steps = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
        let plan = plan.join("; ");
        assert!(plan.contains(&format!("USING INDEX {index}")), "{plan}");
        assert!(plan.contains("SEARCH s USING INTEGER PRIMARY KEY"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("blocks"), "{plan}");
    }
}
