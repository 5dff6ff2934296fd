//! What the operator asks of visitors, as values: policies, and the keys that visitors show.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use petit_engine::limits;
use petit_engine::name::{Alias, PolicyName, RegisteredId, Tag, VisitorKeyId, VisitorKeyName};
use petit_relay::policy::KeyHash;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::timestamp::Timestamp;

/// Most services, networks and keys that one policy may name: each list is looked through for a request.
pub const LIST_MAX: usize = limits::POLICY_LIST;
/// How long the secret from before a rotation goes on being good, unless the operator says otherwise.
pub const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that it may.
pub const OVERLAP_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What stands before a tag where it could be an alias.
const TAG: &str = "tag:";

/// Which services a policy is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyTarget {
    /// All that no policy names.
    Default,
    /// All raw TCP services that no policy names. A raw TCP service has no keys, so it may need another default.
    DefaultTcp,
    /// One service.
    Id(RegisteredId),
    /// The service that has this alias.
    Alias(Alias),
    /// All services of clients that have this tag, where no policy names them by ID or alias.
    Tag(Tag),
}

impl fmt::Display for PolicyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::DefaultTcp => f.write_str("default-tcp"),
            Self::Id(id) => fmt::Display::fmt(id, f),
            Self::Alias(alias) => fmt::Display::fmt(alias, f),
            Self::Tag(tag) => write!(f, "{TAG}{tag}"),
        }
    }
}

impl FromStr for PolicyTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        match text {
            "default" => Ok(Self::Default),
            "default-tcp" => Ok(Self::DefaultTcp),
            tag if tag.starts_with(TAG) => {
                let tag = tag.strip_prefix(TAG).and_then(|tag| tag.parse().ok());
                tag.map(Self::Tag).ok_or_else(|| InvalidTarget { text: text.to_owned() })
            }
            _ => {
                let id = text.parse().map(Self::Id).ok();
                let alias = || text.parse().map(Self::Alias).ok();
                id.or_else(alias).ok_or_else(|| InvalidTarget { text: text.to_owned() })
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names no services: expected a registered ID, an alias, \"tag:NAME\" (all services of clients that have the tag), \"default\" (all that no policy names) or \"default-tcp\" (all raw TCP services that no policy names)"
)]
/// Not the name of services.
pub struct InvalidTarget {
    text: String,
}

as_text!(PolicyTarget);

/// What becomes of what a policy refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// It is refused.
    #[default]
    Enforce,
    /// It is let in and counted, so that a policy can be tried before it is in force.
    CountOnly,
}

/// Whom the limits of a policy hold for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitPer {
    /// Each visitor: an address, and a key wherever it is shown.
    #[default]
    Visitor,
    /// All visitors of a service together.
    Service,
}

/// What the operator asks of the visitors of some services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub name: PolicyName,
    /// Whose visitors.
    pub services: Vec<PolicyTarget>,
    /// Where they have to come from; `None`: anywhere.
    pub from: Option<Vec<IpNet>>,
    /// One of these keys has to be shown; `None`: nobody is asked.
    pub keys: Option<Vec<VisitorKeyName>>,
    /// Visits in a second, in the long run.
    pub rate: Option<NonZeroU32>,
    /// How many of these may come at once; `None`: as many as in a second.
    pub burst: Option<NonZeroU32>,
    /// Visits at the same time.
    pub concurrent: Option<NonZeroU32>,
    /// Whom `rate` and `concurrent` hold for.
    pub per: LimitPer,
    /// Bytes of a request's body.
    pub max_body: Option<u64>,
    pub enforcement: Enforcement,
}

impl Policy {
    /// One that asks nothing of anybody.
    pub fn named(name: PolicyName) -> Self {
        Self {
            name,
            services: Vec::new(),
            from: None,
            keys: None,
            rate: None,
            burst: None,
            concurrent: None,
            per: LimitPer::Visitor,
            max_body: None,
            enforcement: Enforcement::Enforce,
        }
    }

    /// Those of its keys that were revoked.
    pub fn revoked_keys(&self, known: &[StoredKey]) -> Vec<VisitorKeyName> {
        let is_revoked =
            |name: &&VisitorKeyName| known.iter().any(|key| key.name == **name && key.revoked.is_some());
        self.keys.iter().flatten().filter(is_revoked).cloned().collect()
    }

    /// True when it asks for a key and has none left, because these keys of it were revoked.
    pub fn has_none_but(&self, revoked: &[VisitorKeyName]) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.iter().all(|key| revoked.contains(key)))
    }

    /// True when it lets nobody in, because these keys of it were revoked and it has no others.
    pub fn is_keyless(&self, revoked: &[VisitorKeyName]) -> bool {
        self.enforcement == Enforcement::Enforce && self.has_none_but(revoked)
    }
}

/// What a change makes of one part of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Edit<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// There is none any more.
    Clear,
    /// This one.
    To(T),
}

impl<T> Edit<T> {
    /// True for what stays as it is.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    fn apply(self, to: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *to = None,
            Self::To(value) => *to = Some(value),
        }
    }
}

/// Left out, it stays; `null` clears it.
impl<T: Serialize> Serialize for Edit<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Clear => serializer.serialize_none(),
            Self::To(value) => serializer.serialize_some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Edit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::To))
    }
}

/// A change of a policy, or a new one. What it does not name stays as it is, so that a limit can be changed without a
/// word about keys, and no door opens because somebody has forgotten to say again that it is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyEdit {
    pub name: PolicyName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<PolicyTarget>>,
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    pub from: Edit<Vec<IpNet>>,
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    pub keys: Edit<Vec<VisitorKeyName>>,
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    pub rate: Edit<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    pub burst: Edit<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    pub concurrent: Edit<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    pub max_body: Edit<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<LimitPer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
}

impl PolicyEdit {
    /// One that changes nothing yet.
    pub fn of(name: PolicyName) -> Self {
        Self {
            name,
            services: None,
            from: Edit::Keep,
            keys: Edit::Keep,
            rate: Edit::Keep,
            burst: Edit::Keep,
            concurrent: Edit::Keep,
            max_body: Edit::Keep,
            per: None,
            enforcement: None,
        }
    }

    /// What a policy is after it.
    pub fn applied_to(self, mut policy: Policy) -> Policy {
        let Self { name, services, from, keys, rate, burst, concurrent, per, max_body, enforcement } = self;
        policy.name = name;
        policy.services = services.unwrap_or(policy.services);
        from.apply(&mut policy.from);
        keys.apply(&mut policy.keys);
        rate.apply(&mut policy.rate);
        burst.apply(&mut policy.burst);
        concurrent.apply(&mut policy.concurrent);
        max_body.apply(&mut policy.max_body);
        policy.per = per.unwrap_or(policy.per);
        policy.enforcement = enforcement.unwrap_or(policy.enforcement);
        policy
    }
}

/// A visitor's key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// What stands before its secret; not secret.
    pub id: VisitorKeyId,
    pub name: VisitorKeyName,
    /// `None`: it was revoked.
    pub hash: Option<KeyHash>,
    /// The one from before the last rotation, and until when it is good.
    pub previous: Option<(KeyHash, Timestamp)>,
    pub created: Timestamp,
    pub rotated: Option<Timestamp>,
    pub revoked: Option<Timestamp>,
}

/// A key to be kept.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub id: VisitorKeyId,
    pub name: VisitorKeyName,
    pub hash: KeyHash,
}

/// All policies and keys of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VisitorRules {
    pub policies: Vec<Policy>,
    pub keys: Vec<StoredKey>,
}
