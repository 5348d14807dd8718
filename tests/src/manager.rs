//! A service manager, as a server that it started sees it.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::server::{Server, Setup};

/// A socket that takes what services say of themselves (sd_notify(3)).
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    /// What `NOTIFY_SOCKET` says.
    name: String,
    heard: Vec<String>,
    _directory: Option<TempDir>,
}

impl Manager {
    /// One whose socket is a file.
    pub fn at_a_path() -> Self {
        let directory = TempDir::with_prefix("devsim-test-").expect("a temporary directory can be made");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket can be bound");
        Self::new(socket, path.display().to_string(), Some(directory))
    }

    /// One whose socket has an abstract name (unix(7)).
    pub fn at_an_abstract_name() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("devsim-test/{}/{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("the name is short");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket can be bound");
        Self::new(socket, format!("@{name}"), None)
    }

    fn new(socket: UnixDatagram, name: String, directory: Option<TempDir>) -> Self {
        socket.set_nonblocking(true).expect("a socket can be told not to block");
        Self { socket, name, heard: Vec::new(), _directory: directory }
    }

    /// Has a server tell this manager.
    #[must_use]
    pub fn of(&self, setup: Setup) -> Setup {
        setup.variable("NOTIFY_SOCKET", &self.name)
    }

    /// All messages that have come, in their order.
    pub fn heard(&mut self) -> &[String] {
        let mut bytes = [0; 65536];
        loop {
            match self.socket.recv(&mut bytes) {
                Ok(count) => self.heard.push(String::from_utf8_lossy(&bytes[..count]).into_owned()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return &self.heard,
                Err(error) => panic!("cannot hear: {error}"),
            }
        }
    }

    /// How many messages have come that begin so.
    pub fn count(&mut self, beginning: &str) -> usize {
        self.heard().iter().filter(|message| message.starts_with(beginning)).count()
    }

    /// The first line of each message that says what the service has become: neither how it is nor that it lives.
    pub fn states(&mut self) -> Vec<String> {
        let passing = |message: &&String| message.starts_with("STATUS=") || message.starts_with("WATCHDOG=");
        let states = self.heard().iter().filter(|message| !passing(message));
        states.map(|message| message.lines().next().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until so many messages have come that begin so.
    pub fn wait_for(&mut self, server: &Server, beginning: &str, count: usize) {
        server.wait_for(&format!("message {count} with {beginning}; heard were {:?}", self.heard()), |_| {
            (self.count(beginning) >= count).then_some(())
        });
    }

    /// Waits until the latest line about the server has all of these words.
    pub fn wait_for_status(&mut self, server: &Server, words: &[&str]) -> String {
        server.wait_for(&format!("a STATUS with {words:?}"), |_| {
            let status = self.heard().iter().rev().find_map(|message| message.strip_prefix("STATUS="));
            status.filter(|status| words.iter().all(|word| status.contains(word))).map(str::to_owned)
        })
    }
}
