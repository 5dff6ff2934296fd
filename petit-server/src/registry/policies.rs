//! Policies and visitors' keys: who may set, rotate and take away what, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, PolicyName, RegisteredId, Tag, VisitorKeyName};
use petit_relay::policy::{AddressList, KeyHash};

use super::change::Actor;
use super::change_body::ChangeBody;
use super::error::{Conflict, StoreError};
use super::model::Delta;
use super::named::Named;
use super::policy::{Edit, LIST_MAX, NewKey, Policy, PolicyEdit, PolicyTarget, StoredKey, VisitorRules};
use super::rows::Rows;
use super::rules::Registry;

impl<R: Rows> Registry<'_, R> {
    /// Changes a policy, or makes one. `beside` are those that the config file has: a name stands in one of the two, and
    /// a service in one policy. Returns the policy as it is now.
    ///
    /// # Errors
    /// [`StoreError`]; a [`Conflict`] when it is the file's, names what there is not, or what another one names.
    pub async fn set_policy(
        mut self,
        edit: PolicyEdit,
        beside: &[Policy],
        actor: Actor,
    ) -> Result<(Policy, Delta), StoreError> {
        if beside.iter().any(|policy| policy.name == edit.name) {
            return Err(Conflict::PolicyInFile(edit.name).into());
        }
        let mut policies = self.rows.policies().await?;
        let known = policies.iter().position(|policy| policy.name == edit.name);
        let before = known.map(|place| policies.swap_remove(place));
        if before.is_none() && policies.len() + beside.len() >= limits::MAX_POLICIES {
            return Err(Conflict::TooManyPolicies.into());
        }
        let was = before.clone().unwrap_or_else(|| Policy::named(edit.name.clone()));
        if let Edit::To(keys) = &edit.keys {
            self.check_keys(keys).await?;
        }
        let policy = edit.applied_to(was);
        if before.as_ref() == Some(&policy) {
            return Ok((policy, self.delta));
        }
        check_lists(&policy)?;
        for target in &policy.services {
            // One that was named before may have ended since: its customer must not stand in the way of changes.
            if let PolicyTarget::Id(id) = target
                && !before.as_ref().is_some_and(|before| before.services.contains(target))
                && self.rows.service(id).await?.is_none()
            {
                return Err(Conflict::NoService(*id).into());
            }
        }
        let others = || policies.iter().chain(beside);
        let owners = self.owners(others().chain(&before).chain([&policy])).await?;
        let owner = |alias: &Alias| owners.get(alias).copied();
        let was = Named::by(others().chain(&before), owner);
        Named::by(others().chain([&policy]), owner).check(&was)?;
        self.rows.put_policy(&policy, self.now).await?;
        self.record(actor, &policy.name, &ChangeBody::PolicySet { policy: policy.clone() }).await?;
        self.load_visitor_rules().await?;
        Ok((policy, self.delta))
    }

    /// Takes a policy away. Its services have the default one then, or none.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::NoPolicy`] when there is none of this name.
    pub async fn remove_policy(mut self, name: PolicyName, actor: Actor) -> Result<Delta, StoreError> {
        if !self.rows.policies().await?.iter().any(|policy| policy.name == name) {
            return Err(Conflict::NoPolicy(name).into());
        }
        self.rows.delete_policy(&name).await?;
        self.record(actor, &name, &ChangeBody::PolicyRemoved {}).await?;
        self.load_visitor_rules().await?;
        Ok(self.delta)
    }

    /// Keeps a new key for visitors. One that was revoked has freed its name.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::KeyExists`].
    pub async fn create_key(mut self, key: NewKey, actor: Actor) -> Result<Delta, StoreError> {
        let NewKey { id, name, hash } = key;
        let keys = self.rows.visitor_keys().await?;
        match keys.iter().find(|key| key.name == name) {
            Some(known) if known.revoked.is_none() => return Err(Conflict::KeyExists(name).into()),
            None if keys.len() >= limits::MAX_VISITOR_KEYS => return Err(Conflict::TooManyKeys.into()),
            Some(_) | None => {}
        }
        let key = StoredKey {
            id,
            name,
            hash: Some(hash),
            previous: None,
            created: self.now,
            rotated: None,
            revoked: None,
        };
        self.rows.put_visitor_key(&key).await?;
        self.record(actor, &key.name, &ChangeBody::KeyCreated { id }).await?;
        self.load_visitor_rules().await?;
        Ok(self.delta)
    }

    /// Gives a key another secret. The one from before goes on being good for `overlap`; one from before that does not.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::NoKey`], [`Conflict::RevokedKey`].
    pub async fn rotate_key(
        mut self,
        name: &VisitorKeyName,
        hash: KeyHash,
        overlap: Duration,
        actor: Actor,
    ) -> Result<(StoredKey, Delta), StoreError> {
        let mut key = self.live_key(name).await?;
        let until = self.now + overlap;
        let before = key.hash.replace(hash).filter(|_| !overlap.is_zero());
        key.previous = before.map(|before| (before, until));
        key.rotated = Some(self.now);
        self.rows.put_visitor_key(&key).await?;
        let previous_until = key.previous.map(|(_, until)| until);
        self.record(actor, name, &ChangeBody::KeyRotated { id: key.id, previous_until }).await?;
        self.load_visitor_rules().await?;
        Ok((key, self.delta))
    }

    /// Ends a key for good. Its name stays known, so that a policy that names it goes on asking for a key.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::UnknownKey`], [`Conflict::RevokedAlready`].
    pub async fn revoke_key(mut self, name: &VisitorKeyName, actor: Actor) -> Result<Delta, StoreError> {
        let key = self.key_called(name).await?.ok_or_else(|| Conflict::UnknownKey(name.clone()))?;
        if key.revoked.is_some() {
            return Err(Conflict::RevokedAlready(name.clone()).into());
        }
        let key = StoredKey { hash: None, previous: None, revoked: Some(self.now), ..key };
        self.rows.put_visitor_key(&key).await?;
        self.record(actor, name, &ChangeBody::KeyRevoked { id: key.id }).await?;
        self.load_visitor_rules().await?;
        Ok(self.delta)
    }

    /// Whose the aliases are that policies name.
    async fn owners<'a>(
        &mut self,
        policies: impl Iterator<Item = &'a Policy> + Send,
    ) -> Result<BTreeMap<Alias, RegisteredId>, StoreError> {
        let mut owners = BTreeMap::new();
        for target in policies.flat_map(|policy| &policy.services) {
            if let PolicyTarget::Alias(alias) = target
                && let Some(id) = self.rows.alias(alias).await?
            {
                owners.insert(alias.clone(), id);
            }
        }
        Ok(owners)
    }

    /// Why a service cannot get an alias: policies name both, which would be two for one service. `beside` are the
    /// policies of the config file.
    pub(super) async fn policy_conflict(
        &mut self,
        alias: &Alias,
        id: &RegisteredId,
        beside: &[Policy],
    ) -> Result<Option<Conflict>, StoreError> {
        let policies = self.rows.policies().await?;
        let all = || policies.iter().chain(beside);
        let owners = self.owners(all()).await?;
        let owner = |named: &Alias| owners.get(named).copied();
        let with_it = |named: &Alias| if named == alias { Some(*id) } else { owner(named) };
        Ok(Named::by(all(), with_it).check(&Named::by(all(), owner)).err())
    }

    async fn live_key(&mut self, name: &VisitorKeyName) -> Result<StoredKey, StoreError> {
        match self.key_called(name).await? {
            None => Err(Conflict::NoKey(name.clone()).into()),
            Some(key) if key.revoked.is_some() => Err(Conflict::RevokedKey(name.clone()).into()),
            Some(key) => Ok(key),
        }
    }

    async fn key_called(&mut self, name: &VisitorKeyName) -> Result<Option<StoredKey>, StoreError> {
        Ok(self.rows.visitor_keys().await?.into_iter().find(|key| key.name == *name))
    }

    /// Every key that a change names has to let somebody in. One that a policy has named before may have been revoked since:
    /// that must not stand in the way of other changes.
    async fn check_keys(&mut self, names: &[VisitorKeyName]) -> Result<(), StoreError> {
        for name in names {
            self.live_key(name).await?;
        }
        Ok(())
    }

    /// They are few, and change seldom: lookups get all of them anew.
    async fn load_visitor_rules(&mut self) -> Result<(), StoreError> {
        let (policies, keys) = (self.rows.policies().await?, self.rows.visitor_keys().await?);
        self.delta.added.visitors = Some(VisitorRules { policies, keys });
        Ok(())
    }
}

