//! The server's end of a control socket, as a part of somebody else's loop.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process;
use std::time::Duration;

use nix::poll::PollFlags;
use nix::unistd::Uid;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use serde::Serialize;
use socket2::Socket;

use super::connection::{Connection, Step, say_and_close};
use super::{Code, Command, Refusal};
use crate::ids::{Moment, Pid};
use crate::socket_file::{Look, SocketFile, SocketFileError, listen_at};
use crate::sys::sockets::peer_credentials;

/// How many clients may wait to be accepted.
const BACKLOG: i32 = 64;
/// How many connections there are at most.
const MOST_CONNECTIONS: usize = 32;
/// How many steps each of them may take in a call of `hear`: enough for a request and an answer.
const STEPS: usize = 4;
/// How many connections are accepted in a call.
const ACCEPTS: usize = 16;
/// How long nothing is accepted after the kernel had nothing to accept with.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the same trouble is worth a line in the log.
const HUSH: Duration = Duration::from_secs(60);

/// Who may use a control socket.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// What the socket's file looks like.
    pub(crate) look: Look,
    /// Whose requests are carried out. All others are told that they are not.
    pub(crate) served: Vec<Uid>,
}

/// A control socket and its connections.
///
/// It is made for a loop that must never stand still. Nothing in it blocks; a call does a bounded amount of work and
/// keeps the rest for the next; what it holds for all clients together is bounded. [`sources`](Self::sources) and
/// [`next_deadline`](Self::next_deadline) tell when to call [`hear`](Self::hear), which may be called at any other time.
///
/// A client that says nothing, or reads nothing, occupies one of 32 places for ten seconds at most. If all are taken, a
/// new client gets the place of the one that has been silent longest, of one whose command runs only if all do: stalled
/// clients cannot keep an operator out.
pub(crate) struct Control {
    file: SocketFile,
    /// A child of a fork has a copy of all this, and must not remove the file with it.
    maker: u32,
    listener: Socket,
    served: Vec<Uid>,
    connections: Vec<Connection>,
    next_ticket: Ticket,
    /// Until when nothing is accepted.
    pause: Option<Moment>,
    out_of_means: Hush,
    denied: Hush,
}

impl Drop for Control {
    fn drop(&mut self) {
        if process::id() == self.maker {
            self.file.remove();
        }
    }
}

/// Which request an answer belongs to. No two requests of a [`Control`] have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// Who is at the other end of a connection, as it was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its process; 0 if that is in a pid namespace that cannot be seen from here.
    pub(crate) pid: Pid,
    /// Its user.
    pub(crate) uid: Uid,
}

/// A request that the master has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What to answer it by.
    pub(crate) ticket: Ticket,
    /// Who asks.
    pub(crate) peer: Peer,
    /// What for.
    pub(crate) command: Command,
}

impl Control {
    /// Listens at a path. The file is removed when this is dropped, in the process that has made it: a child of a fork
    /// only closes its descriptors.
    ///
    /// # Errors
    /// The path cannot be used; nothing was changed there.
    pub(crate) fn bind(path: &Path, access: Access) -> Result<Self, SocketFileError> {
        let Access { look, served } = access;
        let (listener, file) = listen_at(path, look, BACKLOG)?;
        Ok(Self {
            file,
            maker: process::id(),
            listener,
            served,
            connections: Vec::new(),
            next_ticket: Ticket(0),
            pause: None,
            out_of_means: Hush::default(),
            denied: Hush::default(),
        })
    }

    /// Listens at this path from now on, or goes by another access where it is. Whoever is connected stays so, and is served
    /// even if it would not be let in any more.
    ///
    /// # Errors
    /// The path cannot be used; it listens where it did.
    pub(crate) fn change(&mut self, path: &Path, access: Access) -> Result<(), SocketFileError> {
        let Access { look, served } = access;
        if self.file.is_at(path) {
            self.file.dress(look)?;
        } else {
            let (listener, file) = listen_at(path, look, BACKLOG)?;
            self.file.remove();
            (self.listener, self.file) = (listener, file);
        }
        self.served = served;
        Ok(())
    }

