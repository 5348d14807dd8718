//! Saved tables and their rows.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::{Fault, Store};
use crate::domain::dataset::Dataset;

/// The number of a saved table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DatasetId(pub(super) i64);

/// A saved table, without its rows.
#[derive(Debug)]
pub(crate) struct StoredTable {
    pub(super) id: DatasetId,
    /// JSON: the table without its `data`.
    pub(crate) head: String,
    /// Bytes of the rows that belong under `data`, joined by commas; none when the table has no `data`.
    pub(crate) data_bytes: Option<i64>,
}

/// Some blocks of a table.
#[derive(Debug)]
pub(crate) struct BlockPage {
    /// Rows as JSON objects, joined by commas, block by block.
    pub(crate) blocks: Vec<String>,
    /// Where the blocks behind them begin, if there are any.
    pub(crate) next: Option<BlockCursor>,
}

/// A place between two blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockCursor {
    dataset: DatasetId,
    next_row: i64,
}

impl StoredTable {
    /// Before the first block.
    pub(crate) fn blocks(&self) -> BlockCursor {
        BlockCursor { dataset: self.id, next_row: 0 }
    }
}

/// Blocks read at once: about a megabyte.
const PAGE: u32 = 16;

impl Store {
    /// Reads the blocks at a place. There are none when the table was deleted meanwhile.
    pub(crate) async fn block_page(&self, cursor: BlockCursor) -> Result<BlockPage, Fault> {
        let BlockCursor { dataset, next_row } = cursor;
        let rows = sqlx::query(
            "SELECT first_row, rows FROM dataset_blocks \
             WHERE dataset = $1 AND first_row >= $2 ORDER BY first_row LIMIT $3",
        )
        .bind(dataset.0)
        .bind(next_row)
        .bind(PAGE)
        .fetch_all(&self.pool)
        .await?;
        let next = match rows.last() {
            Some(last) if rows.len() == PAGE as usize => {
                Some(BlockCursor { dataset, next_row: last.try_get::<i64, _>("first_row")? + 1 })
            }
            _ => None,
        };
        let blocks = rows.iter().map(|row| row.try_get("rows")).collect::<Result<_, sqlx::Error>>()?;
        Ok(BlockPage { blocks, next })
    }
}

/// Stores a table.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    dataset: &Dataset<'_>,
) -> Result<DatasetId, sqlx::Error> {
    let id = sqlx::query_scalar(
        "INSERT INTO datasets (head, row_count, has_data, bytes) VALUES ($1, $2, $3, $4) RETURNING id",
    )
    .bind(dataset.head())
    .bind(dataset.row_count())
    .bind(dataset.has_data())
    .bind(dataset.bytes())
    .fetch_one(&mut *connection)
    .await?;
    for block in dataset.blocks() {
        sqlx::query("INSERT INTO dataset_blocks (dataset, first_row, rows) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(block.first_row)
            .bind(block.rows)
            .execute(&mut *connection)
            .await?;
    }
    Ok(DatasetId(id))
}

/// Deletes a table that a device just left, unless another device has it still. Returns the bytes freed.
pub(super) async fn leave(connection: &mut SqliteConnection, dataset: DatasetId) -> Result<i64, sqlx::Error> {
    let freed: Option<i64> = sqlx::query_scalar(
        "DELETE FROM datasets \
         WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM devices WHERE dataset = $1) RETURNING bytes",
    )
    .bind(dataset.0)
    .fetch_optional(connection)
    .await?;
    Ok(freed.unwrap_or(0))
}
