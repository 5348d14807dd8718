//! The control socket: how an operator talks to a running master.
//!
//! It is a Unix socket that speaks lines of JSON. A request is an object on one line, at most
//! [`LONGEST_REQUEST`] bytes; so is its answer, at most [`LONGEST_ANSWER`]:
//!
//! ```text
//! → {"v": 1, "command": "scale", "workers": 5, "id": 7}
//! ← {"v": 1, "id": 7, "ok": true, "result": {"workers": 5}}
//! → {"v": 1, "command": "restart", "slot": 99}
//! ← {"v": 1, "ok": false, "error": {"code": "refused", "message": "..."}}
//! ```
//!
//! [`Command`] has the commands and their members. A member that a command does not know is an error, so that a typing
//! mistake changes nothing; of an answer, clients pass over what they do not know. An `id`, a text or a number, comes back
//! with the answer. A client may send several requests at once; they are carried out and answered one after the other. A
//! command that takes its time, as `reload`, is answered when it is done. [`Code`] has the words for what went wrong.
//!
//! An `upgrade` in which the new program takes the old one's place ends the connection instead: how it went is found in
//! `last_upgrade` of the [`Status`], as soon as its `upgrade` is null.
//!
//! The server serves root and the user that it runs as, by what the kernel says of the peer (SO_PEERCRED, unix(7)). It
//! closes a connection that has sent no whole request for ten seconds, or not read its answer for as long; and when more
//! than 32 are open, the one that has been silent longest.
//!
//! ```
//! use prefork::control::{Answer, Command, Request, Scaled};
//!
//! let request = Request { id: None, command: Command::Scale { workers: 5 } };
//! assert_eq!(request.to_line(), b"{\"v\":1,\"command\":\"scale\",\"workers\":5}\n");
//!
//! let answer = Answer::read(b"{\"v\":1,\"ok\":true,\"result\":{\"workers\":5}}\n")?;
//! let scaled: Scaled = serde_json::from_value(answer.outcome?)?;
//! assert_eq!(scaled.workers, 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connection;
mod inbox;
mod place;
mod protocol;
pub(crate) mod server;
#[cfg(test)]
mod tests;

pub use place::default_place;
pub use protocol::*;
