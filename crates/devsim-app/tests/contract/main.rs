//! The HTTP contract, sentence by sentence, against the router on a database of its own.

#![allow(clippy::unwrap_used, reason = "what cannot be unwrapped in a test has failed it")]

mod conventions;
mod devices;
mod health;
mod kit;
mod save;
mod upload;
