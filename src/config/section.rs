//! The macro that defines a section: its struct, its defaults, and the texts of `config.example.toml`, in one place.

/// What the example file says about one key.
pub struct KeyDoc {
    /// The key as written in TOML.
    pub key: &'static str,
    /// The lines of its documentation.
    pub lines: &'static [&'static str],
    /// A TOML value to show, commented out, when the key has no default.
    pub example: Option<&'static str>,
}

/// What the example file says about one section.
pub struct SectionDoc {
    /// The lines of its documentation.
    pub lines: &'static [&'static str],
    /// Its keys in order.
    pub keys: &'static [KeyDoc],
}

/// Defines a section from doc comment, key, type, default and, for keys without one, an example.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ pub $key:ident: $type:ty = $default:expr $(=> $example:literal)?; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $key: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }

        impl $name {
            /// What `config.example.toml` says about the section.
            pub const DOC: $crate::config::section::SectionDoc = $crate::config::section::SectionDoc {
                lines: &[$($about),+],
                keys: &[ $( $crate::config::section::KeyDoc {
                    key: stringify!($key),
                    lines: &[$($doc),+],
                    example: $crate::config::section::section!(@example $($example)?),
                }, )+ ],
            };
        }
    };
    (@example) => { None };
    (@example $example:literal) => { Some($example) };
}

pub(crate) use section;
