//! A body that is made while it is sent, but whose length is known.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};

/// Pieces that come to a length said before. Should they end early, the body fails: the client sees a cut
/// answer, never a short one that looks whole.
pub(super) struct SizedBody<S> {
    left: u64,
    pieces: S,
}

impl<S> SizedBody<S> {
    pub(super) fn new(length: u64, pieces: S) -> Self {
        Self { left: length, pieces }
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> HttpBody for SizedBody<S> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = match ready!(Pin::new(&mut self.pieces).poll_next(context)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
        };
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(length) else {
            return Poll::Ready(Some(Err(io::Error::other("more than was announced"))));
        };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    async fn collected(length: u64, pieces: &[&'static str]) -> io::Result<Bytes> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect();
        Ok(SizedBody::new(length, stream::iter(pieces)).collect().await?.to_bytes())
    }

    #[tokio::test]
    async fn a_body_has_its_length_or_fails() {
        assert_eq!(collected(4, &["ab", "", "cd"]).await.unwrap(), "abcd");
        assert_eq!(collected(0, &[]).await.unwrap(), "");
        assert!(collected(5, &["ab", "cd"]).await.is_err(), "too short");
        assert!(collected(3, &["ab", "cd"]).await.is_err(), "too long");
    }
}
