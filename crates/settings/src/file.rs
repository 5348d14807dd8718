//! The layer of the TOML file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use crate::loader::Loader;
use crate::{Origin, Place, Toml};

/// Lays a file's text over the structs. The parser goes on after a syntax error, and the tables are walked by
/// hand, so that everything wrong is found at once.
pub(crate) fn apply(loader: &mut Loader<'_, '_>, path: &Path, text: &str) {
    let (text, broken) = syntax_errors(text.to_owned());
    let (document, _) = DeTable::parse_recoverable(&text);
    let first = loader.problems.len();
    for (&line, message) in &broken {
        let place = Place::At(Origin::File { path: path.to_owned(), line });
        loader.problem(place, None, format!("not TOML: {message}"));
    }
    Walk { loader, path, text: &text, broken: &broken }.document(document.get_ref());
    loader.problems[first..].sort_by_key(crate::Problem::line);
}

/// The first syntax error of each line, as others tend to follow from it, and the text to go on with. The parser
/// recovers from all errors but one: after a key without `=` it leaves out the rest of the file. So such a line
/// is blanked, which leaves all others at their place, and the parser starts over.
fn syntax_errors(mut text: String) -> (String, BTreeMap<usize, String>) {
    let mut errors = BTreeMap::new();
    loop {
        let (_, found) = DeTable::parse_recoverable(&text);
        let mut hopeless = None;
        for error in &found {
            let start = error.span().map_or(text.len(), |span| span.start);
            let message = error.message().trim();
            errors.entry(line_at(&text, start)).or_insert_with(|| message.to_owned());
            if message.starts_with("key with no value") {
                hopeless =
                    hopeless.or(text.get(..start).map(|before| before.rfind('\n').map_or(0, |end| end + 1)));
            }
        }
        let Some(start) = hopeless else { return (text, errors) };
        let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        if text[start..end].trim().is_empty() {
            // It would be the same error forever.
            return (text, errors);
        }
        text.replace_range(start..end, &" ".repeat(end - start));
    }
}

/// The line, counted from 1, of a position in the text.
fn line_at(text: &str, position: usize) -> usize {
    let before = &text.as_bytes()[..position.min(text.len())];
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Where the walk through the file's tables is.
struct Walk<'w, 'a, 'b> {
    loader: &'w mut Loader<'a, 'b>,
    path: &'w Path,
    text: &'w str,
    /// The lines with a syntax error: what the parser made of them is not worth a second complaint.
    broken: &'w BTreeMap<usize, String>,
}

