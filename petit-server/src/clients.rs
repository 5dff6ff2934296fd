//! Clients as the operator sees them: what is registered of each, joined with what is live of it.

use std::collections::HashMap;
use std::net::SocketAddr;

use petit_engine::cause::Health;
use petit_engine::name::{Alias, DeviceId, Endpoint, RegisteredId, ServiceName};
use petit_engine::proto::control::{FrontState, ServiceKind, Vitae};
use petit_engine::secret::Fingerprint;
use petit_engine::words::KeyWords;
use petit_relay::{RecordedBreach, SessionView};
use serde::{Serialize, Serializer};

use crate::registry::{DeviceRow, EndedBy, ServiceRow};
use crate::seconds;

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
    public: (&'a Endpoint, FrontStates),
}

impl<'a> Clients<'a> {
    pub(crate) fn new(
        rows: &'a [DeviceRow],
        sessions: &'a [SessionView],
        public: (&'a Endpoint, FrontStates),
    ) -> Self {
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

/// A client.
#[derive(Serialize)]
pub(crate) struct ClientView<'a> {
    id: DeviceId,
    name: &'a str,
    note: &'a str,
    fingerprint: &'a Fingerprint,
    key_words: KeyWords,
    created: u64,
    ended: Option<EndView>,
    online: bool,
    session: Option<LiveView<'a>>,
    breach: Option<BreachView>,
    software: &'a str,
    services: Vec<ServiceView<'a>>,
}

#[derive(Serialize)]
struct EndView {
    at: u64,
    by: EndedBy,
}

/// The rule of the protocol that a client has broken last.
#[derive(Serialize)]
struct BreachView {
    at: u64,
    rule: String,
}

#[derive(Serialize)]
struct LiveView<'a> {
    peer: SocketAddr,
    since: u64,
    software: &'a str,
    vitae: &'a Vitae,
    streams: usize,
    streams_opened: u64,
    received_bytes: u64,
    sent_bytes: u64,
    round_trip_us: Option<u128>,
    leaving: bool,
}

#[derive(Serialize)]
struct ServiceView<'a> {
    id: RegisteredId,
    name: &'a ServiceName,
    kind: ServiceKind,
    port: Option<u16>,
    url: String,
    aliases: &'a [Alias],
    online: bool,
    health: Option<Health>,
    visits: Option<u64>,
    front: Option<FrontState>,
}

impl<'a> ClientView<'a> {
    pub(crate) fn new(
        row: &'a DeviceRow,
        session: Option<&'a SessionView>,
        public: (&Endpoint, FrontStates),
    ) -> Self {
        Self {
            id: row.id,
            name: &row.name,
            note: &row.note,
            fingerprint: &row.fingerprint,
            key_words: row.fingerprint.words(),
            created: seconds(row.created),
            ended: row.ended.map(|(at, by)| EndView { at: seconds(at), by }),
            online: session.is_some(),
            session: session.map(LiveView::new),
            breach: None,
            software: session.map_or(row.software.as_str(), |session| session.software.as_str()),
            services: row.services.iter().map(|service| ServiceView::new(service, session, public)).collect(),
        }
    }
}

impl ClientView<'_> {
    /// With the rule of the protocol that it has broken last.
    pub(crate) fn with_breach(mut self, breach: Option<RecordedBreach>) -> Self {
        self.breach = breach.map(|RecordedBreach { at, rule }| BreachView { at: seconds(at), rule });
        self
    }
}

impl<'a> LiveView<'a> {
    fn new(session: &'a SessionView) -> Self {
        Self {
            peer: session.peer,
            since: seconds(session.since),
            software: session.software.as_str(),
            vitae: &session.vitae,
            streams: session.stats.streams,
            streams_opened: session.stats.opened,
            received_bytes: session.stats.received_bytes,
            sent_bytes: session.stats.sent_bytes,
            round_trip_us: session.round_trip.map(|took| took.as_micros()),
            leaving: !session.takes_streams,
        }
    }
}

impl<'a> ServiceView<'a> {
    fn new(
        row: &'a ServiceRow,
        session: Option<&SessionView>,
        (endpoint, fronts): (&Endpoint, FrontStates),
    ) -> Self {
        // A client has a few services.
        let live = session.and_then(|session| session.services.iter().find(|live| live.id == row.id));
        Self {
            id: row.id,
            name: &row.name,
            kind: row.kind,
            port: row.port,
            url: live.map_or_else(|| endpoint.url(row.id.as_str()), |live| live.url.clone()),
            aliases: &row.aliases,
            online: live.is_some(),
            health: live.map(|live| live.health),
            visits: live.map(|live| live.visits),
            front: match row.kind {
                ServiceKind::Http => fronts.http,
                ServiceKind::Tcp => fronts.tcp,
            },
        }
    }
}
