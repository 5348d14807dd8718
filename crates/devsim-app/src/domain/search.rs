//! Case-insensitive search.

use icu_casemap::CaseMapper;

/// Unicode's full case folding: `Straße` and `STRASSE` become one.
pub(crate) fn fold(text: &str) -> String {
    CaseMapper::new().fold_string(text).into_owned()
}

/// What a client looks for: folded, and never blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needle(String);

impl Needle {
    /// Blank text means that nothing is looked for.
    pub(crate) fn parse(search: &str) -> Option<Self> {
        let search = search.trim();
        (!search.is_empty()).then(|| Self(fold(search)))
    }

    /// To be compared with [folded](fold) text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_follows_unicode() {
        for (a, b) in [("PUMP", "pump"), ("Straße", "STRASSE"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("ÀÉ", "àé")]
        {
            assert_eq!(fold(a), fold(b));
        }
    }

    #[test]
    fn blank_is_no_needle() {
        assert_eq!(Needle::parse(" \t\u{3000}"), None);
        assert_eq!(Needle::parse(" A ").unwrap().as_str(), "a");
    }
}
