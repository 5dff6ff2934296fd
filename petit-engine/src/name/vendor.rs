//! What a vendor calls itself.

use std::fmt;
use std::str::FromStr;

use super::InvalidName;
use crate::proto::control::is_harmless;

/// The name that a vendor gives itself, for people: shown beside the host that the invite pins, never instead of it.
/// Nobody has checked that it is true.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VendorName(String);

impl VendorName {
    /// Most characters.
    pub const MAX: usize = 60;

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VendorName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let what = "a vendor's name";
        let length = text.chars().count();
        if text.trim().is_empty() || length > Self::MAX {
            return Err(InvalidName::Length { what, min: 1, max: Self::MAX, length });
        }
        let allowed =
            "letters, digits and what else stands in names; no brackets, because the host stands in them";
        let is_bracket = |c: char| "()[]{}<>".contains(c);
        if let Some(found) = text.chars().find(|c| !is_harmless(*c) || is_bracket(*c)) {
            return Err(InvalidName::Character { what, found, allowed });
        }
        // What is shown must not be moved away from what stands beside it.
        if text.trim() != text || text.contains("  ") {
            return Err(InvalidName::Character { what, found: ' ', allowed: "single spaces between words" });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for VendorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for VendorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

text_serde!(VendorName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_people_read_and_nothing_that_moves_what_stands_beside_it() {
        let longest = "ä".repeat(VendorName::MAX);
        for good in ["Nordlicht", "Nordlicht & Söhne A/S", "日本商店", "x", &longest] {
            assert_eq!(good.parse::<VendorName>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(VendorName::MAX + 1);
        for bad in [
            "",
            " ",
            &too_long,
            "a\nb",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\u{2066}b",
            "a\u{e0041}b",
            "Bank (tunnel.bank.example)",
            "<b>",
            " a",
            "a ",
            "a  b",
            "a\tb",
        ] {
            assert!(bad.parse::<VendorName>().is_err(), "{bad:?}");
        }
    }
}
