//! Where the database is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address of a database: `sqlite:///path` relative to the working directory, `sqlite:////path`
/// absolute, or just a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl(PathBuf);

/// Why a text is no [`DatabaseUrl`]. It names what stands before the first colon only: the rest may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDatabaseUrl {
    /// PostgreSQL is to come.
    #[error(
        "this build serves SQLite only so far, not postgresql://; use sqlite:////absolute/path or sqlite:///relative/path"
    )]
    Postgres,
    /// MySQL is not.
    #[error("mysql:// is not supported; use sqlite:////absolute/path or sqlite:///relative/path")]
    MySql,
    /// Something else.
    #[error("unknown kind of database `{0}://`; use sqlite:////absolute/path or sqlite:///relative/path")]
    Scheme(String),
    /// A mistyped URL, most often one in quotes.
    #[error(
        "a database's URL cannot begin with {0:?}; write it without quotes or spaces around it, as sqlite:////absolute/path or sqlite:///relative/path"
    )]
    NoScheme(String),
    /// Two slashes: a host, which SQLite has not.
    #[error(
        "a sqlite URL has three slashes before a relative path and four before an absolute one: sqlite:///relative/path, sqlite:////absolute/path"
    )]
    Host,
    /// Workers are processes, so they cannot share memory.
    #[error(
        "an in-memory database cannot be shared by worker processes; name a file: sqlite:///data/devsim.sqlite"
    )]
    InMemory,
    /// No file's name.
    #[error("no database file named; for example sqlite:///data/devsim.sqlite")]
    Empty,
    /// Parameters after a `?`.
    #[error("a sqlite URL takes no parameters here (`?` and what follows)")]
    Parameters,
}

impl DatabaseUrl {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// `data/devsim.sqlite` in the working directory.
impl Default for DatabaseUrl {
    fn default() -> Self {
        Self(PathBuf::from("data/devsim.sqlite"))
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        let path = match text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
            // It may hold a password, so no file is named by it.
            None if text.contains("://") => {
                let start = text.split(':').next().unwrap_or_default();
                return Err(InvalidDatabaseUrl::NoScheme(start.to_owned()));
            }
            None => text,
            Some((scheme, rest)) => {
                let rest = rest.strip_prefix("//");
                // SQLAlchemy's URLs may name a driver: `postgresql+psycopg2`.
                match scheme.split('+').next().unwrap_or(scheme).to_ascii_lowercase().as_str() {
                    "sqlite" => match rest.ok_or(InvalidDatabaseUrl::Host)? {
                        rest if rest.contains('?') => return Err(InvalidDatabaseUrl::Parameters),
                        "" => return Err(InvalidDatabaseUrl::InMemory),
                        rest => rest.strip_prefix('/').ok_or(InvalidDatabaseUrl::Host)?,
                    },
                    "postgresql" | "postgres" => return Err(InvalidDatabaseUrl::Postgres),
                    "mysql" | "mariadb" => return Err(InvalidDatabaseUrl::MySql),
                    other => return Err(InvalidDatabaseUrl::Scheme(other.to_owned())),
                }
            }
        };
        match path {
            "" => Err(InvalidDatabaseUrl::Empty),
            ":memory:" => Err(InvalidDatabaseUrl::InMemory),
            path => Ok(Self(PathBuf::from(path))),
        }
    }
}

/// Whether a text looks like the scheme of a URL (RFC 3986 section 3.1): a file whose name begins so can be written with
/// `./` before it.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite:///{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_sqlalchemy_reads_them() {
        for (text, path, shown) in [
            ("sqlite:///data/d.sqlite", "data/d.sqlite", "sqlite:///data/d.sqlite"),
            ("sqlite:////var/d.sqlite", "/var/d.sqlite", "sqlite:////var/d.sqlite"),
            ("/var/d.sqlite", "/var/d.sqlite", "sqlite:////var/d.sqlite"),
            ("d.sqlite", "d.sqlite", "sqlite:///d.sqlite"),
            ("./a:b.sqlite", "./a:b.sqlite", "sqlite:///./a:b.sqlite"),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url.path(), Path::new(path));
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse(), Ok(url));
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        use InvalidDatabaseUrl::*;
        for (text, why) in [
            ("postgresql://u:secret@h/db", Postgres),
            ("postgres://h/db", Postgres),
            ("postgresql+psycopg2://h/db", Postgres),
            ("mysql://u:secret@h/db", MySql),
            ("mysql+pymysql://h/db", MySql),
            ("oracle://u:secret@h", Scheme("oracle".into())),
            ("sqlite://d.sqlite", Host),
            ("sqlite:d.sqlite", Host),
            ("postgresql:/u:secret@h/db", Postgres),
            ("file:d.sqlite", Scheme("file".into())),
            ("\"postgresql://u:secret@h/db\"", NoScheme("\"postgresql".into())),
            (" postgresql://u:secret@h/db", NoScheme(" postgresql".into())),
            ("my_sql://u:secret@h/db", NoScheme("my_sql".into())),
            ("://u:secret@h/db", NoScheme("".into())),
            ("sqlite://", InMemory),
            ("sqlite:///", Empty),
            ("sqlite:///:memory:", InMemory),
            ("sqlite:///d?mode=ro", Parameters),
            ("", Empty),
        ] {
            assert_eq!(text.parse::<DatabaseUrl>(), Err(why.clone()), "{text}");
            assert!(!why.to_string().contains("secret"));
        }
    }

    #[test]
    fn who_quotes_a_url_is_shown_the_quotes_and_told_to_leave_them_out() {
        let why = "'sqlite:///d.sqlite'".parse::<DatabaseUrl>().unwrap_err().to_string();
        assert!(why.contains(r#""'sqlite""#) && why.contains("without quotes"), "{why}");
    }
}