/// Whether a policy says whose visitors it is about, and says no more than can be looked through for a request.
fn check_lists(policy: &Policy) -> Result<(), Conflict> {
    let name = || policy.name.clone();
    if policy.services.is_empty() {
        return Err(Conflict::PolicyOfNothing(name()));
    }
    let lists = [
        policy.services.len(),
        policy.from.as_ref().map_or(0, Vec::len),
        policy.keys.as_ref().map_or(0, Vec::len),
    ];
    if lists.into_iter().any(|length| length > LIST_MAX) {
        return Err(Conflict::PolicyTooLong { policy: name(), most: LIST_MAX });
    }
    // They may come as networks from a program, past what a command line or a file are told.
    let networks = policy.from.iter().flatten().map(ToString::to_string);
    if let Err(problem) = AddressList::parse(networks) {
        return Err(Conflict::PolicyAddress { policy: name(), problem: Box::new(problem) });
    }
    if policy.burst.is_some() && policy.rate.is_none() {
        return Err(Conflict::BurstWithoutRate(name()));
    }
    Ok(())
}

/// Whether the tags of each client lead to one policy at most, now that there are the policies `after` instead of those
/// `before`. A client of whom that is not so already (an invite may have brought it about) holds up nothing: its services
/// let nobody in as it is.
///
/// # Errors
/// [`Conflict::TagsDisagree`] with the first client of whom it has become so.
pub fn check_tags<'a>(
    before: impl Iterator<Item = &'a Policy>,
    after: impl Iterator<Item = &'a Policy>,
    clients: impl Iterator<Item = (&'a DeviceId, &'a BTreeSet<Tag>)>,
) -> Result<(), Conflict> {
    let (before, after) = (ByTag::of(before), ByTag::of(after));
    let found = clients
        .filter(|(_, tags)| before.disagreement(tags).is_none())
        .find_map(|(client, tags)| Some((client, after.disagreement(tags)?)));
    let Some((client, (one, other))) = found else { return Ok(()) };
    Err(Conflict::TagsDisagree { client: Box::new(*client), one: one.clone(), other: other.clone() })
}

