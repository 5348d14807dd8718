//! `--print-config`.

use crate::catalog::Catalog;
use crate::{Origin, Report, Section};

/// How far comments are moved to the right to stand below each other.
const COMMENT_COLUMN: usize = 40;

/// The values of all keys in TOML, by section, each with a comment that names the layer that won. Reading it as
/// a file gives the same values.
///
/// # Panics
/// Two keys have the same name, flag or variable: a mistake in the program.
pub fn print_config(sections: &[&mut dyn Section], report: &Report) -> String {
    let catalog = Catalog::new(sections);
    let slots: Vec<_> = sections.iter().map(|section| section.slots()).collect();
    let mut blocks: Vec<(&str, String)> = Vec::new();
    for (_, entry) in catalog.iter() {
        let origin = report.origin(entry.key.section, &entry.key.name);
        let (value, is_set) = slots[entry.holder][entry.slot].shown();
        // A key that is unset by default stays so without a line; one that a layer emptied needs the empty value.
        let mark = if !is_set && *origin == Origin::Default { "# " } else { "" };
        let setting = format!("{mark}{} = {value}", entry.key.name);
        let line = format!("{setting:COMMENT_COLUMN$} # {}\n", layer(origin));
        match blocks.iter_mut().find(|(section, _)| *section == entry.key.section) {
            Some((_, block)) => block.push_str(&line),
            None => blocks.push((entry.key.section, format!("[{}]\n{line}", entry.key.section))),
        }
    }
    let blocks: Vec<String> = blocks.into_iter().map(|(_, block)| block).collect();
    blocks.join("\n")
}

/// A key as it is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Section and name, as `server.workers`.
    pub key: String,
    /// Its value in TOML; an empty string where it has none.
    pub value: String,
    /// The layer that won, as `devsim.toml:3`, `--workers` or `default`.
    pub origin: String,
}

/// All keys as they are in use, by section.
///
/// # Panics
/// As [`print_config`].
pub fn describe(sections: &[&mut dyn Section], report: &Report) -> Vec<Described> {
    let catalog = Catalog::new(sections);
    let slots: Vec<_> = sections.iter().map(|section| section.slots()).collect();
    let described = catalog.iter().map(|(_, entry)| {
        let (value, _) = slots[entry.holder][entry.slot].shown();
        let origin = match report.origin(entry.key.section, &entry.key.name) {
            Origin::Default => "default".to_owned(),
            other => other.to_string(),
        };
        Described { key: entry.key.path(), value, origin }
    });
    described.collect()
}

/// The layer in a comment, which must not end before the line does.
fn layer(origin: &Origin) -> String {
    let text = match origin {
        Origin::Default => "default".to_owned(),
        Origin::File { .. } => format!("file {origin}"),
        Origin::Environment(name) => format!("environment {name}"),
        Origin::FlagIn { variable, flag } => format!("environment {variable} {flag}"),
        Origin::Flag(flag) => format!("flag {flag}"),
    };
    text.replace(char::is_control, "?")
}
