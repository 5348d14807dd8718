//! Where an operator's programs talk to the master.

use std::path::PathBuf;

use settings::Octal;

settings::section! {
    /// The control socket.
    pub struct Control("server", check = Control::check) {
        /// Path of the Unix socket on which an operator's programs talk to the master. Without one, it is made in
        /// $RUNTIME_DIRECTORY, else in $XDG_RUNTIME_DIR, if there is either.
        pub control_socket: Option<PathBuf> = None,
        /// Mode of its file, as "0o660" for its group too. Whatever it is, only root and the server's user are served.
        pub control_socket_mode: Octal = Octal::new(0o600),
    }
}

impl Control {
    fn check(&self) -> Vec<(&'static str, String)> {
        let mode = self.control_socket_mode;
        match mode.bits() & !0o777 {
            0 => Vec::new(),
            _ => vec![(
                "control_socket_mode",
                format!("{mode} has bits that mean nothing on a socket; give at most 0o777"),
            )],
        }
    }
}
