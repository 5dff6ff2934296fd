//! Writing changes down, and forgetting old ones: see [`change`](super::change) for what one is.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName, Tag, VisitorKeyId};
use petit_engine::proto::control::ServiceKind;
use petit_engine::secret::PrivateKey;
use petit_relay::Route;
use serde::Serialize;
use serde_json::Value;

use super::change::{Actor, Change, Head, SignedFor, SignedHead};
use super::error::StoreError;
use super::label::Note;
use super::model::Service;
use super::policy::Policy;
use super::rows::{Rows, StoredService};
use super::rules::Registry;
use super::timestamp::Timestamp;

/// How long changes are kept: a year, and some days to look at it.
const KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A service in a change.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ServiceBody {
    pub(super) id: RegisteredId,
    pub(super) name: ServiceName,
    pub(super) kind: ServiceKind,
    pub(super) port: Option<u16>,
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
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", content = "body", rename_all = "kebab-case")]
pub(super) enum ChangeBody {
    InviteMade {
        service: ServiceName,
        alias: Option<Alias>,
        note: Note,
        #[serde(skip_serializing_if = "BTreeSet::is_empty")]
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
        #[serde(skip_serializing_if = "BTreeSet::is_empty")]
        tags: BTreeSet<Tag>,
        #[serde(skip_serializing_if = "is_empty")]
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

/// What has come in the place of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Successor {
    /// One from a backup.
    Backup,
    /// One without anything.
    Empty,
}

fn is_empty(note: &Note) -> bool {
    note.as_str().is_empty()
}

pub(super) const INVITE_REUSED: &str = "invite-reused";

impl<R: Rows> Registry<'_, R> {
    /// Writes down what this transaction has changed. Once in each.
    pub(super) async fn record(
        &mut self,
        actor: Actor,
        subject: impl fmt::Display + Send,
        body: &ChangeBody,
    ) -> Result<(), StoreError> {
        let subject = subject.to_string();
        let head = self.rows.head().await?;
        let value = serde_json::to_value(body).map_err(|_| StoreError::row("change"))?;
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        let body = value.get("body").cloned().unwrap_or_default();
        let change = Change::after(head, (self.now, actor), (kind.into(), subject), body);
        self.rows.append_change(&change).await
    }

    /// Whether a client has had as much written down as it may within a day.
    pub(super) async fn is_over_budget(&mut self, client: Actor) -> Result<bool, StoreError> {
        let since = self.now - DAY;
        Ok(self.rows.change_bytes(client, since).await? >= limits::CLIENT_CHANGES_BYTES_PER_DAY)
    }

    /// Forgets all changes of before 400 days ago, up to the first that is younger, and keeps the hash of the last of
    /// them, signed. At most once a day. Returns up to which version, if there was any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trim_changes(mut self, key: &PrivateKey) -> Result<Option<u64>, StoreError> {
        let oldest = self.rows.oldest_change().await?;
        if oldest.is_none_or(|oldest| oldest > self.now - KEPT - DAY) {
            return Ok(None);
        }
        let Some(last) = self.rows.last_change_before(self.now - KEPT).await? else { return Ok(None) };
        let through = last.version;
        let signed = self.signed(SignedFor::Checkpoint, last, key)?;
        self.rows.delete_changes(&signed).await?;
        self.record(Actor::Server, "changes", &ChangeBody::LogTrimmed { through }).await?;
        Ok(Some(through))
    }

    /// Takes note that this registry is in the place of another one. What the server has signed of changes that it does
    /// not have counts no more; so this, too, is signed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn superseded(
        mut self,
        by: Successor,
        actor: Actor,
        key: &PrivateKey,
    ) -> Result<(), StoreError> {
        let head = self.rows.head().await?;
        let signed = self.signed(SignedFor::Restored, head, key)?;
        let body = match by {
            Successor::Backup => ChangeBody::RegistryRestored { signed },
            Successor::Empty => ChangeBody::RegistryMadeAnew { signed },
        };
        self.record(actor, "registry", &body).await
    }

    fn signed(&self, signed_for: SignedFor, head: Head, key: &PrivateKey) -> Result<SignedHead, StoreError> {
        SignedHead::sign(signed_for, head, self.now, key).map_err(|_| StoreError::row("key to sign with"))
    }
}
