//! The wire: connections, their time limits, and what a request goes through before and after the application.

mod answer;
mod body;
mod connection;
mod flow;
mod refusal;
mod request;
mod request_id;
mod spool;
mod wire;

pub use body::Body;

pub(crate) use connection::serve;
pub(crate) use flow::Flow;
pub(crate) use refusal::raw_refusal;
pub(crate) use request::Handling;
pub(crate) use request_id::RequestIds;
pub(crate) use wire::has_input;
