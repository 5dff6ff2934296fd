//! Policies, and visitors' keys.

use std::net::IpAddr;

use petit_engine::name::{Alias, PolicyName, RegisteredId, VisitorKeyId, VisitorKeyName};
use petit_host::control::{ApiProblem, Request, percent_encode};
use petit_relay::policy::{Step, Verdict};
use petit_relay::{Failure, Names};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::explain::{KeyState, PolicyStep, PolicyVerdict};
use super::{ApiRequest, PolicyCounts, PortChanges, ShutPort};
use crate::directory::{Directory, Exposure};
use crate::registry::{Policy, PolicyEdit, PolicyTarget, StoredKey, Timestamp};

/// Where a policy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyOrigin {
    /// Made by a command or over the API.
    Registry,
    /// In the config file, and changed there alone.
    ConfigFile,
}

/// A policy, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    #[serde(flatten)]
    pub policy: Policy,
    pub origin: PolicyOrigin,
    /// Those of its keys that let nobody in any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_keys: Vec<VisitorKeyName>,
    /// IDs and aliases of it that no service has: not yet, or not any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nobodys: Vec<PolicyTarget>,
}

impl PolicyView {
    pub(crate) fn new(
        policy: Policy,
        origin: PolicyOrigin,
        keys: &[StoredKey],
        directory: &Directory,
    ) -> Self {
        let revoked_keys = policy.revoked_keys(keys);
        let is_nobodys = |target: &&PolicyTarget| match target {
            PolicyTarget::Id(id) => directory.service(id).is_none(),
            PolicyTarget::Alias(alias) => directory.alias(alias.as_str()).is_none(),
            PolicyTarget::Tag(_) | PolicyTarget::Default | PolicyTarget::DefaultTcp => false,
        };
        let nobodys = policy.services.iter().filter(is_nobodys).cloned().collect();
        Self { policy, origin, revoked_keys, nobodys }
    }

    /// The policy, if it lets nobody in because all its keys were revoked.
    pub fn keyless(&self) -> Option<KeylessPolicy> {
        let is_keyless = self.policy.is_keyless(&self.revoked_keys);
        is_keyless.then(|| KeylessPolicy { policy: self.policy.name.clone(), origin: self.origin })
    }
}

/// A policy that lets nobody in, because all its keys were revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeylessPolicy {
    pub policy: PolicyName,
    /// Where it gets another key.
    pub origin: PolicyOrigin,
}

/// All policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPolicies;

impl ApiRequest for ListPolicies {
    type Answer = PolicyList;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/policies".to_owned())
    }
}

/// All policies, of the registry and of the config file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyList {
    pub exposure: Exposure,
    pub policies: Vec<PolicyView>,
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowPolicy {
    pub name: PolicyName,
}

impl ApiRequest for ShowPolicy {
    type Answer = PolicyDetails;

    fn target(&self) -> (&'static str, String) {
        ("GET", format!("/policies/{}", self.name))
    }
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDetails {
    /// What it has come to; `None` while no server runs.
    pub counts: Option<PolicyCounts>,
    /// Since when these counts are, in seconds since 1970: the server's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_since: Option<u64>,
    /// What would be open to anybody who knows the name without it; an older server does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure_without: Option<Exposure>,
    /// The services that have it now.
    pub holds_for: Vec<RegisteredId>,
    pub policy: PolicyView,
    /// The raw TCP ports that are not listened on because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shut_ports: Vec<ShutPort>,
}

/// Change a policy, or make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetPolicy(pub PolicyEdit);

impl ApiRequest for SetPolicy {
    type Answer = PolicyChanged;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/policies".to_owned())
    }

    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        serde_json::to_value(&self.0).map(Some)
    }
}

/// A policy was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChanged {
    pub exposure: Exposure,
    /// Services that were held to it and are not any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<ServiceLeft>,
    /// As it is in force now.
    pub policy: PolicyView,
    /// Aliases of it that no service has yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nobodys: Vec<Alias>,
    /// Its services are not held any more to this policy, which asks for a key, as it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_key_of: Option<PolicyName>,
    #[serde(flatten)]
    pub ports: PortChanges,
}

/// A service that is not held any more to a policy that has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLeft {
    pub id: RegisteredId,
    /// Whether whoever knows its name gets in.
    pub is_open: bool,
    /// The policy that it has now.
    pub now: Option<PolicyName>,
}

/// Take a policy out of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovePolicy {
    pub name: PolicyName,
}

impl ApiRequest for RemovePolicy {
    type Answer = PolicyRemoved;

    fn target(&self) -> (&'static str, String) {
        ("DELETE", format!("/policies/{}", self.name))
    }
}

/// A policy was taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRemoved {
    pub exposure: Exposure,
    pub removed: PolicyName,
    #[serde(flatten)]
    pub ports: PortChanges,
}

/// Let the policy of the config file take the place of the registry's of the same name, with nothing in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovePolicyToFile {
    pub name: PolicyName,
}

impl ApiRequest for MovePolicyToFile {
    type Answer = PolicyMoved;

    fn target(&self) -> (&'static str, String) {
        ("POST", format!("/policies/{}/to-file", self.name))
    }
}

/// A policy stands in the config file alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyMoved {
    pub exposure: Exposure,
    /// As it is in force now.
    pub policy: PolicyView,
    #[serde(flatten)]
    pub ports: PortChanges,
}

