//! Booleans, numbers, strings and paths.

use std::path::PathBuf;

use super::{Kind, Value, mismatch, mismatch_toml, quote};
use crate::Toml;

impl Value for bool {
    const KIND: Kind = Kind::Switch;

    fn expects() -> String {
        "true or false".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(mismatch::<Self>(text)),
        }
    }

    fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| mismatch_toml::<Self>(value))
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

/// Whole numbers. In the file they are numbers: the string `"3"` is an error that shows its quotes.
macro_rules! whole_number {
    ($($number:ty: $expects:expr;)+) => {$(
        impl Value for $number {
            fn expects() -> String {
                $expects
            }

            fn from_text(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| mismatch::<Self>(text))
            }

            fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
                value
                    .as_integer()
                    // Wider than any of the types, so that the one check of the range is `try_from`.
                    .and_then(|number| i128::from_str_radix(number.as_str(), number.radix()).ok())
                    .and_then(|number| Self::try_from(number).ok())
                    .ok_or_else(|| mismatch_toml::<Self>(value))
            }

            fn to_toml(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

whole_number! {
    u16: format!("a whole number from 0 to {}", u16::MAX);
    u32: format!("a whole number from 0 to {}", u32::MAX);
    u64: "a whole number, 0 or more".to_owned();
    usize: "a whole number, 0 or more".to_owned();
}

impl Value for String {
    fn expects() -> String {
        "a string".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| mismatch_toml::<Self>(value))
    }

    fn to_toml(&self) -> String {
        quote(self)
    }
}

impl Value for PathBuf {
    fn expects() -> String {
        "a path".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') { Err(mismatch::<Self>(text)) } else { Ok(text.into()) }
    }

    fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
        value.as_str().ok_or_else(|| mismatch_toml::<Self>(value)).and_then(Self::from_text)
    }

    fn to_toml(&self) -> String {
        // All layers are UTF-8, so nothing is lost in a path that came from one of them.
        quote(&self.to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{from_toml, survives};
    use super::*;

    #[test]
    fn whole_numbers_know_their_range_and_their_notation() {
        assert_eq!(from_toml("0x10"), Ok(16_u16));
        assert_eq!(from_toml("1_000"), Ok(1000_u64));
        assert_eq!(from_toml("+7"), Ok(7_u32));
        assert_eq!(u16::from_text(" 7 "), Ok(7));
        assert_eq!(from_toml::<u16>("65536"), Err("65536 is not a whole number from 0 to 65535".to_owned()));
        assert_eq!(from_toml::<u64>("-1"), Err("-1 is not a whole number, 0 or more".to_owned()));
        assert_eq!(from_toml::<u64>("\"3\""), Err("\"3\" is not a whole number, 0 or more".to_owned()));
        survives(&u64::MAX);
    }

    #[test]
    fn booleans_are_words_in_text_and_booleans_in_the_file() {
        assert_eq!(bool::from_text("On"), Ok(true));
        assert_eq!(bool::from_text("0"), Ok(false));
        assert_eq!(from_toml("true"), Ok(true));
        assert_eq!(from_toml::<bool>("1"), Err("1 is not true or false".to_owned()));
    }

    #[test]
    fn paths_are_not_empty() {
        assert_eq!(from_toml("\"\""), Err::<PathBuf, _>("\"\" is not a path".to_owned()));
        survives(&PathBuf::from("/tmp/a b"));
    }
}
