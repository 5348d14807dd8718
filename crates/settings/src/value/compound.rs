//! Values that may be missing, and lists.

use super::{Kind, Value};
use crate::Toml;

/// A key that may be unset. An empty text or TOML string unsets it, so that a stronger layer can take back
/// what a weaker one gave.
impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;
    const SEPARATOR: Option<char> = T::SEPARATOR;

    fn expects() -> String {
        T::expects()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::from_text(text).map(Some) }
    }

    fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
        if value.as_str() == Some("") { Ok(None) } else { T::from_toml(value).map(Some) }
    }

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        if texts.iter().all(String::is_empty) { Ok(None) } else { T::from_texts(texts).map(Some) }
    }

    fn to_toml(&self) -> String {
        self.as_ref().map_or_else(|| "\"\"".to_owned(), Value::to_toml)
    }

    fn is_set(&self) -> bool {
        self.is_some()
    }
}

/// A list: in the file an array, or one element without brackets; as text a TOML array, or elements parted by
/// the element's [`SEPARATOR`](Value::SEPARATOR). A repeated flag adds up.
impl<T: Value> Value for Vec<T> {
    const KIND: Kind = Kind::List;

    fn expects() -> String {
        format!("a list, each element {}", T::expects())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('[') && text.ends_with(']') {
            // "[::1]:80" looks like an array, but is none: what does not parse is taken as plain text.
            if let Ok(array) = Toml::parse(text) {
                return Self::from_toml(array.get_ref());
            }
        }
        match T::SEPARATOR {
            _ if text.is_empty() => Ok(Vec::new()),
            None => T::from_text(text).map(|element| vec![element]),
            Some(separator) => text
                .split(separator)
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(T::from_text)
                .collect(),
        }
    }

    fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
        match value {
            Toml::Array(elements) => elements.iter().map(|element| T::from_toml(element.get_ref())).collect(),
            single => T::from_toml(single).map(|element| vec![element]),
        }
    }

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let lists: Vec<Self> = texts.iter().map(|text| Self::from_text(text)).collect::<Result<_, _>>()?;
        Ok(lists.into_iter().flatten().collect())
    }

    fn to_toml(&self) -> String {
        let elements: Vec<String> = self.iter().map(Value::to_toml).collect();
        format!("[{}]", elements.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{from_toml, survives};
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn lists_come_as_arrays_single_values_and_separated_text() {
        assert_eq!(from_toml("[\"a\", \"b\"]"), Ok(words(&["a", "b"])));
        assert_eq!(from_toml("\"a,b\""), Ok(words(&["a,b"])));
        assert_eq!(Value::from_text("a, b,"), Ok(words(&["a", "b"])));
        assert_eq!(Value::from_text("[\"a,b\", 'c']"), Ok(words(&["a,b", "c"])));
        assert_eq!(Value::from_text("[::1]:80,[::]"), Ok(words(&["[::1]:80", "[::]"])));
        assert_eq!(Value::from_text(""), Ok(words(&[])));
        assert_eq!(Value::from_texts(&words(&["a", "b,c"])), Ok(words(&["a", "b", "c"])));
        survives(&words(&["a", "b \"c\""]));
    }

    #[test]
    fn a_wrong_element_is_named() {
        assert_eq!(from_toml::<Vec<u64>>("[1, -2]"), Err("-2 is not a whole number, 0 or more".to_owned()));
        assert_eq!(Vec::<u64>::from_text("1,x"), Err("x is not a whole number, 0 or more".to_owned()));
    }

    #[test]
    fn options_are_unset_by_emptiness() {
        assert_eq!(Option::<u64>::from_text(""), Ok(None));
        assert_eq!(Option::<u64>::from_text("1"), Ok(Some(1)));
        assert_eq!(Option::<u64>::from_texts(&words(&[""])), Ok(None));
        assert!(!None::<u64>.is_set());
        survives(&None::<u64>);
        survives(&Some(3_u64));
    }
}
