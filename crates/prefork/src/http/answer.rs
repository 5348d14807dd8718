//! The body of an answer on its way out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};

use crate::app::BoxError;

use super::flow::Flow;

pin_project_lite::pin_project! {
    /// The application's answer or our own. When it is dropped, the last byte was handed over, or nobody wants it.
    pub(crate) struct Answer<B> {
        #[pin]
        inner: Either<B, Full<Bytes>>,
        _done: Answered,
    }
}

/// Tells the flow when it goes.
struct Answered(Arc<Flow>);

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.answered();
    }
}

impl<B> Answer<B> {
    pub(crate) fn of_application(body: B, flow: Arc<Flow>) -> Self {
        Self { inner: Either::Left(body), _done: Answered(flow) }
    }

    pub(crate) fn fixed(bytes: Bytes, flow: Arc<Flow>) -> Self {
        Self { inner: Either::Right(Full::new(bytes)), _done: Answered(flow) }
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
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
