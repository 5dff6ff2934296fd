//! What is asked of visitors: policies and keys.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use petit_engine::name::{PolicyName, RegisteredId, VisitorKeyName};
use petit_host::control::ApiProblem;
use petit_relay::policy::{Enforcement, PolicyRequest, PresentedKey, Unlimited};
use petit_relay::{Names, Relay};
use secrecy::ExposeSecret;

use super::Admin;
use crate::api::{
    CreateKey, KeyList, KeyMade, KeyRevoked, KeyState, KeyView, KeylessPolicy, PolicyActivity, PolicyChanged,
    PolicyCounts, PolicyDetails, PolicyList, PolicyMoved, PolicyOrigin, PolicyRemoved, PolicyTested,
    PolicyView, PortChanges, ServiceLeft, SetPolicy, ShutPort, StepView, TestPolicy, no_policy,
};
use crate::config::{self, Config};
use crate::directory::{Directory, MoveError, ShutService};
use crate::registry::{Actor, OVERLAP_MAX, Policy, PolicyTarget};
use crate::seconds;

type Answered<T> = Result<T, ApiProblem>;

impl Admin {
    pub(super) fn policies(&self) -> PolicyList {
        PolicyList { exposure: self.directory.exposure(), policies: self.every_policy() }
    }

    /// Those of the registry and of the config file, by their names. Looks at no service, as the exposure does at all.
    fn every_policy(&self) -> Vec<PolicyView> {
        every_policy(&self.directory)
    }

    /// Policies that let nobody in, because all their keys were revoked.
    pub(super) fn keyless(&self) -> Vec<KeylessPolicy> {
        keyless(&self.directory)
    }

    pub(super) fn policy(&self, name: &PolicyName) -> Answered<PolicyDetails> {
        let policy = self.every_policy().into_iter().find(|view| view.policy.name == *name);
        let policy = policy.ok_or_else(|| no_policy(name.as_str()))?;
        let mut holds_for = self.directory.services_of(name);
        holds_for.sort();
        let counts = self.running.as_ref().and_then(|_| self.directory.policy(name));
        let counts = counts.map(|policy| PolicyCounts::of(&policy));
        let mut shut_ports = self.shut_ports();
        shut_ports.retain(|port| port.policy == *name);
        let exposure_without = Some(self.directory.exposure_without(name));
        let counts_since = self.running.as_ref().map(|running| seconds(running.server.since));
        Ok(PolicyDetails { counts, counts_since, exposure_without, holds_for, policy, shut_ports })
    }

    /// The raw TCP ports that are not listened on because of their policies.
    pub(super) fn shut_ports(&self) -> Vec<ShutPort> {
        shut_ports(&self.directory, self.running.as_ref().map(|running| &running.server.relay))
    }

    /// What has become of ports since they were `before`.
    pub(super) fn port_changes(&self, before: &[ShutPort]) -> PortChanges {
        PortChanges::between(before, self.shut_ports())
    }

