//! What can be the type of a key.

mod compound;
pub(crate) mod octal;
mod scalar;
pub(crate) mod seconds;

use std::fmt::Write as _;

use crate::Toml;

/// How many values a key takes, and how its flag is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value; of a flag given several times the last one counts.
    Single,
    /// A list: an array in the file, a flag that may be repeated.
    List,
    /// On or off: the flag alone means on, `--flag=false` means off.
    Switch,
}

/// A type that a key can have.
///
/// Most types need only [`expects`](Value::expects), [`from_text`](Value::from_text) and
/// [`to_toml`](Value::to_toml): a TOML string, number or boolean is handed to `from_text` unless
/// [`from_toml`](Value::from_toml) is written too. For an enum of fixed words see [`choice!`](crate::choice).
///
/// ```
/// #[derive(Clone, Debug, PartialEq)]
/// enum WorkerCount { Auto, Fixed(u32) }
///
/// impl settings::Value for WorkerCount {
///     fn expects() -> String {
///         "\"auto\" or a whole number of 1 or more".to_owned()
///     }
///     fn from_text(text: &str) -> Result<Self, String> {
///         match text.parse() {
///             Ok(count @ 1..) => Ok(WorkerCount::Fixed(count)),
///             _ if text == "auto" => Ok(WorkerCount::Auto),
///             _ => Err(settings::mismatch::<Self>(text)),
///         }
///     }
///     fn to_toml(&self) -> String {
///         match self {
///             WorkerCount::Auto => settings::quote("auto"),
///             WorkerCount::Fixed(count) => count.to_string(),
///         }
///     }
/// }
///
/// assert_eq!(
///     <WorkerCount as settings::Value>::from_text("0"),
///     Err("0 is not \"auto\" or a whole number of 1 or more".to_owned()),
/// );
/// ```
pub trait Value: Sized {
    /// How many values, and whether the flag needs one.
    const KIND: Kind = Kind::Single;

    /// What parts the elements where a `Vec` of this type is read from text; `None` if an element may contain
    /// anything, so that a text without brackets is one element.
    const SEPARATOR: Option<char> = Some(',');

    /// What a right value looks like, to be read after "is not": `a whole number of 1 or more`.
    fn expects() -> String;

    /// Reads a value from an environment variable or a flag.
    ///
    /// # Errors
    /// What is wrong with the value and what would be right; [`mismatch`] has the usual words.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads a value from the file.
    ///
    /// # Errors
    /// As [`from_text`](Value::from_text).
    fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
        match value {
            Toml::String(text) => Self::from_text(text),
            Toml::Integer(number) => Self::from_text(&number.to_string()),
            Toml::Float(number) => Self::from_text(number.as_str()),
            Toml::Boolean(switch) => Self::from_text(if *switch { "true" } else { "false" }),
            other => Err(mismatch_toml::<Self>(other)),
        }
    }

    /// Reads a flag that was given `texts.len()` times, at least once.
    ///
    /// # Errors
    /// As [`from_text`](Value::from_text).
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        Self::from_text(texts.last().map_or("", String::as_str))
    }

    /// The value in TOML, on one line, such that [`from_toml`](Value::from_toml) gives it back.
    fn to_toml(&self) -> String;

    /// Whether there is a value at all; `false` only for the `None` of an `Option`.
    fn is_set(&self) -> bool {
        true
    }
}

/// The usual error: `0 is not a whole number of 1 or more`.
pub fn mismatch<T: Value>(text: &str) -> String {
    let plain = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let shown = if plain { text.to_owned() } else { quote(text) };
    format!("{shown} is not {}", T::expects())
}

/// [`mismatch`] for a value from the file; strings keep their quotes, as `"3"` and `3` differ there.
pub(crate) fn mismatch_toml<T: Value>(value: &Toml<'_>) -> String {
    let shown = match value {
        Toml::String(text) => quote(text),
        Toml::Integer(number) => number.to_string(),
        Toml::Float(number) => number.as_str().to_owned(),
        Toml::Boolean(switch) => switch.to_string(),
        Toml::Datetime(moment) => moment.to_string(),
        Toml::Array(_) => "a list".to_owned(),
        Toml::Table(_) => "a table".to_owned(),
    };
    format!("{shown} is not {}", T::expects())
}

/// The text as a basic TOML string, in double quotes and on one line.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Reads a value as the file would give it.
    pub(crate) fn from_toml<T: Value>(toml: &str) -> Result<T, String> {
        T::from_toml(Toml::parse(toml).unwrap().get_ref())
    }

    /// Asserts that a value survives being printed and read.
    pub(crate) fn survives<T: Value + PartialEq + std::fmt::Debug>(value: &T) {
        assert_eq!(from_toml::<T>(&value.to_toml()).as_ref(), Ok(value), "{}", value.to_toml());
    }

    #[test]
    fn quoted_strings_stay_on_one_line_and_come_back() {
        for text in ["", "plain", "a \"b\" \\ c", "line\nbreak\ttab\r", "\u{1}\u{7f}\u{9b}", "größe"] {
            assert!(!quote(text).contains('\n'));
            survives(&text.to_owned());
        }
    }

    #[test]
    fn mismatches_quote_what_could_be_misread() {
        assert_eq!(mismatch::<bool>("maybe"), "maybe is not true or false");
        assert_eq!(mismatch::<bool>(""), "\"\" is not true or false");
        assert_eq!(mismatch::<bool>("a b"), "\"a b\" is not true or false");
    }
}
