//! The wire: connections and their time limits, bodies as they come, answers as they go. It knows no worker.

mod access;
mod answer;
mod body;
mod connection;
mod flow;
mod refusal;
mod request_id;
mod spool;
mod stream;
mod wire;

pub use body::Body;

pub(crate) use access::{AccessLog, Entry, TakeLine};
pub(crate) use answer::Answer;
pub(crate) use connection::serve;
pub(crate) use flow::Flow;
pub(crate) use refusal::{raw_refusal, refusal};
pub(crate) use request_id::RequestIds;
pub(crate) use spool::Spool;
pub(crate) use stream::Stream;
pub(crate) use wire::has_input;