impl Walk<'_, '_, '_> {
    fn line(&self, span: Range<usize>) -> usize {
        line_at(self.text, span.start)
    }

    fn origin(&self, line: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line }
    }

    fn place(&self, line: usize) -> Place {
        Place::At(self.origin(line))
    }

    fn complain(&mut self, line: usize, key: String, message: String) {
        if !self.broken.contains_key(&line) {
            let place = self.place(line);
            self.loader.problem(place, Some(key), message);
        }
    }

    /// Walks the top of the file, where only sections are.
    fn document(&mut self, document: &DeTable<'_>) {
        for (name, value) in document {
            let line = self.line(name.span());
            let section: &str = name.get_ref();
            let known = self.loader.catalog.has_section(section);
            match value.get_ref() {
                Toml::Table(table) if known => self.table(section, "", table),
                Toml::Table(_) => {
                    let hint = self.loader.catalog.hint_for_section(section);
                    self.complain(line, section.to_owned(), format!("unknown section; {hint}"));
                }
                _ if known => {
                    let message = format!("this is a section; write [{section}] once, and its keys below it");
                    self.complain(line, section.to_owned(), message);
                }
                _ => {
                    let hint = self.loader.catalog.hint_for_stray(section);
                    self.complain(line, section.to_owned(), format!("a key outside of any section; {hint}"));
                }
            }
        }
    }

    /// Walks a section, or a table in it, whose keys' names begin with `prefix`.
    fn table(&mut self, section: &str, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            self.entry(section, &format!("{prefix}{}", key.get_ref()), self.line(key.span()), value);
        }
    }

    fn entry(&mut self, section: &str, name: &str, line: usize, value: &Spanned<Toml<'_>>) {
        let path = format!("{section}.{name}");
        if let Some(id) = self.loader.catalog.find(section, name) {
            if !self.broken.contains_key(&line) {
                let origin = self.origin(line);
                self.loader.set_toml(id, value.get_ref(), origin);
            }
        } else if !self.loader.catalog.is_table(section, name) {
            let hint = self.loader.catalog.hint_for_key(section, name);
            self.complain(line, path, format!("unknown key; {hint}"));
        } else if let Toml::Table(table) = value.get_ref() {
            self.table(section, &format!("{name}."), table);
        } else {
            let message = format!("this is a table; write [{section}.{name}] once, and its keys below it");
            self.complain(line, path, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seconds;

    crate::section! {
        /// Sample of a server's keys.
        struct Server("server", check = Server::check) {
            /// A span.
            timeout: Seconds = Seconds::new(60),
            /// A count.
            workers: u32 = 1,
            /// A list.
            bind: Vec<String> = Vec::new(),
        }
    }

    impl Server {
        fn check(&self) -> Vec<(&'static str, String)> {
            if self.workers == 13 {
                vec![("workers", "13 is unlucky; take 12".to_owned())]
            } else {
                Vec::new()
            }
        }
    }

    crate::section! {
        /// Sample of a section with a nested table.
        struct App("app") {
            /// A nested key.
            limited [key "rate_limit.enabled"]: bool = false,
            /// A plain key.
            database_url: Option<String> = None,
        }
    }

    fn problems(text: &str) -> Vec<String> {
        let (mut server, mut app) = (Server::default(), App::default());
        let mut sections: [&mut dyn crate::Section; 2] = [&mut server, &mut app];
        let mut loader = Loader::new(&mut sections);
        apply(&mut loader, Path::new("d.toml"), text);
        loader
            .finish(None)
            .err()
            .map_or_else(Vec::new, |problems| problems.iter().map(|p| p.to_string()).collect())
    }

    #[test]
    fn every_problem_of_a_file_is_named_with_its_line_and_what_to_do() {
        let seconds = "is not a number of seconds from 0 to 4294967295, fractions allowed";
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("[server]\ntimeout = 0.5\nbind = \"a\"\n[app.rate_limit]\nenabled = true", &[]),
            ("[app]\nrate_limit.enabled = true", &[]),
            ("app.rate_limit = { enabled = true }", &[]),
            ("[server]\ntimeot = 3", &["d.toml:2: server.timeot: unknown key; did you mean `timeout`?"]),
            (
                "[server]\ndatabase_url = 3",
                &["d.toml:2: server.database_url: unknown key; it belongs in [app]"],
            ),
            (
                "[server]\ndatabase_ur = 3",
                &["d.toml:2: server.database_ur: unknown key; did you mean `database_url` in [app]?"],
            ),
            ("[server]\nzzz = 3", &["d.toml:2: server.zzz: unknown key; --help lists all keys"]),
            ("\n[sever]\n", &["d.toml:2: sever: unknown section; did you mean [server]?"]),
            ("[unrelated]\n", &["d.toml:1: unrelated: unknown section; the sections are [app], [server]"]),
            ("workers = 3", &["d.toml:1: workers: a key outside of any section; put it below [server]"]),
            (
                "server = 3",
                &["d.toml:1: server: this is a section; write [server] once, and its keys below it"],
            ),
            (
                "[[server]]",
                &["d.toml:1: server: this is a section; write [server] once, and its keys below it"],
            ),
            (
                "[app]\nrate_limit = 3",
                &[
                    "d.toml:2: app.rate_limit: this is a table; write [app.rate_limit] once, and its keys below it",
                ],
            ),
            (
                "[app.rate_limit]\nenable = 3",
                &["d.toml:2: app.rate_limit.enable: unknown key; did you mean `rate_limit.enabled`?"],
            ),
            ("[server]\nworkers = 13", &["d.toml:2: server.workers: 13 is unlucky; take 12"]),
            ("[server]\nworkers = 1\nworkers = 2", &["d.toml:3: not TOML: duplicate key"]),
            (
                "[server]\ntimeout 3\ntimeout\nbogus = 1\nworkers = [1",
                &[
                    "d.toml:2: not TOML: key with no value, expected `=`",
                    "d.toml:3: not TOML: key with no value, expected `=`",
                    "d.toml:4: server.bogus: unknown key; --help lists all keys",
                    "d.toml:5: not TOML: unclosed array, expected `]`",
                ],
            ),
            (
                "[server]\ntimeout = -1 # all at once\nworkers =\nbogus = 1\n[app]\nrate_limit.enabled = 1\n",
                &[
                    &format!("d.toml:2: server.timeout: -1 {seconds}"),
                    "d.toml:3: not TOML: string values must be quoted, expected literal string",
                    "d.toml:4: server.bogus: unknown key; --help lists all keys",
                    "d.toml:6: app.rate_limit.enabled: 1 is not true or false",
                ],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(problems(text), *expected, "{text}");
        }
    }
}
