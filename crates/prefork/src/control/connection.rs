//! One client's connection: it asks, it waits, it is answered, and asks again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::poll::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde::Serialize;

use super::inbox::{Inbox, Line};
use super::server::{Peer, Ticket};
use super::{Answer, Code, Command, LONGEST_REQUEST, Refusal, Rejected, Request, RequestId};
use crate::ids::Moment;

/// How long a client may take for a request, and for a step in reading its answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How much is read at once.
const PIECE: usize = 16_384;

/// A connection. What it has to do follows from its phase, so that a client which does not read is not read from.
pub(super) struct Connection {
    socket: OwnedFd,
    peer: Peer,
    inbox: Inbox,
    phase: Phase,
    /// When it came to the phase, or last made progress in writing.
    since: Moment,
}

enum Phase {
    /// Until there is a whole request.
    Reading,
    /// Until the master has answered.
    Waiting(Ticket, Option<RequestId>),
    /// Until the client has taken its answer.
    Writing(Outbox),
}

/// What is left of an answer.
struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// Whether nothing comes after it.
    last: bool,
}

/// What came of a step.
pub(super) enum Step {
    /// There may be more to do.
    Done,
    /// It depends on the client, or on the master.
    Blocked,
    /// A request has come; it goes by the ticket that was offered.
    Asked(Peer, Command),
    /// The connection is over.
    Over,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, peer: Peer, now: Moment) -> Self {
        Self { socket, peer, inbox: Inbox::default(), phase: Phase::Reading, since: now }
    }

    /// Does one thing that does not block: a read, a write, or a look at a line.
    pub(super) fn step(&mut self, offered: Ticket, now: Moment) -> Step {
        match &mut self.phase {
            Phase::Reading => match self.inbox.next_line() {
                Some(line) => self.take(line, offered, now),
                None if self.inbox.has_ended() => Step::Over,
                None => self.receive(),
            },
            Phase::Waiting(..) => Step::Blocked,
            Phase::Writing(outbox) => match send_some(&self.socket, outbox.rest()) {
                Ok(count) => {
                    outbox.sent += count;
                    self.since = now;
                    match (outbox.rest().is_empty(), outbox.last) {
                        (false, _) => Step::Done,
                        (true, true) => Step::Over,
                        (true, false) => {
                            self.phase = Phase::Reading;
                            Step::Done
                        }
                    }
                }
                Err(errno) => stopped_by(errno),
            },
        }
    }

    fn receive(&mut self) -> Step {
        let mut piece = [0; PIECE];
        match recv(&self.socket, &mut piece[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => self.inbox.end(),
            Ok((count, _)) => self.inbox.push(piece.get(..count).unwrap_or_default()),
            Err(errno) => return stopped_by(errno),
        }
        Step::Done
    }

    fn take(&mut self, line: Line, offered: Ticket, now: Moment) -> Step {
        match line {
            Line::Whole(line) => match Request::read(&line) {
                Ok(Request { id, command }) => {
                    self.phase = Phase::Waiting(offered, id);
                    self.since = now;
                    return Step::Asked(self.peer, command);
                }
                Err(Rejected { id, refusal }) => self.refuse(id.as_ref(), refusal, now),
            },
            Line::TooLong => {
                let message =
                    format!("the line has more than {LONGEST_REQUEST} bytes: no request is that long");
                self.refuse(None, Refusal::new(Code::BadRequest, message), now);
                if let Phase::Writing(outbox) = &mut self.phase {
                    outbox.last = true;
                }
            }
        }
        Step::Done
    }

    fn refuse(&mut self, id: Option<&RequestId>, refusal: Refusal, now: Moment) {
        self.write(Answer::line(id, &Err::<(), _>(refusal)), now);
    }

    fn write(&mut self, bytes: Vec<u8>, now: Moment) {
        self.phase = Phase::Writing(Outbox { bytes, sent: 0, last: false });
        self.since = now;
    }

    /// Whether it waits for the answer to this.
    pub(super) fn waits_for(&self, ticket: Ticket) -> bool {
        matches!(&self.phase, Phase::Waiting(asked, _) if *asked == ticket)
    }

    /// Gives it the answer that it waits for.
    pub(super) fn answer(&mut self, outcome: &Result<impl Serialize, Refusal>, now: Moment) {
        if let Phase::Waiting(_, id) = &self.phase {
            self.write(Answer::line(id.as_ref(), outcome), now);
        }
    }

    /// The last words to a client that is closed for another's sake, unless they would come in the middle of an answer.
    pub(super) fn dismiss(self, refusal: Refusal) {
        let id = match self.phase {
            Phase::Reading => None,
            Phase::Waiting(_, id) => id,
            Phase::Writing(_) => return,
        };
        say_and_close(self.socket, id.as_ref(), refusal);
    }

    /// The descriptor, and what it is waited for; without events if nothing of the client's would change anything.
    pub(super) fn source(&self) -> (BorrowedFd<'_>, PollFlags) {
        let events = match &self.phase {
            Phase::Reading if self.is_due() => PollFlags::empty(),
            Phase::Reading => PollFlags::POLLIN,
            Phase::Waiting(..) => PollFlags::empty(),
            Phase::Writing(_) => PollFlags::POLLOUT,
        };
        (self.socket.as_fd(), events)
    }

    /// Whether there is a step to take that waits for nothing.
    fn is_due(&self) -> bool {
        matches!(self.phase, Phase::Reading) && (self.inbox.has_line() || self.inbox.has_ended())
    }

    /// When it has to be looked at even if its descriptor stays quiet.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Waiting(..) => None,
            _ if self.is_due() => Some(self.since),
            _ => Some(self.since + PATIENCE),
        }
    }

    /// Whether the client has taken too long.
    pub(super) fn is_overdue(&self, now: Moment) -> bool {
        !self.is_due() && self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// The connection with the least of these is the first to go when there are too many.
    pub(super) fn worth(&self) -> (bool, Moment) {
        (matches!(self.phase, Phase::Waiting(..)), self.since)
    }
}

impl Outbox {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }
}

/// Says one thing to a client that has nothing else to say here. A client that cannot take it has lost it.
pub(super) fn say_and_close(socket: OwnedFd, id: Option<&RequestId>, refusal: Refusal) {
    let _ = send_some(&socket, &Answer::line(id, &Err::<(), _>(refusal)));
}

/// Sends without waiting, and without a SIGPIPE when the client is gone.
fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
}

fn stopped_by(errno: Errno) -> Step {
    match errno {
        Errno::AGAIN => Step::Blocked,
        Errno::INTR => Step::Done,
        _ => Step::Over, // the client is gone
    }
}
