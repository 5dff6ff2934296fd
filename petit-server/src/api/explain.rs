//! Where a URL would lead, and what a visitor would get.

use std::net::IpAddr;

use petit_engine::cause::Health;
use petit_engine::name::{DeviceId, PolicyName, RegisteredId, ServiceName, VisitorKeyName};
use petit_engine::proto::control::{FrontState, ProbeResult, ServiceKind};
use petit_host::control::{ApiProblem, Request, percent_encode};
use petit_relay::policy::{Step, Verdict};
use serde::{Deserialize, Serialize};

use super::ApiRequest;
use crate::registry::{PolicyTarget, StoredKey};

/// Say where a URL would lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainUrl {
    /// As its operator has typed it.
    pub url: String,
    /// Who asks for it.
    pub visitor: SupposedVisitor,
}

/// A visitor as an operator supposes one, to see what a policy says to him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SupposedVisitor {
    /// Where he comes from; `None`: from the server's own machine.
    pub from: Option<IpAddr>,
    /// The key that he holds, by its name: nobody needs its secret to ask.
    pub key: Option<VisitorKeyName>,
}

impl ExplainUrl {
    pub(super) fn read(request: &Request) -> Result<Self, ApiProblem> {
        let bad = |message: String| ApiProblem::new(400, "bad_visitor", message);
        let from = request.parameter("from").map(|from| {
            from.parse().map_err(|_| bad(format!("{from:?} is no address; write one such as 203.0.113.7")))
        });
        let key = request.parameter("as").map(|who| {
            let name = who.strip_prefix("key:").unwrap_or_default();
            name.parse().map_err(|_| {
                bad(format!("{who:?} is no visitor; write key: and the name of a key, such as key:billing"))
            })
        });
        let visitor = SupposedVisitor { from: from.transpose()?, key: key.transpose()? };
        Ok(Self { url: request.parameter("url").unwrap_or_default().to_owned(), visitor })
    }
}

impl ApiRequest for ExplainUrl {
    type Answer = Explained;

    fn target(&self) -> (&'static str, String) {
        let mut target = format!("/explain?url={}", percent_encode(&self.url));
        if let Some(from) = self.visitor.from {
            target.push_str(&format!("&from={}", percent_encode(&from.to_string())));
        }
        if let Some(key) = &self.visitor.key {
            target.push_str(&format!("&as={}", percent_encode(&format!("key:{key}"))));
        }
        ("GET", target)
    }
}

/// What was found out about a URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// As it was asked for.
    pub url: String,
    /// Its scheme.
    pub scheme: UrlScheme,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The domain of public names.
    pub domain: String,
    /// What the host, or the port of a raw TCP service, stands for.
    pub decision: Decision,
    /// How a service was found.
    pub via: Option<FoundBy>,
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
    /// Its operator keeps it out.
    #[serde(default)] // not said by servers of before
    pub client_suspended: bool,
    /// What a probe of the way from the server to the service has come to, made just now; `None` when none was made.
    #[serde(rename = "trial")]
    pub probe: Option<ProbeResult>,
    /// How the service was found in that probe; why it was not reached, as its client says.
    pub health: Option<Health>,
    /// Which of the server's ways in it leads to.
    #[serde(rename = "way_in")]
    pub entry_point: EntryPoint,
    /// How the public address is, tried just now; `None` when it was not looked at.
    pub public: Option<FrontState>,
    /// What the service's policy says to the visitor, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyExplained>,
    /// The policy because of which the port of a raw TCP service is not listened on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shut_by: Option<PolicyName>,
    /// What a visitor gets who gets in.
    pub outcome: VisitOutcome,
    /// The server's own answer, if that is what a visitor gets; while no server runs, what they would get.
    pub answer: Option<OwnAnswer>,
    /// Whether a server runs.
    pub server_running: bool,
}

/// What a policy says to a visitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyExplained {
    /// What the operator calls it.
    pub name: PolicyName,
    /// By what it names the service.
    pub by: PolicyTarget,
    /// Another one that names it as closely, so that nobody is let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disagrees_with: Option<PolicyName>,
    /// Whether it refuses anybody; one that does not only counts.
    pub enforced: bool,
    /// Where the visitor comes from.
    pub from: IpAddr,
    /// The key that he holds.
    pub key: Option<VisitorKeyName>,
    /// How that key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_state: Option<KeyState>,
    /// The most bytes of a request's body.
    pub max_body: Option<u64>,
    /// Its steps in their order, to the last that is taken.
    pub steps: Vec<StepExplained>,
}

/// How a key is that somebody is supposed to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    Live,
    Revoked,
    /// There never was one of its name.
    Unknown,
}

impl KeyState {
    pub(crate) fn of(name: &VisitorKeyName, keys: &[StoredKey]) -> Self {
        match keys.iter().find(|key| key.name == *name) {
            None => Self::Unknown,
            Some(key) if key.revoked.is_some() => Self::Revoked,
            Some(_) => Self::Live,
        }
    }
}

/// A step of a policy, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepExplained {
    pub step: PolicyStep,
    pub verdict: PolicyVerdict,
    /// The `Petit-Error` of a step that is not kept.
    pub code: Option<String>,
}

/// The steps of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyStep {
    Address,
    AddressLimits,
    Key,
    KeyLimits,
    Body,
}

impl From<Step> for PolicyStep {
    fn from(step: Step) -> Self {
        match step {
            Step::Address => Self::Address,
            Step::AddressLimits => Self::AddressLimits,
            Step::Key => Self::Key,
            Step::KeyLimits => Self::KeyLimits,
            Step::Body => Self::Body,
        }
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyVerdict {
    /// The policy asks for nothing of the kind.
    NotAsked,
    Kept,
    Broken,
}

impl From<Verdict> for PolicyVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::NotAsked => Self::NotAsked,
            Verdict::Kept => Self::Kept,
            Verdict::Broken(_) => Self::Broken,
        }
    }
}

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UrlScheme {
    Http,
    Https,
    Tcp,
}

impl UrlScheme {
    /// As it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        }
    }
}

/// By what a service was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FoundBy {
    #[serde(rename = "alias")]
    Alias,
    #[serde(rename = "registered ID")]
    RegisteredId,
    /// The port of a raw TCP service.
    #[serde(rename = "port")]
    Port,
}

/// What a host stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A service.
    Service,
    /// A name or port that no service has.
    Unknown,
    /// A host that is not this server's.
    Foreign,
}

/// Where a visitor enters a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryPoint {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisitOutcome {
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnAnswer {
    /// Its status.
    pub status: u16,
    /// Its `Petit-Error`.
    pub code: String,
}
