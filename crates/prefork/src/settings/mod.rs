//! The supervisor's settings: one struct per concern, gathered in [`Settings`].
//!
//! A key's documentation, default, flag and reading stand at its field; see the `settings` crate for what comes of it.

mod access;
mod address;
mod control;
mod descriptors;
mod hooks;
mod identity;
mod pool_size;
mod process;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

pub use settings::{Seconds, Section, start_directory};

pub use access::{Access, AccessFormat, PathPattern};
pub(crate) use access::{Atom, Piece};
pub use address::Address;
pub use control::Control;
pub use hooks::{HookCommand, HookCommands};
pub use identity::{Assignment, GroupName, Identity, UserName};
pub(crate) use process::leave;
pub use process::{DirectoryError, Process};
pub use workers::{Surge, WorkerClass, WorkerCount, Workers};

pub(crate) use pool_size::{Machine, PoolSize};

use crate::arbiter::{Limits, Policy};

pub use crate::arbiter::{OnCrashLoop, UpgradeWay};

settings::section! {
    /// Where connections come from.
    pub struct Sockets("server") {
        /// Addresses to listen on: `host:port`, `[v6]:port`, `unix:path`, `fd://N`; several may be given. Sockets that systemd hands
        /// over take their place.
        pub bind ['b']: Vec<Address> = vec![Address::localhost(5000)],
        /// How many connections may wait to be accepted (listen(2); cut to net.core.somaxconn).
        pub backlog: u32 = 2048,
        /// Whether other servers may listen on the same port beside this one (socket(7), SO_REUSEPORT). One that does already is
        /// noticed all the same.
        pub reuse_port: bool = false,
        /// Seconds that the kernel keeps a connection from us until its first byte is there (tcp(7), TCP_DEFER_ACCEPT);
        /// 0 means that it does not.
        pub defer_accept: Seconds = Seconds::new(1),
    }
}

settings::section! {
    /// How long things may take. Where a key does not say otherwise, 0 means no limit.
    pub struct Timeouts("server") {
        /// Seconds that a request may hold a sync worker's turn, or any worker may be silent, before the worker is aborted;
        /// 0 means any time.
        pub timeout ['t']: Seconds = Seconds::new(60),
        /// Seconds that a draining worker gets for what it has begun; 0 gives it none.
        pub graceful_timeout: Seconds = Seconds::new(30),
        /// Seconds between the announcement of a graceful stop and its beginning: readiness answers 503, and requests are served
        /// as ever, until whoever balances the load has noticed.
        pub drain_delay: Seconds = Seconds::new(0),
        /// Seconds from a worker's fork to its readiness, and for the application's preparation.
        pub boot_timeout: Seconds = Seconds::new(60),
        /// Seconds that a connection may be idle between two requests; 0 closes it after its first answer.
        pub keepalive ["keep-alive"]: Seconds = Seconds::new(5),
        /// Seconds that a request's head may take from its first byte.
        pub header_timeout: Seconds = Seconds::new(10),
        /// Seconds without progress after which a request's body is given up.
        pub body_timeout: Seconds = Seconds::new(30),
        /// Seconds without progress after which an answer that is not read is given up.
        pub write_timeout: Seconds = Seconds::new(30),
    }
}

settings::section! {
    /// Request bodies, which are received before the application sees the request.
    pub struct Bodies("server") {
        /// Bytes that a request's body may have at most; 0 means any number. A route may set its own limit.
        pub limit_request_body: u64 = 10_485_760,
        /// Bytes of a body that are kept in memory; the rest goes to an unlinked file.
        pub request_buffer: usize = 65_536,
        /// Directory of these files. It should not be memory-backed.
        pub request_buffer_dir: PathBuf = PathBuf::from("/var/tmp"),
    }
}

/// Everything that the supervisor can be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Where connections come from.
    pub sockets: Sockets,
    /// How many workers there are, of which kind, and how they are replaced.
    pub workers: Workers,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What happens to request bodies.
    pub bodies: Bodies,
    /// As whom the processes are seen, as whom workers run, and in which environment.
    pub identity: Identity,
    /// The master as a process.
    pub process: Process,
    /// What runs at the steps of the server's life.
    pub hooks: HookCommands,
    /// Where an operator's programs talk to the master.
    pub control: Control,
    /// What the access log tells.
    pub access: Access,
}

impl Settings {
    /// All sections, for a `settings::Program`.
    pub fn sections(&mut self) -> [&mut dyn Section; 9] {
        [
            &mut self.sockets,
            &mut self.workers,
            &mut self.timeouts,
            &mut self.bodies,
            &mut self.identity,
            &mut self.process,
            &mut self.hooks,
            &mut self.control,
            &mut self.access,
        ]
    }

    /// What the arbiter has to know, of a pool of this size.
    pub(crate) fn policy(&self, size: PoolSize) -> Policy {
        let workers = size.count();
        Policy {
            workers,
            surge: self.workers.surge.of(workers),
            max_draining: self.workers.max_draining(workers),
            boot_concurrency: self.workers.boot_concurrency(),
            boot_failures_max: Some(self.workers.boot_failures_max).filter(|most| *most > 0),
            on_crash_loop: self.workers.on_crash_loop,
            drain_delay: self.timeouts.drain_delay.as_duration(),
            upgrade: self.process.upgrade(),
            limits: self.limits(),
        }
    }

    /// The time limits of a worker with these settings.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            timeout: limit(self.timeouts.timeout),
            boot_timeout: limit(self.timeouts.boot_timeout).unwrap_or(Duration::MAX / 4),
            graceful_timeout: self.timeouts.graceful_timeout.as_duration(),
        }
    }
}

/// A time limit, unless it is 0.
pub(crate) fn limit(seconds: Seconds) -> Option<Duration> {
    Some(seconds.as_duration()).filter(|limit| !limit.is_zero())
}
