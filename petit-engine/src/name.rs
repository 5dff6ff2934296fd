//! Names: parsed once, then carried as types that cannot be made wrong.
//!
//! [`RegisteredId`] and [`DeviceId`] are random, so that nothing can be guessed, taken or counted.
//! [`VisitorHost`] is the host of one request after every check; it alone decides route and authorization.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Shorter or longer than allowed.
    #[error("{what} has {min} to {max} characters, this one has {length}")]
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
    Reserved {
        /// The name.
        name: String,
    },
    /// The form as a whole is wrong.
    #[error("expected {expected}")]
    Form {
        /// What it should look like, with an example.
        expected: &'static str,
    },
}

/// Lower-case base32 (RFC 4648 §6 without padding): no 0/O or 1/l to mix up when read aloud.
const BASE32: &str = "abcdefghijklmnopqrstuvwxyz234567";

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
                if let Some(found) = text.chars().find(|c| !BASE32.contains(*c)) {
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

/// Serde through the text form, so that a value that came in from outside was checked.
macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
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

/// A service's name between customer and vendor, such as `web` or `accounts-db`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(String);

impl ServiceName {
    /// Most characters.
    pub const MAX: usize = 40;

    /// What a service is called that nobody has named.
    pub fn first() -> Self {
        Self("web".to_owned())
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let what = "a service name";
        let allowed = "lower-case letters, digits and - within";
        if text.is_empty() || text.len() > Self::MAX {
            return Err(InvalidName::Length { what, min: 1, max: Self::MAX, length: text.chars().count() });
        }
        if let Some(found) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            return Err(InvalidName::Character { what, found, allowed });
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(InvalidName::Character { what, found: '-', allowed });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_serde!(ServiceName);

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

/// Where something listens: a DNS name or an IP address, and a port. `[::1]:80` for IPv6.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerAddr {
    host: String,
    port: u16,
}

impl ServerAddr {
    const FORM: InvalidName = InvalidName::Form { expected: "host:port, such as tunnel.example.com:8453" };

    /// From its parts; the host is a DNS name, an IPv4 address or an IPv6 address without brackets.
    ///
    /// # Errors
    /// [`InvalidName`] when the host is neither.
    pub fn new(host: &str, port: u16) -> Result<Self, InvalidName> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if host.parse::<Ipv6Addr>().is_err() && host.parse::<Ipv4Addr>().is_err() {
            if host.is_empty() || host.len() > 253 {
                return Err(Self::FORM);
            }
            for label in host.split('.') {
                // Private networks do use `_` in host names; only aliases are stricter.
                check_label("a host name", &label.replace('_', "a"))?;
            }
        }
        Ok(Self { host, port })
    }

    /// The host, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for ServerAddr {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (host, port) = text.rsplit_once(':').ok_or(Self::FORM)?;
        let port =
            port.parse().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit())).ok_or(Self::FORM)?;
        match host.strip_prefix('[') {
            Some(rest) => {
                let v6 = rest.strip_suffix(']').ok_or(Self::FORM)?;
                v6.parse::<Ipv6Addr>().map_err(|_| Self::FORM)?;
                Self::new(v6, port)
            }
            None if host.contains(':') => Err(Self::FORM),
            None => Self::new(host, port),
        }
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_serde!(ServerAddr);

/// A `Host` field that a service is to see instead of the visitor's: a host and perhaps a port, in the form in
/// which it is sent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostField(String);

impl HostField {
    const FORM: InvalidName =
        InvalidName::Form { expected: "a host such as shop.internal or localhost:3000" };

    /// The field's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&ServerAddr> for HostField {
    fn from(address: &ServerAddr) -> Self {
        Self(address.to_string())
    }
}

impl FromStr for HostField {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let has_port =
            text.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
        if has_port {
            let address: ServerAddr = text.parse().map_err(|_| Self::FORM)?;
            return Ok(Self(address.to_string()));
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match bare {
            Some(v6) => {
                v6.parse::<Ipv6Addr>().map_err(|_| Self::FORM)?;
                Ok(Self(text.to_owned()))
            }
            None if text.contains(':') => Err(Self::FORM),
            None => ServerAddr::new(text, 0).map(|address| Self(address.host)).map_err(|_| Self::FORM),
        }
    }
}

impl fmt::Display for HostField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_serde!(HostField);

/// How public addresses are made: `https://REGID.example.com`, where `REGID` stands for the name of a service.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    https: bool,
    domain: String,
    port: Option<u16>,
}

impl Endpoint {
    const FORM: InvalidName = InvalidName::Form { expected: "an address such as https://REGID.example.com" };

    /// For one machine: names under `localhost`.
    pub fn localhost() -> Self {
        Self { https: false, domain: "localhost".to_owned(), port: None }
    }

    /// The domain that all registered IDs live under.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The port that visitors use, when it is not the scheme's own.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same addresses on another port, for a listener whose port the system has chosen.
    pub fn with_port(&self, port: u16) -> Self {
        let usual = if self.https { 443 } else { 80 };
        Self { port: (port != usual).then_some(port), ..self.clone() }
    }

