//! Clients as the operator sees them: what is registered of each, joined with what is live of it.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use petit_engine::cause::Health;
use petit_engine::name::{Alias, DeviceId, Endpoint, PolicyName, RegisteredId, ServiceName, Tag};
use petit_engine::proto::control::{FrontState, ServiceKind, Vitae};
use petit_engine::secret::Fingerprint;
use petit_engine::words::KeyWords;
use petit_host::control::{ApiProblem, Request, percent_encode};
use petit_relay::{RecordedBreach, SessionView, tcp_url};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{ApiRequest, PortChanges};
use crate::directory::Directory;
use crate::registry::{DeviceRow, EndedBy, LabelEdit, Note, ServiceRow};
use crate::seconds;

/// All clients, also those whose registration has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListClients;

impl ApiRequest for ListClients {
    type Answer = ClientList;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/clients".to_owned())
    }
}

/// Clients. The server has them in a form of its own while it writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientList<C = Vec<ClientView>> {
    pub clients: C,
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowClient {
    /// Its ID, a registered ID or an alias of one of its services, or the name that its customer has given it.
    pub name: String,
}

impl ApiRequest for ShowClient {
    type Answer = ClientView;

    fn target(&self) -> (&'static str, String) {
        ("GET", format!("/clients/{}", percent_encode(&self.name)))
    }
}

/// End a client's registration for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeClient {
    /// Its ID, as its operator has typed it.
    pub id: String,
}

impl ApiRequest for RevokeClient {
    type Answer = Revoked;

    fn target(&self) -> (&'static str, String) {
        ("POST", format!("/clients/{}/revoke", percent_encode(&self.id)))
    }
}

/// Its client was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    pub revoked: DeviceId,
}

/// Keep a client out for the time being. It stays registered, with its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspendClient {
    /// Its ID, a registered ID or an alias of one of its services.
    pub name: String,
}

impl ApiRequest for SuspendClient {
    type Answer = ClientStanding;

    fn target(&self) -> (&'static str, String) {
        ("POST", format!("/clients/{}/suspend", percent_encode(&self.name)))
    }
}

/// Let a client in again that was suspended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeClient {
    /// Its ID, a registered ID or an alias of one of its services.
    pub name: String,
}

impl ApiRequest for ResumeClient {
    type Answer = ClientStanding;

    fn target(&self) -> (&'static str, String) {
        ("POST", format!("/clients/{}/resume", percent_encode(&self.name)))
    }
}

/// Whether a client is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientStanding {
    pub client: DeviceId,
    /// Since when it has been suspended, in seconds since 1970; `None`: it is let in.
    pub suspended: Option<u64>,
}

/// End a client's sessions. It may come back at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KickClient {
    /// Its ID, a registered ID or an alias of one of its services.
    pub name: String,
}

impl ApiRequest for KickClient {
    type Answer = ClientKicked;

    fn target(&self) -> (&'static str, String) {
        ("POST", format!("/clients/{}/kick", percent_encode(&self.name)))
    }
}

/// Its sessions have been ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientKicked {
    pub client: DeviceId,
    /// So many.
    pub sessions: usize,
}

/// Change what is written down of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelClient {
    /// Its ID, a registered ID or an alias of one of its services.
    pub name: String,
    pub edit: LabelEdit,
}

/// Its body.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct LabelBody {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    add: BTreeSet<Tag>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    remove: BTreeSet<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Note>,
}

impl LabelClient {
    pub(super) fn read(name: &str, request: &Request) -> Result<Self, ApiProblem> {
        let LabelBody { add, remove, note } = request.read_body()?;
        Ok(Self { name: name.to_owned(), edit: LabelEdit { add, remove, note } })
    }
}

impl ApiRequest for LabelClient {
    type Answer = ClientLabelled;

    fn target(&self) -> (&'static str, String) {
        ("POST", format!("/clients/{}/labels", percent_encode(&self.name)))
    }

    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        let LabelEdit { add, remove, note } = self.edit.clone();
        serde_json::to_value(LabelBody { add, remove, note }).map(Some)
    }
}

/// What is written down of a client now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientLabelled {
    pub client: DeviceId,
    pub note: Note,
    pub tags: BTreeSet<Tag>,
    #[serde(flatten)]
    pub ports: PortChanges,
}

/// A client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientView {
    pub id: DeviceId,
    /// What the customer calls it.
    pub name: String,
    /// What the operator has written down of it.
    pub note: Note,
    pub tags: BTreeSet<Tag>,
    pub fingerprint: Fingerprint,
    pub key_words: KeyWords,
    /// When it was registered, in seconds since 1970.
    pub created: u64,
    /// How its registration has ended.
    pub ended: Option<EndView>,
    /// Since when its operator has kept it out, in seconds since 1970.
    pub suspended: Option<u64>,
    pub online: bool,
    /// What is live of it.
    pub session: Option<LiveView>,
    /// The rule of the protocol that it has broken last; only where one client is shown.
    pub breach: Option<BreachView>,
    /// Program and version.
    pub software: String,
    pub services: Vec<ServiceView>,
}

/// How a registration has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndView {
    /// In seconds since 1970.
    pub at: u64,
    pub by: EndedBy,
}

/// The rule of the protocol that a client has broken last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreachView {
    /// In seconds since 1970.
    pub at: u64,
    /// In the words of the log.
    pub rule: String,
}

