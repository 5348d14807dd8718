//! A span of time.

use std::fmt;
use std::time::Duration;

use super::{Value, mismatch, mismatch_toml};
use crate::Toml;

/// A number of seconds, 0 or more, to the nanosecond; at most [`u32::MAX`] (136 years), so that adding one to
/// an instant cannot overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(Duration);

impl Seconds {
    /// No time at all; for many keys it means "never".
    pub const ZERO: Self = Self::new(0);

    /// A whole number of seconds.
    pub const fn new(seconds: u32) -> Self {
        // `u64::from` is not const.
        Self(Duration::from_secs(seconds as u64))
    }

    /// A number of milliseconds.
    pub const fn from_millis(milliseconds: u32) -> Self {
        Self(Duration::from_millis(milliseconds as u64))
    }

    /// The same as a [`Duration`].
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// Whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

/// The number alone, as in the file: `60` or `0.5`.
impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_secs())?;
        match self.0.subsec_nanos() {
            0 => Ok(()),
            nanos => write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0')),
        }
    }
}

impl Value for Seconds {
    fn expects() -> String {
        format!("a number of seconds from 0 to {}, fractions allowed", u32::MAX)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.trim()
            .parse()
            .ok()
            .filter(|seconds| (0.0..=f64::from(u32::MAX)).contains(seconds)) // NaN is in no range
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(Self)
            .ok_or_else(|| mismatch::<Self>(text))
    }

    fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
        match value {
            Toml::Float(number) => Self::from_text(number.as_str()),
            Toml::Integer(number) if number.radix() == 10 => Self::from_text(number.as_str()),
            _ => Err(mismatch_toml::<Self>(value)),
        }
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{from_toml, survives};
    use super::*;

    #[test]
    fn fractions_and_whole_numbers_are_read() {
        assert_eq!(from_toml("60"), Ok(Seconds::new(60)));
        assert_eq!(from_toml("0.5"), Ok(Seconds::from_millis(500)));
        assert_eq!(Seconds::from_text("2.25").map(Seconds::as_duration), Ok(Duration::from_millis(2250)));
        assert!(Seconds::from_text("-0").is_ok_and(Seconds::is_zero));
    }

    #[test]
    fn what_is_no_span_of_time_is_refused() {
        for wrong in ["nan", "-0.1", "-1", "inf", "1e10", "60s", ""] {
            assert!(Seconds::from_text(wrong).is_err(), "{wrong}");
        }
        for wrong in ["nan", "inf", "4294967296", "\"60\"", "true", "[1]"] {
            assert!(from_toml::<Seconds>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn printed_spans_come_back() {
        for text in ["0", "60", "0.5", "0.001", "4294967295", "1.000000001", "12.3"] {
            let seconds = Seconds::from_text(text).unwrap();
            assert_eq!(seconds.to_string(), text);
            survives(&seconds);
        }
    }
}
