//! Telling the service manager how it is: systemd's protocol (sd_notify(3)) and the readiness descriptor of s6 and its kind.
//!
//! A message that the manager does not take at once waits for the next look; the master never does.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with};

use crate::ids::{Moment, Pid};
use crate::sys;

/// How many messages wait at most; a manager that takes none of them is gone.
const WAITING: usize = 64;
/// How long a line for people may be. systemd takes no datagram of more than 4096 bytes.
const LONGEST_STATUS: usize = 2000;

/// The line to the service manager. Without one, every message goes nowhere.
#[derive(Default)]
pub(super) struct Notify {
    manager: Option<Manager>,
    /// Where a newline says that the server is ready.
    newline: Option<OwnedFd>,
    watchdog: Option<Watchdog>,
    part: Part,
    ready: bool,
    reloading: bool,
    status: String,
}

/// Which part this process has in the service. Of two masters one speaks: to a manager that hears both, the other's end
/// would be the service's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    /// Another master is the service still.
    Second,
    #[default]
    Main,
    /// It is, and has said that it stops.
    Stopping,
    /// Another master is the service, and this one never again.
    Former,
}

struct Manager {
    socket: OwnedFd,
    address: SocketAddrUnix,
    waiting: VecDeque<String>,
}

struct Watchdog {
    interval: Duration,
    due: Moment,
}

/// What the environment says of the service manager.
pub(crate) struct NotifyVariables {
    /// `NOTIFY_SOCKET`.
    pub(crate) socket: Option<OsString>,
    /// `WATCHDOG_USEC`.
    pub(crate) watchdog_usec: Option<String>,
    /// `WATCHDOG_PID`.
    pub(crate) watchdog_pid: Option<String>,
}

impl NotifyVariables {
    pub(crate) fn of_this_process() -> Self {
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog_usec: std::env::var("WATCHDOG_USEC").ok(),
            watchdog_pid: std::env::var("WATCHDOG_PID").ok(),
        }
    }
}

impl Notify {
    pub(super) fn new(
        variables: NotifyVariables,
        newline: Option<OwnedFd>,
        part: Part,
        me: Pid,
        now: Moment,
    ) -> Self {
        let manager = variables.socket.and_then(|name| match Manager::at(&name) {
            Ok(manager) => Some(manager),
            Err(errno) => {
                tracing::warn!("NOTIFY_SOCKET={}: cannot be used: {errno}", name.display());
                None
            }
        });
        let meant = variables.watchdog_pid.is_none_or(|pid| pid.parse() == Ok(me.0));
        let usec = variables.watchdog_usec.and_then(|text| {
            let usec = text.parse().ok().filter(|usec| *usec > 0);
            if usec.is_none() {
                tracing::warn!("WATCHDOG_USEC={text} is no number of microseconds: no watchdog is served");
            }
            usec
        });
        // Half of the time, as sd_watchdog_enabled(3) recommends.
        let interval =
            usec.filter(|_| meant && manager.is_some()).map(|usec| Duration::from_micros(usec) / 2);
        let watchdog = interval.map(|interval| Watchdog { interval, due: now });
        Self { manager, newline, watchdog, part, ..Self::default() }
    }

    /// A worker serves, for the first time.
    pub(super) fn ready(&mut self) {
        self.ready = true;
        self.send("READY=1".into());
        if let Some(newline) = self.newline.take() {
            let _ = rustix::io::write(&newline, b"\n"); // and the close says it once more
        }
    }

    /// The master that was the service has gone: this one is it now, and says so, as nobody has heard it before.
    pub(super) fn succeed(&mut self) {
        if self.part == Part::Second {
            self.part = Part::Main;
            self.status.clear();
            if self.ready {
                self.send("READY=1".into());
            }
        }
    }

