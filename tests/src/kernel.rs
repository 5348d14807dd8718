//! What the kernel knows of other processes' sockets.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

// Numbers of the kernel's interface that no crate here names (linux/socket.h, netlink.h, sock_diag.h, inet_diag.h,
// net/tcp_states.h).
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const AF_NETLINK: i32 = 16;
const IPPROTO_TCP: u8 = 6;
const NETLINK_SOCK_DIAG: i32 = 4;
const NLM_F_REQUEST: u16 = 1;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;

/// Whether the program at the other end, which is on this machine too, has read all that was sent to it. Not while that end
/// is not established: before the first bytes, where the kernel defers the accept (tcp(7), TCP_DEFER_ACCEPT), and after
/// its close.
///
/// A busy kernel delivers later than `send` returns, even on loopback: only what this end knows to be acknowledged has
/// arrived, and can be missing from the other end's queue because it was read.
///
/// # Errors
/// It is no TCP connection, or what socket(2) and send(2) say.
pub(crate) fn is_read(stream: &Socket) -> io::Result<bool> {
    let ends = (stream.local_addr()?.as_socket(), stream.peer_addr()?.as_socket());
    let (Some(here), Some(there)) = ends else { return Err(io::ErrorKind::Unsupported.into()) };
    Ok(queues(here, there, ESTABLISHED)?.is_some_and(|(_, unacknowledged)| unacknowledged == 0)
        && queues(there, here, ESTABLISHED)?.is_some_and(|(unread, _)| unread == 0))
}

/// Connections that wait to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptQueue {
    /// How many there are.
    pub waiting: u32,
    /// How many there may be (listen(2), backlog).
    pub backlog: u32,
}

/// The queue of the socket that listens at an address; `None` if there is none.
pub fn accept_queue(at: SocketAddr) -> Option<AcceptQueue> {
    let anybody: SocketAddr = match at {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    let found = queues(at, anybody, LISTEN).expect("the kernel tells of its sockets");
    found.map(|(waiting, backlog)| AcceptQueue { waiting, backlog })
}

/// The receive queue and the send queue of a socket in this state: what waits in a connection's, in bytes; of a listener, the
/// length of its queue and the most that it may be.
///
/// It is asked over netlink (sock_diag(7)): `/proc/net/tcp` tells the same, after the tens of thousands of connections
/// that other tests have closed.
fn queues(from: SocketAddr, to: SocketAddr, state: u8) -> io::Result<Option<(u32, u32)>> {
    let protocol = Some(Protocol::from(NETLINK_SOCK_DIAG));
    let mut kernel = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, protocol)?;
    kernel.send(&question(from, to))?;
    let mut answer = [0; 512];
    let count = kernel.read(&mut answer)?;
    // struct nlmsghdr (16 bytes), then struct inet_diag_msg: family, state, ..., the ids (48), a timer, the two queues.
    let answer = answer.get(..count).unwrap_or_default();
    if answer.get(17) != Some(&state) {
        return Ok(None);
    }
    let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    Ok(number(72).zip(number(76)))
}

/// struct nlmsghdr and struct inet_diag_req_v2, for the one connection between these addresses.
fn question(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut words = vec![if from.is_ipv4() { AF_INET } else { AF_INET6 }, IPPROTO_TCP, 0, 0];
    words.extend([0xFF; 4]); // any state
    words.extend(from.port().to_be_bytes());
    words.extend(to.port().to_be_bytes());
    for address in [from, to] {
        let mut octets = match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        octets.resize(16, 0);
        words.extend(octets);
    }
    words.extend([0; 4]); // any interface
    words.extend([0xFF; 8]); // INET_DIAG_NOCOOKIE
    let length = u32::try_from(16 + words.len()).unwrap_or_default();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]); // sequence and port: there is one question, and one who asks
    message.extend(words);
    message
}
