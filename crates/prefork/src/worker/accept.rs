//! Taking connections: only with the turn in hand, so that a busy worker leaves them to its siblings.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, timeout};

use crate::app::App;
use crate::http::{Flow, Stream};
use crate::listener::Listener;
use crate::sys::sockets::watch_listener;

use super::life::{Open, OpenGuard};
use super::request::{Handling, serve};

/// How long nothing is accepted when descriptors or memory are out.
const PAUSE: Duration = Duration::from_millis(100);
/// How often that is worth a line.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// How long a worker goes on accepting from a listener that is left to it, where connections are deferred until their first
/// byte. For its client such a connection is open, and the byte is on its way or soon will be.
pub(super) fn last_call(listener: &Listener) -> Duration {
    if listener.is_deferred() { Duration::from_millis(500) } else { Duration::ZERO }
}

/// A connection that nobody serves yet, and its other end's address if it has one.
pub(super) type Fresh = (Socket, Option<SocketAddr>);

/// The listeners that are left to a worker: bit n is its n-th. Nobody else takes what waits there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left(pub(super) u64);

impl Left {
    /// All but those that somebody keeps who will serve them later.
    pub(super) fn all(listeners: &[Weak<Listener>]) -> Self {
        let ours =
            |listener: &Weak<Listener>| listener.upgrade().is_some_and(|listener| !listener.is_handed());
        let bits = listeners.iter().enumerate().filter(|(_, listener)| ours(listener)).map(|(n, _)| 1 << n);
        Self(bits.sum())
    }

    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    fn holds(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    /// Those of the listeners that are left, and still open.
    pub(super) fn of(self, listeners: &[Weak<Listener>]) -> impl Iterator<Item = Arc<Listener>> {
        let left = listeners.iter().enumerate().filter(move |(index, _)| self.holds(*index));
        left.filter_map(|(_, listener)| listener.upgrade())
    }
}

/// What to do with accepted connections.
pub(super) struct Acceptor<A: App> {
    pub(super) handling: Arc<Handling<A>>,
    pub(super) open: Open,
    pub(super) listeners: Vec<Weak<Listener>>,
}

impl<A: App> Acceptor<A> {
    /// Accepts from the worker's listener of this index until the worker drains. If the listener is left to it, as the pool ends
    /// or a reload wants other addresses, whoever has connected by then is accepted too, as nobody else will.
    pub(super) async fn run(self: Arc<Self>, index: usize, listener: Arc<Listener>, open: OpenGuard) {
        let listener = match watch_listener(listener) {
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
        let _open = if life.left().holds(index) {
            open
        } else if life.is_aborting() {
            drop(open);
            life.left_something().await; // it may not be replaced before the pool ends
            self.open.guard()
        } else {
            return; // its replacement is there, or it is one too many
        };
        if !life.left().holds(index) {
            return;
        }
        let _ = timeout(last_call(listener.get_ref()), self.accept(&listener)).await;
        for fresh in empty(listener.get_ref()) {
            self.serve(fresh);
        }
    }

    /// The last look of a worker that is about to leave while its pool ends. Says whether somebody was there.
    pub(super) fn last_look(&self, left: Left) -> bool {
        let listeners = left.of(&self.listeners);
        let queued: Vec<Fresh> = listeners.flat_map(|listener| empty(&listener)).collect();
        let somebody = !queued.is_empty();
        for fresh in queued {
            self.serve(fresh);
        }
        somebody
    }

    /// One connection at a time: it is read, and its request has its turn or waits for its rest, before the next is
    /// looked at.
    async fn accept(&self, listener: &AsyncFd<Arc<Listener>>) {
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
    pub(super) fn serve(&self, (socket, peer): Fresh) -> Arc<Flow> {
        let flow = Arc::new(Flow::new());
        self.handling.tenant.connected();
        match Stream::new(socket, peer) {
            Ok(stream) => {
                let (handling, open) = (Arc::clone(&self.handling), self.open.guard());
                tokio::spawn(serve(stream, peer, handling, Arc::clone(&flow), open));
            }
            Err(error) => {
                self.handling.tenant.disconnected();
                tracing::warn!(%error, "a connection could not be set up");
                flow.settle();
            }
        }
        flow
    }
}

/// Closes the door and takes all who stand behind it.
pub(super) fn empty(listener: &Listener) -> Vec<Fresh> {
    if let Err(error) = listener.close_the_door() {
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
