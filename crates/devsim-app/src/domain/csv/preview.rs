//! A table as JSON text, without a tree: `{"headers", "csv_preview", "json_preview", "total_rows", "data"}`.

use std::collections::HashMap;

use super::Table;
use super::reader::{Reader, Record};
use crate::domain::json::push_string;

/// How many rows the previews show.
const PREVIEW_ROWS: usize = 5;

/// A piece of text ends with the row that makes it longer than this.
const PIECE_BYTES: usize = 64 * 1024;

impl Table {
    /// The table's JSON in pieces, made when they are asked for: short cells under long headers can be a
    /// thousand times their CSV, so it must never lie in memory as a whole.
    pub(crate) fn into_json(self) -> impl Iterator<Item = Vec<u8>> {
        let columns = Columns::of(&self.headers);
        let mut rows = Rows { position: self.body, left: self.total_rows };
        let head = self.json_head(&columns);
        std::iter::once(head).chain(std::iter::from_fn(move || rows.next_piece(&self, &columns)))
    }

    /// Everything up to the opening bracket of `data`.
    fn json_head(&self, columns: &Columns) -> Vec<u8> {
        let mut reader = Reader::at(&self.text, self.body);
        let first_rows: Vec<Record<'_>> = (0..PREVIEW_ROWS.min(self.total_rows))
            .map(|_| {
                let mut record = Record::new();
                read_again(&mut reader, &mut record);
                record
            })
            .collect();

        let mut out = b"{\"headers\":".to_vec();
        push_cells(&mut out, &self.headers);
        out.extend_from_slice(b",\"csv_preview\":");
        push_array(&mut out, &first_rows, |out, row| push_cells(out, row));
        out.extend_from_slice(b",\"json_preview\":");
        push_array(&mut out, &first_rows, |out, row| columns.push_object(out, row));
        out.extend_from_slice(format!(",\"total_rows\":{},\"data\":[", self.total_rows).as_bytes());
        out
    }
}

/// The rows that are not shown yet.
struct Rows {
    position: usize,
    left: usize,
}

impl Rows {
    /// Some more rows as objects; the last ones close the table.
    fn next_piece(&mut self, table: &Table, columns: &Columns) -> Option<Vec<u8>> {
        if self.left == 0 {
            return None;
        }
        let mut out = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
        let mut reader = Reader::at(&table.text, self.position);
        let mut record = Record::new();
        while self.left > 0 && out.len() < PIECE_BYTES {
            read_again(&mut reader, &mut record);
            columns.push_object(&mut out, &record);
            self.left -= 1;
            out.extend_from_slice(if self.left > 0 { b"," } else { b"]}" });
        }
        self.position = reader.position();
        Some(out)
    }
}

/// Reads a row of a text that was read to its end before.
fn read_again<'t>(reader: &mut Reader<'t>, record: &mut Record<'t>) {
    let read = reader.read(record);
    debug_assert_eq!(read, Ok(true), "the same text reads the same again");
}

/// What the keys of the row objects are, and from which cell their values come.
struct Columns(Vec<Column>);

struct Column {
    /// The key as JSON, with the colon.
    key: Vec<u8>,
    cell: usize,
}

impl Columns {
    /// Of headers with the same name, the first gives the key's place and the last its value.
    fn of(headers: &[String]) -> Self {
        let mut columns: Vec<Column> = Vec::with_capacity(headers.len());
        let mut places = HashMap::with_capacity(headers.len());
        for (cell, header) in headers.iter().enumerate() {
            let place = *places.entry(header.as_str()).or_insert(columns.len());
            match columns.get_mut(place) {
                Some(column) => column.cell = cell,
                None => {
                    let mut key = Vec::with_capacity(header.len() + 3);
                    push_string(&mut key, header);
                    key.push(b':');
                    columns.push(Column { key, cell });
                }
            }
        }
        Self(columns)
    }

    /// A row as an object: missing cells are empty, those beyond the header are left out.
    fn push_object(&self, out: &mut Vec<u8>, row: &Record<'_>) {
        out.push(b'{');
        for (i, Column { key, cell }) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key);
            push_string(out, row.get(*cell).map_or("", AsRef::as_ref));
        }
        out.push(b'}');
    }
}

fn push_cells(out: &mut Vec<u8>, cells: &[impl AsRef<str>]) {
    push_array(out, cells, |out, cell| push_string(out, cell.as_ref()));
}

fn push_array<T>(out: &mut Vec<u8>, items: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}
