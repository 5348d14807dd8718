//! Text to rows of cells.

use std::borrow::Cow;

use super::CsvError;

/// A row as it was read: as many cells as it has, none for a blank line.
pub(super) type Record<'t> = Vec<Cow<'t, str>>;

/// Reads one row after another. Cells are slices of the text, unless a quote in them was doubled or text
/// stands behind the closing one.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

/// What ended a cell.
enum End {
    Comma,
    Line,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// Goes on at a [`position`](Self::position). Lines are then counted from there.
    pub(super) fn at(text: &'t str, position: usize) -> Self {
        Self { text, at: position, line: 1 }
    }

    /// Bytes before the next row.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Reads the next row into `record`; false at the end of the text.
    pub(super) fn read(&mut self, record: &mut Record<'t>) -> Result<bool, CsvError> {
        record.clear();
        if self.at == self.text.len() {
            return Ok(false);
        }
        if self.line_end_at(self.at).is_some() {
            self.end_of_cell();
            return Ok(true);
        }
        loop {
            let cell = if self.byte_at(self.at) == Some(b'"') {
                self.quoted()?
            } else {
                Cow::Borrowed(self.unquoted())
            };
            record.push(cell);
            match self.end_of_cell() {
                End::Comma => {}
                End::Line => return Ok(true),
            }
        }
    }

    /// Everything up to a comma, a line's end or the end of the text, whatever it is.
    fn unquoted(&mut self) -> &'t str {
        let rest = &self.text.as_bytes()[self.at..];
        let stop = rest.iter().position(|b| matches!(b, b',' | b'\n')).unwrap_or(rest.len());
        // A CR is part of the line's end only directly before its LF.
        let crlf = rest.get(stop) == Some(&b'\n') && rest[..stop].ends_with(b"\r");
        let start = self.at;
        self.at += stop - usize::from(crlf);
        &self.text[start..self.at]
    }

    /// A cell that begins with a quote.
    fn quoted(&mut self) -> Result<Cow<'t, str>, CsvError> {
        let opened_in = self.line;
        let mut cell = Cow::Borrowed("");
        loop {
            let start = self.at + 1;
            let rest = &self.text[start..];
            let length = rest.find('"').ok_or(CsvError::UnterminatedQuote { line: opened_in })?;
            let piece = &rest[..length];
            self.line += piece.bytes().filter(|&b| b == b'\n').count();
            cell += piece;
            self.at = start + length + 1;
            if self.byte_at(self.at) != Some(b'"') {
                break;
            }
            cell += "\""; // doubled: the second one opens the next piece
        }
        cell += self.unquoted();
        Ok(cell)
    }

    /// Steps over what ended a cell. The end of the text ends a line too.
    fn end_of_cell(&mut self) -> End {
        if self.byte_at(self.at) == Some(b',') {
            self.at += 1;
            return End::Comma;
        }
        if let Some(length) = self.line_end_at(self.at) {
            self.at += length;
            self.line += 1;
        }
        End::Line
    }

    /// The length of the line's end at a place.
    fn line_end_at(&self, at: usize) -> Option<usize> {
        match self.text.as_bytes()[at..] {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            _ => None,
        }
    }

    fn byte_at(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }
}
