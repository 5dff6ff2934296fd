//! Invites.

use std::collections::BTreeSet;

use petit_engine::name::{Alias, DeviceId, ServerAddr, ServiceName, Tag, VendorName};
use petit_engine::words::KeyWords;
use petit_host::control::percent_encode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiRequest, MissingCertificate};
use crate::registry::{InviteRow, InviteState, Labels, Note};
use crate::seconds;

/// All invites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListInvites;

impl ApiRequest for ListInvites {
    type Answer = InviteList;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/invites".to_owned())
    }
}

/// All invites that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteList {
    pub invites: Vec<InviteView>,
}

/// An invite, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteView {
    /// The alias that the service gets.
    pub alias: Option<Alias>,
    /// Who has used it.
    pub client: Option<DeviceId>,
    pub id: String,
    /// When it ends, in seconds since 1970.
    pub not_after: u64,
    /// What the operator wanted to remember.
    pub note: Note,
    /// The service that it is for.
    pub service: ServiceName,
    pub state: InviteState,
    pub tags: BTreeSet<Tag>,
}

impl InviteView {
    pub(crate) fn new(row: InviteRow) -> Self {
        let InviteRow { id, service, alias, labels: Labels { tags, note }, not_after, state, device } = row;
        let not_after = seconds(not_after);
        Self { alias, client: device, id: id.to_string(), not_after, note, service, state, tags }
    }
}

/// Make an invite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakeInvite {
    /// The service that it is for.
    pub service: ServiceName,
    /// The alias that the service gets.
    #[serde(default)]
    pub alias: Option<Alias>,
    /// Also an alias that another client had not long ago.
    #[serde(default)]
    pub force: bool,
    /// What the operator wants to remember.
    #[serde(default)]
    pub note: String,
    /// What its client is found by. Not sent where there are none: a server that knows no tags makes the same invite.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<Tag>,
    /// How long it lasts; `None` as the config says.
    #[serde(default)]
    pub lifetime_seconds: Option<u64>,
}

impl ApiRequest for MakeInvite {
    type Answer = InviteMade;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/invites".to_owned())
    }

    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        serde_json::to_value(self).map(Some)
    }
}

/// An invite with its secret, which nobody can be told again. It is not to be printed for debugging.
#[derive(Clone, Serialize, Deserialize)]
pub struct InviteMade {
    pub alias: Option<Alias>,
    /// The link that the tray app opens; `None` from a server that makes none.
    pub app_link: Option<String>,
    pub id: String,
    /// The words of the key that it pins.
    pub key_words: Option<KeyWords>,
    pub lifetime_seconds: u64,
    /// The link.
    pub link: String,
    /// When it ends, in seconds since 1970.
    pub not_after: u64,
    /// Where it sends its client.
    pub server: ServerAddr,
    pub service: ServiceName,
    #[serde(default)]
    pub tags: BTreeSet<Tag>,
    /// What the vendor calls itself.
    pub vendor: Option<VendorName>,
    /// What HTTPS visitors of the alias need, and is not there.
    pub without_certificate: Option<MissingCertificate>,
}

/// Take an invite back that nobody has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawInvite {
    /// As its operator has typed it.
    pub id: String,
}

impl ApiRequest for WithdrawInvite {
    type Answer = InviteWithdrawn;

    fn target(&self) -> (&'static str, String) {
        ("POST", format!("/invites/{}/withdraw", percent_encode(&self.id)))
    }
}

/// An invite can be used no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteWithdrawn {
    pub withdrawn: String,
}
