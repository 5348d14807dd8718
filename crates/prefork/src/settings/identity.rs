//! As whom workers run, and in which environment.

use nix::unistd::{Gid, Group, Uid, User};
use settings::{Value, mismatch, quote};

settings::section! {
    /// The workers' identity and environment.
    pub struct Identity("server") {
        /// The user that workers run as: a name or a number that the user database knows.
        pub user ['u']: Option<UserName> = None,
        /// The group that workers run as; the user's own group when only a user is given.
        pub group ['g']: Option<GroupName> = None,
        /// Variables that workers get, each `NAME=VALUE`.
        pub raw_env ["env", 'e']: Vec<Assignment> = vec![],
    }
}

impl Identity {
    /// Whom files are to belong to that workers open themselves: user and group, `None` where a worker has the master's.
    pub fn owner(&self) -> (Option<u32>, Option<u32>) {
        let (user, group) = (self.user.as_ref(), self.group.as_ref());
        let gid = group.map(|group| group.gid).or(user.map(|user| user.gid));
        (user.map(|user| user.uid.as_raw()), gid.map(Gid::as_raw))
    }
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
