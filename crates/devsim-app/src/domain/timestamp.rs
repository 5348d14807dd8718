//! Points in time, UTC.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;

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
        serializer.collect_str(&Civil::of(*self))
    }

    /// Serializes as `2031-05-06 07:08:09.123456`, the form of `last_transmission`.
    pub(crate) fn serialize_micros<S: Serializer>(
        time: &Option<Self>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| format!("{}.{:06}", Civil::of(time), time.0.rem_euclid(SECOND))).serialize(serializer)
    }
}

impl From<SystemTime> for Timestamp {
    /// A clock before 1970 reads as 1970.
    fn from(time: SystemTime) -> Self {
        let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Self(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// A date and time of the calendar.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
}

impl Civil {
    /// Days to dates by shifting the year's start to March, where a leap day comes last
    /// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
    fn of(time: Timestamp) -> Self {
        let seconds = time.0.div_euclid(SECOND);
        let days = seconds.div_euclid(DAY) + 719_468; // since 0000-03-01
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153; // 0 is March
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            second_of_day: seconds.rem_euclid(DAY),
        }
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, second_of_day: s } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
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
            assert_eq!(Civil::of(Timestamp(seconds * SECOND)).to_string(), text);
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
