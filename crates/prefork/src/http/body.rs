//! A request's body, whole before the application sees it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::spool::Share;

/// How much of a spooled body is read at once.
const CHUNK: usize = 64 * 1024;

/// A request's body: all of it is here, in memory or in an unlinked file, so reading it never waits for the client.
#[derive(Debug, Default)]
pub struct Body {
    parts: VecDeque<Bytes>,
    file: Option<(File, Share)>,
    /// Bytes that are left to be read.
    left: u64,
    trailers: Option<HeaderMap>,
}

impl Body {
    /// A body of these bytes, as tests of a service may want it.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { left: bytes.len() as u64, parts: [bytes].into(), ..Self::default() }
    }

    pub(super) fn received(
        parts: VecDeque<Bytes>,
        file: Option<(File, Share)>,
        length: u64,
        trailers: Option<HeaderMap>,
    ) -> Self {
        Self { parts, file, left: length, trailers }
    }

    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(part) = self.parts.pop_front() {
            self.left = self.left.saturating_sub(part.len() as u64);
            return Ok(Some(part));
        }
        let Some((file, _)) = self.file.as_mut().filter(|_| self.left > 0) else { return Ok(None) };
        let mut chunk = BytesMut::zeroed(usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK));
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        chunk.truncate(count);
        self.left -= count as u64;
        Ok(Some(chunk.freeze()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = match self.next_chunk() {
            Ok(Some(chunk)) => Some(Ok(Frame::data(chunk))),
            Ok(None) => self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error)),
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.parts.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
