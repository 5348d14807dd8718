//! Tables as clients save them.

use serde_json::value::RawValue;

use super::json::{self, Object};

/// A table that a client saves, checked and taken apart for storage; every value stays as it was spelt.
///
/// Its rows are those that a device transmits: `data` if the table has that key, else `json_preview`.
#[derive(Debug)]
pub(crate) struct Dataset<'a> {
    head: String,
    rows: Vec<&'a RawValue>,
    has_data: bool,
}

/// Why a value is no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDataset {
    #[error("csv_data must be an object or null")]
    NotAnObject,
    #[error("csv_data must have an array of rows in data or json_preview")]
    NoRows,
    #[error("each row in {0} must be an object")]
    RowNotAnObject(&'static str),
    #[error("csv_data must not contain the character U+0000")]
    Nul,
}

/// Some rows in a row, as one text: JSON objects with commas between them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first_row: i64,
    pub(crate) rows: String,
}

impl Block {
    /// Large enough that a table of 10 MB is few hundred of them, small enough to be read for one row.
    pub(crate) const MAX_BYTES: usize = 64 * 1024;
}

impl<'a> Dataset<'a> {
    /// Checks a `csv_data` that is not `null`.
    pub(crate) fn parse(csv_data: &'a RawValue) -> Result<Self, InvalidDataset> {
        if json::holds_nul(csv_data.get()) {
            return Err(InvalidDataset::Nul);
        }
        let object = Object::parse(csv_data.get()).map_err(|_| InvalidDataset::NotAnObject)?;
        let data = object.get("data");
        let (key, rows) = match data {
            Some(data) => ("data", data),
            None => ("json_preview", object.get("json_preview").ok_or(InvalidDataset::NoRows)?),
        };
        let rows: Vec<&RawValue> = serde_json::from_str(rows.get()).map_err(|_| InvalidDataset::NoRows)?;
        if !rows.iter().all(|row| row.get().starts_with('{')) {
            return Err(InvalidDataset::RowNotAnObject(key));
        }
        Ok(Self { head: head(&object), rows, has_data: data.is_some() })
    }

    /// The table without its `data`, as JSON text.
    pub(crate) fn head(&self) -> &str {
        &self.head
    }

    /// Whether the rows came as `data`, and belong there when the table is shown whole.
    pub(crate) fn has_data(&self) -> bool {
        self.has_data
    }

    pub(crate) fn row_count(&self) -> i64 {
        count(self.rows.len())
    }

    /// Bytes of all blocks, joined by commas.
    pub(crate) fn bytes(&self) -> i64 {
        let text: usize = self.rows.iter().map(|row| row.get().len()).sum();
        count(text + self.rows.len().saturating_sub(1))
    }

    /// The rows in blocks of at most [`Block::MAX_BYTES`]; a single larger row has a block of its own.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let first = next;
            let mut rows = self.rows.get(first)?.get().to_owned();
            next += 1;
            while let Some(row) = self.rows.get(next) {
                let row = row.get();
                if rows.len() + 1 + row.len() > Block::MAX_BYTES {
                    break;
                }
                rows.push(',');
                rows.push_str(row);
                next += 1;
            }
            Some(Block { first_row: count(first), rows })
        })
    }
}

fn head(object: &Object<'_>) -> String {
    let mut text = vec![b'{'];
    for (key, value) in object.members().filter(|(key, _)| *key != "data") {
        if text.len() > 1 {
            text.push(b',');
        }
        json::push_string(&mut text, key);
        text.push(b':');
        text.extend_from_slice(value.get().as_bytes());
    }
    text.push(b'}');
    String::from_utf8(text).expect("made of strings only")
}

fn count(n: usize) -> i64 {
    i64::try_from(n).expect("what lies in memory is countable in 63 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_no_table_is_refused() {
        use InvalidDataset::*;
        for (text, why) in [
            ("5", NotAnObject),
            ("[]", NotAnObject),
            (r#""x""#, NotAnObject),
            ("{}", NoRows),
            (r#"{"data":{}}"#, NoRows),
            (r#"{"data":null,"json_preview":[]}"#, NoRows),
            (r#"{"data":[1]}"#, RowNotAnObject("data")),
            (r#"{"data":[{},[]]}"#, RowNotAnObject("data")),
            (r#"{"json_preview":["a"]}"#, RowNotAnObject("json_preview")),
            (r#"{"data":[{"a":"\u0000"}]}"#, Nul),
            (r#"{"data":[],"\u0000":1}"#, Nul),
        ] {
            assert_eq!(Dataset::parse(raw(text)).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn the_head_is_all_but_data_as_it_was_spelt() {
        let text = raw(r#"{"n":1.50e+1, "data":[{"a":"1"}], "json_preview":[],"ü\n":[ 1 ]}"#);
        let table = Dataset::parse(text).unwrap();
        assert_eq!(table.head(), r#"{"n":1.50e+1,"json_preview":[],"ü\n":[ 1 ]}"#);
        assert!(table.has_data());
        let table = Dataset::parse(raw(r#"{"json_preview":[{}]}"#)).unwrap();
        assert!(!table.has_data());
        assert_eq!((table.row_count(), table.bytes()), (1, 2));
    }

    #[test]
    fn blocks_joined_are_the_rows() {
        let row = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        let sizes = [8, 30_000, 30_000, 30_000, Block::MAX_BYTES + 1, 9, Block::MAX_BYTES - 10, 8];
        let rows: Vec<String> = sizes.into_iter().map(row).collect();
        let text = format!(r#"{{"data":[ {} ]}}"#, rows.join(" ,\n"));
        let table = Dataset::parse(raw(&text)).unwrap();
        let blocks: Vec<Block> = table.blocks().collect();
        assert_eq!(blocks.iter().map(|b| b.first_row).collect::<Vec<_>>(), [0, 3, 4, 5, 7]);
        let joined = blocks.into_iter().map(|b| b.rows).collect::<Vec<_>>().join(",");
        assert_eq!(joined, rows.join(","));
        assert_eq!(table.bytes(), i64::try_from(joined.len()).unwrap());
        assert_eq!(Dataset::parse(raw(r#"{"data":[]}"#)).unwrap().blocks().count(), 0);
    }
}
