//! A connection's bytes, watched.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, recv};
use socket2::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flow::Flow;
use super::stream::Stream;

/// Whether bytes are there to be read.
pub(crate) fn has_input(stream: impl AsFd) -> bool {
    matches!(recv(stream, &mut [0; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((1.., _)))
}

/// The socket as hyper reads and writes it. It tells the flow what happens, and leaves the close to `connection.rs`.
pub(super) struct Wire {
    pub(super) stream: Arc<Stream>,
    pub(super) flow: Arc<Flow>,
}

impl Wire {
    fn poll_out(
        &self,
        cx: &mut Context<'_>,
        attempt: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let result = self.stream.poll_write(cx, attempt);
        match &result {
            Poll::Pending => self.flow.write_blocked(),
            Poll::Ready(_) => self.flow.written(),
        }
        result
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.stream.poll_read(cx, buffer) {
            Poll::Pending => {
                // The event loop may not have told yet of bytes that are there: those are read before this connection
                // counts as one that waits for its client.
                if !self.flow.is_settled() && !has_input(&*self.stream) {
                    self.flow.settle();
                }
                Poll::Pending
            }
            Poll::Ready(Ok(count)) => {
                if count > 0 {
                    self.flow.received();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |socket| socket.send(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |socket| socket.send_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
