//! One question, one answer.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use prefork::control::{Answer, Command, LONGEST_ANSWER, Misread, Request};
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::failure::Failure;

/// A connection to a server.
struct Connection<'a> {
    stream: UnixStream,
    path: &'a Path,
    timeout: Option<Duration>,
    begun: Instant,
}

/// Asks the server at `path` and gives its result.
///
/// A stop is done when the connection has ended, as the server has gone then.
pub(crate) fn ask(path: &Path, command: &Command, timeout: Option<Duration>) -> Result<Value, Failure> {
    let mut connection = Connection::open(path, timeout)?;
    let request = Request { id: None, command: command.clone() };
    // A server that says no at once does not read what it is asked: its answer tells more than the error.
    let sent = connection.stream.write_all(&request.to_line());
    let line = connection.line()?;
    let stops = matches!(command, Command::Stop { .. });
    match (line, sent) {
        (Some(line), _) => {
            let answer = Answer::read(&line).map_err(|misread| connection.misread(misread))?;
            let result = answer.outcome?;
            while stops && connection.line()?.is_some() {}
            Ok(result)
        }
        (None, Ok(())) if stops => Ok(json!({})),
        (None, Ok(())) => Err(Failure::Cut(path.into())),
        (None, Err(error)) => Err(Failure::Broken { path: path.into(), error }),
    }
}

impl<'a> Connection<'a> {
    fn open(path: &'a Path, timeout: Option<Duration>) -> Result<Self, Failure> {
        let begun = Instant::now();
        let connected = Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
            // connect(2) waits as long as a write when the queue of a server that accepts nobody is full.
            socket.set_write_timeout(timeout)?;
            socket.connect(&SockAddr::unix(path)?)?;
            Ok(socket)
        });
        match connected {
            Ok(socket) => Ok(Self { stream: OwnedFd::from(socket).into(), path, timeout, begun }),
            Err(error) => Err(match (error.kind(), timeout) {
                (ErrorKind::PermissionDenied, _) => Failure::NoPermission(path.into()),
                (ErrorKind::WouldBlock, Some(after)) => Failure::TimedOut { path: path.into(), after },
                _ => Failure::Nobody { path: path.into(), error },
            }),
        }
    }

    /// The next line, without its end; `None` if the connection has ended. What came with it is dropped: a server says one
    /// line to one request.
    fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        let mut piece = [0; 65_536];
        while line.len() <= LONGEST_ANSWER {
            match self.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    let piece = piece.get(..count).unwrap_or_default();
                    line.extend(piece.iter().take_while(|byte| **byte != b'\n'));
                    if piece.contains(&b'\n') {
                        return Ok(Some(line));
                    }
                }
                Err(error) => match (error.kind(), self.timeout) {
                    (ErrorKind::Interrupted, _) => {}
                    (ErrorKind::ConnectionReset, _) => return Ok(None),
                    (ErrorKind::WouldBlock | ErrorKind::TimedOut, Some(after)) => {
                        return Err(Failure::TimedOut { path: self.path.into(), after });
                    }
                    _ => return Err(Failure::Broken { path: self.path.into(), error }),
                },
            }
        }
        Err(self.misread(Misread::Rubbish(format!("it has more than {LONGEST_ANSWER} bytes"))))
    }

    /// Reads, until the whole time is over at the latest.
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        if let Some(timeout) = self.timeout {
            let left = timeout.saturating_sub(self.begun.elapsed());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
        }
        self.stream.read(piece)
    }

    fn misread(&self, misread: Misread) -> Failure {
        Failure::Misread { path: self.path.into(), misread }
    }
}
