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
    let socket = bound(place)?;
    defer_accept(&socket, sockets.defer_accept.as_duration())?;
    socket.listen(backlog(sockets))?;
    // Not before: a socket that shares nothing notices another server that shares its port too, also one that starts at once.
    socket.set_reuse_port(sockets.reuse_port)?;
    Ok(socket)
}

fn bound(place: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(place), Type::STREAM, Some(Protocol::TCP))?;
    if place.is_ipv6() {
        socket.set_only_v6(true)?; // so that 0.0.0.0 and [::] can be bound side by side
    }
    socket.set_reuse_address(true)?; // connections in TIME_WAIT do not keep us from the address
    socket.set_nonblocking(true)?;
    socket.bind(&place.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread::scope;

    use super::*;

    #[test]
    fn two_that_bind_at_once_never_listen_both_also_where_they_would_share_the_port() {
        for reuse_port in [false, true] {
            let sockets = Sockets { reuse_port, ..Sockets::default() };
            for _ in 0..200 {
                // Held, but not listened on: nobody gets the port who has not asked for it.
                let reserved = bound(([127, 0, 0, 1], 0).into()).expect("a free port");
                let port = reserved.local_addr().ok().and_then(|it| it.as_socket()).expect("its port").port();
                let start = Barrier::new(2);
                let race = || {
                    start.wait();
                    bind("127.0.0.1", port, &sockets)
                };
                let [one, two] = scope(|threads| {
                    [threads.spawn(race), threads.spawn(race)].map(|thread| thread.join().expect("no panic"))
                });
                assert!(one.is_err() || two.is_err(), "{one:?} {two:?}");
            }
        }
    }
}
