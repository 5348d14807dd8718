//! Socket options that no safe crate offers.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use nix::libc;
use socket2::Socket;
use tokio::io::ReadBuf;
use tokio::io::unix::AsyncFd;

use crate::listener::Listener;

/// Sets TCP_DEFER_ACCEPT (tcp(7)): seconds, which the kernel rounds up to its retransmissions; 0 switches it off.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn set_defer_accept(socket: impl AsFd, seconds: i32) -> io::Result<()> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call, and the option is an int of the size given.
    let failed = unsafe {
        let value = (&raw const seconds).cast();
        libc::setsockopt(socket.as_fd().as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, value, size)
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes that the peer has not acknowledged yet (tcp(7), SIOCOUTQ).
///
/// # Errors
/// What ioctl(2) says.
pub(crate) fn unacknowledged(socket: impl AsFd) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the length of the call, which writes one int. SIOCOUTQ has TIOCOUTQ's number.
    let failed = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if failed == 0 { Ok(bytes.unsigned_abs()) } else { Err(io::Error::last_os_error()) }
}

/// Reads what is there into the free part of a buffer, and says how much it was.
///
/// # Errors
/// What recv(2) says.
pub(crate) fn receive(socket: &Socket, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: recv only writes to the free part, and never makes any of it uninitialized.
    let count = socket.recv(unsafe { buffer.unfilled_mut() })?;
    // SAFETY: recv(2) has written so many bytes at its beginning.
    unsafe { buffer.assume_init(count) };
    buffer.advance(count);
    Ok(count)
}

/// Who connected at the other end of a Unix socket (unix(7), SO_PEERCRED). rustix offers this too, as a pid that is never
/// 0; that of a process outside of our pid namespace is 0 (pid_namespaces(7)).
///
/// # Errors
/// What getsockopt(2) says.
pub(crate) fn peer_credentials(socket: impl AsFd) -> io::Result<libc::ucred> {
    let mut found = libc::ucred { pid: 0, uid: libc::uid_t::MAX, gid: libc::gid_t::MAX };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call, which writes at most `size` bytes of a struct of integers.
    let failed = unsafe {
        let value = (&raw mut found).cast();
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            value,
            &raw mut size,
        )
    };
    if failed == 0 { Ok(found) } else { Err(io::Error::last_os_error()) }
}

/// Registers a listener with the event loop.
///
/// # Errors
/// What epoll_ctl(2) says.
pub(crate) fn watch_listener(listener: Arc<Listener>) -> io::Result<AsyncFd<Arc<Listener>>> {
    // SAFETY: the Arc keeps the socket open under the same number for as long as the registration holds it.
    unsafe { AsyncFd::register(listener) }.map_err(io::Error::from)
}

/// Registers a connection with the event loop.
///
/// # Errors
/// What epoll_ctl(2) says.
pub(crate) fn watch(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: the registration owns the socket, which stays open under the same number until it is dropped with it.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}
