//! What services and devices are called: random IDs, and names that people choose.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::{InvalidName, check_label};

/// Of lower-case base32 (RFC 4648 §6 without padding): no 0/O or 1/l to mix up when read aloud. A match and no search in
/// a table: every request's host is looked at in this way.
fn is_base32(character: char) -> bool {
    matches!(character, 'a'..='z' | '2'..='7')
}

fn base32(bytes: &[u8]) -> String {
    data_encoding::BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

macro_rules! random_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $length:literal characters, $bytes:literal bytes) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Characters of the text form.
            pub const LENGTH: usize = $length;

            /// A new one from the system's random source.
            ///
            /// # Errors
            /// When the system gives no random bytes.
            pub fn random() -> Result<Self, crate::secret::NoRandom> {
                let bytes: [u8; $bytes] = crate::secret::random_bytes()?;
                let mut text = [b'a'; $length];
                for (to, from) in text.iter_mut().zip(base32(&bytes).bytes()) {
                    *to = from;
                }
                Ok(Self(text))
            }

            /// The text form.
            pub fn as_str(&self) -> &str {
                // Made only of ASCII characters, in every constructor.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if let Some(found) = text.chars().find(|c| !is_base32(*c)) {
                    let allowed = "only a to z and 2 to 7";
                    return Err(InvalidName::Character { what: $what, found, allowed });
                }
                let length = text.len();
                let wrong = InvalidName::Length { what: $what, min: $length, max: $length, length };
                text.as_bytes().try_into().map(Self).map_err(|_| wrong)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        text_serde!($name);
    };
}

random_name! {
    /// The public name of one service: 80 random bits, the first label of its public host.
    RegisteredId, "a registered ID", 16 characters, 10 bytes
}

random_name! {
    /// The server's name for one registered device: 130 random bits. Never sent by the device; who it is, its
    /// key says.
    DeviceId, "a device ID", 26 characters, 17 bytes
}

random_name! {
    /// Which visitor's key a request shows: 40 random bits. Not secret.
    VisitorKeyId, "the ID of a visitor's key", 8 characters, 5 bytes
}

macro_rules! chosen_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Most characters.
            pub const MAX: usize = 40;

            /// The text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check_chosen($what, Self::MAX, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_serde!($name);
    };
}

/// Whether somebody may choose this name for `what`.
fn check_chosen(what: &'static str, max: usize, text: &str) -> Result<(), InvalidName> {
    let allowed = "lower-case letters, digits and - within";
    if text.is_empty() || text.len() > max {
        return Err(InvalidName::Length { what, min: 1, max, length: text.chars().count() });
    }
    if let Some(found) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(InvalidName::Character { what, found, allowed });
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(InvalidName::Character { what, found: '-', allowed });
    }
    Ok(())
}

chosen_name! {
    /// A service's name between customer and vendor, such as `web` or `accounts-db`.
    ServiceName, "a service name"
}

impl ServiceName {
    /// What a service is called that nobody has named.
    pub fn first() -> Self {
        Self("web".to_owned())
    }
}

chosen_name! {
    /// What the operator calls a policy, such as `cloud`.
    PolicyName, "a policy's name"
}

impl PolicyName {
    /// The policy that a new server has for HTTP services.
    pub fn default_http() -> Self {
        Self("default".to_owned())
    }

    /// The policy that a new server has for raw TCP services.
    pub fn default_tcp() -> Self {
        Self("default-tcp".to_owned())
    }
}

chosen_name! {
    /// What the operator calls a visitor's key, and what services are told of who holds it: such as `billing`.
    VisitorKeyName, "the name of a visitor's key"
}

impl VisitorKeyName {
    /// The key that a new server has.
    pub fn first() -> Self {
        Self("default".to_owned())
    }
}

chosen_name! {
    /// A word by which the operator finds clients and invites again, such as `pilot` or `eu`.
    Tag, "a tag"
}

/// A readable name for a registered ID: one label under the server's domain, or a whole domain of somebody's own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias(String);

