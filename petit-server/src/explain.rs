//! Where a URL would lead, hop by hop, and what a visitor would get: decided by what ingress decides by, and by
//! trying the public address.

use petit_engine::cause::{Health, ServiceCause};
use petit_engine::name::{Alias, DeviceId, Endpoint, RegisteredId, ServiceName, VisitorHost};
use petit_engine::proto::control::{FrontState, ServiceKind};
use petit_engine::relay::{Failure, FrontKind, Presence, Route, Routed, Via, decide};
use petit_host::control::Problem;
use serde::Serialize;

use crate::directory::Directory;
use crate::server::Server;
use crate::store::StoreError;

/// What was found out about a URL.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// As it was asked for.
    pub url: String,
    /// Its scheme: `http`, `https` or `tcp`.
    pub scheme: &'static str,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The domain of public names.
    pub domain: String,
    /// What the host, or the port of a raw TCP service, stands for.
    pub decision: Decision,
    /// How a service was found.
    pub via: Option<&'static str>,
    /// The service's registered ID.
    pub id: Option<RegisteredId>,
    /// Its name at its client.
    pub service: Option<ServiceName>,
    /// What it speaks.
    pub kind: Option<ServiceKind>,
    /// Where it really is to be reached, when that is not the URL.
    pub address: Option<String>,
    /// Whose it is.
    pub client: Option<DeviceId>,
    /// Whether that client is connected.
    pub client_online: Option<bool>,
    /// How the service is, as its client says.
    pub health: Option<Health>,
    /// Which of the server's ways in it leads to.
    pub way_in: WayIn,
    /// How the public address is, tried just now.
    pub public: Option<FrontState>,
    /// What a visitor gets.
    pub outcome: Outcome,
    /// The server's own answer, if that is what a visitor gets; while no server runs, what they would get.
    pub answer: Option<Answer>,
    /// Whether a server runs.
    pub server_running: bool,
}

/// What a host stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A service.
    Service,
    /// A name or port that no service has.
    Unknown,
    /// A host that is not this server's.
    Foreign,
}

/// The ways into a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WayIn {
    /// The scheme and port of public addresses.
    Endpoint,
    /// The socket for plain HTTP.
    PlainSocket,
    /// The socket for TLS.
    TlsSocket,
    /// A raw TCP service's port.
    TcpPort,
    /// None: nothing of this server is there.
    Nowhere,
}

/// What a visitor gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// No connection.
    ConnectionRefused,
    /// A connection, but no TLS.
    NoTls,
    /// A connection on which only TLS is spoken.
    OnlyTls,
    /// Something that keeps visitors out of the public address.
    KeptOut,
    /// The server's own answer.
    Answer,
    /// A connection that is reset at once.
    Reset,
    /// The service.
    Service,
}

/// An answer of Petit's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its `Petit-Error`.
    pub code: &'static str,
}

/// What is asked for: a URL taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    scheme: Scheme,
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Tcp,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        }
    }
}

impl Asked {
    /// Takes a URL apart. What has no scheme is a host, an alias or a registered ID, at the endpoint's own port.
    fn parse(text: &str, endpoint: &Endpoint) -> Result<Self, Problem> {
        let bad = |message: String| Problem::new(400, "bad_url", message);
        let own = if endpoint.is_https() { Scheme::Https } else { Scheme::Http };
        let (scheme, rest) = match text.trim().split_once("://") {
            None => (None, text.trim()),
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        };
        let scheme = match scheme.as_deref() {
            None => own,
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some("tcp") => Scheme::Tcp,
            Some(other) => {
                let message = format!(
                    "{other}:// is nothing that this server serves; addresses begin with {}:// or, for raw TCP services, tcp://",
                    own.name()
                );
                return Err(bad(message));
            }
        };
        let is_bare = !text.contains("://");
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if scheme == Scheme::Tcp {
            let (host, port) = authority.rsplit_once(':').ok_or_else(|| {
                bad(format!("{authority:?} names no port; a raw TCP service is known by its port"))
            })?;
            let port = port.parse().map_err(|_| bad(format!("{port:?} is no port")))?;
            return Ok(Self { scheme, host: host.trim_matches(['[', ']']).to_owned(), port });
        }
        // A name of one label stands for one under the domain.
        let is_label = authority.parse::<RegisteredId>().is_ok() || authority.parse::<Alias>().is_ok();
        let authority = if is_bare && is_label { endpoint.host(authority) } else { authority.to_owned() };
        let host = VisitorHost::parse(&authority).map_err(|error| {
            let status = Failure::BadHost.status();
            bad(format!("{authority:?} is {error}; visitors would get {status}"))
        })?;
        let usual = match (is_bare, scheme) {
            (true, _) => endpoint.visitors_port(),
            (false, Scheme::Https) => 443,
            (false, Scheme::Http | Scheme::Tcp) => 80,
        };
        Ok(Self { scheme, host: host.name().to_owned(), port: host.port().unwrap_or(usual) })
    }
}

