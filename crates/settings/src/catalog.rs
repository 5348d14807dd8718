//! All keys of a program, and the search for what was meant by an unknown name.

use std::collections::BTreeSet;

use crate::{Key, Section};

/// The flags that every program has.
pub(crate) const OWN_FLAGS: &[&str] =
    &["config", "check-config", "print-config", "help", "version", "c", "h", "v"];

/// A key's place in the [`Catalog`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyId(usize);

impl KeyId {
    /// The position among all keys.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// A key, and where its value is.
pub(crate) struct Entry {
    pub(crate) key: Key,
    /// Which of the structs holds it.
    pub(crate) holder: usize,
    /// Which of that struct's slots it is.
    pub(crate) slot: usize,
}

/// The keys of all structs, in the order of declaration.
pub(crate) struct Catalog(Vec<Entry>);

impl Catalog {
    /// Gathers the keys of the structs.
    ///
    /// # Panics
    /// Two keys with the same name, flag or variable are a mistake in the program that any run of it brings to
    /// light.
    pub(crate) fn new(sections: &[&mut dyn Section]) -> Self {
        let mut entries = Vec::new();
        for (holder, section) in sections.iter().enumerate() {
            let keys = section.keys().into_iter().enumerate();
            entries.extend(keys.map(|(slot, key)| Entry { key, holder, slot }));
        }
        let mut taken: BTreeSet<String> = OWN_FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        for Entry { key, .. } in &entries {
            let letter = key.short.map(String::from);
            let variable = key.env.map(|name| format!("${name}"));
            for name in key.long.iter().cloned().chain(letter).chain(variable).chain([key.path()]) {
                assert!(taken.insert(name.clone()), "{}: {name} is declared twice", key.path());
            }
        }
        Self(entries)
    }

    /// All keys with their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (KeyId, &Entry)> {
        self.0.iter().enumerate().map(|(index, entry)| (KeyId(index), entry))
    }

    /// All keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().map(|entry| &entry.key)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key at a place; it must come from this catalog.
    pub(crate) fn get(&self, id: KeyId) -> &Entry {
        &self.0[id.0]
    }

    /// The key of that name.
    pub(crate) fn find(&self, section: &str, name: &str) -> Option<KeyId> {
        self.iter()
            .find(|(_, entry)| entry.key.section == section && entry.key.name == name)
            .map(|(id, _)| id)
    }

    /// Whether any key belongs to the section.
    pub(crate) fn has_section(&self, section: &str) -> bool {
        self.keys().any(|key| key.section == section)
    }

    /// Whether the name is a nested table: the beginning of keys' names before a dot.
    pub(crate) fn is_table(&self, section: &str, name: &str) -> bool {
        self.keys().any(|key| {
            key.section == section && key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// What to do about an unknown key of a known section.
    pub(crate) fn hint_for_key(&self, section: &str, name: &str) -> String {
        if let Some(key) = self.keys().find(|key| key.name == name) {
            return format!("it belongs in [{}]", key.section);
        }
        let here = self.keys().filter(|key| key.section == section).map(|key| key.name.as_str());
        if let Some(near) = nearest(name, here) {
            return format!("did you mean `{near}`?");
        }
        let elsewhere = nearest(name, self.keys().map(|key| key.name.as_str()));
        match elsewhere.and_then(|near| self.keys().find(|key| key.name == near)) {
            Some(key) => format!("did you mean `{}` in [{}]?", key.name, key.section),
            None => "--help lists all keys".to_owned(),
        }
    }

    /// What to do about a table at the top that is no section.
    pub(crate) fn hint_for_section(&self, section: &str) -> String {
        match nearest(section, self.keys().map(|key| key.section)) {
            Some(near) => format!("did you mean [{near}]?"),
            None => {
                let sections: BTreeSet<&str> = self.keys().map(|key| key.section).collect();
                let list: Vec<String> = sections.iter().map(|name| format!("[{name}]")).collect();
                format!("the sections are {}", list.join(", "))
            }
        }
    }

    /// What to do about a value at the top, outside of any section.
    pub(crate) fn hint_for_stray(&self, name: &str) -> String {
        match self.keys().find(|key| key.name == name) {
            Some(key) => format!("put it below [{}]", key.section),
            None => match nearest(name, self.keys().map(|key| key.name.as_str()))
                .and_then(|near| self.keys().find(|key| key.name == near))
            {
                Some(key) => format!("did you mean `{}` below [{}]?", key.name, key.section),
                None => "put it below the section that it belongs to".to_owned(),
            },
        }
    }
}

/// The candidate that was probably meant: it differs in a third of the letters at most.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::section! {
        /// One.
        struct One("one") {
            /// A key.
            timeout: u32 = 1,
            /// A nested key.
            nested [key "table.inner"]: u32 = 1,
        }
    }

    crate::section! {
        /// Takes a flag of `One`.
        struct Clash("two") {
            /// A key.
            timeout: u32 = 1,
        }
    }

    #[test]
    #[should_panic(expected = "two.timeout: timeout is declared twice")]
    fn a_flag_declared_twice_is_found_at_the_start() {
        Catalog::new(&[&mut One::default(), &mut Clash::default()]);
    }

    #[test]
    fn tables_are_beginnings_of_names() {
        let (mut one,) = (One::default(),);
        let catalog = Catalog::new(&[&mut one]);
        assert!(catalog.is_table("one", "table"));
        assert!(!catalog.is_table("one", "tab"));
        assert!(catalog.find("one", "table.inner").is_some());
    }

    #[test]
    fn the_nearest_word_is_near() {
        let words = ["timeout", "graceful_timeout", "bind"];
        assert_eq!(nearest("timeot", words.into_iter()), Some("timeout"));
        assert_eq!(nearest("bnid", words.into_iter()), Some("bind"));
        assert_eq!(nearest("colour", words.into_iter()), None);
    }
}
