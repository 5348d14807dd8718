//! TCP addresses.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use crate::settings::Sockets;

use super::{backlog, defer_accept};

/// Binds the first address that a name has, and listens.
pub(super) fn bind(host: &str, port: u16, sockets: &Sockets) -> io::Result<Socket> {
    let place = (host, port).to_socket_addrs()?.next();
    let place = place.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    if sockets.reuse_port {
        // Another server that shares its port too would not be noticed; a socket that shares nothing notices it.
        let trial = bound(place, false)?;
        drop(trial);
    }
    let socket = bound(place, sockets.reuse_port)?;
    defer_accept(&socket, sockets.defer_accept.as_duration())?;
    socket.listen(backlog(sockets))?;
    Ok(socket)
}

fn bound(place: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(place), Type::STREAM, Some(Protocol::TCP))?;
    if place.is_ipv6() {
        socket.set_only_v6(true)?; // so that 0.0.0.0 and [::] can be bound side by side
    }
    socket.set_reuse_address(true)?; // connections in TIME_WAIT do not keep us from the address
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&place.into())?;
    Ok(socket)
}
