//! A pre-fork supervisor: one single-threaded master, a pool of workers on shared listeners.

mod app;
mod arbiter;
mod http;
mod ids;
mod listener;
mod master;
mod scoreboard;
mod server;
pub mod settings;
mod sys;
mod worker;

pub use app::{App, BodyPolicy, BoxError, Client, Context, Handler, handler};
pub use ids::{Generation, Slot};
pub use listener::BindError;
pub use master::SetupError;
pub use server::{Error, Outcome, Ready, Server};
pub use settings::Settings;
pub use worker::Draining;

pub use self::http::Body;
