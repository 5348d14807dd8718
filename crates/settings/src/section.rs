//! Structs whose fields are keys.

use crate::{Key, Toml, Value};

/// A struct that gives keys to a section of the file; made by [`section!`](crate::section).
///
/// [`keys`](Section::keys), [`slots`](Section::slots) and [`slots_mut`](Section::slots_mut) have the same length
/// and order.
pub trait Section {
    /// Its keys, in the order of declaration, with the present values as their defaults.
    fn keys(&self) -> Vec<Key>;

    /// The fields behind the keys.
    fn slots(&self) -> Vec<&dyn Slot>;

    /// The fields behind the keys, to be set.
    fn slots_mut(&mut self) -> Vec<&mut dyn Slot>;

    /// What is wrong between the values, each with the field to blame. Asked only when every value of the
    /// struct is right in itself.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// A field of any [`Value`] type.
pub trait Slot {
    /// Sets it from the file.
    ///
    /// # Errors
    /// What is wrong with the value; the field is unchanged then.
    fn set_toml(&mut self, value: &Toml<'_>) -> Result<(), String>;

    /// Sets it from an environment variable or a flag, which may have been given several times.
    ///
    /// # Errors
    /// As [`set_toml`](Slot::set_toml).
    fn set_texts(&mut self, texts: &[String]) -> Result<(), String>;

    /// Its value in TOML, and whether it has one.
    fn shown(&self) -> (String, bool);
}

impl<T: Value> Slot for T {
    fn set_toml(&mut self, value: &Toml<'_>) -> Result<(), String> {
        *self = T::from_toml(value)?;
        Ok(())
    }

    fn set_texts(&mut self, texts: &[String]) -> Result<(), String> {
        *self = T::from_texts(texts)?;
        Ok(())
    }

    fn shown(&self) -> (String, bool) {
        (self.to_toml(), self.is_set())
    }
}

/// Declares a struct of keys: the struct itself, `Default`, and [`Section`].
///
/// ```
/// settings::section! {
///     /// How much work is taken on.
///     pub struct Load("server", check = Load::check) {
///         /// A doc comment is obligatory: it is the key's documentation.
///         pub workers ['w', env "WEB_CONCURRENCY"]: u32 = 3,
///         /// A flag that is not the key's name, and an alias.
///         pub keepalive ["keep-alive", "keepalive"]: u32 = 5,
///         /// Another name in the file (here in a nested table), and no flag.
///         pub limit_requests [key "limit.requests", no flag]: Option<u32> = None,
///     }
/// }
///
/// impl Load {
///     fn check(&self) -> Vec<(&'static str, String)> {
///         match self.limit_requests {
///             Some(limit) if limit < self.workers => {
///                 vec![("limit_requests", format!("{limit} starves a worker; give {} or more", self.workers))]
///             }
///             _ => Vec::new(),
///         }
///     }
/// }
/// assert_eq!(Load::default().workers, 3);
/// ```
#[macro_export]
macro_rules! section {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($section:literal $(, check = $check:path)? $(,)?) {
            $(
                $(#[doc = $doc:expr])+
                $field_vis:vis $field:ident $([ $($attributes:tt)* ])? : $type:ty = $default:expr
            ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $doc])+ $field_vis $field: $type, )+
        }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::Section for $name {
            fn keys(&self) -> ::std::vec::Vec<$crate::Key> {
                ::std::vec![$(
                    $crate::Key::new(
                        $section,
                        ::std::stringify!($field),
                        &[$($doc),+],
                        &$crate::__attributes!([] $($($attributes)*)?),
                        &self.$field,
                    )
                ),+]
            }

            fn slots(&self) -> ::std::vec::Vec<&dyn $crate::Slot> {
                ::std::vec![$( &self.$field as &dyn $crate::Slot ),+]
            }

            fn slots_mut(&mut self) -> ::std::vec::Vec<&mut dyn $crate::Slot> {
                ::std::vec![$( &mut self.$field as &mut dyn $crate::Slot ),+]
            }

            $(
                fn check(&self) -> ::std::vec::Vec<(&'static str, ::std::string::String)> {
                    $check(self)
                }
            )?
        }
    };
}

/// The attributes of a key, read one by one into an array.
#[doc(hidden)]
#[macro_export]
macro_rules! __attributes {
    ([$($done:expr,)*]) => {
        [$($done,)*] as [$crate::Attribute; _]
    };
    ([$($done:expr,)*] env $name:literal $(, $($rest:tt)*)?) => {
        $crate::__attributes!([$($done,)* $crate::Attribute::Env($name),] $($($rest)*)?)
    };
    ([$($done:expr,)*] key $name:literal $(, $($rest:tt)*)?) => {
        $crate::__attributes!([$($done,)* $crate::Attribute::Name($name),] $($($rest)*)?)
    };
    ([$($done:expr,)*] no flag $(, $($rest:tt)*)?) => {
        $crate::__attributes!([$($done,)* $crate::Attribute::NoFlag,] $($($rest)*)?)
    };
    ([$($done:expr,)*] $flag:literal $(, $($rest:tt)*)?) => {
        $crate::__attributes!([$($done,)* $crate::Attribute::from($flag),] $($($rest)*)?)
    };
    ([$($done:expr,)*] $($rest:tt)+) => {
        ::std::compile_error!(::std::concat!(
            "a key's attributes are \"long-flag\", 's', env \"NAME\", key \"name\" and no flag; found: ",
            ::std::stringify!($($rest)+)
        ))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::section! {
        /// Keys of all sorts.
        struct Sample("server") {
            /// First line.
            /// Second line.
            plain: u32 = 1,
            /// All attributes.
            all ['a', env "ALL", "every-thing", key "deep.all"]: bool = false,
            /// None.
            quiet [no flag]: Option<u32> = None,
        }
    }

    #[test]
    fn a_declaration_gives_keys_slots_and_defaults_in_order() {
        let mut sample = Sample::default();
        let keys = sample.keys();
        assert_eq!(
            keys.iter().map(Key::path).collect::<Vec<_>>(),
            ["server.plain", "server.deep.all", "server.quiet"]
        );
        assert_eq!(keys[0].doc, "First line.\nSecond line.");
        assert_eq!(
            (keys[1].short, keys[1].env, keys[1].flag().unwrap()),
            (Some('a'), Some("ALL"), "--every-thing".into())
        );
        assert_eq!(keys[2].long, Vec::<String>::new());

        sample.slots_mut()[0].set_texts(&["7".to_owned()]).unwrap();
        assert_eq!(sample, Sample { plain: 7, ..Sample::default() });
        assert!(sample.slots_mut()[0].set_texts(&["x".to_owned()]).is_err());
        assert_eq!(sample.slots()[0].shown(), ("7".to_owned(), true));
        assert_eq!(sample.slots()[2].shown(), ("\"\"".to_owned(), false));
    }
}
