//! CSV files, read strictly and shown as JSON.
//!
//! RFC 4180 with commas, and what Python's `csv` does where the RFC is silent: a quote inside an unquoted
//! cell is itself, text behind a closing quote is appended to the cell, a blank line is a row without cells.
//! Unlike both, a quote that is never closed is an error, and a CR that no LF follows is data.

mod preview;
mod reader;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::Table;

use std::str::Utf8Error;

/// Why a file is not read. Lines are counted from 1 by their LF, also inside quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsvError {
    #[error("the file is not UTF-8 (first invalid byte in line {line}); save it in the encoding UTF-8")]
    NotUtf8 { line: usize },
    #[error("NUL byte in line {line}")]
    Nul { line: usize },
    #[error("the quote opened in line {line} is never closed")]
    UnterminatedQuote { line: usize },
    #[error("the file must have a header and at least one row")]
    TooFewRows,
}

impl CsvError {
    fn not_utf8(bytes: &[u8], error: Utf8Error) -> Self {
        Self::NotUtf8 { line: line_at(bytes, error.valid_up_to()) }
    }

    fn nul(text: &str, at: usize) -> Self {
        Self::Nul { line: line_at(text.as_bytes(), at) }
    }
}

fn line_at(bytes: &[u8], at: usize) -> usize {
    1 + bytes[..at].iter().filter(|&&b| b == b'\n').count()
}
