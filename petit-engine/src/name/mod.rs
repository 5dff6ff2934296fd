//! Names: parsed once, then carried as types that cannot be made wrong.
//!
//! [`RegisteredId`] and [`DeviceId`] are random, so that nothing can be guessed, taken or counted.
//! [`VisitorHost`] is the host of one request after every check; it alone decides route and authorization.

/// Serde through the text form, so that a value that came in from outside was checked.
macro_rules! text_serde {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

mod endpoint;
mod hosts;
mod ids;
mod vendor;

pub use self::endpoint::Endpoint;
pub use self::hosts::{HostField, InvalidHost, ServerAddr, VisitorHost};
pub use self::ids::{
    Alias, DeviceId, PolicyName, RegisteredId, ServiceName, Tag, VisitorKeyId, VisitorKeyName, id_of_label,
};
pub use self::vendor::VendorName;

/// A text is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Shorter or longer than allowed.
    #[error("{what} has {} characters, this one has {length}", range(*min, *max))]
    Length {
        /// Which kind of name.
        what: &'static str,
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
        /// Characters found.
        length: usize,
    },
    /// A character that may not be in it.
    #[error("{what} may not contain {found:?}: {allowed}")]
    Character {
        /// Which kind of name.
        what: &'static str,
        /// The first wrong one.
        found: char,
        /// What may be in it.
        allowed: &'static str,
    },
    /// Valid in form but kept for other uses, or misleading.
    #[error("{name:?} is reserved")]
    Reserved { name: String },
    /// The form as a whole is wrong.
    #[error("expected {expected}")]
    Form {
        /// What it should look like, with an example.
        expected: &'static str,
    },
}

/// `3 to 40`, or just `16`.
fn range(min: usize, max: usize) -> String {
    if min == max { min.to_string() } else { format!("{min} to {max}") }
}

/// One DNS label: letters, digits and hyphens, lower-case, not at the ends (RFC 1123 §2.1).
fn check_label(what: &'static str, label: &str) -> Result<(), InvalidName> {
    let allowed = "lower-case letters, digits and - within";
    if label.is_empty() || label.len() > 63 {
        return Err(InvalidName::Length { what, min: 1, max: 63, length: label.chars().count() });
    }
    if let Some(found) = label.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(InvalidName::Character { what, found, allowed });
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(InvalidName::Character { what, found: '-', allowed });
    }
    Ok(())
}
