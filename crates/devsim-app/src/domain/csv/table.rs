//! A whole file, checked.

use super::CsvError;
use super::reader::{Reader, Record};

/// A CSV file that was read to its end once: a header, and at least one row.
///
/// Only the text is kept, not its cells: they are read again where they are shown, so that a file of
/// 10 MB costs 10 MB.
#[derive(Debug)]
pub(crate) struct Table {
    pub(super) text: String,
    pub(super) headers: Vec<String>,
    /// Where the rows begin.
    pub(super) body: usize,
    pub(super) total_rows: usize,
}

impl Table {
    /// Reads a file.
    pub(crate) fn parse(file: Vec<u8>) -> Result<Self, CsvError> {
        let mut text = String::from_utf8(file)
            .map_err(|error| CsvError::not_utf8(error.as_bytes(), error.utf8_error()))?;
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        if let Some(at) = text.find('\0') {
            return Err(CsvError::nul(&text, at));
        }

        let mut reader = Reader::new(&text);
        let mut record = Record::new();
        reader.read(&mut record)?;
        let headers = record.iter().map(|cell| cell.clone().into_owned()).collect();
        let body = reader.position();
        let mut total_rows = 0;
        while reader.read(&mut record)? {
            total_rows += 1;
        }
        if total_rows == 0 {
            return Err(CsvError::TooFewRows);
        }
        Ok(Self { text, headers, body, total_rows })
    }
}
