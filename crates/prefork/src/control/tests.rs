//! A control socket and its clients, over the kernel's sockets and a clock of the tests' own.

mod clients;
mod crowd;
mod file;
mod rubbish;
mod stage;
