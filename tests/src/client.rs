//! A small HTTP/1.1 client that hides nothing.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;
use socket2::Socket;

use crate::PATIENCE;
use crate::kernel;
use crate::place::Place;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its head, as it came.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A field's value, by its name in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Whether the connection ends with it.
    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: Socket,
    /// What was read beyond the last answer.
    rest: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(place: impl Into<Place>) -> io::Result<Self> {
        let stream = match place.into() {
            Place::Tcp(address) => {
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_nodelay(true)?;
                Socket::from(stream)
            }
            Place::Unix(path) => UnixStream::connect(path)?.into(),
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, rest: Vec::new() })
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.stream
    }

    /// Waits no longer than this for bytes.
    pub fn patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))
    }

    /// Whether nothing has come that was not read: neither bytes nor the end.
    pub fn is_silent(&self) -> bool {
        let nothing = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        let looked =
            self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [MaybeUninit::uninit()]));
        let restored = self.stream.set_nonblocking(false);
        self.rest.is_empty() && restored.is_ok() && looked.is_err_and(|error| nothing(&error))
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Says that no more bytes will come.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Whether the server has read all that was sent.
    pub(crate) fn is_read(&self) -> bool {
        kernel::is_read(&self.stream).expect("the kernel tells of its sockets")
    }

    /// Asks for a path and reads the answer; the connection stays open if the server lets it.
    pub fn get(&mut self, path: &str, fields: &str) -> io::Result<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"))?;
        self.answer()
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// `UnexpectedEof` when the connection ends before the answer does.
    pub fn answer(&mut self) -> io::Result<Answer> {
        self.answer_to("GET")
    }

    /// Reads the answer to a request of this method: that to HEAD has no body.
    pub fn answer_to(&mut self, method: &str) -> io::Result<Answer> {
        let head = self.read_past(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {head:?}")))?;
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.field("content-length").and_then(|length| length.parse().ok());
        let chunked = answer.field("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        answer.body = match length {
            _ if bodiless => Vec::new(),
            _ if chunked => self.chunks()?,
            Some(length) => self.read_exactly(length)?,
            None => self.to_the_end()?,
        };
        Ok(answer)
    }

    /// Reads until the connection ends.
    pub fn to_the_end(&mut self) -> io::Result<Vec<u8>> {
        let mut all = std::mem::take(&mut self.rest);
        self.stream.read_to_end(&mut all)?;
        Ok(all)
    }

    /// Reads as a slow client does: at most so many bytes, then a rest, so many times. Gives how many bytes came.
    pub fn trickle(&mut self, bytes: usize, rest: Duration, times: usize) -> io::Result<usize> {
        let mut buffer = vec![0; bytes];
        let mut total = 0;
        for _ in 0..times {
            total += self.stream.read(&mut buffer)?;
            std::thread::sleep(rest);
        }
        Ok(total)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_past(b"\r\n")?;
            let line = String::from_utf8_lossy(&line);
            let digits = line.split([';', '\r']).next().unwrap_or_default();
            let size = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
            let chunk = self.read_exactly(size + 2)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    fn read_past(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.rest.windows(end.len()).position(|window| window == end) {
                let rest = self.rest.split_off(at + end.len());
                return Ok(std::mem::replace(&mut self.rest, rest));
            }
            self.read_more()?;
        }
    }

    fn read_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < count {
            self.read_more()?;
        }
        let rest = self.rest.split_off(count);
        Ok(std::mem::replace(&mut self.rest, rest))
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 65536];
        match self.stream.read(&mut bytes) {
            // Where a timeout is set, the kernel does not go on by itself after the process was stopped (signal(7)).
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.rest.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// A `multipart/form-data` body with one file (RFC 7578).
#[derive(Clone, Debug)]
pub struct Multipart {
    /// The body.
    pub body: Vec<u8>,
    /// Its `Content-Type`.
    pub content_type: String,
}

impl Multipart {
    /// A part named `file`.
    pub fn file(name: &str, content: &[u8]) -> Self {
        let boundary = "boundary-of-the-kit";
        let disposition = format!("Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"");
        let mut body =
            format!("--{boundary}\r\n{disposition}\r\nContent-Type: text/csv\r\n\r\n").into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Self { body, content_type: format!("multipart/form-data; boundary={boundary}") }
    }
}
