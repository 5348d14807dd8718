//! JSON whose values stay as the client spelt them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object read one level deep: each value is a slice of the text it was read from, so a number keeps
/// its spelling and a table of 60 MB is not built as a tree.
#[derive(Debug)]
pub(crate) struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads an object; any other JSON is an error too.
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The value of a key. Of a repeated key the last one counts, as in every common JSON reader.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// All members in the order of the text, repeated keys included.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Whether a string or key anywhere in valid JSON text holds U+0000. JSON can only spell it `\u0000`.
pub(crate) fn holds_nul(text: &str) -> bool {
    // Backslashes stand only inside strings, and each begins an escape of at least two bytes: hopping from
    // one to the next tells `\u0000` from `\\u0000`.
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with("u0000") {
            return true;
        }
        let mut after = escape.chars();
        after.next();
        rest = after.as_str();
    }
    false
}

/// Appends a string as JSON.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is always JSON, and a Vec takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_repeated_key_the_last_counts() {
        let object = Object::parse(r#"{"a": 1, "\u0061": 2.50}"#).unwrap();
        assert_eq!(object.get("a").unwrap().get(), "2.50");
        assert!(object.get("b").is_none());
    }

    #[test]
    fn only_objects_are_objects() {
        for text in ["", "[]", "null", "5", "{", "{} x", r#"{"a"}"#] {
            assert!(Object::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nul_is_told_from_an_escaped_backslash() {
        for (text, holds) in [
            (r#"{"a":"\u0000"}"#, true),
            (r#"{"\u0000":1}"#, true),
            (r#"["\\\u0000"]"#, true),
            (r#"["\\u0000"]"#, false),
            (r#"["\u00001"]"#, true),
            (r#"["\u0001", "u0000", "\"\\"]"#, false),
        ] {
            assert_eq!(holds_nul(text), holds, "{text}");
        }
    }
}