/// What would become of a visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestPolicy {
    pub name: PolicyName,
    /// Where it comes from.
    pub from: IpAddr,
    /// The key that it shows.
    pub key: Option<VisitorKeyName>,
}

impl TestPolicy {
    pub(super) fn read(name: PolicyName, request: &Request) -> Result<Self, ApiProblem> {
        let from = request.required("from")?;
        let from = from.parse().map_err(|_| {
            ApiProblem::new(400, "bad_request", format!("{from:?} is no address, such as 203.0.113.7"))
        })?;
        Ok(Self { name, from, key: request.parameter("key").map(key_name).transpose()? })
    }
}

impl ApiRequest for TestPolicy {
    type Answer = PolicyTested;

    fn target(&self) -> (&'static str, String) {
        let from = percent_encode(&self.from.to_string());
        let key = self.key.as_ref().map(|key| format!("&key={key}")).unwrap_or_default();
        ("GET", format!("/policies/{}/test?from={from}{key}", self.name))
    }
}

/// What a policy says to a visitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTested {
    /// The visitor gets in; one whose policy only counts, too.
    pub admitted: bool,
    pub from: IpAddr,
    pub policy: PolicyName,
    /// The first thing that is not kept.
    pub refusal: Option<RefusalView>,
    /// In the order in which they are taken.
    pub steps: Vec<StepView>,
    /// The key that is shown.
    pub key: Option<VisitorKeyName>,
    /// How that key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_state: Option<KeyState>,
}

/// What a visitor is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalView {
    /// As `Petit-Error` has it.
    pub error: String,
    /// Of HTTP.
    pub status: u16,
    pub title: String,
}

impl From<Failure> for RefusalView {
    fn from(failure: Failure) -> Self {
        let (error, title) = (failure.code().to_owned(), failure.title().to_owned());
        Self { error, status: failure.status().as_u16(), title }
    }
}

/// A step of a decision, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    pub step: PolicyStep,
    pub verdict: PolicyVerdict,
}

impl StepView {
    pub(crate) fn new(step: Step, verdict: Verdict) -> Self {
        Self { step: step.into(), verdict: verdict.into() }
    }
}

/// A visitor's key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Seconds since 1970.
    pub created: Timestamp,
    /// What stands before its secret.
    pub id: VisitorKeyId,
    pub name: VisitorKeyName,
    /// The policies that take it.
    pub policies: Vec<PolicyName>,
    /// Until when the secret from before is good, too.
    pub previous_until: Option<Timestamp>,
    pub revoked: Option<Timestamp>,
    pub rotated: Option<Timestamp>,
}

impl KeyView {
    pub(crate) fn new(key: &StoredKey, policies: Vec<PolicyName>) -> Self {
        let StoredKey { id, name, hash: _, previous, created, rotated, revoked } = key;
        Self {
            created: *created,
            id: *id,
            name: name.clone(),
            policies,
            previous_until: previous.map(|(_, until)| until).filter(|until| *until > Timestamp::now()),
            revoked: *revoked,
            rotated: *rotated,
        }
    }
}

/// All keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListKeys;

impl ApiRequest for ListKeys {
    type Answer = KeyList;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/keys".to_owned())
    }
}

/// All keys, those that were revoked among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    pub keys: Vec<KeyView>,
}

/// Make a key, or give one another secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    pub name: VisitorKeyName,
    /// Another secret for one that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<RotateKey>,
}

impl ApiRequest for CreateKey {
    type Answer = KeyMade;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/keys".to_owned())
    }

    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        serde_json::to_value(self).map(Some)
    }
}

/// How a key gets another secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How long the one from before goes on being good.
    pub overlap_seconds: u64,
}

/// A key that was made: the only time that it is said.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMade {
    /// As visitors send it in `Petit-Key`.
    pub key: String,
    pub name: VisitorKeyName,
    /// The policies that take it already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyName>,
    /// Until when the secret from before is good, too.
    pub previous_until: Option<Timestamp>,
    /// Until when the secret before that one was to be good; it is so no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<Timestamp>,
}

/// End a key for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeKey {
    pub name: VisitorKeyName,
}

impl ApiRequest for RevokeKey {
    type Answer = KeyRevoked;

    fn target(&self) -> (&'static str, String) {
        ("POST", format!("/keys/{}/revoke", self.name))
    }
}

/// A key lets nobody in any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRevoked {
    pub revoked: VisitorKeyName,
    /// Policies that ask for a key and have none left.
    pub without_key: Vec<PolicyName>,
    /// Those of them that let nobody in: all but those that only count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keyless: Vec<KeylessPolicy>,
}

pub(super) fn policy_name(text: &str) -> Result<PolicyName, ApiProblem> {
    text.parse().map_err(|_| no_policy(text))
}

pub(super) fn key_name(text: &str) -> Result<VisitorKeyName, ApiProblem> {
    text.parse().map_err(|_| ApiProblem::new(404, "no_key", format!("there is no key {text:?}")))
}

/// What is asked for is not there.
pub(crate) fn no_policy(name: &str) -> ApiProblem {
    let problem = format!("there is no policy {name}; see them with: petit-server policy list");
    ApiProblem::new(404, "no_policy", problem)
}
