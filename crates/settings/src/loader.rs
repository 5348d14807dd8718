//! The state of one loading: layers are laid over the structs from the weakest to the strongest.

use std::path::PathBuf;

use crate::catalog::{Catalog, KeyId};
use crate::{Origin, Place, Problem, Problems, Report, Section, Slot, Toml};

/// Sets keys and remembers who set them and what went wrong.
pub(crate) struct Loader<'a, 'b> {
    pub(crate) catalog: Catalog,
    sections: &'a mut [&'b mut dyn Section],
    /// The layer that set each key last, in the catalog's order.
    origins: Vec<Origin>,
    /// The structs with a wrong value, which are not asked for a check.
    spoilt: Vec<bool>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<String>,
}

impl<'a, 'b> Loader<'a, 'b> {
    /// Begins with the structs as they are.
    pub(crate) fn new(sections: &'a mut [&'b mut dyn Section]) -> Self {
        let catalog = Catalog::new(sections);
        Self {
            origins: vec![Origin::Default; catalog.len()],
            spoilt: vec![false; sections.len()],
            catalog,
            sections,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Sets a key from the file.
    pub(crate) fn set_toml(&mut self, id: KeyId, value: &Toml<'_>, origin: Origin) {
        self.set(id, origin, |slot| slot.set_toml(value));
    }

    /// Sets a key from text; several ones are those of a repeated flag.
    pub(crate) fn set_texts(&mut self, id: KeyId, texts: &[String], origin: Origin) {
        self.set(id, origin, |slot| slot.set_texts(texts));
    }

    fn set(&mut self, id: KeyId, origin: Origin, set: impl FnOnce(&mut dyn Slot) -> Result<(), String>) {
        let entry = self.catalog.get(id);
        let mut slots = self.sections[entry.holder].slots_mut();
        let outcome = set(&mut *slots[entry.slot]);
        match outcome {
            Ok(()) => self.origins[id.index()] = origin,
            Err(message) => {
                self.spoilt[entry.holder] = true;
                let key = Some(entry.key.path());
                self.problems.push(Problem { place: Place::At(origin), key, message });
            }
        }
    }

    /// Notes a problem that is not a wrong value.
    pub(crate) fn problem(&mut self, place: Place, key: Option<String>, message: String) {
        self.problems.push(Problem { place, key, message });
    }

    /// Checks the values against each other and closes the books.
    pub(crate) fn finish(mut self, file: Option<PathBuf>) -> Result<Report, Problems> {
        for (holder, section) in self.sections.iter().enumerate() {
            if self.spoilt[holder] {
                continue;
            }
            for (field, message) in section.check() {
                let found = self.catalog.iter().find(|(_, entry)| {
                    entry.holder == holder && (entry.key.field == field || entry.key.name == field)
                });
                let (origin, key) = match found {
                    Some((id, entry)) => (self.origins[id.index()].clone(), entry.key.path()),
                    None => (Origin::Default, field.to_owned()),
                };
                self.problems.push(Problem { place: Place::At(origin), key: Some(key), message });
            }
        }
        if !self.problems.is_empty() {
            return Err(Problems(self.problems));
        }
        let origins = self.catalog.keys().map(crate::Key::path).zip(self.origins).collect();
        Ok(Report { file, warnings: self.warnings, origins })
    }
}
