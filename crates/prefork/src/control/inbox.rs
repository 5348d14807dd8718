//! What a client has sent and nobody has looked at yet.

use bytes::BytesMut;

use super::LONGEST_REQUEST;

/// Bytes, cut into lines. Whoever adds a piece only while there is no line keeps it within [`LONGEST_REQUEST`] and that
/// piece.
#[derive(Default)]
pub(super) struct Inbox {
    bytes: BytesMut,
    /// Where the first line ends, if it has come.
    line_end: Option<usize>,
    ended: bool,
}

/// The next line.
pub(super) enum Line {
    /// A line without its end.
    Whole(BytesMut),
    /// One that is longer than a request can be. Where the next one begins cannot be told.
    TooLong,
}

impl Inbox {
    /// More has come.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(piece);
        self.line_end = self.line_end.or_else(|| line_end(piece).map(|at| before + at));
    }

    /// No more will come. A last line without an end counts: JSON tells a whole object from half of one.
    pub(super) fn end(&mut self) {
        self.ended = true;
        if self.bytes.last().is_some_and(|last| *last != b'\n') {
            self.push(b"\n");
        }
    }

    /// Whether no more will come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether [`Self::next_line`] has something.
    pub(super) fn has_line(&self) -> bool {
        self.line_end.is_some() || self.bytes.len() > LONGEST_REQUEST
    }

    /// Takes the next line; `None` if it has not come yet.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        match self.line_end {
            None => (self.bytes.len() > LONGEST_REQUEST).then_some(Line::TooLong),
            Some(length) if length > LONGEST_REQUEST => Some(Line::TooLong),
            Some(length) => {
                let mut line = self.bytes.split_to(length + 1);
                line.truncate(length);
                self.line_end = line_end(&self.bytes);
                Some(Line::Whole(line))
            }
        }
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(inbox: &mut Inbox) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(Line::Whole(line)) = inbox.next_line() {
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        lines
    }

    #[test]
    fn lines_come_whole_whatever_the_pieces_are() {
        let mut inbox = Inbox::default();
        inbox.push(b"on");
        assert!(!inbox.has_line());
        inbox.push(b"e\n\ntwo\nthr");
        assert!(inbox.has_line());
        assert_eq!(lines(&mut inbox), ["one", "", "two"]);
        inbox.push(b"ee");
        assert_eq!(lines(&mut inbox), [""; 0]);
        inbox.end();
        assert_eq!(lines(&mut inbox), ["three"]);
        assert!(inbox.has_ended() && !inbox.has_line());
    }

    #[test]
    fn the_longest_line_passes_and_one_byte_more_does_not() {
        let mut inbox = Inbox::default();
        inbox.push(&[b'x'; LONGEST_REQUEST]);
        assert!(!inbox.has_line());
        inbox.push(b"\n");
        assert!(matches!(inbox.next_line(), Some(Line::Whole(line)) if line.len() == LONGEST_REQUEST));
        inbox.push(&[b'x'; LONGEST_REQUEST + 1]);
        assert!(inbox.has_line() && matches!(inbox.next_line(), Some(Line::TooLong)));
        inbox.push(b"\n");
        assert!(inbox.has_line() && matches!(inbox.next_line(), Some(Line::TooLong)));
    }
}
