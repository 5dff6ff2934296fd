//! Where a URL would lead, hop by hop, and what a visitor would get: decided by what ingress decides by, and by
//! trying each hop. What was not tried is not said to work.

mod visitor;

use crate::api::{
    Decision, EntryPoint, ExplainUrl, Explained, FoundBy, OwnAnswer, PolicyExplained, SupposedVisitor,
    UrlScheme, VisitOutcome,
};
use crate::directory::Directory;
use crate::registry::StoreError;
use crate::server::Server;
use petit_engine::cause::Health;
use petit_engine::name::{Alias, Endpoint, PolicyName, RegisteredId, VisitorHost};
use petit_engine::proto::control::{FrontState, Hop, ProbeResult, ServiceKind};
use petit_host::control::ApiProblem;
use petit_relay::{Failure, Presence, Route, Routed, Via, decide};

/// What is asked for: a URL taken apart.
#[derive(Debug, PartialEq, Eq)]
struct ExplainRequest {
    scheme: UrlScheme,
    host: String,
    port: u16,
}

impl ExplainRequest {
    /// Takes a URL apart. What has no scheme is a host, an alias or a registered ID, at the endpoint's own port.
    fn parse(text: &str, endpoint: &Endpoint) -> Result<Self, ApiProblem> {
        let bad = |message: String| ApiProblem::new(400, "bad_url", message);
        let own = if endpoint.is_https() { UrlScheme::Https } else { UrlScheme::Http };
        let (scheme, rest) = match text.trim().split_once("://") {
            None => (None, text.trim()),
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        };
        let scheme = match scheme.as_deref() {
            None => own,
            Some("http") => UrlScheme::Http,
            Some("https") => UrlScheme::Https,
            Some("tcp") => UrlScheme::Tcp,
            Some(other) => {
                let message = format!(
                    "{other}:// is nothing that this server serves; addresses begin with {}:// or, for raw TCP services, tcp://",
                    own.as_str()
                );
                return Err(bad(message));
            }
        };
        let is_bare = !text.contains("://");
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if scheme == UrlScheme::Tcp {
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
            (false, UrlScheme::Https) => 443,
            (false, UrlScheme::Http | UrlScheme::Tcp) => 80,
        };
        Ok(Self { scheme, host: host.name().to_owned(), port: host.port().unwrap_or(usual) })
    }
}

/// Explains a URL. `server`: the running one.
///
/// # Errors
/// An [`ApiProblem`] when it is no URL, or the registry cannot be read.
pub async fn explain(
    ExplainUrl { url, visitor }: &ExplainUrl,
    endpoint: &Endpoint,
    directory: &Directory,
    server: Option<&Server>,
) -> Result<Explained, ApiProblem> {
    let asked = ExplainRequest::parse(url, endpoint)?;
    let explaining = Explaining { asked, visitor, endpoint, directory, server };
    let found = match explaining.asked.scheme {
        UrlScheme::Tcp => explaining.tcp().await?,
        UrlScheme::Http | UrlScheme::Https => explaining.web().await?,
    };
    Ok(explaining.explained(url, found))
}

struct Explaining<'a> {
    asked: ExplainRequest,
    visitor: &'a SupposedVisitor,
    endpoint: &'a Endpoint,
    directory: &'a Directory,
    server: Option<&'a Server>,
}

/// What the scheme's own rules have found.
struct Found {
    decision: Decision,
    route: Option<(Route, FoundBy)>,
    behind: Option<Behind>,
    entry_point: EntryPoint,
    public: Option<FrontState>,
    policy: Option<PolicyExplained>,
    shut_by: Option<PolicyName>,
    outcome: VisitOutcome,
    answer: Option<Failure>,
}

/// What lies between the server and a service, tried just now.
#[derive(Clone, Copy)]
struct Behind {
    presence: Presence,
    probe: Option<ProbeResult>,
}

impl Behind {
    /// Whether anything came back through the tunnel.
    fn has_answered(&self) -> bool {
        self.probe.is_some_and(|probe| probe.tunnel_us.is_some())
    }

    /// How the service was found; `None` when it was not tried.
    fn health(&self) -> Option<Health> {
        match (self.probe?.broken, self.presence) {
            (None, _) => Some(Health::Up),
            // Its client has seen more of it than came back through the tunnel.
            (Some(Hop::Service(cause)), Presence::Offered(Health::Down(said)))
                if Failure::from(said) == Failure::from(cause) =>
            {
                Some(Health::Down(said))
            }
            (Some(Hop::Service(cause)), _) if self.has_answered() => Some(Health::Down(cause)),
            (Some(Hop::Service(_) | Hop::Front | Hop::Tunnel | Hop::Client), _) => None,
        }
    }