/// A client's session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveView {
    pub peer: SocketAddr,
    /// In seconds since 1970.
    pub since: u64,
    /// Program and version.
    pub software: String,
    /// What the customer's config says.
    pub vitae: Vitae,
    pub streams: usize,
    pub streams_opened: u64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// The shortest round trip.
    pub round_trip_us: Option<u64>,
    pub leaving: bool,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    pub id: RegisteredId,
    /// Its name at its client.
    pub name: ServiceName,
    pub kind: ServiceKind,
    /// The port of a raw TCP service.
    pub port: Option<u16>,
    /// Its public address.
    pub url: String,
    pub aliases: Vec<Alias>,
    /// Its client offers it.
    pub online: bool,
    /// As its client says.
    pub health: Option<Health>,
    /// Requests that it was sent, or connections.
    pub visits: Option<u64>,
    /// How the public front for its kind is.
    pub front: Option<FrontState>,
    /// The policy because of which its raw TCP port is not listened on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shut_by: Option<PolicyName>,
}

/// What of a service is the server's own.
#[derive(Clone, Copy)]
pub(crate) struct PublicSide<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// Where the ports of raw TCP services are found.
    pub(crate) tcp_host: &'a str,
    pub(crate) fronts: FrontStates,
    pub(crate) directory: &'a Directory,
}

/// How the public front of each kind of service is; `None` while no server runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrontStates {
    pub(crate) http: Option<FrontState>,
    pub(crate) tcp: Option<FrontState>,
}

/// All clients, as a JSON array. Each is made when it is written, so that many need no more memory than one.
pub(crate) struct Clients<'a> {
    rows: &'a [DeviceRow],
    sessions: HashMap<DeviceId, &'a SessionView>,
    public: PublicSide<'a>,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(rows: &'a [DeviceRow], sessions: &'a [SessionView], public: PublicSide<'a>) -> Self {
        let mut newest: HashMap<DeviceId, &SessionView> = HashMap::with_capacity(sessions.len());
        for session in sessions {
            let known = newest.entry(session.device).or_insert(session);
            if known.since <= session.since {
                *known = session; // the newest is the one in use
            }
        }
        Self { rows, sessions: newest, public }
    }
}

impl Serialize for Clients<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let views = self.rows.iter().map(|row| {
            let session = self.sessions.get(&row.id).copied();
            ClientView::new(row, session, self.public)
        });
        serializer.collect_seq(views)
    }
}

impl ClientView {
    pub(crate) fn new(row: &DeviceRow, session: Option<&SessionView>, public: PublicSide<'_>) -> Self {
        Self {
            id: row.id,
            name: row.name.clone(),
            note: row.labels.note.clone(),
            tags: row.labels.tags.clone(),
            fingerprint: row.fingerprint,
            key_words: row.fingerprint.words(),
            created: seconds(row.created),
            suspended: row.suspended.map(seconds),
            ended: row.ended.map(|(at, by)| EndView { at: seconds(at), by }),
            online: session.is_some(),
            session: session.map(LiveView::new),
            breach: None,
            software: session
                .map_or_else(|| row.software.clone(), |session| session.software.as_str().to_owned()),
            services: row.services.iter().map(|service| ServiceView::new(service, session, public)).collect(),
        }
    }

    /// With the rule of the protocol that it has broken last.
    pub(crate) fn with_breach(mut self, breach: Option<RecordedBreach>) -> Self {
        self.breach = breach.map(|RecordedBreach { at, rule }| BreachView { at: seconds(at), rule });
        self
    }

    /// True when its registration has not ended.
    pub fn is_registered(&self) -> bool {
        self.ended.is_none()
    }
}

impl LiveView {
    fn new(session: &SessionView) -> Self {
        let micros = |took: std::time::Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Self {
            peer: session.peer,
            since: seconds(session.since),
            software: session.software.as_str().to_owned(),
            vitae: session.vitae.clone(),
            streams: session.stats.streams,
            streams_opened: session.stats.opened,
            received_bytes: session.stats.received_bytes,
            sent_bytes: session.stats.sent_bytes,
            round_trip_us: session.round_trip.map(micros),
            leaving: !session.takes_streams,
        }
    }
}

impl ServiceView {
    fn new(
        row: &ServiceRow,
        session: Option<&SessionView>,
        PublicSide { endpoint, tcp_host, fronts, directory }: PublicSide<'_>,
    ) -> Self {
        let url = || match (row.kind, row.port) {
            (ServiceKind::Tcp, Some(port)) => tcp_url(tcp_host, port),
            (ServiceKind::Tcp, None) | (ServiceKind::Http, _) => endpoint.url(row.id.as_str()),
        };
        // A client has a few services.
        let live = session.and_then(|session| session.services.iter().find(|live| live.id == row.id));
        Self {
            id: row.id,
            name: row.name.clone(),
            kind: row.kind,
            port: row.port,
            url: live.map_or_else(url, |live| live.url.clone()),
            aliases: row.aliases.clone(),
            online: live.is_some(),
            health: live.map(|live| live.health),
            visits: live.map(|live| live.visits),
            front: match row.kind {
                ServiceKind::Http => fronts.http,
                ServiceKind::Tcp => fronts.tcp,
            },
            shut_by: match row.kind {
                ServiceKind::Http => None,
                ServiceKind::Tcp => directory.shut_by(&row.id),
            },
        }
    }
}