impl Alias {
    /// Labels that would lend an alias an authority it has not, or that software looks up by itself.
    const RESERVED: [&str; 20] = [
        "www",
        "api",
        "admin",
        "administrator",
        "root",
        "mail",
        "smtp",
        "imap",
        "pop",
        "ftp",
        "ns1",
        "ns2",
        "autodiscover",
        "autoconfig",
        "wpad",
        "isatap",
        "localhost",
        "petit",
        "enroll",
        "status",
    ];

    /// True for a whole domain, false for a label under the server's domain.
    pub fn is_domain(&self) -> bool {
        self.0.contains('.')
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Alias {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let what = "an alias";
        let (min, max) = if text.contains('.') { (4, 253) } else { (3, 40) };
        if !(min..=max).contains(&text.len()) {
            return Err(InvalidName::Length { what, min, max, length: text.chars().count() });
        }
        if text.contains('.') && (text.parse::<Ipv4Addr>().is_ok() || text.split('.').count() < 2) {
            return Err(InvalidName::Form {
                expected: "a label such as acme, or a domain such as acme.example",
            });
        }
        for label in text.split('.') {
            check_label(what, label)?;
            // Punycode can look like another name; `_` names belong to protocols and fail as characters.
            if label.starts_with("xn--") {
                return Err(InvalidName::Reserved { name: text.to_owned() });
            }
        }
        // A label that reads as an ID would be shadowed by it, or shadow it.
        if Self::RESERVED.contains(&text) || text.parse::<RegisteredId>().is_ok() {
            return Err(InvalidName::Reserved { name: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_serde!(Alias);

/// The registered ID that a label stands for: the label itself, or its part before the first `-`, so that
/// `<id>-anything` reaches the same service.
pub fn id_of_label(label: &str) -> Option<RegisteredId> {
    label.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_and_read_back() {
        let (a, b) = (RegisteredId::random().unwrap(), RegisteredId::random().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.to_string().parse(), Ok(a));
        assert_eq!(a.to_string().len(), RegisteredId::LENGTH);
        let device = DeviceId::random().unwrap();
        assert_eq!(device.to_string().parse(), Ok(device));
        for bad in
            ["", "abc", "ABCDEFGHIJKLMNOP", "abcdefghijklmno1", "abcdefghijklmnopq", "abcdefghijklmnoé"]
        {
            assert!(bad.parse::<RegisteredId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_found_before_the_first_hyphen() {
        let id = RegisteredId::random().unwrap();
        assert_eq!(id_of_label(id.as_str()), Some(id));
        assert_eq!(id_of_label(&format!("{id}-accounting-2")), Some(id));
        assert_eq!(id_of_label(&format!("x{id}")), None);
        assert_eq!(id_of_label(&format!("a-{id}")), None);
    }

    #[test]
    fn aliases_that_mislead_are_refused() {
        for good in ["acme", "acme-2", "abc", "shop.acme.example", "a.bc"] {
            assert!(good.parse::<Alias>().is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        let id = RegisteredId::random().unwrap().to_string();
        for bad in [
            "",
            "ab",
            "www",
            "admin",
            "xn--80ak6aa92e",
            "Acme",
            "аcme",
            "_acme-challenge",
            "-acme",
            "acme-",
            "a_b",
            "a..b",
            ".acme",
            "acme.",
            "192.0.2.1",
            "shop.xn--p1ai",
            &long,
            &id,
            "a b c",
        ] {
            assert!(bad.parse::<Alias>().is_err(), "{bad}");
        }
    }

    #[test]
    fn service_names_are_labels() {
        assert_eq!(ServiceName::first().as_str().parse(), Ok(ServiceName::first()));
        for good in ["web", "accounts-db", "9", "a"] {
            assert!(good.parse::<ServiceName>().is_ok(), "{good}");
        }
        for bad in ["", "Web", "a b", "-a", "a-", "ü", &"a".repeat(41)] {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad}");
        }
    }
}
