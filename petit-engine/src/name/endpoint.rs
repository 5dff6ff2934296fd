//! How public addresses are made.

use std::fmt;
use std::str::FromStr;

use super::{InvalidName, check_label};

/// How public addresses are made: `https://REGID.example.com`, where `REGID` stands for the name of a service.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    https: bool,
    domain: String,
    port: Option<u16>,
}

impl Endpoint {
    const FORM: InvalidName = InvalidName::Form { expected: "an address such as https://REGID.example.com" };

    /// The label under the domain by which clients find the server unless its operator says otherwise. `*.domain`, in
    /// DNS and in certificates, covers it; it does not cover the domain itself, where vendors have their website.
    pub const TUNNEL_LABEL: &str = "tunnel";
    /// The path of the page that says what to do with an invite.
    pub const ENROLL_PATH: &str = "/enroll";

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

    /// True when it is for trying out on one machine: names under `localhost`.
    pub fn is_local(&self) -> bool {
        self.domain == "localhost" || self.domain.ends_with(".localhost")
    }

    /// The host by which clients find the server unless its operator says otherwise. Many systems know no names
    /// under `localhost`, but all know that one.
    pub fn tunnel_host(&self) -> String {
        if self.is_local() { "localhost".to_owned() } else { self.host(Self::TUNNEL_LABEL) }
    }

    /// The address of the page that says what to do with an invite. It is at the public front, where visitors get in
    /// too; without encryption only on one machine: what stands behind its `#` is a secret, and a page that somebody
    /// has changed on its way could read it. `secure_port` is where the server speaks TLS itself.
    pub fn enroll_page(&self, secure_port: u16) -> String {
        let page = if self.https || self.is_local() {
            self.url(Self::TUNNEL_LABEL)
        } else {
            format!("https://{}:{secure_port}", self.host(Self::TUNNEL_LABEL))
        };
        page + Self::ENROLL_PATH
    }

    /// True when visitors come by HTTPS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The port that visitors use, also when it is the scheme's own.
    pub fn visitors_port(&self) -> u16 {
        self.port.unwrap_or(if self.https { 443 } else { 80 })
    }

    /// The same addresses on another port, for a listener whose port the system has chosen.
    pub fn with_port(&self, port: u16) -> Self {
        let usual = if self.https { 443 } else { 80 };
        Self { port: (port != usual).then_some(port), ..self.clone() }
    }

    /// The public host of a label under the domain, or of a whole domain.
    pub fn host(&self, name: &str) -> String {
        if name.contains('.') { name.to_owned() } else { format!("{name}.{}", self.domain) }
    }

    /// The public address of a label under the domain, or of a whole domain.
    pub fn url(&self, name: &str) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{}{port}", self.host(name))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_make_addresses_and_read_back() {
        let endpoint: Endpoint = "https://REGID.example.com".parse().unwrap();
        assert_eq!(endpoint.url("acme"), "https://acme.example.com");
        assert_eq!(endpoint.url("shop.acme.example"), "https://shop.acme.example");
        let local: Endpoint = "http://REGID.localhost:8090".parse().unwrap();
        assert_eq!(local.url("abc"), "http://abc.localhost:8090");
        assert_eq!(local.domain(), "localhost");
        assert_eq!(local.to_string().parse(), Ok(local));
        let host = |text: &str| text.parse::<Endpoint>().unwrap().tunnel_host();
        assert_eq!(host("https://REGID.example.com:8443"), "tunnel.example.com");
        assert_eq!(host("http://REGID.localhost:8090"), "localhost");
        assert_eq!(host("http://REGID.a.localhost:8090"), "localhost");
        let page = |text: &str| text.parse::<Endpoint>().unwrap().enroll_page(8453);
        assert_eq!(page("https://REGID.example.com"), "https://tunnel.example.com/enroll");
        assert_eq!(page("https://REGID.example.com:8443"), "https://tunnel.example.com:8443/enroll");
        assert_eq!(page("http://REGID.localhost:8090"), "http://tunnel.localhost:8090/enroll");
        assert_eq!(page("http://REGID.corp.example"), "https://tunnel.corp.example:8453/enroll");
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
}
