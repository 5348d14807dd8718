//! Listening sockets, bound by the master and shared by all workers.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::settings::{Address, Sockets};
use crate::sys::sockets::set_defer_accept;

/// A bound address.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody listens there already.
    #[error("server.bind: {0} is in use: another server listens there; stop it, or bind another address")]
    InUse(String),
    /// Anything else.
    #[error("server.bind: cannot listen on {address}: {error}")]
    Other {
        /// The address, as given.
        address: String,
        /// What the resolver or the kernel says.
        error: io::Error,
    },
}

/// Binds all addresses, or none.
pub(crate) fn bind_all(sockets: &Sockets) -> Result<Vec<Listener>, BindError> {
    sockets.bind.iter().map(|address| bind(address, sockets)).collect()
}

fn bind(address: &Address, sockets: &Sockets) -> Result<Listener, BindError> {
    try_bind(address, sockets).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address.to_string()),
        _ => BindError::Other { address: address.to_string(), error },
    })
}

fn try_bind(address: &Address, sockets: &Sockets) -> io::Result<Listener> {
    let place = (address.host(), address.port()).to_socket_addrs()?.next();
    let place = place.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    let socket = Socket::new(Domain::for_address(place), Type::STREAM, Some(Protocol::TCP))?;
    if place.is_ipv6() {
        socket.set_only_v6(true)?; // so that 0.0.0.0 and [::] can be bound side by side
    }
    socket.set_reuse_address(true)?; // connections in TIME_WAIT do not keep us from the address
    socket.set_nonblocking(true)?;
    socket.bind(&place.into())?;
    let listener = Listener { socket: socket.into(), address: place };
    defer_accept(&listener.socket, sockets.defer_accept.as_duration())?;
    SockRef::from(&listener.socket).listen(i32::try_from(sockets.backlog).unwrap_or(i32::MAX))?;
    let address = listener.socket.local_addr()?;
    Ok(Listener { address, ..listener })
}

impl Listener {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn into_socket(self) -> TcpListener {
        self.socket
    }
}

/// Keeps connections in the kernel until their first byte is there, for so long (tcp(7), TCP_DEFER_ACCEPT: whole
/// seconds, rounded up by the kernel to its retransmissions).
fn defer_accept(socket: &TcpListener, patience: Duration) -> io::Result<()> {
    let seconds = patience.as_millis().div_ceil(1000);
    set_defer_accept(socket, i32::try_from(seconds).unwrap_or(i32::MAX))
}

/// The first step of closing a listener for good: who connects from now on is in the queue at once. Who connected before,
/// and whose first byte the kernel waits for, comes with that byte, or when the kernel asks again after a second.
pub(crate) fn stop_deferring(socket: &TcpListener) -> io::Result<()> {
    defer_accept(socket, Duration::ZERO)
}

/// The last step but one: nothing new comes to the queue (listen(2) with a backlog of 0 leaves room for one). The caller then
/// accepts until it is empty.
pub(crate) fn close_the_door(socket: &TcpListener) -> io::Result<()> {
    SockRef::from(socket).listen(0)
}
