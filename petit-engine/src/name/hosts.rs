//! Hosts: where something listens, what a service is to see, what a visitor asked for.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{InvalidName, check_label};

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

#[cfg(test)]
mod tests {
    use super::*;

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
