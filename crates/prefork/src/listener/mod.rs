//! Listening sockets: bound by the master, or handed to it; shared by all workers.

mod activation;
mod open;
mod tcp;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use serde::{Deserialize, Serialize};
use socket2::{SockAddr, Socket};

use crate::settings::{Address, Sockets};
use crate::socket_file::SocketFile;
use crate::sys::descriptors::take;
use crate::sys::sockets::set_defer_accept;

pub(crate) use activation::Activation;
pub use open::BindError;
pub(crate) use open::{inherit, open_all, open_missing};

/// How many addresses there may be: each has a place in the scoreboard.
pub(crate) const MOST_LISTENERS: usize = 64;

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    /// A path, or a name that means none in the file system.
    Unix(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// Which listener: the number of its socket, which the kernel gives to no other while this one is open in any process
/// (the inode in sockfs, as in /proc/net/tcp).
pub(crate) type ListenerId = u64;

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    id: ListenerId,
    /// As the configuration names it; of a socket that came by activation, as its number.
    address: Address,
    place: Place,
    /// Whoever handed it to us keeps it, and serves who waits in it after our end.
    handed: bool,
    /// Whether the kernel keeps connections from it until their first byte is there.
    deferred: bool,
    /// The file of a Unix socket that we made.
    file: Option<SocketFile>,
}

/// A listener on its way to another program, by its number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HandedListener {
    descriptor: RawFd,
    id: ListenerId,
    #[serde(with = "as_text")]
    address: Address,
    place: Place,
    handed: bool,
    deferred: bool,
    file: Option<SocketFile>,
}

fn number_of(socket: &Socket) -> io::Result<ListenerId> {
    Ok(rustix::fs::fstat(socket)?.st_ino)
}

fn place_of(socket: &Socket) -> io::Result<Place> {
    let address = socket.local_addr()?;
    Ok(match address.as_socket() {
        Some(address) => Place::Tcp(address),
        None => Place::Unix(unix_name(&address)),
    })
}

fn unix_name(address: &SockAddr) -> String {
    match (address.as_pathname(), address.as_abstract_namespace()) {
        (Some(path), _) => absolute(path),
        (None, Some(name)) => format!("@{}", String::from_utf8_lossy(name)),
        (None, None) => String::new(),
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).display().to_string()
}

impl Listener {
    fn new(
        socket: Socket,
        address: Address,
        handed: bool,
        file: Option<SocketFile>,
        sockets: &Sockets,
    ) -> io::Result<Self> {
        let (id, place) = (number_of(&socket)?, place_of(&socket)?);
        let deferred = is_deferred(&place, sockets);
        Ok(Self { socket, id, address, place, handed, deferred, file })
    }

    /// Where it listens.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn id(&self) -> ListenerId {
        self.id
    }

    /// Whether it listens at an address. A relative path means another one in another working directory, and the same one in a
    /// directory that was only renamed; and nobody reaches it by a path whose file was removed.
    fn is_at(&self, address: &Address) -> bool {
        let is_there = |path: &Path| self.file.as_ref().is_none_or(|file| file.is_at(path));
        self.address == *address
            && match address {
                Address::Unix(path) => is_there(path),
                Address::Tcp { .. } | Address::Descriptor(_) => true,
            }
    }

    /// Whether somebody else keeps it.
    pub(crate) fn is_handed(&self) -> bool {
        self.handed
    }

    /// Whether connections come with their first byte.
    pub(crate) fn is_deferred(&self) -> bool {
        self.deferred
    }

    /// Takes a connection, if one is there.
    ///
    /// # Errors
    /// What accept(2) says.
    pub(crate) fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        let (socket, peer) = acceptfrom_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        Ok((socket.into(), peer.and_then(|peer| peer.try_into().ok())))
    }

    /// Takes over what a reload may change of a socket that is there.
    ///
    /// # Errors
    /// What setsockopt(2) or listen(2) say.
    pub(crate) fn adjust(&mut self, sockets: &Sockets) -> io::Result<()> {
        self.defer(sockets)?;
        self.deferred = is_deferred(&self.place, sockets);
        self.socket.listen(backlog(sockets))
    }

    fn defer(&self, sockets: &Sockets) -> io::Result<()> {
        match self.place {
            Place::Tcp(_) => defer_accept(&self.socket, sockets.defer_accept.as_duration()),
            Place::Unix(_) => Ok(()),
        }
    }

    /// The first step of closing a listener for good: who connects from now on is in the queue at once. Who connected before,
    /// and whose first byte the kernel waits for, comes with that byte, or when the kernel asks again after a second.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub(crate) fn stop_deferring(&self) -> io::Result<()> {
        if self.deferred { defer_accept(&self.socket, Duration::ZERO) } else { Ok(()) }
    }

    /// The last step but one: nothing new comes to the queue (listen(2) with a backlog of 0 leaves room for one). The caller
    /// then accepts until it is empty.
    ///
    /// # Errors
    /// What listen(2) says.
    pub(crate) fn close_the_door(&self) -> io::Result<()> {
        self.socket.listen(0)
    }

    /// Removes the file of a Unix socket that we made: nobody finds it any more, and who is in it already is served.
    pub(crate) fn remove_file(&mut self) {
        if let Some(file) = self.file.take() {
            file.remove();
        }
    }

    /// How another program finds it, if it survives the exec.
    pub(crate) fn hand_over(&self) -> HandedListener {
        HandedListener {
            descriptor: self.socket.as_raw_fd(),
            id: self.id,
            address: self.address.clone(),
            place: self.place.clone(),
            handed: self.handed,
            deferred: self.deferred,
            file: self.file.clone(),
        }
    }
}

impl HandedListener {
    /// The listener, in the program that it was handed to.
    ///
    /// # Errors
    /// The descriptor is not there.
    pub(crate) fn take(self) -> io::Result<Listener> {
        let Self { descriptor, id, address, place, handed, deferred, file } = self;
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("descriptor {descriptor} is not open"));
        let socket = Socket::from(take(descriptor).ok_or_else(gone)?);
        Ok(Listener { socket, id, address, place, handed, deferred, file })
    }
}

/// An address on its way to another program: as the configuration writes it.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use settings::Value;

    use crate::settings::Address;

    pub(super) fn serialize<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        Address::from_text(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The queue's length, as listen(2) wants it.
fn backlog(sockets: &Sockets) -> i32 {
    i32::try_from(sockets.backlog).unwrap_or(i32::MAX)
}

fn is_deferred(place: &Place, sockets: &Sockets) -> bool {
    matches!(place, Place::Tcp(_)) && !sockets.defer_accept.is_zero()
}

/// Keeps connections in the kernel until their first byte is there, for so long (tcp(7), TCP_DEFER_ACCEPT: whole
/// seconds, rounded up by the kernel to its retransmissions).
fn defer_accept(socket: &Socket, patience: Duration) -> io::Result<()> {
    let seconds = patience.as_millis().div_ceil(1000);
    set_defer_accept(socket, i32::try_from(seconds).unwrap_or(i32::MAX))
}
