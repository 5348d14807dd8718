//! Opening what the settings want: from nothing, beside what is open, or beside what another master has left.

use std::io;
use std::time::{Duration, Instant};

use crate::settings::{Address, Identity, Sockets};
use crate::socket_file::{Look, SocketFileError, listen_at};

use super::{Activation, Listener, ListenerId, MOST_LISTENERS, activation, backlog, tcp};

/// How long a start waits for an address that is in use: the workers of a master that was killed leave in a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it sleeps between two looks.
const PAUSE: Duration = Duration::from_millis(20);

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
