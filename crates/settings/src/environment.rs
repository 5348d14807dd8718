//! The layers of environment variables.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use crate::catalog::{Catalog, nearest};
use crate::loader::Loader;
use crate::{Origin, Place};

/// The variables that have to do with the configuration, and no others: the rest may hold secrets.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    prefix: &'static str,
    /// The value is `None` where it is not UTF-8.
    variables: BTreeMap<String, Option<String>>,
}

/// Names only, as values may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// Keeps prefixed names with a double underscore, names that keys have, and `others`.
    pub(crate) fn new(
        prefix: &'static str,
        catalog: &Catalog,
        others: &[&str],
        all: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let known: Vec<&str> =
            catalog.keys().filter_map(|key| key.env).chain(others.iter().copied()).collect();
        let relevant = all.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            (known.contains(&name.as_str()) || is_setting(prefix, &name))
                .then(|| (name, value.into_string().ok()))
        });
        Self { prefix, variables: relevant.collect() }
    }

    /// The value of a variable, if it is there and UTF-8.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.as_deref()
    }

    /// Lays first the plain variables, then the prefixed ones over the structs.
    pub(crate) fn apply(&self, loader: &mut Loader<'_, '_>) {
        let named = |name: &dyn Fn(&crate::Key) -> Option<String>, loader: &Loader<'_, '_>| -> Vec<_> {
            loader.catalog.iter().filter_map(|(id, entry)| Some((name(&entry.key)?, id))).collect()
        };
        let plain = named(&|key| key.env.map(str::to_owned), loader);
        let prefixed = named(&|key| Some(key.variable(self.prefix)), loader);
        for (name, id) in &plain {
            // `DATABASE_URL: ${DATABASE_URL:-}` in a compose file means unset, not an empty URL.
            if self.variables.get(name).is_some_and(|value| value.as_deref() != Some("")) {
                self.set(loader, name, *id);
            }
        }
        for name in self.variables.keys().filter(|name| is_setting(self.prefix, name)) {
            match prefixed.iter().find(|(known, _)| known == name) {
                Some((_, id)) => self.set(loader, name, *id),
                None if plain.iter().any(|(known, _)| known == name) => {}
                None => {
                    let hint = nearest(name, prefixed.iter().map(|(known, _)| known.as_str())).map_or_else(
                        || "--help lists all keys".to_owned(),
                        |near| format!("did you mean {near}?"),
                    );
                    loader.warnings.push(format!("{name}: ignored, there is no such key; {hint}"));
                }
            }
        }
    }

    fn set(&self, loader: &mut Loader<'_, '_>, name: &str, id: crate::catalog::KeyId) {
        let origin = Origin::Environment(name.to_owned());
        match self.variables.get(name) {
            Some(Some(text)) => loader.set_texts(id, std::slice::from_ref(text), origin),
            Some(None) => {
                let key = Some(loader.catalog.get(id).key.path());
                loader.problem(Place::At(origin), key, "not UTF-8; set it to text".to_owned());
            }
            None => {}
        }
    }
}

/// Whether the name is meant as configuration: `DEVSIM_SERVER__WORKERS`, but not `DEVSIM_SERVICE_HOST`, which
/// Kubernetes sets for a service named devsim.
fn is_setting(prefix: &str, name: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.contains("__"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use crate::{Problems, Report};

    crate::section! {
        /// Sample.
        struct Server("server") {
            /// A count.
            workers [env "WEB_CONCURRENCY"]: u32 = 1,
        }
    }

    fn load(variables: &[(&str, &[u8])]) -> (u32, Result<Report, Problems>) {
        let mut server = Server::default();
        let pair = |(name, value): &(&str, &[u8])| (OsString::from(name), OsString::from_vec(value.to_vec()));
        let all = variables.iter().map(pair);
        let environment = Environment::new("X_", &Catalog::new(&[&mut server]), &[], all);
        let mut sections: [&mut dyn crate::Section; 1] = [&mut server];
        let mut loader = Loader::new(&mut sections);
        environment.apply(&mut loader);
        let outcome = loader.finish(None);
        (server.workers, outcome)
    }

    #[test]
    fn prefixed_names_win_over_plain_ones_and_empty_plain_ones_are_unset() {
        assert_eq!(load(&[("WEB_CONCURRENCY", b"3")]).0, 3);
        assert_eq!(load(&[("WEB_CONCURRENCY", b"3"), ("X_SERVER__WORKERS", b"4")]).0, 4);
        let (workers, outcome) = load(&[("WEB_CONCURRENCY", b"")]);
        assert_eq!((workers, outcome.unwrap().origin("server", "workers").clone()), (1, Origin::Default));
    }

    #[test]
    fn unknown_names_are_one_warning_each_and_other_variables_are_not_looked_at() {
        let variables: &[(&str, &[u8])] =
            &[("X_SERVER__WORKER", b"4"), ("X_ZZZ__A", b""), ("X_SERVICE_HOST", b"h"), ("X_SECRET", b"\xff")];
        let (_, outcome) = load(variables);
        assert_eq!(
            outcome.unwrap().warnings,
            [
                "X_SERVER__WORKER: ignored, there is no such key; did you mean X_SERVER__WORKERS?",
                "X_ZZZ__A: ignored, there is no such key; --help lists all keys",
            ]
        );
    }

    #[test]
    fn wrong_values_are_problems_that_name_the_variable() {
        let message = |value: &[u8]| load(&[("X_SERVER__WORKERS", value)]).1.unwrap_err().to_string();
        assert_eq!(message(b"many"), "X_SERVER__WORKERS: many is not a whole number from 0 to 4294967295");
        assert_eq!(message(b"\xff"), "X_SERVER__WORKERS: not UTF-8; set it to text");
    }

    #[test]
    fn values_stay_out_of_debug_output() {
        let mut server = Server::default();
        let all = [(OsString::from("WEB_CONCURRENCY"), OsString::from("hidden"))];
        let environment = Environment::new("X_", &Catalog::new(&[&mut server]), &[], all);
        assert_eq!(format!("{environment:?}"), "{\"WEB_CONCURRENCY\"}");
    }
}
