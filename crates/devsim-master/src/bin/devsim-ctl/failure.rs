//! Why there is nothing to show.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use prefork::control::{Code, Misread, Refusal};
use serde_json::{Value, json};

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration, which was to tell the socket.
    #[error(
        "the configuration does not tell where the control socket is; give it with --socket PATH. What is wrong:\n{0}"
    )]
    Configuration(String),
    /// The configuration tells no socket, and the environment neither.
    #[error(
        "no control socket is known: set control_socket in section [server] of devsim.toml, or give --socket PATH"
    )]
    NoPlace,
    /// There is nobody at the other end.
    #[error(
        "nobody answers on the control socket {}: {error}; is the server running, and is this its control_socket? \
         Give another one with --socket PATH or -c FILE",
        path.display()
    )]
    Nobody { path: PathBuf, error: io::Error },
    /// The kernel does not let us connect.
    #[error("no permission to use the control socket {}; try it as root, or as the server's user", .0.display())]
    NoPermission(PathBuf),
    /// The server said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No answer in time.
    #[error(
        "no answer on {} within {} s; the server may be stopped or overloaded: look at its log. What it was told it may \
         still do. More time is given with --timeout SECONDS",
        path.display(), after.as_secs_f64()
    )]
    TimedOut { path: PathBuf, after: Duration },
    /// The connection has ended before the answer.
    #[error("the server closed the connection on {} before it answered; it may have ended: look at its log", .0.display())]
    Cut(PathBuf),
    /// The connection has broken.
    #[error("the connection on {} broke: {error}", path.display())]
    Broken { path: PathBuf, error: io::Error },
    /// The answer cannot be understood.
    #[error("{}: {misread}; use the devsim-ctl that came with the server", path.display())]
    Misread { path: PathBuf, misread: Misread },
}

impl Failure {
    /// The exit status and, for programs, the code that go with it.
    fn meaning(&self) -> (u8, Value) {
        match self {
            Self::Refused(Refusal { code: Code::Denied, .. }) => (4, json!(Code::Denied)),
            Self::Refused(refusal) => (1, json!(refusal.code)),
            Self::TimedOut { .. } => (1, json!("timeout")),
            Self::Cut(_) | Self::Broken { .. } => (1, json!("cut")),
            Self::Misread { misread: Misread::Version(_), .. } => (1, json!(Code::Version)),
            Self::Misread { .. } => (1, json!("misread")),
            Self::Configuration(_) => (2, json!("configuration")),
            Self::NoPlace | Self::Nobody { .. } => (3, json!("nobody")),
            Self::NoPermission(_) => (4, json!(Code::Denied)),
        }
    }

    /// The program's exit status.
    pub(crate) fn exit_status(&self) -> u8 {
        self.meaning().0
    }

    /// As the error of an answer.
    pub(crate) fn to_json(&self) -> Value {
        json!({"code": self.meaning().1, "message": self.to_string()})
    }
}
