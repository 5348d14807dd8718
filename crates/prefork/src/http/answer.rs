//! The body of an answer on its way out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};

use crate::app::BoxError;

use super::access::Line;
use super::flow::Flow;

pin_project_lite::pin_project! {
    /// The application's answer or our own. When it is dropped, the last byte was handed over, or nobody wants it.
    pub(crate) struct Answer<B> {
        #[pin]
        inner: Either<B, Full<Bytes>>,
        done: Answered,
    }
}

/// Tells the flow when it goes, and the access log.
struct Answered {
    flow: Arc<Flow>,
    line: Option<Line>,
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.flow.answered();
    }
}

impl<B> Answer<B> {
    pub(crate) fn of_application(body: B, flow: Arc<Flow>) -> Self {
        Self { inner: Either::Left(body), done: Answered { flow, line: None } }
    }

    pub(crate) fn fixed(bytes: Bytes, flow: Arc<Flow>) -> Self {
        Self { inner: Either::Right(Full::new(bytes)), done: Answered { flow, line: None } }
    }

    /// Has a line written to the access log when it is dropped.
    pub(crate) fn log(&mut self, line: Line) {
        self.done.line = Some(line);
    }
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = this.inner.poll_frame(cx);
        if let (Some(line), Poll::Ready(Some(Ok(frame)))) = (&mut this.done.line, &frame) {
            line.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