/// Explains a URL. `server`: the running one.
///
/// # Errors
/// A [`Problem`] when it is no URL, or the registry cannot be read.
pub async fn explain(
    url: &str,
    endpoint: &Endpoint,
    directory: &Directory,
    server: Option<&Server>,
) -> Result<Explained, Problem> {
    let asked = Asked::parse(url, endpoint)?;
    let explaining = Explaining { asked, endpoint, directory, server };
    let found = match explaining.asked.scheme {
        Scheme::Tcp => explaining.tcp().await?,
        Scheme::Http | Scheme::Https => explaining.web().await?,
    };
    Ok(explaining.explained(url, found))
}

struct Explaining<'a> {
    asked: Asked,
    endpoint: &'a Endpoint,
    directory: &'a Directory,
    server: Option<&'a Server>,
}

/// What the scheme's own rules have found.
struct Found {
    decision: Decision,
    route: Option<(Route, &'static str)>,
    way_in: WayIn,
    public: Option<FrontState>,
    outcome: Outcome,
    answer: Option<Failure>,
}

impl Explaining<'_> {
    fn presence(&self, route: &Route) -> Presence {
        self.server.map_or(Presence::Away, |server| server.relay.presence(route))
    }

    async fn web(&self) -> Result<Found, Problem> {
        let Asked { host, .. } = &self.asked;
        let host =
            VisitorHost::parse(host).map_err(|error| Problem::new(400, "bad_url", error.to_string()))?;
        let (decision, route) = match decide(&host, self.endpoint, self.directory) {
            Routed::Unknown => (Decision::Unknown, None),
            Routed::Foreign => (Decision::Foreign, None),
            Routed::Service { route, via } => {
                let via = match via {
                    Via::Alias => "alias",
                    Via::Id => "registered ID",
                };
                (Decision::Service, Some((route, via)))
            }
        };
        // What the server says to whoever gets in.
        let answer = match (&route, decision) {
            (Some((route, _)), _) => self.failure(route),
            (None, Decision::Foreign) => Some(Failure::Misdirected),
            (None, Decision::Unknown | Decision::Service) => Some(Failure::Unknown),
        };
        let within = if answer.is_some() { Outcome::Answer } else { Outcome::Service };
        let way_in = self.way_in();
        let public = match (way_in, self.server) {
            (WayIn::Endpoint, Some(server)) => Some(self.public(server, &host, route.is_some()).await),
            _ => None,
        };
        let is_certified = self.server.is_some_and(|server| !server.https().certificates.is_empty());
        let outcome = match (way_in, self.asked.scheme, public) {
            _ if self.server.is_none() => Outcome::ConnectionRefused,
            (WayIn::Endpoint, _, Some(FrontState::Failed(_))) => Outcome::KeptOut,
            (WayIn::Endpoint, ..) => within,
            (WayIn::PlainSocket, Scheme::Https, _) => Outcome::NoTls,
            (WayIn::PlainSocket, ..) => within,
            (WayIn::TlsSocket, Scheme::Http, _) => Outcome::OnlyTls,
            (WayIn::TlsSocket, ..) if is_certified => within,
            (WayIn::TlsSocket, ..) => Outcome::NoTls,
            (WayIn::TcpPort | WayIn::Nowhere, ..) => Outcome::ConnectionRefused,
        };
        // Who does not get in gets no answer; while no server runs it is what they would get.
        let answer = answer.filter(|_| outcome == Outcome::Answer || self.server.is_none());
        Ok(Found { decision, route, way_in, public, outcome, answer })
    }

    /// Which of the server's ways in a scheme and a port lead to.
    fn way_in(&self) -> WayIn {
        let Asked { scheme, port, .. } = self.asked;
        if (scheme == Scheme::Https) == self.endpoint.is_https() && port == self.endpoint.visitors_port() {
            return WayIn::Endpoint;
        }
        match self.server {
            Some(server) if port == server.http.port() => WayIn::PlainSocket,
            Some(server) if port == server.tls.port() => WayIn::TlsSocket,
            Some(_) | None => WayIn::Nowhere,
        }
    }

    /// How the public address is. A name that no service has is not worth an attempt of its own.
    async fn public(&self, server: &Server, host: &VisitorHost, is_service: bool) -> FrontState {
        if is_service {
            return server.relay.try_host(host).await;
        }
        server.relay.front(&FrontKind::Endpoint)
    }

    /// The server's own answer to a request for a service; `None`: the service's.
    fn failure(&self, route: &Route) -> Option<Failure> {
        if route.kind == ServiceKind::Tcp {
            return Some(Failure::NotHttp);
        }
        // Whether a client is there is known to a running server alone.
        self.server?;
        match self.presence(route) {
            Presence::Away => Some(Failure::Away),
            Presence::NotOffered => Some(Failure::NotOffered),
            Presence::Offered(Health::Up | Health::Untried) => None,
            Presence::Offered(Health::Down(cause)) => Some(match cause {
                ServiceCause::Refused => Failure::ServiceDown,
                ServiceCause::Unreachable | ServiceCause::NameNotFound | ServiceCause::Forbidden => {
                    Failure::ServiceUnreachable
                }
                ServiceCause::NotTls | ServiceCause::Untrusted => Failure::ServiceTls,
                ServiceCause::NoAnswer => Failure::ServiceBroke,
                ServiceCause::NotHttp => Failure::ServiceInvalid,
            }),
        }
    }