/// Whose policy a tag leads to.
pub struct ByTag<'a>(BTreeMap<&'a Tag, &'a PolicyName>);

impl<'a> ByTag<'a> {
    /// Of these policies.
    pub fn of(policies: impl Iterator<Item = &'a Policy>) -> Self {
        Self(policies.flat_map(tags_of).collect())
    }

    /// Two policies to which a client's tags lead.
    pub fn disagreement(&self, tags: &BTreeSet<Tag>) -> Option<(&'a PolicyName, &'a PolicyName)> {
        // Most servers have no such policies, and nobody's tags are looked at then.
        if self.0.len() < 2 {
            return None;
        }
        let mut named = tags.iter().filter_map(|tag| self.0.get(tag).copied());
        let one = named.next()?;
        Some((one, named.find(|other| *other != one)?))
    }
}

fn tags_of(policy: &Policy) -> impl Iterator<Item = (&Tag, &PolicyName)> {
    policy.services.iter().filter_map(|target| match target {
        PolicyTarget::Tag(tag) => Some((tag, &policy.name)),
        PolicyTarget::Id(_) | PolicyTarget::Alias(_) | PolicyTarget::Default | PolicyTarget::DefaultTcp => {
            None
        }
    })
}

/// Which part of a policy of the config file is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyPart {
    Name,
    Services,
    Keys,
}

/// A policy of the config file does not fit to the registry, or to another one of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{conflict}")]
pub struct FileConflict {
    /// Its place among those of the file.
    pub place: usize,
    pub part: PolicyPart,
    pub conflict: Conflict,
}

/// What of the policies of the config file does not fit to those of the registry and to its keys: all of it. `owner` says
/// whose an alias is.
pub fn file_conflicts(
    file: &[Policy],
    registry: &[Policy],
    is_key: impl Fn(&VisitorKeyName) -> bool,
    owner: impl Fn(&Alias) -> Option<RegisteredId>,
) -> Vec<FileConflict> {
    let mut conflicts = Vec::new();
    let in_registry: BTreeSet<&PolicyName> = registry.iter().map(|policy| &policy.name).collect();
    let mut in_file = BTreeSet::new();
    let mut named = Named::by(registry.iter(), &owner);
    for (place, policy) in file.iter().enumerate() {
        let mut add = |part, conflict| conflicts.push(FileConflict { place, part, conflict });
        if in_registry.contains(&policy.name) {
            add(PolicyPart::Name, Conflict::PolicyInBoth(policy.name.clone()));
        }
        if !in_file.insert(&policy.name) {
            add(PolicyPart::Name, Conflict::PolicyTwice(policy.name.clone()));
        }
        if registry.len() + place == limits::MAX_POLICIES {
            add(PolicyPart::Name, Conflict::TooManyPolicies);
        }
        for unknown in policy.keys.iter().flatten().filter(|name| !is_key(name)) {
            add(PolicyPart::Keys, Conflict::NoKey(unknown.clone()));
        }
        // All of them: of a policy that has overlapped with another before, a further one is news.
        for target in &policy.services {
            if let Some(one) = named.add(policy, target, &owner) {
                let (one, other, target) = (one.clone(), policy.name.clone(), target.clone());
                add(PolicyPart::Services, Conflict::PoliciesOverlap { one, other, target });
            }
        }
    }
    conflicts
}
