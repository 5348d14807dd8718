//! Sockets that whoever started the server has bound for it: systemd's socket activation (sd_listen_fds(3)), and `fd://N`.

use std::io;
use std::os::fd::RawFd;

use socket2::{Socket, Type};

use crate::settings::{Address, Sockets};
use crate::sys;

use super::{BindError, Listener, MOST_LISTENERS};

/// The number of the first descriptor that is handed over (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;
/// How many may be.
const MOST_HANDED: RawFd = MOST_LISTENERS as RawFd;

/// What the environment says was handed over to this process.
#[derive(Debug, Default)]
pub(crate) struct Activation {
    /// How many.
    count: RawFd,
    names: Vec<String>,
}

impl Activation {
    /// # Errors
    /// It makes no sense. Listening elsewhere instead would be found out late.
    pub(crate) fn of_this_process() -> Result<Self, BindError> {
        // They are read once: for a program that this one starts, the numbers would mean other descriptors.
        let read = |name| {
            let value = std::env::var(name).ok();
            sys::environment::unset(name);
            value
        };
        Self::from_variables(
            std::process::id(),
            read("LISTEN_PID"),
            read("LISTEN_FDS"),
            read("LISTEN_FDNAMES"),
        )
    }

    /// Nothing, unless `LISTEN_PID` is this process: the variables are inherited by programs that they are not meant for.
    fn from_variables(
        me: u32,
        pid: Option<String>,
        count: Option<String>,
        names: Option<String>,
    ) -> Result<Self, BindError> {
        match pid.map(|pid| pid.parse::<u32>()) {
            None => return Ok(Self::default()),
            Some(Ok(pid)) if pid == me => {}
            Some(_) => {
                tracing::info!("LISTEN_PID names another process: its sockets are not used");
                return Ok(Self::default());
            }
        }
        let Some(count) = count else { return Ok(Self::default()) };
        let number = count.parse().ok().filter(|number| (0..=MOST_HANDED).contains(number));
        let number = number.ok_or(BindError::HandedCount(count))?;
        let names = names.map(|names| names.split(':').map(str::to_owned).collect()).unwrap_or_default();
        Ok(Self { count: number, names })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All that was handed over.
    pub(super) fn into_listeners(self, sockets: &Sockets) -> Result<Vec<Listener>, BindError> {
        tracing::info!("{} sockets were handed over (LISTEN_FDS): server.bind is not used", self.count);
        let numbers = FIRST..FIRST.saturating_add(self.count);
        numbers
            .enumerate()
            .map(|(index, number)| {
                let name = self.names.get(index).map_or("unknown", String::as_str); // as sd_listen_fds_with_names(3) has it
                let listener = take(number, sockets)?;
                tracing::info!("descriptor {number} ({name}) listens at {}", listener.place);
                Ok(listener)
            })
            .collect()
    }
}

/// Takes one that is known by its number.
pub(super) fn take(number: RawFd, sockets: &Sockets) -> Result<Listener, BindError> {
    let address = Address::Descriptor(number);
    let not = |why: String| BindError::NotHanded { address: Address::Descriptor(number).to_string(), why };
    let socket = Socket::from(
        sys::descriptors::take(number)
            .ok_or_else(|| not("nobody has left it open for this process".into()))?,
    );
    let listener = check(&socket).and_then(|()| Listener::new(socket, address, true, None, sockets));
    let listener = listener.and_then(|listener| listener.defer(sockets).map(|()| listener));
    listener.map_err(|error| not(error.to_string()))
}

fn check(socket: &Socket) -> io::Result<()> {
    let other = |what: &str| Err(io::Error::other(what.to_owned()));
    if socket.r#type()? != Type::STREAM {
        return other("it is a datagram socket");
    }
    if !socket.is_listener()? {
        return other("it does not listen");
    }
    socket.set_nonblocking(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_this_process_is_taken() {
        let text = |text: &str| Some(text.to_owned());
        let count =
            |pid, count| Activation::from_variables(7, pid, count, None).map(|handed| handed.count).ok();
        assert_eq!(count(text("7"), text("2")), Some(2));
        for (pid, sockets) in
            [(text("8"), text("2")), (None, text("2")), (text("x"), text("x")), (text("7"), None)]
        {
            assert_eq!(count(pid, sockets), Some(0));
        }
        for wrong in ["-1", "x", "65", "99999999999", ""] {
            assert_eq!(count(text("7"), text(wrong)), None, "{wrong}");
        }
        let named = Activation::from_variables(7, text("7"), text("2"), text("web:admin"));
        assert_eq!(named.map(|handed| handed.names).ok(), Some(vec!["web".to_owned(), "admin".to_owned()]));
    }
}
