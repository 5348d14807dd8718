//! Where a control socket is when nobody says otherwise.

use std::ffi::OsString;
use std::path::PathBuf;

/// The place of the control socket where none is configured: `$RUNTIME_DIRECTORY/<name>.sock`, which systemd sets for a
/// unit that has `RuntimeDirectory=` (systemd.exec(5)), else `$XDG_RUNTIME_DIR/<name>.sock`, which a login session has.
/// `None` where the environment has neither.
pub fn default_place(name: &str) -> Option<PathBuf> {
    place_in(name, |variable| std::env::var_os(variable))
}

fn place_in(name: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let first = |paths: OsString| std::env::split_paths(&paths).next(); // systemd parts several by colons
    let unit = variable("RUNTIME_DIRECTORY").and_then(first).filter(|path| path.is_absolute());
    let session = || variable("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = unit.or_else(session)?;
    Some(directory.join(format!("{name}.sock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_comes_before_the_session_and_an_empty_variable_is_none() {
        let place = |unit: &str, session: &str| {
            place_in("devsim", |variable| {
                Some(if variable == "RUNTIME_DIRECTORY" { unit.into() } else { session.into() })
            })
        };
        assert_eq!(place("/run/devsim", "/run/user/1"), Some("/run/devsim/devsim.sock".into()));
        assert_eq!(place("/run/a:/run/b", ""), Some("/run/a/devsim.sock".into()));
        assert_eq!(place("", "/run/user/1"), Some("/run/user/1/devsim.sock".into()));
        assert_eq!(place("", "relative"), None);
        assert_eq!(place_in("devsim", |_| None), None);
    }
}
