//! The kit of the process-level tests: it starts the real programs in a directory of their own, deals with them as
//! clients and operators do, and leaves no process behind.
//!
//! Tests wait for conditions, never for time. Ports are the kernel's choice; all traffic stays on loopback.

mod cgroup;
mod client;
mod hammer;
mod kernel;
mod log;
mod manager;
mod operator;
mod place;
mod processes;
mod program;
mod server;
mod wait;

pub use cgroup::MemoryCgroup;
pub use client::{Answer, Connection, Multipart};
pub use hammer::Hammer;
pub use kernel::{AcceptQueue, accept_queue};
pub use manager::Manager;
pub use operator::{Asking, Told};
pub use place::Place;
pub use processes::{
    children, descriptor_kinds, descriptor_limits, descriptors, executable, has_terminal, is_alive, memory,
    processor_time, signal_to, status, status_field, threads, title, zombies,
};
pub use program::{Broken, install_echo, install_script};
pub use rustix::process::Signal;
pub use server::{Ended, Server, Setup};
pub use wait::{PATIENCE, skipped, until, within};
