//! What is asked of visitors: policies and keys.

use std::time::{Duration, SystemTime};

use petit_engine::name::{PolicyName, VisitorKeyName};
use petit_host::control::ApiProblem;
use petit_relay::Names;
use petit_relay::policy::{Enforcement, PolicyRequest, PresentedKey, Unlimited};
use secrecy::ExposeSecret;

use super::Admin;
use crate::api::{
    CreateKey, KeyList, KeyMade, KeyRevoked, KeyView, PolicyChanged, PolicyDetails, PolicyList, PolicyOrigin,
    PolicyRemoved, PolicyTested, PolicyView, SetPolicy, StepView, TestPolicy, no_policy,
};
use crate::registry::{Actor, OVERLAP_MAX, Policy, PolicyTarget, StoredKey};

type Answered<T> = Result<T, ApiProblem>;

impl Admin {
    pub(super) fn policies(&self) -> PolicyList {
        PolicyList { exposure: self.directory.exposure(), policies: self.every_policy() }
    }

    /// Those of the registry and of the config file, by their names. Looks at no service, as the exposure does at all.
    fn every_policy(&self) -> Vec<PolicyView> {
        let (registry, file) = self.directory.policies();
        let of = |origin: PolicyOrigin| move |policy: Policy| PolicyView { policy, origin };
        let registry = registry.into_iter().map(of(PolicyOrigin::Registry));
        let file = file.iter().cloned().map(of(PolicyOrigin::ConfigFile));
        let mut policies: Vec<PolicyView> = registry.chain(file).collect();
        policies.sort_by(|one, other| one.policy.name.cmp(&other.policy.name));
        policies
    }

    pub(super) fn policy(&self, name: &PolicyName) -> Answered<PolicyDetails> {
        let policy = self.every_policy().into_iter().find(|view| view.policy.name == *name);
        let policy = policy.ok_or_else(|| no_policy(name.as_str()))?;
        let mut holds_for = self.directory.services_of(name);
        holds_for.sort();
        Ok(PolicyDetails { holds_for, policy })
    }

    /// By the same function that decides of visits. Nothing is counted, so that limits are never reached.
    pub(super) fn test_policy(&self, asked: TestPolicy) -> Answered<PolicyTested> {
        let TestPolicy { name, from: address, key } = asked;
        let policy = self.directory.policy(&name).ok_or_else(|| no_policy(name.as_str()))?;
        let visit = PolicyRequest {
            address,
            key: key.as_ref().map_or(PresentedKey::Absent, PresentedKey::Supposed),
            body_bytes: 0,
            now: SystemTime::now(),
        };
        let mut steps = Vec::new();
        let see = |step, verdict| steps.push(StepView::new(step, verdict));
        let decision = policy.decide(&visit, &mut Unlimited, see);
        Ok(PolicyTested {
            admitted: decision.broken.is_none() || policy.enforcement == Enforcement::CountOnly,
            from: address,
            policy: name,
            refusal: decision.broken.map(Into::into),
            steps,
            key,
        })
    }

    pub(super) async fn set_policy(&self, asked: SetPolicy, actor: Actor) -> Answered<PolicyChanged> {
        let policy = self.directory.set_policy(asked.0, actor).await.map_err(self.problem())?;
        let alias = |target: &PolicyTarget| match target {
            PolicyTarget::Alias(alias) => Some(alias.clone()),
            PolicyTarget::Id(_) | PolicyTarget::Default | PolicyTarget::DefaultTcp => None,
        };
        let aliases = policy.services.iter().filter_map(alias);
        let nobodys = aliases.filter(|alias| self.directory.alias(alias.as_str()).is_none()).collect();
        let without_key_of = self.default_with_key().filter(|default| {
            policy.keys.is_none()
                && policy.name != *default
                && !policy.services.contains(&PolicyTarget::DefaultTcp)
        });
        let policy = PolicyView { policy, origin: PolicyOrigin::Registry };
        Ok(PolicyChanged { exposure: self.directory.exposure(), policy, nobodys, without_key_of })
    }

    /// The default policy, where it asks for a key.
    fn default_with_key(&self) -> Option<PolicyName> {
        let policies = self.every_policy().into_iter().map(|view| view.policy);
        let mut defaults = policies.filter(|policy| policy.services.contains(&PolicyTarget::Default));
        defaults.find(|policy| policy.keys.is_some()).map(|policy| policy.name)
    }

    pub(super) async fn remove_policy(&self, name: PolicyName, actor: Actor) -> Answered<PolicyRemoved> {
        self.directory.remove_policy(name.clone(), actor).await.map_err(self.problem())?;
        Ok(PolicyRemoved { exposure: self.directory.exposure(), removed: name })
    }

    pub(super) fn keys(&self) -> KeyList {
        let policies = self.every_policy();
        let by = |name: &VisitorKeyName| {
            let takes = |view: &&PolicyView| view.policy.keys.iter().flatten().any(|key| key == name);
            policies.iter().filter(takes).map(|view| view.policy.name.clone()).collect()
        };
        let keys = self.directory.visitor_keys();
        KeyList { keys: keys.iter().map(|key| KeyView::new(key, by(&key.name))).collect() }
    }

    pub(super) async fn create_key(&self, asked: CreateKey, actor: Actor) -> Answered<KeyMade> {
        let CreateKey { name, rotate } = asked;
        let (key, previous_until) = match rotate {
            None => {
                let key = self.directory.create_key(name.clone(), actor).await.map_err(self.problem())?;
                (key, None)
            }
            Some(rotate) => {
                let overlap = Duration::from_secs(rotate.overlap_seconds);
                if overlap > OVERLAP_MAX {
                    let problem = "the secret from before is good for 90 days at most";
                    return Err(ApiProblem::new(400, "bad_request", problem));
                }
                let rotated = self.directory.rotate_key(name.clone(), overlap, actor).await;
                let (key, stored) = rotated.map_err(self.problem())?;
                (key, stored.previous.map(|(_, until)| until))
            }
        };
        let takes = |policy: &Policy| policy.keys.iter().flatten().any(|key| *key == name);
        let policies = self.every_policy().into_iter().map(|view| view.policy);
        let policies = policies.filter(takes).map(|policy| policy.name).collect();
        Ok(KeyMade { key: key.expose_secret().to_owned(), policies, name, previous_until })
    }

    pub(super) async fn revoke_key(&self, name: VisitorKeyName, actor: Actor) -> Answered<KeyRevoked> {
        self.directory.revoke_key(name.clone(), actor).await.map_err(self.problem())?;
        let live: Vec<VisitorKeyName> = self.directory.visitor_keys().into_iter().filter_map(live).collect();
        let has_none_left = |view: &PolicyView| {
            let keys = view.policy.keys.as_ref();
            keys.is_some_and(|keys| keys.contains(&name) && !keys.iter().any(|key| live.contains(key)))
        };
        let policies = self.every_policy().into_iter();
        let without_key = policies.filter(has_none_left).map(|view| view.policy.name).collect();
        Ok(KeyRevoked { revoked: name, without_key })
    }
}

fn live(key: StoredKey) -> Option<VisitorKeyName> {
    key.hash.map(|_| key.name)
}
