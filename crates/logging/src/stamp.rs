//! The time in log lines.

use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;

/// A moment to the second, shown in UTC as `2031-05-06 07:08:09`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Timestamp);

impl Stamp {
    pub(crate) fn now() -> Self {
        Self::at(SystemTime::now())
    }

    /// A clock that is beyond the year 9999 is shown as 1970.
    pub(crate) fn at(time: SystemTime) -> Self {
        Self(Timestamp::try_from(time).unwrap_or_default())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.strftime("%Y-%m-%d %H:%M:%S").fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn moments_are_shown_in_utc_to_the_second() {
        for (millis, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400_999, "2000-02-29 00:00:00"),
            (1_936_249_689_000, "2031-05-11 07:08:09"),
        ] {
            assert_eq!(Stamp::at(UNIX_EPOCH + Duration::from_millis(millis)).to_string(), expected);
        }
    }
}
