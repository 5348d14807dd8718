//! Enums of fixed words.

use std::fmt;

/// One of a few values that are known by name. [`choice!`](crate::choice) implements it.
pub trait Choice: Copy + fmt::Debug + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Its position in [`ALL`](Choice::ALL).
    fn index(self) -> usize;
}

/// Declares an enum whose variants are words in the configuration, and makes it a [`Value`](crate::Value) and a
/// [`Choice`](crate::Choice).
/// A word after `|` is understood too, but never printed. Case does not matter.
///
/// ```
/// settings::choice! {
///     /// What to do with a header whose name is dangerous.
///     pub enum HeaderMap {
///         /// Leave it out.
///         Drop = "drop",
///         /// Answer 400.
///         Refuse = "refuse" | "reject",
///     }
/// }
/// assert_eq!(<HeaderMap as settings::Value>::from_text("Reject"), Ok(HeaderMap::Refuse));
/// assert_eq!(HeaderMap::Refuse.as_str(), "refuse");
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal $(| $alias:literal)* ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $name {
            /// The word that stands for it in the configuration.
            $vis const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl $crate::Choice for $name {
            const ALL: &'static [Self] = &[$( Self::$variant ),+];

            fn index(self) -> usize {
                self as usize // the variants have no numbers of their own
            }
        }

        impl $crate::Value for $name {
            fn expects() -> ::std::string::String {
                [$( $crate::quote($word) ),+].join(" or ")
            }

            fn from_text(text: &str) -> ::std::result::Result<Self, ::std::string::String> {
                match text.to_ascii_lowercase().as_str() {
                    $( $word $(| $alias)* => ::std::result::Result::Ok(Self::$variant), )+
                    _ => ::std::result::Result::Err($crate::mismatch::<Self>(text)),
                }
            }

            fn to_toml(&self) -> ::std::string::String {
                $crate::quote(self.as_str())
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::Value as _;

    crate::choice! {
        /// How a loop of crashes is met.
        enum OnCrashLoop {
            /// Wait and try again.
            Wait = "wait",
            /// Give up.
            Exit = "exit" | "stop",
        }
    }

    #[test]
    fn choices_are_read_by_word_and_alias_and_listed_in_errors() {
        assert_eq!(OnCrashLoop::from_text("stop"), Ok(OnCrashLoop::Exit));
        assert_eq!(OnCrashLoop::from_text("WAIT"), Ok(OnCrashLoop::Wait));
        assert_eq!(OnCrashLoop::Exit.to_toml(), "\"exit\"");
        assert_eq!(OnCrashLoop::from_text("hop"), Err("hop is not \"wait\" or \"exit\"".to_owned()));
    }
}
