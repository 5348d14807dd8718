//! A connection's socket, of any family, as the event loop sees it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use socket2::Socket;
use tokio::io::ReadBuf;
use tokio::io::unix::AsyncFd;

use crate::sys::sockets::{receive, watch};

/// A connected stream socket.
#[derive(Debug)]
pub(crate) struct Stream(AsyncFd<Socket>);

impl Stream {
    /// Registers a connection, which does not block, with the event loop. `peer` is the other end's address, if it has one.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn new(socket: Socket, peer: Option<SocketAddr>) -> io::Result<Self> {
        if peer.is_some() {
            socket.set_tcp_nodelay(true)?; // an answer is written whole, there is nothing to wait for
        }
        watch(socket).map(Self)
    }

    /// Reads what is there; how much it was, 0 at the end.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            if let Ok(done) = ready.try_io(|socket| receive(socket.get_ref(), buffer)) {
                return Poll::Ready(done);
            }
        }
    }

    /// Writes what the socket takes.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(done) = ready.try_io(|socket| attempt(socket.get_ref())) {
                return Poll::Ready(done);
            }
        }
    }

    /// Waits for bytes and reads them.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        std::future::poll_fn(|cx| self.poll_read(cx, &mut buffer)).await
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