    /// Where it listens, as an absolute path.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// What to poll, for which events.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let listener = self.pause.is_none().then(|| (self.listener.as_fd(), PollFlags::POLLIN));
        let connections = self.connections.iter().map(Connection::source);
        // Without events poll(2) would still tell of a client that is gone, again and again.
        listener.into_iter().chain(connections.filter(|(_, events)| !events.is_empty()))
    }

    /// When to call [`Self::hear`] even if no source has anything. It may be in the past: work was left over.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.connections.iter().filter_map(Connection::deadline).chain(self.pause).min()
    }

    /// Reads, writes, accepts and closes what can be now, and gives the requests that have come. What is no request is
    /// answered here.
    pub(crate) fn hear(&mut self, now: Moment) -> Vec<Asked> {
        let mut asked = Vec::new();
        let Self { connections, next_ticket, .. } = self;
        // Served before it is judged: a request that lies there is not late because the machine slept.
        connections.retain_mut(|connection| {
            serve(connection, next_ticket, &mut asked, now) && !connection.is_overdue(now)
        });
        self.pause = self.pause.filter(|end| now < *end);
        if self.pause.is_none() {
            let _ = (0..ACCEPTS).all(|_| self.accept(&mut asked, now));
        }
        asked
    }

    /// Answers a request. The client may be gone, or the request be answered already: then nothing happens.
    pub(crate) fn answer<T: Serialize>(&mut self, ticket: Ticket, outcome: &Result<T, Refusal>, now: Moment) {
        let found = self.connections.iter().position(|connection| connection.waits_for(ticket));
        let Some((index, connection)) = found.and_then(|at| Some((at, self.connections.get_mut(at)?))) else {
            return;
        };
        connection.answer(outcome, now);
        // Most answers fit into the socket's buffer. One step: it must not come to the next request here.
        if let Step::Over = connection.step(self.next_ticket, now) {
            self.connections.swap_remove(index);
        }
    }

    /// Accepts one connection; says whether there may be more.
    fn accept(&mut self, asked: &mut Vec<Asked>, now: Moment) -> bool {
        match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => {
                self.admit(socket, asked, now);
                true
            }
            Err(Errno::AGAIN) => false,
            Err(Errno::INTR | Errno::CONNABORTED) => true,
            Err(errno) => {
                self.rest(errno, now);
                false
            }
        }
    }

    /// Accepts nothing for a while: the client stays in the queue, and poll(2) would tell of it without end.
    pub(super) fn rest(&mut self, errno: Errno, now: Moment) {
        self.pause = Some(now + PAUSE);
        if self.out_of_means.may_speak(now) {
            let path = self.path().display();
            tracing::warn!("{path}: a control connection cannot be accepted: {errno}; trying again");
        }
    }

    fn admit(&mut self, socket: OwnedFd, asked: &mut Vec<Asked>, now: Moment) {
        let Ok(found) = peer_credentials(&socket) else { return }; // who cannot be known is not served
        let peer = Peer { pid: Pid(found.pid), uid: Uid::from_raw(found.uid) };
        if !self.served.contains(&peer.uid) {
            if self.denied.may_speak(now) {
                tracing::warn!(
                    "{}: pid {} (uid {}) may not use this control socket",
                    self.path().display(),
                    peer.pid,
                    peer.uid
                );
            }
            let message =
                format!("uid {} may not use this control socket; root and the server's user may", peer.uid);
            return say_and_close(socket, None, Refusal::new(Code::Denied, message));
        }
        let mut connection = Connection::new(socket, peer, now);
        if !serve(&mut connection, &mut self.next_ticket, asked, now) {
            return;
        }
        if self.connections.len() >= MOST_CONNECTIONS {
            self.make_room();
        }
        self.connections.push(connection);
    }

    /// Closes the connection that can be spared most: of those whose command does not run, the one silent longest.
    fn make_room(&mut self) {
        let worths = self.connections.iter().map(Connection::worth).enumerate();
        if let Some((index, _)) = worths.min_by_key(|(_, worth)| *worth) {
            let message = format!(
                "closed, as more than {MOST_CONNECTIONS} control connections are open; a command that runs goes on"
            );
            self.connections.swap_remove(index).dismiss(Refusal::new(Code::Busy, message));
        }
    }
}

/// Takes some steps of a connection; says whether it goes on.
fn serve(connection: &mut Connection, ticket: &mut Ticket, asked: &mut Vec<Asked>, now: Moment) -> bool {
    for _ in 0..STEPS {
        match connection.step(*ticket, now) {
            Step::Done => {}
            Step::Blocked => return true,
            Step::Asked(peer, command) => {
                asked.push(Asked { ticket: *ticket, peer, command });
                *ticket = Ticket(ticket.0.wrapping_add(1));
                return true;
            }
            Step::Over => return false,
        }
    }
    true
}

/// Keeps trouble that clients can cause from filling the log.
#[derive(Default)]
struct Hush(Option<Moment>);

impl Hush {
    fn may_speak(&mut self, now: Moment) -> bool {
        let may = self.0.is_none_or(|end| now >= end);
        if may {
            self.0 = Some(now + HUSH);
        }
        may
    }
}
