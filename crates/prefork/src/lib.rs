//! A pre-fork supervisor, as a library: one master that never runs your code, and a pool of workers that do.
//!
//! The master binds the listeners, forks workers that share them, and keeps that pool whole through crashes, hangs,
//! reloads and scaling. A worker answers **one request at a time**, so that code which blocks harms one worker only; but it
//! receives requests and sends answers outside that turn, so that slow clients occupy nobody. Whoever knows Gunicorn knows
//! the signals, the settings and the exit codes.
//!
//! ```no_run
//! use http::{Request, Response};
//! use prefork::{Body, Outcome, Server, Settings, handler};
//!
//! fn main() -> Outcome {
//!     let app = handler(async |_: Request<Body>| Response::new("hello\n".to_string()));
//!     Server::new(Settings::default()).app(app).run()
//! }
//! ```
//!
//! # An application
//!
//! [`handler`] makes an application of a function. One that has something to check or to open implements [`App`]:
//! [`App::prepare`] validates and migrates, once, in a child of its own; [`App::build`] makes the service in each worker,
//! after the fork. Any [`tower_service::Service`] will do, an axum router for instance:
//!
//! ```no_run
//! use prefork::{App, BoxError, Context, Server, Settings};
//! # #[derive(Clone)] struct Router; struct Answer;
//! # use std::{convert::Infallible, task::Poll, pin::Pin};
//! # impl tower_service::Service<http::Request<prefork::Body>> for Router {
//! #     type Response = http::Response<String>; type Error = Infallible;
//! #     type Future = std::future::Ready<Result<Self::Response, Infallible>>;
//! #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> { Poll::Ready(Ok(())) }
//! #     fn call(&mut self, _: http::Request<prefork::Body>) -> Self::Future {
//! #         std::future::ready(Ok(http::Response::new(String::new())))
//! #     }
//! # }
//! # async fn open_database() -> Result<Router, BoxError> { Ok(Router) }
//! # fn migrate() -> Result<(), BoxError> { Ok(()) }
//!
//! struct Shop;
//!
//! impl App for Shop {
//!     type Service = Router;
//!     type Answer = String;
//!
//!     /// Fails the start, or the reload, in plain words.
//!     fn prepare(&self) -> Result<(), BoxError> {
//!         migrate()
//!     }
//!
//!     /// Whatever is opened here belongs to one worker.
//!     async fn build(&self, _context: Context) -> Result<Router, BoxError> {
//!         open_database().await
//!     }
//! }
//!
//! let mut settings = Settings::default();
//! settings.timeouts.graceful_timeout = prefork::settings::Seconds::new(10);
//! let outcome = Server::new(settings).app(Shop).run();
//! ```
//!
//! # What it promises
//!
//! * **No request is dropped** by a reload, a recycling, a scaling or a graceful stop: a worker is retired only when its
//!   replacement is ready, closes no connection between a request and its answer, and the last ones to go empty the accept
//!   queue.
//! * **A bad reload changes nothing**: a generation of workers has to prove itself before the running one goes.
//! * **A stuck request costs its worker only**: after `timeout` its client gets 504, the log says what it was, and the
//!   worker is replaced.
//! * **Nothing is left behind**: workers of a master that was killed finish what they have, and leave.
//!
//! # What it asks
//!
//! * [`Ready::run`] wants a process with **one thread**, and refuses another with a typed error: `fork` copies the locks that
//!   other threads hold, and nobody would ever release them. Make runtimes, pools and clients in [`App::build`].
//! * It logs through [`tracing`]; install a subscriber that starts no thread before `run`.
//! * From `run` on, the process is the master: its signals are blocked and read from a descriptor.
//!
//! # Signals and exit codes
//!
//! | signal to the master | does |
//! |---|---|
//! | TERM | graceful stop: what runs is finished, within `graceful_timeout` |
//! | INT, QUIT | quick stop: what runs is cut |
//! | HUP | reload: new settings (see [`Ready::on_reload`]), a new generation of workers |
//! | TTIN, TTOU | one worker more, one fewer |
//! | USR1 | log files are opened anew (see [`Ready::on_reopen`]), also in the workers |
//! | USR2 | upgrade to the program on disk: a second master, or this one's place (`server.upgrade`) |
//! | WINCH | without a terminal, or during an upgrade: all workers retire, until the next HUP |
//!
//! Workers ignore the signals that are meant for the master; a TERM to a worker asks for its replacement. The exit code is
//! 0 after a stop, 1 for an error before the start, 3 if workers cannot boot, 4 if the application cannot be built, 5 if another
//! master has the address or the pidfile.
//!
//! # Around it
//!
//! * **Hooks**: [`Hooks`] for code of the program's, `[hooks]` in the settings for commands.
//! * **Service managers**: systemd's notify protocol, its watchdog and its sockets; or a newline on a descriptor that
//!   `<PREFIX>READY_FD` names (see [`Ready::environment_prefix`]).
//! * **Operators** ask the master itself, over a socket: [`control`].
//! * **An upgrade in place** needs a program that begins with [`Ready::check`] when it is called with `--check-config`, and with the
//!   settings that `settings::RESTORED_SETTINGS` names when it comes back: `settings::Program::start` does both.
//!
//! # The map
//!
//! | module | what it does |
//! |---|---|
//! | `arbiter` | decides: what happened, and when, in; what is to be done, out. Pure |
//! | `cgroup` | finds what memory this process may use |
//! | `master` | does: waits, forks, signals, reaps, reports |
//! | [`control`] | the control socket: what an operator's programs may ask of a running master |
//! | `scoreboard` | shows what each worker is doing, in shared memory without a lock |
//! | `listener` | binds |
//! | `worker` | the life of a worker: its turn, its drain, its second thread |
//! | `http` | the wire: connections, their time limits, bodies, refusals |
//! | [`settings`] | one struct per concern; a key is described where it stands |
//! | `sys` | the only unsafe code |

// A panic of the master is an outage, so nothing that it runs has a way to panic. In a worker it costs a request.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

mod app;
mod arbiter;
mod cgroup;
pub mod control;
mod hooks;
#[allow(clippy::indexing_slicing, clippy::expect_used, clippy::string_slice, reason = "it runs in workers")]
mod http;
mod ids;
mod listener;
mod master;
mod scoreboard;
mod server;
pub mod settings;
mod socket_file;
mod sys;
#[allow(clippy::indexing_slicing, clippy::expect_used, clippy::string_slice, reason = "it runs in workers")]
mod worker;

/// Keeps a SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN or SIGTTOU until [`Ready::run`] reads it. To be called first thing in `main`: one that
/// comes before the settings are read would end or stop the process else.
pub fn hold_signals() {
    master::hold_signals();
}

pub use app::{App, BodyPolicy, BoxError, Client, Context, Handler, handler};
pub use hooks::{HookedWorker, Hooks};
pub use ids::{Generation, Slot};
pub use listener::BindError;
pub use master::{PidfileError, SetupError};
pub use server::{Error, Outcome, Ready, Revision, Server};
pub use settings::Settings;
pub use socket_file::SocketFileError;
pub use worker::Draining;

pub use self::http::Body;