    /// Of a key that there never was nothing can be said; of one that was revoked, that it is refused.
    pub(super) fn check_holder(&self, key: Option<&VisitorKeyName>) -> Answered<()> {
        let Some(name) = key else { return Ok(()) };
        if KeyState::of(name, &self.directory.visitor_keys()) != KeyState::Unknown {
            return Ok(());
        }
        let problem = format!("there is no key {name}; see them with: petit-server key list");
        Err(ApiProblem::new(404, "no_key", problem))
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
            refusal: decision.broken.map(|reason| reason.failure().into()),
            steps,
            key_state: key.as_ref().map(|key| KeyState::of(key, &self.directory.visitor_keys())),
            key,
        })
    }

    pub(super) async fn set_policy(&self, asked: SetPolicy, actor: Actor) -> Answered<PolicyChanged> {
        let (before, name) = (self.shut_ports(), asked.0.name.clone());
        let held_before = self.directory.services_of(&name);
        let policy = self.directory.set_policy(asked.0, actor).await.map_err(self.problem())?;
        let left = held_before.iter().filter_map(|id| self.left(*id, &name)).collect();
        let ports = self.port_changes(&before);
        let alias = |target: &PolicyTarget| match target {
            PolicyTarget::Alias(alias) => Some(alias.clone()),
            PolicyTarget::Id(_) | PolicyTarget::Tag(_) | PolicyTarget::Default | PolicyTarget::DefaultTcp => {
                None
            }
        };
        let aliases = policy.services.iter().filter_map(alias);
        let nobodys = aliases.filter(|alias| self.directory.alias(alias.as_str()).is_none()).collect();
        let without_key_of = self.default_with_key().filter(|default| {
            policy.keys.is_none()
                && policy.name != *default
                && !policy.services.contains(&PolicyTarget::DefaultTcp)
        });
        let policy =
            PolicyView::new(policy, PolicyOrigin::Registry, &self.directory.visitor_keys(), &self.directory);
        let exposure = self.directory.exposure();
        Ok(PolicyChanged { exposure, left, policy, nobodys, without_key_of, ports })
    }

    /// What a service's visitors are asked now that it is not held to this policy any more.
    fn left(&self, id: RegisteredId, policy: &PolicyName) -> Option<ServiceLeft> {
        let now = self.directory.service(&id)?.policy;
        let is_other = now.as_ref().is_none_or(|now| now.name != *policy);
        is_other.then(|| ServiceLeft {
            id,
            is_open: now.as_ref().is_none_or(|now| !now.admits_only_chosen()),
            now: now.as_ref().map(|now| now.name.clone()),
        })
    }

    /// The default policy, where it asks for a key.
    fn default_with_key(&self) -> Option<PolicyName> {
        let policies = self.every_policy().into_iter().map(|view| view.policy);
        let mut defaults = policies.filter(|policy| policy.services.contains(&PolicyTarget::Default));
        defaults.find(|policy| policy.keys.is_some()).map(|policy| policy.name)
    }

    pub(super) async fn remove_policy(&self, name: PolicyName, actor: Actor) -> Answered<PolicyRemoved> {
        let before = self.shut_ports();
        self.directory.remove_policy(name.clone(), actor).await.map_err(self.problem())?;
        let (exposure, ports) = (self.directory.exposure(), self.port_changes(&before));
        Ok(PolicyRemoved { exposure, removed: name, ports })
    }

    /// Lets the config file's policy take the place of the registry's, and the rest of the file follow.
    pub(super) async fn move_policy(&self, name: PolicyName, actor: Actor) -> Answered<PolicyMoved> {
        let (registry, _) = self.directory.policies();
        if !registry.iter().any(|policy| policy.name == name) {
            let known = self.policy(&name)?; // of the file alone: there is nothing left to do
            let ports = PortChanges::default();
            return Ok(PolicyMoved { exposure: self.directory.exposure(), policy: known.policy, ports });
        }
        let config = self.config_file()?;
        if !config.policies.list.iter().any(|policy| policy.name == name) {
            let problem =
                format!("the config file has no policy {name}; write it there first, as a [[policy]]");
            return Err(ApiProblem::new(409, "conflict", problem));
        }
        let before = self.shut_ports();
        let moved = self.directory.move_to_file(name.clone(), Arc::clone(&config.policies.list), actor).await;
        moved.map_err(|error| match error {
            MoveError::File(found) => {
                let path = self.running.as_ref().map(|running| running.server.folder.config.clone());
                let error = config.policies.error(&path.unwrap_or_default(), &found);
                ApiProblem::new(422, "config", error.to_string())
            }
            MoveError::Store(error) => self.problem()(error),
        })?;
        if self.running.is_some() {
            self.reload().await.map_err(|problem| {
                let problem = format!(
                    "the policy {name} is that of the config file now, but the rest of the file is not in force: {}",
                    problem.message
                );
                ApiProblem::new(422, "config", problem)
            })?;
        }
        let (policy, ports) = (self.policy(&name)?.policy, self.port_changes(&before));
        Ok(PolicyMoved { exposure: self.directory.exposure(), policy, ports })
    }

    /// The config file as it is now.
    fn config_file(&self) -> Answered<Config> {
        let read = |path: &Path| config::load(path).map(|(config, _)| config);
        let of_running = self.running.as_ref().map(|running| read(&running.server.folder.config));
        let config = of_running.or_else(|| self.offline.clone().map(Ok));
        let config = config.ok_or_else(|| ApiProblem::new(409, "not_running", "there is no config"))?;
        config.map_err(|error| ApiProblem::new(422, "config", petit_host::cli::chain(&error)))
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
        let known = self.directory.visitor_keys().into_iter().find(|key| key.name == name);
        let ended_early =
            known.filter(|_| rotate.is_some()).and_then(|key| KeyView::new(&key, Vec::new()).previous_until);
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
        let key = key.expose_secret().to_owned();
        Ok(KeyMade { key, policies, name, previous_until, ended_early })
    }

    pub(super) async fn revoke_key(&self, name: VisitorKeyName, actor: Actor) -> Answered<KeyRevoked> {
        self.directory.revoke_key(name.clone(), actor).await.map_err(self.problem())?;
        let named = |view: &PolicyView| view.revoked_keys.contains(&name);
        let mut policies = self.every_policy();
        policies.retain(|view| named(view) && view.policy.has_none_but(&view.revoked_keys));
        let keyless = policies.iter().filter_map(PolicyView::keyless).collect();
        let without_key = policies.into_iter().map(|view| view.policy.name).collect();
        Ok(KeyRevoked { revoked: name, without_key, keyless })
    }
}

