//! What a process that finishes what is under way hears of the one that serves in its place: whom policies let in, and
//! which clients are suspended. Its visitors may have connections left that carry one more request, and that is held to
//! what is in force then.

use std::collections::BTreeSet;
use std::sync::Arc;

use petit_engine::name::{Alias, DeviceId, RegisteredId, Tag, VisitorKeyId, VisitorKeyName};
use petit_relay::policy::KeyHash;
use serde::{Deserialize, Serialize};

use crate::registry::{Delta, Policy, StoredKey, Timestamp};

/// Something has changed that the processes before this one have to know.
#[derive(Clone, Debug)]
pub enum Told {
    /// Policies or keys; see [`Directory::rules`](super::Directory::rules).
    Rules,
    /// What policies name services by, and which clients are suspended.
    Names(Arc<Followed>),
}

/// What one process tells another. Keys are told by SHA-256 of their secrets, as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Followed {
    /// All policies and keys, where any has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policies: Option<FollowedPolicies>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tagged: Vec<(DeviceId, BTreeSet<Tag>)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) suspended: Vec<(DeviceId, bool)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) aliases: Vec<(Alias, RegisteredId)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) aliases_gone: Vec<Alias>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FollowedPolicies {
    pub(super) registry: Vec<Policy>,
    /// Of the config file.
    pub(super) file: Vec<Policy>,
    pub(super) keys: Vec<FollowedKey>,
}

/// A key that lets visitors in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FollowedKey {
    id: VisitorKeyId,
    name: VisitorKeyName,
    hash: [u8; 32],
    /// The one from before, and until when it is good.
    previous: Option<([u8; 32], Timestamp)>,
}

impl FollowedKey {
    /// `None` for one that was revoked.
    pub(super) fn of(key: &StoredKey) -> Option<Self> {
        let previous = key.previous.map(|(hash, until)| (hash.0, until));
        let hash = key.hash.filter(|_| key.revoked.is_none())?.0;
        Some(Self { id: key.id, name: key.name.clone(), hash, previous })
    }

    /// As it is kept, but for what nobody needs who lets visitors in.
    pub(super) fn into_stored(self) -> StoredKey {
        let Self { id, name, hash, previous } = self;
        let previous = previous.map(|(hash, until)| (KeyHash(hash), until));
        let created = Timestamp::now();
        StoredKey { id, name, hash: Some(KeyHash(hash)), previous, created, rotated: None, revoked: None }
    }
}

impl Told {
    /// What of a change other processes have to know.
    pub(super) fn of(delta: &Delta) -> Vec<Self> {
        let names = Followed {
            policies: None,
            tagged: delta.tagged.clone(),
            suspended: delta.suspended.clone(),
            aliases: delta.added.aliases.clone(),
            aliases_gone: delta.aliases_gone.clone(),
        };
        let names = (names != Followed::default()).then(|| Self::Names(Arc::new(names)));
        let rules = delta.added.visitors.as_ref().map(|_| Self::Rules);
        names.into_iter().chain(rules).collect()
    }
}