    async fn tcp(&self) -> Result<Found, Problem> {
        let route = self.tcp_route().await?;
        let outcome = match (&route, self.server) {
            (None, _) | (_, None) => Outcome::ConnectionRefused,
            (Some(route), Some(_)) => match self.presence(route) {
                Presence::Away | Presence::NotOffered | Presence::Offered(Health::Down(_)) => Outcome::Reset,
                Presence::Offered(Health::Up | Health::Untried) => Outcome::Service,
            },
        };
        let running = self.server.filter(|_| route.is_some());
        let public = running.map(|server| server.relay.front(&FrontKind::TcpHost));
        Ok(Found {
            decision: if route.is_some() { Decision::Service } else { Decision::Unknown },
            way_in: if route.is_some() { WayIn::TcpPort } else { WayIn::Nowhere },
            route: route.map(|route| (route, "port")),
            public,
            outcome,
            answer: None,
        })
    }

    /// The service that a port was given to.
    async fn tcp_route(&self) -> Result<Option<Route>, Problem> {
        use petit_engine::relay::Names;
        let port = self.asked.port;
        if let Some(server) = self.server {
            let id = server.relay.service_at_port(port);
            return Ok(id.and_then(|id| self.directory.service(&id)));
        }
        let failed = |error: StoreError| Problem::new(500, "failed", petit_host::cli::chain(&error));
        let rows = self.directory.store().devices().await.map_err(failed)?;
        let mut services = rows.iter().flat_map(|row| &row.services);
        let id = services.find(|service| service.port == Some(port)).map(|service| service.id);
        Ok(id.and_then(|id| self.directory.service(&id)))
    }

    fn explained(&self, url: &str, found: Found) -> Explained {
        let Found { decision, route, way_in, public, outcome, answer } = found;
        let via = route.as_ref().map(|(_, via)| *via);
        let route = route.map(|(route, _)| route);
        let presence = route.as_ref().map(|route| self.presence(route));
        let address = route.as_ref().and_then(|route| match route.kind {
            ServiceKind::Http => None,
            ServiceKind::Tcp => self.server?.relay.tcp_address(&route.id),
        });
        Explained {
            url: url.to_owned(),
            scheme: self.asked.scheme.name(),
            host: self.asked.host.clone(),
            port: self.asked.port,
            domain: self.endpoint.domain().to_owned(),
            decision,
            via,
            id: route.as_ref().map(|route| route.id),
            service: route.as_ref().map(|route| route.name.clone()),
            kind: route.as_ref().map(|route| route.kind),
            address,
            client: route.as_ref().map(|route| route.device),
            client_online: presence.map(|presence| presence != Presence::Away),
            health: presence.and_then(|presence| match presence {
                Presence::Offered(health) => Some(health),
                Presence::Away | Presence::NotOffered => None,
            }),
            way_in,
            public,
            outcome,
            answer: answer.map(|failure| Answer { status: failure.status().as_u16(), code: failure.code() }),
            server_running: self.server.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<(&'static str, String, u16), String> {
        let endpoint = "https://REGID.example.com:8443".parse().unwrap();
        let asked = Asked::parse(text, &endpoint).map_err(|problem| problem.message)?;
        Ok((asked.scheme.name(), asked.host, asked.port))
    }

    #[test]
    fn a_url_is_taken_at_its_word_and_a_name_at_the_endpoints() {
        let found = |scheme, host: &str, port| Ok((scheme, host.to_owned(), port));
        assert_eq!(asked("https://acme.example.com/x?y#z"), found("https", "acme.example.com", 443));
        assert_eq!(asked("HTTP://Acme.Example.com."), found("http", "acme.example.com", 80));
        assert_eq!(asked("https://acme.example.com:8443/"), found("https", "acme.example.com", 8443));
        assert_eq!(asked("acme.example.com"), found("https", "acme.example.com", 8443));
        assert_eq!(asked("acme.example.com:80"), found("https", "acme.example.com", 80));
        let id = RegisteredId::random().unwrap();
        assert_eq!(asked(id.as_str()), found("https", &format!("{id}.example.com"), 8443));
        assert_eq!(asked("acme"), found("https", "acme.example.com", 8443));
        assert_eq!(asked("portal.acme.example"), found("https", "portal.acme.example", 8443));
        assert_eq!(asked("tcp://127.0.0.1:20000"), found("tcp", "127.0.0.1", 20000));
        assert_eq!(asked("tcp://[::1]:20000"), found("tcp", "::1", 20000));
    }

    #[test]
    fn what_is_no_address_of_the_servers_is_refused_with_the_reason() {
        for (text, expected) in [
            ("ftp://acme.example.com", "ftp:// is nothing that this server serves"),
            ("https://192.0.2.1/", "is an address instead of a name"),
            ("tcp://acme.example.com", "names no port"),
            ("tcp://acme.example.com:x", "is no port"),
            ("https://a b/", "is not one valid host name"),
            ("", "is not one valid host name"),
        ] {
            let refused = asked(text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }
}