/// The policies of the registry and of the config file, by their names. Looks at no service.
fn every_policy(directory: &Directory) -> Vec<PolicyView> {
    let ((registry, file), keys) = (directory.policies(), directory.visitor_keys());
    let registry =
        registry.into_iter().map(|policy| PolicyView::new(policy, PolicyOrigin::Registry, &keys, directory));
    let of_file =
        |policy: &Policy| PolicyView::new(policy.clone(), PolicyOrigin::ConfigFile, &keys, directory);
    let mut policies: Vec<PolicyView> = registry.chain(file.iter().map(of_file)).collect();
    policies.sort_by(|one, other| one.policy.name.cmp(&other.policy.name));
    policies
}

/// The policies that let nobody in, because all their keys were revoked.
pub(super) fn keyless(directory: &Directory) -> Vec<KeylessPolicy> {
    every_policy(directory).iter().filter_map(PolicyView::keyless).collect()
}

/// The raw TCP ports that are not listened on because of their policies. Walks over all services.
pub(super) fn shut_ports(directory: &Directory, relay: Option<&Relay>) -> Vec<ShutPort> {
    let view = |service: ShutService| {
        let ShutService { id, device, name, port, policy } = service;
        let address = relay.and_then(|relay| relay.tcp_address(&id));
        let port = port.filter(|port| *port != 0);
        ShutPort { address, client: device, id, policy, port, service: name }
    };
    directory.shut_services().into_iter().map(view).collect()
}

/// What each policy has come to, by their names.
pub(super) fn activity(directory: &Directory) -> Vec<PolicyActivity> {
    let (registry, file) = directory.policies();
    let names: BTreeSet<PolicyName> =
        registry.into_iter().chain(file.iter().cloned()).map(|policy| policy.name).collect();
    let activity = |policy: PolicyName| {
        let counts = PolicyCounts::of(&*directory.policy(&policy)?);
        Some(PolicyActivity { policy, counts })
    };
    names.into_iter().filter_map(activity).collect()
}
