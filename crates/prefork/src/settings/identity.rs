//! As whom the processes are seen, as whom workers run, and in which environment.

use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};
use settings::{Value, mismatch, quote};

settings::section! {
    /// The processes' name, and the workers' identity and environment.
    pub struct Identity("server", check = Identity::check) {
        /// What ps(1) shows of the processes begins with it: `NAME: master`, `NAME: worker 3 gen 2`, and ` busy` after that
        /// while a request has its turn.
        pub proc_name ["name", 'n']: String = program_name(),
        /// The user that workers run as: a name or a number that the user database knows.
        pub user ['u']: Option<UserName> = None,
        /// The group that workers run as; the user's own group when only a user is given.
        pub group ['g']: Option<GroupName> = None,
        /// Whether workers get all groups that `user` is in, and not its own group alone (initgroups(3)).
        pub initgroups: bool = false,
        /// Variables that workers get, each `NAME=VALUE`.
        pub raw_env ["env", 'e']: Vec<Assignment> = vec![],
    }
}

impl Identity {
    /// The user and the group that files of the server are given to, each if another one is wanted than the master's own.
    pub fn owner(&self) -> (Option<u32>, Option<u32>) {
        let uid = self.user.as_ref().map(|user| user.uid.as_raw());
        (uid, self.gid().map(Gid::as_raw))
    }

    /// The group that workers run as, if one is wanted.
    pub(crate) fn gid(&self) -> Option<Gid> {
        self.group.as_ref().map(|group| group.gid).or(self.user.as_ref().map(|user| user.gid))
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let name = &self.proc_name;
        let shown = !name.is_empty() && !name.contains(char::is_control);
        let problem = || format!("{} cannot be shown; give a name without control characters", quote(name));
        if shown { Vec::new() } else { vec![("proc_name", problem())] }
    }
}

/// The file name of the program, as it was called.
fn program_name() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or("prefork".as_ref());
    name.to_string_lossy().into_owned()
}

/// A user that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName {
    given: String,
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
}

/// A group that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    given: String,
    pub(crate) gid: Gid,
}

impl Value for UserName {
    fn expects() -> String {
        "the name or number of a user of this machine".into()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let found = match text.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(text),
        };
        match found {
            Ok(Some(user)) => Ok(Self { given: text.into(), name: user.name, uid: user.uid, gid: user.gid }),
            Ok(None) => Err(mismatch::<Self>(text)),
            Err(errno) => Err(format!("{text} could not be looked up: {errno}")),
        }
    }

    fn to_toml(&self) -> String {
        quote(&self.given)
    }
}

impl Value for GroupName {
    fn expects() -> String {
        "the name or number of a group of this machine".into()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let found = match text.parse() {
            Ok(number) => Group::from_gid(Gid::from_raw(number)),
            Err(_) => Group::from_name(text),
        };
        match found {
            Ok(Some(group)) => Ok(Self { given: text.into(), gid: group.gid }),
            Ok(None) => Err(mismatch::<Self>(text)),
            Err(errno) => Err(format!("{text} could not be looked up: {errno}")),
        }
    }

    fn to_toml(&self) -> String {
        quote(&self.given)
    }
}

/// A variable and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The variable's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Value for Assignment {
    const SEPARATOR: Option<char> = None; // a value may hold commas

    fn expects() -> String {
        "NAME=VALUE".into()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
                Ok(Self { name: name.into(), value: value.into() })
            }
            _ => Err(mismatch::<Self>(text)),
        }
    }

    fn to_toml(&self) -> String {
        quote(&format!("{}={}", self.name, self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_ps_cannot_show_is_a_problem() {
        let named = |name: &str| Identity { proc_name: name.into(), ..Identity::default() };
        assert_eq!(named("größe 3").check(), []);
        assert_eq!(Identity::default().check(), []);
        for name in ["", "a\nb", "a\0"] {
            assert!(matches!(&named(name).check()[..], [("proc_name", _)]), "{name:?}");
        }
    }
}
