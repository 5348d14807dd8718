//! Taking connections: only with the turn in hand, so that a busy worker leaves them to its siblings.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, timeout};

use crate::app::App;
use crate::http::Flow;
use crate::listener::close_the_door;
use crate::settings::Sockets;
use crate::sys::sockets::watch;

use super::life::{Open, OpenGuard};
use super::request::{Handling, serve};

/// How long nothing is accepted when descriptors or memory are out.
const PAUSE: Duration = Duration::from_millis(100);
/// How often that is worth a line.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// How long a stopping worker goes on accepting, by what its listeners were made by: where connections are deferred until their
/// first byte. For its client such a connection is open, and the byte is on its way or soon will be.
pub(super) fn last_call(bound: &Sockets) -> Duration {
    if bound.defer_accept.is_zero() { Duration::ZERO } else { Duration::from_millis(500) }
}

/// A connection that nobody serves yet.
pub(super) type Fresh = (TcpStream, SocketAddr);

/// What to do with accepted connections.
pub(super) struct Acceptor<A: App> {
    pub(super) handling: Arc<Handling<A>>,
    pub(super) open: Open,
    pub(super) last_call: Duration,
    pub(super) listeners: Vec<Weak<TcpListener>>,
}

impl<A: App> Acceptor<A> {
    /// Accepts until the worker drains. If the whole pool ends, whoever has connected by then is accepted too, as nobody else
    /// will.
    pub(super) async fn run(self: Arc<Self>, listener: Arc<TcpListener>, open: OpenGuard) {
        let listener = match watch(listener) {
            Ok(listener) => listener,
            Err(error) => {
                return tracing::error!(%error, "a listener cannot be watched; this worker does not accept");
            }
        };
        let life = &self.handling.life;
        tokio::select! {
            biased;
            () = life.leaving() => {}
            () = self.accept(&listener) => {}
        }
        let _open = if life.is_stopping() {
            open
        } else if life.is_aborting() {
            drop(open);
            life.stopping().await; // it may not be replaced before the pool ends
            self.open.guard()
        } else {
            return; // its replacement is there, or it is one too many
        };
        let _ = timeout(self.last_call, self.accept(&listener)).await;
        for fresh in empty(listener.get_ref()) {
            self.serve(fresh);
        }
    }

    /// The last look of a worker that is about to leave while its pool ends. Says whether somebody was there.
    pub(super) fn last_look(&self) -> bool {
        let listeners = self.listeners.iter().filter_map(Weak::upgrade);
        let queued: Vec<Fresh> = listeners.flat_map(|listener| empty(&listener)).collect();
        let somebody = !queued.is_empty();
        for fresh in queued {
            self.serve(fresh);
        }
        somebody
    }

    /// One connection at a time: it is read, and its request has its turn or waits for its rest, before the next is
    /// looked at.
    async fn accept(&self, listener: &AsyncFd<Arc<TcpListener>>) {
        let mut told: Option<Instant> = None;
        loop {
            let Ok(mut ready) = listener.readable().await else { return };
            let turn = self.handling.turn.take().await;
            let accepted = listener.get_ref().accept();
            drop(turn);
            match accepted {
                Ok(fresh) => self.serve(fresh).settled().await,
                Err(error) => match Trouble::of(&error) {
                    Trouble::NothingThere => ready.clear_ready(),
                    Trouble::ThisOneOnly => {}
                    Trouble::NoRoom => {
                        if told.is_none_or(|at| at.elapsed() >= TOLD_AGAIN) {
                            tracing::warn!(%error, "cannot accept; connections wait until there is room");
                            told = Some(Instant::now());
                        }
                        sleep(PAUSE).await;
                    }
                    Trouble::Closed => return,
                },
            }
        }
    }

    /// Starts to serve a connection.
    pub(super) fn serve(&self, (stream, peer): Fresh) -> Arc<Flow> {
        let flow = Arc::new(Flow::new());
        match tokio_stream(stream) {
            Ok(stream) => {
                self.handling.tenant.connected();
                let (handling, open) = (Arc::clone(&self.handling), self.open.guard());
                tokio::spawn(serve(stream, peer, handling, Arc::clone(&flow), open));
            }
            Err(error) => {
                tracing::warn!(%error, %peer, "a connection could not be set up");
                flow.settle();
            }
        }
        flow
    }
}

fn tokio_stream(stream: TcpStream) -> io::Result<tokio::net::TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?; // an answer is written whole, there is nothing to wait for
    tokio::net::TcpStream::from_std(stream)
}

/// Closes the door and takes all who stand behind it.
pub(super) fn empty(listener: &TcpListener) -> Vec<Fresh> {
    if let Err(error) = close_the_door(listener) {
        tracing::debug!(%error, "a listener could not be closed for new connections");
    }
    let mut queued = Vec::new();
    loop {
        match listener.accept() {
            Ok(fresh) => queued.push(fresh),
            Err(error) if Trouble::of(&error) == Trouble::ThisOneOnly => {}
            Err(_) => return queued,
        }
    }
}

/// What an error of accept(2) means for the next call.
#[derive(PartialEq)]
enum Trouble {
    /// The queue is empty.
    NothingThere,
    /// The connection was gone already, or the network had an error for it.
    ThisOneOnly,
    /// Descriptors or memory are out.
    NoRoom,
    /// Somebody shut the listener down.
    Closed,
}

impl Trouble {
    fn of(error: &io::Error) -> Self {
        use nix::libc::{EBADF, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOTSOCK};
        match error.raw_os_error() {
            _ if error.kind() == io::ErrorKind::WouldBlock => Self::NothingThere,
            Some(EMFILE | ENFILE | ENOBUFS | ENOMEM) => Self::NoRoom,
            Some(EINVAL | EBADF | ENOTSOCK) => Self::Closed,
            _ => Self::ThisOneOnly,
        }
    }
}
