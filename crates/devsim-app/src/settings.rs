//! The application's keys.

use settings::{Toml, Value, quote};

use crate::DatabaseUrl;
use crate::limits::Limits;

settings::section! {
    /// The DevSim application.
    pub struct Settings("app") {
        /// The database: sqlite:///relative/path, sqlite:////absolute/path, or just a path. It is created if it is not there.
        pub database_url [env "DATABASE_URL"]: DatabaseUrl = DatabaseUrl::default(),
        /// Bytes that a request's body may have at most; a saved table may have six times as many.
        pub max_content_length [env "MAX_CONTENT_LENGTH"]: u64 = Limits::default().max_content_length,
    }
}

impl Settings {
    /// How large requests may be.
    pub(crate) fn limits(&self) -> Limits {
        Limits { max_content_length: self.max_content_length }
    }
}

impl Value for DatabaseUrl {
    fn expects() -> String {
        "a database as sqlite:///data/devsim.sqlite".into()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: crate::InvalidDatabaseUrl| error.to_string())
    }

    fn from_toml(value: &Toml<'_>) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(|| format!("it is not {}, in quotes", Self::expects()))?;
        Self::from_text(text)
    }

    fn to_toml(&self) -> String {
        quote(&self.to_string())
    }
}
