//! Listening sockets: bound by the master, or handed to it; shared by all workers.

mod activation;
mod tcp;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{SocketFlags, acceptfrom_with};
use serde::{Deserialize, Serialize};
use socket2::{SockAddr, Socket};

use crate::settings::{Address, Identity, Sockets};
use crate::socket_file::{Look, SocketFile, SocketFileError, listen_at};
use crate::sys::descriptors::take;
use crate::sys::sockets::set_defer_accept;

pub(crate) use activation::Activation;

/// How long a start waits for an address that is in use: the workers of a master that was killed leave in a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it sleeps between two looks.
const PAUSE: Duration = Duration::from_millis(20);
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

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody listens there already.
    #[error("server.bind: {0} is in use: another server listens there; stop it, or bind another address")]
    InUse(String),
    /// A Unix socket cannot be made.
    #[error("server.bind: unix:{0}")]
    Unix(SocketFileError),
    /// A descriptor that was to be handed over is not there, or is no listening socket.
    #[error(
        "server.bind: {address} is not a listening stream socket: {why}; see LISTEN_FDS, or give another address"
    )]
    NotHanded {
        /// The address, as given.
        address: String,
        /// What it is instead.
        why: String,
    },
    /// How many sockets were handed over cannot be told.
    #[error(
        "LISTEN_FDS={0:?} is no number of sockets from 0 to {MOST_LISTENERS}: whoever starts the server has to hand over no more, \
         or to leave LISTEN_PID unset"
    )]
    HandedCount(String),
    /// There are too many addresses.
    #[error("server.bind: {0} addresses are too many; give {MOST_LISTENERS} at most")]
    TooMany(usize),
    /// Anything else.
    #[error("server.bind: cannot listen on {address}: {error}")]
    Other {
        /// The address, as given.
        address: String,
        /// What the resolver or the kernel says.
        error: io::Error,
    },
}

/// Opens what a server is to listen on at its start: what was handed over takes the place of addresses, unless these name
/// it by number.
///
/// # Errors
/// The first address that cannot be had.
pub(crate) fn open_all(
    sockets: &Sockets,
    identity: &Identity,
    activation: Activation,
) -> Result<Vec<Listener>, BindError> {
    let names_descriptors = sockets.bind.iter().any(|address| matches!(address, Address::Descriptor(_)));
    if activation.is_empty() || names_descriptors {
        Ok(open(sockets, identity, &[], PATIENCE)?.1)
    } else {
        activation.into_listeners(sockets)
    }
}

/// What the settings want, in their order, and those of it that were not there and are open now.
///
/// # Errors
/// The first address that cannot be had; nothing is open then that was not before, and no file is left.
pub(crate) fn open_missing(
    sockets: &Sockets,
    identity: &Identity,
    present: &[Listener],
) -> Result<(Vec<ListenerId>, Vec<Listener>), BindError> {
    open(sockets, identity, present, Duration::ZERO)
}

fn open(
    sockets: &Sockets,
    identity: &Identity,
    present: &[Listener],
    patience: Duration,
) -> Result<(Vec<ListenerId>, Vec<Listener>), BindError> {
    let deadline = Instant::now() + patience;
    if sockets.bind.len() > MOST_LISTENERS {
        return Err(BindError::TooMany(sockets.bind.len()));
    }
    let (mut wanted, mut fresh) = (Vec::new(), Vec::new());
    for address in distinct(&sockets.bind) {
        let there = present.iter().find(|there| there.is_at(address) && !wanted.contains(&there.id));
        if let Some(there) = there {
            wanted.push(there.id);
            continue;
        }
        match bind_by(deadline, address, sockets, identity) {
            Ok(listener) => {
                wanted.push(listener.id);
                fresh.push(listener);
            }
            Err(error) => {
                fresh.iter_mut().for_each(Listener::remove_file);
                return Err(error);
            }
        }
    }
    Ok((wanted, fresh))
}

/// The addresses, each once; port 0 is another one each time.
fn distinct(addresses: &[Address]) -> impl Iterator<Item = &Address> {
    let is_new = move |(index, address): &(usize, &Address)| {
        matches!(address, Address::Tcp { port: 0, .. })
            || !addresses.iter().take(*index).any(|a| a == *address)
    };
    addresses.iter().enumerate().filter(is_new).map(|(_, address)| address)
}

/// Adds to what a master before this one has left what the settings want beyond it, and tells which of all that they want.
/// Where everything came by activation, it stays at that.
///
/// # Errors
/// The first address that cannot be had; what was left is as it was.
pub(crate) fn inherit(
    left: &mut Vec<Listener>,
    sockets: &Sockets,
    identity: &Identity,
) -> Result<Vec<ListenerId>, BindError> {
    if !left.is_empty() && left.iter().all(Listener::is_handed) {
        return Ok(left.iter().map(Listener::id).collect());
    }
    let (wanted, fresh) = open_missing(sockets, identity, left)?;
    left.extend(fresh);
    Ok(wanted)
}

/// Binds an address, and tries again until then while somebody else listens there.
fn bind_by(
    deadline: Instant,
    address: &Address,
    sockets: &Sockets,
    identity: &Identity,
) -> Result<Listener, BindError> {
    let mut told = false;
    loop {
        match bind(address, sockets, identity) {
            Err(BindError::InUse(address)) if Instant::now() < deadline => {
                if !std::mem::replace(&mut told, true) {
                    tracing::info!(
                        "{address} is in use, maybe by workers of a killed master, which leave in a moment"
                    );
                }
                std::thread::sleep(PAUSE);
            }
            bound => return bound,
        }
    }
}

fn bind(address: &Address, sockets: &Sockets, identity: &Identity) -> Result<Listener, BindError> {
    let bound = match address {
        Address::Tcp { host, port } => tcp::bind(host, *port, sockets).map(|socket| (socket, None)),
        Address::Unix(path) => {
            let look = Look { mode: None, owner: identity.owner() };
            match listen_at(path, look, backlog(sockets)) {
                Ok((socket, file)) => Ok((socket, Some(file))),
                Err(SocketFileError::InUse(_)) => return Err(BindError::InUse(address.to_string())),
                Err(error) => return Err(BindError::Unix(error)),
            }
        }
        Address::Descriptor(number) => return activation::take(*number, sockets),
    };
    match bound.and_then(|(socket, file)| Listener::new(socket, address.clone(), false, file, sockets)) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(BindError::InUse(address.to_string())),
        Err(error) => Err(BindError::Other { address: address.to_string(), error }),
    }
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