    /// A reload begins; exactly one [`Self::reloaded`] follows.
    pub(super) fn reloading(&mut self, now: Moment) {
        if !self.reloading && self.part == Part::Main {
            self.reloading = true;
            let usec = Duration::from_nanos(now.as_nanos()).as_micros();
            self.send(format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
        }
    }

    /// Whether one is announced.
    pub(super) fn is_reloading(&self) -> bool {
        self.reloading
    }

    /// Goes on for a program that has announced a reload.
    pub(super) fn resume(&mut self, reloading: bool) {
        self.reloading = reloading;
    }

    /// It has ended, well or not.
    pub(super) fn reloaded(&mut self) {
        if std::mem::take(&mut self.reloading) {
            self.send("READY=1".into());
        }
    }

    /// The server stops, whatever it was about to do, and however often it is told to.
    pub(super) fn stopping(&mut self) {
        match self.part {
            Part::Main => {
                self.reloaded();
                self.send("STOPPING=1".into());
                self.part = Part::Stopping;
            }
            Part::Second => self.part = Part::Former,
            Part::Stopping | Part::Former => {}
        }
    }

    /// Another process is the service from now on, and this one has said its last word.
    pub(super) fn main_pid(&mut self, pid: Pid) {
        self.reloaded();
        self.send(format!("MAINPID={pid}"));
        self.part = Part::Former;
    }

    /// How it is, in a line for people; said when it has changed.
    pub(super) fn status(&mut self, status: &str) {
        let mut status = status.replace(char::is_control, " ");
        status.truncate(status.floor_char_boundary(LONGEST_STATUS));
        if self.is_heard() && self.status != status {
            self.send(format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// Sends what has waited, and says that the master lives if it is time to.
    ///
    /// A second master says so from its first ready worker on: its predecessor makes it the main process (`MAINPID`) and drains
    /// for as long as it takes, and whom the manager takes for the main process has to be heard all the time.
    pub(super) fn keep(&mut self, now: Moment) {
        let lives = self.is_heard() || (self.part == Part::Second && self.ready);
        if let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| now >= watchdog.due) {
            watchdog.due = now + watchdog.interval;
            if let Some(manager) = self.manager.as_mut().filter(|_| lives) {
                manager.take("WATCHDOG=1".into());
            }
        }
        if let Some(manager) = &mut self.manager {
            manager.flush();
        }
    }

    /// When [`Self::keep`] is due.
    pub(super) fn due(&self) -> Option<Moment> {
        self.watchdog.as_ref().map(|watchdog| watchdog.due)
    }

    /// Whether anybody hears it.
    pub(super) fn is_heard(&self) -> bool {
        self.manager.is_some() && matches!(self.part, Part::Main | Part::Stopping)
    }

    fn send(&mut self, message: String) {
        if self.is_heard()
            && let Some(manager) = &mut self.manager
        {
            manager.take(message);
            manager.flush();
        }
    }
}

impl Manager {
    fn at(name: &OsString) -> Result<Self, Errno> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?, // unix(7)
            path @ [b'/', ..] => SocketAddrUnix::new(path)?,
            _ => return Err(Errno::AFNOSUPPORT), // as sd_notify(3) has it
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        Ok(Self { socket, address, waiting: VecDeque::new() })
    }

    /// Has a message wait for its turn. Of what only tells how it is, the latest counts; so none of it ever displaces a message
    /// that says what the service has become.
    fn take(&mut self, message: String) {
        let passing = ["STATUS=", "WATCHDOG="].into_iter().find(|kind| message.starts_with(kind));
        if let Some(kind) = passing {
            self.waiting.retain(|other| !other.starts_with(kind));
        }
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
    }

    fn flush(&mut self) {
        while let Some(message) = self.waiting.front() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendto(&self.socket, message.as_bytes(), flags, &self.address) {
                Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => return, // its queue is full: later
                // A manager that cannot be reached at all is not waited for.
                Ok(_) | Err(_) => self.waiting.pop_front(),
            };
        }
    }
}

/// The descriptor on which a newline says that the server is ready (`<PREFIX>READY_FD`), unless it is one of the standard streams
/// or not open. The variable is gone then: to any other program, the number may mean another descriptor.
pub(crate) fn readiness_descriptor(prefix: &str) -> Option<OwnedFd> {
    let variable = format!("{prefix}READY_FD");
    let number = std::env::var(&variable).ok()?;
    sys::environment::unset(&variable);
    let taken = number.parse().ok().filter(|number| *number > 2).and_then(sys::descriptors::take);
    if taken.is_none() {
        tracing::warn!(
            "{variable}={number} is not an open descriptor above 2: nobody is told of readiness there"
        );
    }
    taken
}
