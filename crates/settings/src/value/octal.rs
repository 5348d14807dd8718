//! File modes.

use std::fmt;

use super::{Value, mismatch, mismatch_toml, quote};
use crate::Toml;

/// The bits of a file mode or umask, from 0 to 0o7777, written in octal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Octal(u16);

impl Octal {
    /// Takes the twelve bits that a file mode has and ignores others.
    pub const fn new(bits: u16) -> Self {
        Self(bits & 0o7777)
    }

    /// The bits, below 0o10000.
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Octal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0o{:03o}", self.0)
    }
}

impl Value for Octal {
    fn expects() -> String {
        "an octal string from \"0o000\" to \"0o7777\"".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.trim();
        let digits = digits.strip_prefix("0o").unwrap_or(digits);
        u16::from_str_radix(digits, 8)
            .ok()
            .filter(|&bits| bits <= 0o7777 && !digits.starts_with('+'))
            .map(Self)
            .ok_or_else(|| mismatch::<Self>(text))
    }

    fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
        match value {
            Toml::String(text) => Self::from_text(text),
            Toml::Integer(number) if number.radix() == 8 || number.as_str() == "0" => {
                Self::from_text(number.as_str())
            }
            // 22 is more likely meant as 0o22 than as 0o26, but that is not for us to guess.
            Toml::Integer(number) if number.radix() == 10 => Err(format!(
                "{} is a decimal number; write the octal digits as a string, \"0o{0:0>3}\"",
                number.as_str()
            )),
            other => Err(mismatch_toml::<Self>(other)),
        }
    }

    fn to_toml(&self) -> String {
        quote(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{from_toml, survives};
    use super::*;

    #[test]
    fn modes_are_octal_with_and_without_prefix() {
        for text in ["0o077", "077", "77"] {
            assert_eq!(Octal::from_text(text), Ok(Octal::new(0o077)));
        }
        assert_eq!(from_toml("0o640").map(Octal::bits), Ok(0o640));
        assert_eq!(from_toml("0"), Ok(Octal::new(0)));
        survives(&Octal::new(0o7));
    }

    #[test]
    fn decimal_numbers_are_refused_with_the_right_spelling() {
        let error = from_toml::<Octal>("22").unwrap_err();
        assert_eq!(error, "22 is a decimal number; write the octal digits as a string, \"0o022\"");
        for wrong in ["8", "0o10000", "-1", "+7", "", "0x7"] {
            assert!(Octal::from_text(wrong).is_err(), "{wrong}");
        }
    }
}
