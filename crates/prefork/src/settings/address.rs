//! An address to listen on.

use std::fmt;
use std::path::{Path, PathBuf};

use settings::{Value, mismatch, quote};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port` or `[v6]:port`; the host is a name or an address, port 0 asks the kernel for a free one.
    Tcp {
        /// The host, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:path`: a socket in the file system.
    Unix(PathBuf),
    /// `fd://N`: a socket that whoever started the server has left open, by its number.
    Descriptor(i32),
}

impl Address {
    /// A port of 127.0.0.1.
    pub fn localhost(port: u16) -> Self {
        Self::Tcp { host: "127.0.0.1".into(), port }
    }

    fn tcp(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits && !host.is_empty())?;
        Some(Self::Tcp { host: host.into(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Descriptor(number) => write!(f, "fd://{number}"),
        }
    }
}

impl Value for Address {
    fn expects() -> String {
        "an address as 127.0.0.1:5000, [::1]:5000 (with a port of 0 to 65535), unix:/run/name.sock or fd://3"
            .into()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let address = if let Some(path) = text.strip_prefix("unix:") {
            // Gunicorn takes unix://path for the same.
            let path = Path::new(path.strip_prefix("//").unwrap_or(path));
            Some(Self::Unix(path.into())).filter(|_| !path.as_os_str().is_empty() && !text.contains('\0'))
        } else if let Some(number) = text.strip_prefix("fd://") {
            number.parse().ok().filter(|number| *number > 2).map(Self::Descriptor)
        } else {
            Self::tcp(text)
        };
        address.ok_or_else(|| mismatch::<Self>(text))
    }

    fn to_toml(&self) -> String {
        quote(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_alike() {
        for text in
            ["127.0.0.1:5000", "[::1]:0", "localhost:65535", "unix:/run/a.sock", "unix:a.sock", "fd://3"]
        {
            assert_eq!(Address::from_text(text).map(|address| address.to_string()), Ok(text.to_string()));
        }
        assert_eq!(Address::from_text("unix:///run/a.sock"), Ok(Address::Unix("/run/a.sock".into())));
        for text in [
            "127.0.0.1",
            ":5000",
            "127.0.0.1:99999",
            "::1:5000",
            "[::1:5000",
            "a:+5",
            "a:",
            "unix:",
            "fd://",
            "fd://2",
            "fd://-1",
            "",
        ] {
            let error = Address::from_text(text).expect_err(text);
            assert!(error.contains(text), "{error}");
        }
    }
}
