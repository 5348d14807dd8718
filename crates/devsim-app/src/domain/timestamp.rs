//! Points in time, UTC.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

const SECOND: i64 = 1_000_000;

/// Microseconds since 1970, UTC: what the database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(i64);

impl Timestamp {
    pub(crate) const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub(crate) const fn micros(self) -> i64 {
        self.0
    }

    /// Without the part of the second that `2031-05-06 07:08:09` does not show.
    pub(crate) const fn whole_seconds(self) -> Self {
        Self(self.0 - self.0.rem_euclid(SECOND))
    }

    /// Serializes as `2031-05-06 07:08:09`, the form of `created_at` and its like.
    pub(crate) fn serialize_seconds<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.shown("%Y-%m-%d %H:%M:%S"))
    }

    /// Serializes as `2031-05-06 07:08:09.123456`, the form of `last_transmission`.
    pub(crate) fn serialize_micros<S: Serializer>(
        time: &Option<Self>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| time.shown("%Y-%m-%d %H:%M:%S.%6f").to_string()).serialize(serializer)
    }

    /// In a form of strftime(3). What the calendar does not reach is shown as 1970: no clock gave it.
    fn shown(self, format: &str) -> impl fmt::Display {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or_default().strftime(format)
    }
}

impl From<SystemTime> for Timestamp {
    /// A clock before 1970 reads as 1970.
    fn from(time: SystemTime) -> Self {
        let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Self(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_936_249_689, "2031-05-11 07:08:09"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
        ] {
            assert_eq!(Timestamp(seconds * SECOND).shown("%Y-%m-%d %H:%M:%S").to_string(), text);
        }
    }

    #[test]
    fn fractions_are_six_digits() {
        let json = |time| {
            let mut out = Vec::new();
            Timestamp::serialize_micros(&time, &mut serde_json::Serializer::new(&mut out)).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(json(Some(Timestamp(1_000_042))), r#""1970-01-01 00:00:01.000042""#);
        assert_eq!(json(None), "null");
        assert_eq!(Timestamp(1_999_999).whole_seconds(), Timestamp(1_000_000));
    }
}