    /// Why a visitor does not get the service's own answer.
    fn failure(&self) -> Option<Failure> {
        let Some(probe) = self.probe else {
            return self.presence.failure().or(Some(Failure::NotOffered));
        };
        match probe.broken? {
            Hop::Client => Some(Failure::NotOffered),
            Hop::Service(cause) if self.has_answered() => Some(cause.into()),
            Hop::Service(_) | Hop::Front | Hop::Tunnel => Some(Failure::TunnelLost),
        }
    }
}

impl Explaining<'_> {
    /// Tries the way to a service; `None` while no server runs, because then nothing is known of clients.
    async fn behind(&self, route: Option<&Route>) -> Option<Behind> {
        let (route, server) = (route?, self.server?);
        let probe = server.relay.try_service(route).await;
        // Asked afterwards: the probe may have been news to the client.
        Some(Behind { presence: server.relay.presence(route), probe })
    }

    async fn web(&self) -> Result<Found, ApiProblem> {
        let ExplainRequest { host, .. } = &self.asked;
        let host =
            VisitorHost::parse(host).map_err(|error| ApiProblem::new(400, "bad_url", error.to_string()))?;
        let routed = decide(&host, self.endpoint, self.directory);
        // What ingress decides by, too.
        let allowed = routed.clone().service().and_then(|route| route.must_be(ServiceKind::Http));
        let (decision, route) = match routed {
            Routed::Unknown => (Decision::Unknown, None),
            Routed::Foreign => (Decision::Foreign, None),
            Routed::Service { route, via } => {
                let via = match via {
                    Via::Alias => FoundBy::Alias,
                    Via::Id => FoundBy::RegisteredId,
                };
                (Decision::Service, Some((route, via)))
            }
        };
        let entry_point = self.entry_point();
        let route_alone = route.as_ref().map(|(route, _)| route);
        let (public, behind) =
            tokio::join!(self.public(&host, entry_point, decision), self.behind(route_alone));
        // What the server says to whoever gets in.
        let policy =
            route_alone.and_then(|route| visitor::policy(route, self.visitor, self.directory, self.server));
        let answer = allowed.err().or_else(|| visitor::refusal(policy.as_ref()));
        let answer = answer.or_else(|| behind.and_then(|behind| behind.failure()));
        let outcome = self.web_outcome(entry_point, public, answer);
        // Who does not get in gets no answer; while no server runs it is what they would get.
        let answer = answer.filter(|_| outcome == VisitOutcome::Answer || self.server.is_none());
        let shut_by = None;
        Ok(Found { decision, route, behind, entry_point, public, policy, shut_by, outcome, answer })
    }

    fn web_outcome(
        &self,
        entry_point: EntryPoint,
        public: Option<FrontState>,
        answer: Option<Failure>,
    ) -> VisitOutcome {
        let within = if answer.is_some() { VisitOutcome::Answer } else { VisitOutcome::Service };
        let is_certified = self.server.is_some_and(|server| !server.https().certificates.is_empty());
        match (entry_point, self.asked.scheme, public) {
            _ if self.server.is_none() => VisitOutcome::ConnectionRefused,
            (EntryPoint::Endpoint, _, Some(FrontState::Failed(_))) => VisitOutcome::KeptOut,
            (EntryPoint::Endpoint, ..) => within,
            (EntryPoint::PlainSocket, UrlScheme::Https, _) => VisitOutcome::NoTls,
            (EntryPoint::PlainSocket, ..) => within,
            (EntryPoint::TlsSocket, UrlScheme::Http, _) => VisitOutcome::OnlyTls,
            (EntryPoint::TlsSocket, ..) if is_certified => within,
            (EntryPoint::TlsSocket, ..) => VisitOutcome::NoTls,
            (EntryPoint::TcpPort | EntryPoint::Nowhere, ..) => VisitOutcome::ConnectionRefused,
        }
    }

    /// Which of the server's ways in a scheme and a port lead to.
    fn entry_point(&self) -> EntryPoint {
        let ExplainRequest { scheme, port, .. } = self.asked;
        if (scheme == UrlScheme::Https) == self.endpoint.is_https() && port == self.endpoint.visitors_port() {
            return EntryPoint::Endpoint;
        }
        match self.server {
            Some(server) if port == server.http.port() => EntryPoint::PlainSocket,
            Some(server) if port == server.tls.port() => EntryPoint::TlsSocket,
            Some(_) | None => EntryPoint::Nowhere,
        }
    }

    /// How the public address of this very host is: a wildcard of the DNS or of a certificate need not cover it. `None`
    /// where it is not looked at: a host that is not this server's leads wherever its owner likes.
    async fn public(
        &self,
        host: &VisitorHost,
        entry_point: EntryPoint,
        decision: Decision,
    ) -> Option<FrontState> {
        let server = self.server.filter(|_| entry_point == EntryPoint::Endpoint)?;
        match decision {
            Decision::Foreign => None,
            Decision::Service | Decision::Unknown => Some(server.relay.try_host(host).await),
        }
    }

    async fn tcp(&self) -> Result<Found, ApiProblem> {
        let route = self.tcp_route().await?;
        let shut_by = route.as_ref().and_then(|route| self.directory.shut_by(&route.id));
        let public = async {
            // Where nobody listens there is nothing to try.
            let (server, route) = (self.server?, route.as_ref().filter(|_| shut_by.is_none())?);
            Some(server.relay.try_port(&self.asked.host, &route.id).await)
        };
        let (public, behind) = tokio::join!(public, self.behind(route.as_ref()));
        let policy = route
            .as_ref()
            .and_then(|route| visitor::policy(route, self.visitor, self.directory, self.server));
        let is_refused = visitor::refusal(policy.as_ref()).is_some();
        let outcome = match (behind, public) {
            _ if shut_by.is_some() => VisitOutcome::ConnectionRefused,
            (None, _) => VisitOutcome::ConnectionRefused,
            (_, Some(FrontState::Failed(_))) => VisitOutcome::KeptOut,
            (Some(behind), _) if behind.failure().is_some() || is_refused => VisitOutcome::Reset,
            (Some(_), _) => VisitOutcome::Service,
        };
        Ok(Found {
            decision: if route.is_some() { Decision::Service } else { Decision::Unknown },
            entry_point: if route.is_some() { EntryPoint::TcpPort } else { EntryPoint::Nowhere },
            route: route.map(|route| (route, FoundBy::Port)),
            behind,
            public,
            policy,
            shut_by,
            outcome,
            answer: None,
        })
    }

    /// The service that a port was given to.
    async fn tcp_route(&self) -> Result<Option<Route>, ApiProblem> {
        use petit_relay::Names;
        let port = self.asked.port;
        if let Some(server) = self.server {
            let id = server.relay.service_at_port(port);
            return Ok(id.and_then(|id| self.directory.service(&id)));
        }
        let failed = |error: StoreError| ApiProblem::new(500, "failed", petit_host::cli::chain(&error));
        let rows = self.directory.store().devices().await.map_err(failed)?;
        let mut services = rows.iter().flat_map(|row| &row.services);
        let id = services.find(|service| service.port == Some(port)).map(|service| service.id);
        Ok(id.and_then(|id| self.directory.service(&id)))
    }

    fn explained(&self, url: &str, found: Found) -> Explained {
        let Found { decision, route, behind, entry_point, public, policy, shut_by, outcome, answer } = found;
        let via = route.as_ref().map(|(_, via)| *via);
        let route = route.map(|(route, _)| route);
        let address = route.as_ref().and_then(|route| match route.kind {
            ServiceKind::Http => None,
            ServiceKind::Tcp => self.server?.relay.tcp_address(&route.id),
        });
        Explained {
            url: url.to_owned(),
            scheme: self.asked.scheme,
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
            // No client is connected to a server that does not run.
            client_online: route.as_ref().map(|_| {
                behind.is_some_and(|behind| !matches!(behind.presence, Presence::Away | Presence::Suspended))
            }),
            client_suspended: route.as_ref().is_some_and(|route| route.is_suspended),
            probe: behind.and_then(|behind| behind.probe),
            health: behind.and_then(|behind| behind.health()),
            entry_point,
            public,
            policy,
            shut_by,
            outcome,
            answer: answer.map(|failure| OwnAnswer {
                status: failure.status().as_u16(),
                code: failure.code().to_owned(),
            }),
            server_running: self.server.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<(&'static str, String, u16), String> {
        let endpoint = "https://REGID.example.com:8443".parse().unwrap();
        let asked = ExplainRequest::parse(text, &endpoint).map_err(|problem| problem.message)?;
        Ok((asked.scheme.as_str(), asked.host, asked.port))
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
