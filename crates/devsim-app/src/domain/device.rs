//! Devices.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::value::RawValue;

use super::timestamp::Timestamp;

/// The number of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct DeviceId(i64);

impl DeviceId {
    pub(crate) const fn new(id: i64) -> Self {
        Self(id)
    }

    pub(crate) const fn get(self) -> i64 {
        self.0
    }
}

/// Text that no device is numbered by: not digits only, or beyond 64 bits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoSuchId;

impl FromStr for DeviceId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<Self, NoSuchId> {
        // `i64::from_str` alone would take `+5` and `-5`.
        if text.bytes().all(|b| b.is_ascii_digit()) {
            text.parse().map(Self).map_err(|_| NoSuchId)
        } else {
            Err(NoSuchId)
        }
    }
}

/// How a device sends: its whole table at once, or row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum DeviceType {
    /// Sends the whole table.
    WebApp,
    /// Sends one row after another.
    Sensor,
}

impl DeviceType {
    /// The name in JSON and in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::WebApp => "WebApp",
            Self::Sensor => "Sensor",
        }
    }

    /// The exact name only.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::WebApp, Self::Sensor].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The eight characters by which the outside knows a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Reference(String);

impl Reference {
    /// Characters of a reference.
    pub(crate) const LENGTH: usize = 8;
    const ALPHABET: [u8; 36] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    /// Makes a reference of random bytes; `None` when too many of them had to be passed over.
    pub(crate) fn from_random(bytes: impl IntoIterator<Item = u8>) -> Option<Self> {
        // 252 is the largest multiple of 36 in a byte: what lies above would favour the first letters.
        let letters = bytes.into_iter().filter(|&b| b < 252);
        let text: String =
            letters.take(Self::LENGTH).map(|b| char::from(Self::ALPHABET[usize::from(b) % 36])).collect();
        (text.len() == Self::LENGTH).then_some(Self(text))
    }

    /// A reference that was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text cannot be a device's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidText {
    #[error("{0} must not be blank")]
    Blank(&'static str),
    #[error("{0} must be at most {1} characters long")]
    TooLong(&'static str, usize),
    #[error("{0} must not contain the character U+0000")]
    Nul(&'static str),
}

fn checked(what: &'static str, text: &str, max: usize) -> Result<(), InvalidText> {
    if text.contains('\0') {
        Err(InvalidText::Nul(what)) // PostgreSQL cannot hold it
    } else if text.chars().nth(max).is_some() {
        Err(InvalidText::TooLong(what, max))
    } else {
        Ok(())
    }
}

/// A device's name as a client gives it: trimmed, 1 to 100 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    const MAX: usize = 100;

    pub(crate) fn parse(text: &str) -> Result<Self, InvalidText> {
        let name = text.trim();
        if name.is_empty() {
            return Err(InvalidText::Blank("name"));
        }
        checked("name", name, Self::MAX)?;
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A device's description as a client gives it: at most 500 characters, empty if it gives none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Description(String);

impl Description {
    const MAX: usize = 500;

    pub(crate) fn parse(text: String) -> Result<Self, InvalidText> {
        checked("description", &text, Self::MAX)?;
        Ok(Self(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many copies of a device are made at once: 1 to 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CopyCount(u8);

impl CopyCount {
    pub(crate) fn new(count: u8) -> Option<Self> {
        (1..=50).contains(&count).then_some(Self(count))
    }

    /// The numbers that the copies carry in their names.
    pub(crate) fn numbers(self) -> impl Iterator<Item = u8> {
        1..=self.0
    }
}

/// A device, as its JSON shows it but for `csv_data`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) reference: Reference,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    #[serde(serialize_with = "Timestamp::serialize_seconds")]
    pub(crate) created_at: Timestamp,
    pub(crate) device_type: DeviceType,
    pub(crate) transmission_frequency: i64,
    pub(crate) transmission_enabled: bool,
    pub(crate) current_row_index: i64,
    #[serde(serialize_with = "Timestamp::serialize_micros")]
    pub(crate) last_transmission: Option<Timestamp>,
    pub(crate) selected_connection_id: Option<i64>,
    pub(crate) include_device_id_in_payload: bool,
    pub(crate) auto_reset_counter: bool,
    pub(crate) current_project_id: Option<i64>,
}

/// A device as lists show it: with its `csv_data` but for the rows in `data`.
#[derive(Debug, Serialize)]
pub(crate) struct ListedDevice {
    #[serde(flatten)]
    pub(crate) device: Device,
    pub(crate) csv_data: Option<Box<RawValue>>,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_digits_of_at_most_64_bits() {
        assert_eq!("007".parse(), Ok(DeviceId(7)));
        assert_eq!("9223372036854775807".parse(), Ok(DeviceId(i64::MAX)));
        for wrong in ["", "+5", "-5", "5 ", "abc", "1.0", "٣", "9223372036854775808"] {
            assert_eq!(wrong.parse::<DeviceId>(), Err(NoSuchId), "{wrong:?}");
        }
    }

    #[test]
    fn references_take_no_biased_byte() {
        let reference = Reference::from_random([255, 0, 25, 26, 35, 36, 251, 252, 1, 2]).unwrap();
        assert_eq!(reference.as_str(), "AZ09A9BC");
        assert_eq!(Reference::from_random([0; 7]), None);
    }

    #[test]
    fn lengths_count_characters_after_trimming() {
        assert!(Name::parse(&format!(" {} ", "ß".repeat(100))).is_ok());
        assert_eq!(Name::parse(&"n".repeat(101)), Err(InvalidText::TooLong("name", 100)));
        assert_eq!(Name::parse(" \t"), Err(InvalidText::Blank("name")));
        assert_eq!(Name::parse("a\0b"), Err(InvalidText::Nul("name")));
        assert!(Description::parse("é".repeat(500)).is_ok());
        assert!(Description::parse("é".repeat(501)).is_err());
    }
}
