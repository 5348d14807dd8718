//! An address to listen on.

use std::fmt;

use settings::{Value, mismatch, quote};

/// `host:port` or `[v6]:port`; the host is a name or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// A port of 127.0.0.1.
    pub fn localhost(port: u16) -> Self {
        Self { host: "127.0.0.1".into(), port }
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 asks the kernel for a free one.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Value for Address {
    fn expects() -> String {
        "an address as 127.0.0.1:5000 or [::1]:5000, with a port of 0 to 65535".into()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.starts_with("unix:") || text.starts_with("fd://") {
            return Err(format!("{text} is no TCP address; this version serves TCP only: give HOST:PORT"));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| mismatch::<Self>(text))?;
        let host = match host.strip_prefix('[').map(|inner| inner.strip_suffix(']')) {
            Some(Some(inner)) => inner,
            Some(None) => return Err(mismatch::<Self>(text)),
            None if host.contains(':') => return Err(mismatch::<Self>(text)),
            None => host,
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits && !host.is_empty());
        Ok(Self { host: host.into(), port: port.ok_or_else(|| mismatch::<Self>(text))? })
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
        for text in ["127.0.0.1:5000", "[::1]:0", "localhost:65535"] {
            assert_eq!(Address::from_text(text).map(|address| address.to_string()), Ok(text.to_string()));
        }
        for text in
            ["127.0.0.1", ":5000", "127.0.0.1:99999", "::1:5000", "[::1:5000", "a:+5", "a:", "unix:/x", ""]
        {
            let error = Address::from_text(text).expect_err(text);
            assert!(error.contains(text), "{error}");
        }
    }
}
