//! What each kind of change says of itself: a variant for each, which is written into the log as JSON and read from it.

use std::collections::BTreeSet;

use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName, Tag, VisitorKeyId};
use petit_engine::proto::control::ServiceKind;
use petit_relay::Route;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::{Change, SignedHead};
use super::label::Note;
use super::model::Service;
use super::policy::Policy;
use super::rings::{Ring, Rings};
use super::rollout::ReleaseToRollOut;
use super::rows::StoredService;
use super::timestamp::Timestamp;

/// A service in a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceBody {
    pub id: RegisteredId,
    pub name: ServiceName,
    pub kind: ServiceKind,
    pub port: Option<u16>,
}

impl From<StoredService> for ServiceBody {
    fn from(service: StoredService) -> Self {
        let StoredService { id, name, kind, port, device: _ } = service;
        Self { id, name, kind, port }
    }
}

impl ServiceBody {
    pub(super) fn of(service: &Service) -> Self {
        let Service { route: Route { id, name, kind, .. }, port } = service.clone();
        Self { id, name, kind, port }
    }
}

/// What was done, with its particulars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "kebab-case")]
pub enum ChangeBody {
    InviteMade {
        service: ServiceName,
        alias: Option<Alias>,
        note: Note,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        tags: BTreeSet<Tag>,
        not_after: Timestamp,
    },
    InviteWithdrawn {},
    /// Somebody has tried an invite that another client has used.
    InviteReused {
        from: String,
        client: DeviceId,
    },
    /// `key` is the client's, as it is kept. An alias that was promised and could not be given says why.
    ClientEnrolled {
        invite: String,
        key: String,
        name: String,
        software: String,
        from: String,
        service: ServiceBody,
        alias: Option<Alias>,
        alias_refused: Option<String>,
        /// As they are from then on.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        tags: BTreeSet<Tag>,
        #[serde(default, skip_serializing_if = "is_empty")]
        note: Note,
    },
    /// As they are from then on.
    ClientLabelled {
        tags: BTreeSet<Tag>,
        note: Note,
    },
    ClientRenamed {
        before: String,
        name: String,
    },
    /// It stays registered, and is kept out.
    ClientSuspended {},
    ClientResumed {},
    /// Its sessions were ended; it could come back at once.
    ClientKicked {},
    ClientRevoked {
        services: Vec<RegisteredId>,
        aliases: Vec<Alias>,
    },
    ClientUnregistered {
        services: Vec<RegisteredId>,
        aliases: Vec<Alias>,
    },
    /// New ones, and those that speak something else or have another port.
    ServicesRegistered {
        services: Vec<ServiceBody>,
    },
    ServiceRemoved {
        id: RegisteredId,
        name: ServiceName,
        aliases: Vec<Alias>,
    },
    AliasAdded {
        id: RegisteredId,
        client: DeviceId,
    },
    AliasRemoved {
        id: RegisteredId,
        client: DeviceId,
    },
    /// As it is from then on.
    PolicySet {
        #[serde(flatten)]
        policy: Policy,
    },
    PolicyRemoved {},
    KeyCreated {
        id: VisitorKeyId,
    },
    /// Until then the secret from before is good, too.
    KeyRotated {
        id: VisitorKeyId,
        previous_until: Option<Timestamp>,
    },
    KeyRevoked {
        id: VisitorKeyId,
    },
    /// A release is handed out from then on to the first ring.
    RolloutStarted {
        #[serde(flatten)]
        release: ReleaseToRollOut,
        rings: Rings,
        /// `None` in what earlier versions have written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soak_seconds: Option<u64>,
    },
    /// So many of its rings are open from then on.
    RolloutWidened {
        open: usize,
        /// The one that was opened; `None` in what earlier versions have written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ring: Option<Ring>,
    },
    RolloutHalted {
        reason: String,
    },
    RolloutResumed {},
    RolloutDone {},
    RolloutRolledBack {},
    /// All changes up to one have gone.
    LogTrimmed {
        through: u64,
    },
    /// The registry is that of a backup from here on.
    RegistryRestored {
        signed: SignedHead,
    },
    /// It is a new one, in the place of one that was lost.
    RegistryMadeAnew {
        signed: SignedHead,
    },
}

impl ChangeBody {
    /// Its kind and its particulars, as the log has them.
    ///
    /// # Errors
    /// None that is known: all that there is in a body can be written as JSON.
    pub fn written(&self) -> Result<(String, Value), serde_json::Error> {
        let Written { kind, body } = serde_json::from_value(serde_json::to_value(self)?)?;
        Ok((kind, body))
    }
}

/// The form of a body as JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    kind: String,
    body: Value,
}

/// What a row of the log says was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// A change.
    Change(Box<ChangeBody>),
    /// What the events of clients said, before there was a log of changes: a text, and mostly of which client.
    Event(Event),
    /// Nothing that this version knows.
    Unknown,
}

/// An event of before there was a log of changes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub detail: String,
    pub client: Option<String>,
}

impl Recorded {
    /// What a change's kind and particulars say.
    pub fn of(change: &Change) -> Self {
        let written = Written { kind: change.kind.to_string(), body: change.body.clone() };
        let known = serde_json::to_value(written).and_then(serde_json::from_value);
        match known {
            Ok(body) => Self::Change(Box::new(body)),
            Err(_) => Event::deserialize(&change.body).map_or(Self::Unknown, Self::Event),
        }
    }
}

fn is_empty(note: &Note) -> bool {
    note.as_str().is_empty()
}

pub(super) const INVITE_REUSED: &str = "invite-reused";