    /// The public address of a label under the domain, or of a whole domain.
    pub fn url(&self, name: &str) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        if name.contains('.') {
            format!("{scheme}://{name}{port}")
        } else {
            format!("{scheme}://{name}.{}{port}", self.domain)
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (scheme, rest) = text.split_once("://").ok_or(Self::FORM)?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(Self::FORM),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest).strip_prefix("REGID.").ok_or(Self::FORM)?;
        let (domain, port) = match rest.split_once(':') {
            Some((domain, port)) => (domain, Some(port.parse().map_err(|_| Self::FORM)?)),
            None => (rest, None),
        };
        let domain = domain.to_ascii_lowercase();
        for label in domain.split('.') {
            check_label("a domain", label)?;
        }
        Ok(Self { https, domain, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url("REGID"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_serde!(Endpoint);

/// The host that a visitor asked for: lower-case, without port and final dot, a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VisitorHost {
    name: String,
    port: Option<u16>,
}

/// Why a `Host` or `:authority` is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// Not one host with an optional port.
    #[error("not one valid host name")]
    Malformed,
    /// An IP address, which no service is known by.
    #[error("an address instead of a name")]
    Address,
}

impl VisitorHost {
    /// Reads a `Host` field value or the authority of a request target (RFC 9110 §7.2).
    ///
    /// # Errors
    /// [`InvalidHost`] for user information, lists, spaces, controls, bad labels, bad ports and addresses.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        if text.starts_with('[') {
            return Err(InvalidHost::Address);
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => {
                let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
                let port = port.parse().ok().filter(|_| digits).ok_or(InvalidHost::Malformed)?;
                (name, Some(port))
            }
            None => (text, None),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.is_empty() || name.len() > 253 {
            return Err(InvalidHost::Malformed);
        }
        if name.parse::<Ipv4Addr>().is_ok() {
            return Err(InvalidHost::Address);
        }
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        if !name.split('.').all(label_ok) {
            return Err(InvalidHost::Malformed);
        }
        Ok(Self { name, port })
    }

    /// The whole name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, when one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The one label before `.domain`; `None` when the name is not directly under it.
    pub fn label_under(&self, domain: &str) -> Option<&str> {
        let label = self.name.strip_suffix(domain)?.strip_suffix('.')?;
        (!label.is_empty() && !label.contains('.')).then_some(label)
    }
}

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

    #[test]
    fn addresses_keep_brackets_where_they_belong() {
        for text in ["localhost:3000", "127.0.0.1:80", "[::1]:8453", "db_1.lan:5432"] {
            assert_eq!(text.parse::<ServerAddr>().unwrap().to_string(), text);
        }
        assert_eq!("Host.Example.:1".parse::<ServerAddr>().unwrap().to_string(), "host.example:1");
        for bad in
            ["", "localhost", ":80", "a:b", "a:99999", "::1:80", "[::1:80", "a b:80", "http://a:80", "a:+1"]
        {
            assert!(bad.parse::<ServerAddr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_field_is_a_host_and_perhaps_a_port() {
        for text in ["shop.internal", "localhost:3000", "127.0.0.1", "[::1]", "[::1]:80", "db_1.lan"] {
            assert_eq!(text.parse::<HostField>().unwrap().as_str(), text);
        }
        for bad in ["", "a b", "a:", "a:x", "::1", "[::1", "a,b", "user@a", "a/b", "a\r\nb", "é"] {
            assert!(bad.parse::<HostField>().is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoints_make_addresses_and_read_back() {
        let endpoint: Endpoint = "https://REGID.example.com".parse().unwrap();
        assert_eq!(endpoint.url("acme"), "https://acme.example.com");
        assert_eq!(endpoint.url("shop.acme.example"), "https://shop.acme.example");
        let local: Endpoint = "http://REGID.localhost:8090".parse().unwrap();
        assert_eq!(local.url("abc"), "http://abc.localhost:8090");
        assert_eq!(local.domain(), "localhost");
        assert_eq!(local.to_string().parse(), Ok(local));
        for bad in [
            "",
            "https://example.com",
            "REGID.example.com",
            "ftp://REGID.a",
            "https://REGID.",
            "https://REGID.a:x",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_visitors_host_is_one_plain_name() {
        let host = VisitorHost::parse("ABC.Example.COM.:8090").unwrap();
        assert_eq!((host.name(), host.port()), ("abc.example.com", Some(8090)));
        assert_eq!(host.label_under("example.com"), Some("abc"));
        assert_eq!(host.label_under("ample.com"), None);
        assert_eq!(VisitorHost::parse("a.b.example.com").unwrap().label_under("example.com"), None);
        assert_eq!(VisitorHost::parse("example.com").unwrap().label_under("example.com"), None);
        for bad in [
            "",
            ".",
            "a,b",
            "a b",
            "user@a",
            "a:",
            "a:b",
            "a:+80",
            "a:99999",
            "a\t",
            "é.example",
            "a..b",
            "a:1:2",
        ] {
            assert_eq!(VisitorHost::parse(bad), Err(InvalidHost::Malformed), "{bad}");
        }
        for address in ["127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:80"] {
            assert_eq!(VisitorHost::parse(address), Err(InvalidHost::Address), "{address}");
        }
    }
}
