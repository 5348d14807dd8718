//! What is known about a key.

use crate::{Kind, Value};

/// Everything about a key but its present value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The section of the file that it belongs to.
    pub section: &'static str,
    /// Its name in that section; dots stand for nested tables.
    pub name: String,
    /// The field of the struct that holds it.
    pub field: &'static str,
    /// Its documentation: the field's doc comment.
    pub doc: String,
    /// Its long flags without the dashes, the one to show first; empty if there is no flag.
    pub long: Vec<String>,
    /// Its one-letter flag.
    pub short: Option<char>,
    /// The plain environment variable that sets it, besides the prefixed one.
    pub env: Option<&'static str>,
    /// Its default in TOML; `None` if it is unset by default.
    pub default: Option<String>,
    /// What a right value looks like.
    pub expects: String,
    /// How many values it takes.
    pub kind: Kind,
}

/// What may stand in the brackets after a key's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A long flag without the dashes; the first replaces the default one, others are aliases.
    Long(&'static str),
    /// A one-letter flag.
    Short(char),
    /// A plain environment variable.
    Env(&'static str),
    /// The key's name in the file, if it is not the field's.
    Name(&'static str),
    /// The key has no flag.
    NoFlag,
}

impl From<char> for Attribute {
    fn from(letter: char) -> Self {
        Attribute::Short(letter)
    }
}

impl From<&'static str> for Attribute {
    fn from(long: &'static str) -> Self {
        Attribute::Long(long)
    }
}

impl Key {
    /// A key as its declaration in [`section!`](crate::section) describes it. A section `"app.auth"` is the
    /// table `[app.auth]`: section `app`, with `auth.` before each key's name.
    pub fn new<T: Value>(
        section: &'static str,
        field: &'static str,
        doc: &[&str],
        attributes: &[Attribute],
        default: &T,
    ) -> Self {
        let (section, prefix) = section.split_once('.').unwrap_or((section, ""));
        let mut own = field;
        let mut long = Vec::new();
        let mut short = None;
        let mut env = None;
        let mut flagless = false;
        for attribute in attributes {
            match *attribute {
                Attribute::Long(name) => long.push(name.to_owned()),
                Attribute::Short(letter) => short = Some(letter),
                Attribute::Env(name) => env = Some(name),
                Attribute::Name(name) => own = name,
                Attribute::NoFlag => flagless = true,
            }
        }
        let name = if prefix.is_empty() { own.to_owned() } else { format!("{prefix}.{own}") };
        if long.is_empty() && !flagless {
            long.push(name.replace(['_', '.'], "-"));
        }
        let doc = doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n").trim().to_owned();
        let default = default.is_set().then(|| default.to_toml());
        Self { section, name, field, doc, long, short, env, default, expects: T::expects(), kind: T::KIND }
    }

    /// `section.name`, as problems name it.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The flag to show, with its dashes.
    pub fn flag(&self) -> Option<String> {
        self.long.first().map(|long| format!("--{long}"))
    }

    /// The prefixed environment variable: `DEVSIM_SERVER__WORKERS`.
    pub fn variable(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.path().replace('.', "__").to_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_field_unless_an_attribute_says_otherwise() {
        let plain = Key::new("server", "graceful_timeout", &[" Waits.", ""], &[], &30_u64);
        assert_eq!(plain.path(), "server.graceful_timeout");
        assert_eq!(plain.flag().as_deref(), Some("--graceful-timeout"));
        assert_eq!(plain.variable("DEVSIM_"), "DEVSIM_SERVER__GRACEFUL_TIMEOUT");
        assert_eq!((plain.doc.as_str(), plain.default.as_deref()), ("Waits.", Some("30")));

        let attributes = ['k'.into(), "keep".into(), "alive".into(), Attribute::Env("KEEP")];
        let key = Key::new("server", "keepalive", &[], &attributes, &None::<u64>);
        assert_eq!((key.long, key.short), (vec!["keep".to_owned(), "alive".to_owned()], Some('k')));
        assert_eq!((key.env, key.default), (Some("KEEP"), None));
    }

    #[test]
    fn nested_tables_are_names_with_dots() {
        let key = Key::new("app.auth", "enabled", &[], &[Attribute::NoFlag], &true);
        assert_eq!((key.section, key.name.as_str(), key.flag()), ("app", "auth.enabled", None));
        assert_eq!(key.variable("X_"), "X_APP__AUTH__ENABLED");
        let key = Key::new("app", "limit", &[], &[Attribute::Name("rate_limit.enabled")], &true);
        assert_eq!(key.flag().as_deref(), Some("--rate-limit-enabled"));
    }
}
