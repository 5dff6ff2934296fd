//! Policies and visitors' keys: looked up, and changed through the store.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use petit_engine::name::{
    Alias, DeviceId, PolicyName, RegisteredId, ServiceName, Tag, VisitorKeyId, VisitorKeyName,
};
use petit_engine::proto::control::ServiceKind;
use petit_relay::policy::{KeySecret, ServicePolicy};
use petit_relay::{Change, Route};
use secrecy::SecretString;

use super::policies::{Exposure, Making, Policies, Written, is_open, is_same};
use super::{Asker, Directory, Lookup, Told};
use crate::registry::{
    Actor, ByTag, Conflict, FileConflict, LabelEdit, Labels, Named, NewKey, Policy, PolicyEdit, PolicyPart,
    PolicyTarget, Service, StoreError, StoreErrorKind, StoredKey, check_tags, file_conflicts,
};
use crate::store::Store;

impl Lookup {
    /// Holds all visits to these policies from now on.
    pub(super) fn set_policies(&mut self, policies: Policies, concerned: &mut Change) {
        self.policies = policies;
        let Self { services, devices, aliases_of, policies, .. } = self;
        for (id, service) in services {
            let tags = devices.get(&service.route.device).map(|device| &device.tags);
            let policy = policies.of(&service.route, aliases_of.get(id), tags);
            if !is_same(service.route.policy.as_ref(), policy.as_ref()) {
                service.route.policy = policy;
                concerned.policies = true;
            }
        }
    }

    /// Gives one service its policy; after its names or what it speaks have changed.
    pub(super) fn assign(&mut self, id: &RegisteredId, concerned: &mut Change) {
        let Self { services, devices, aliases_of, policies, .. } = self;
        if let Some(service) = services.get_mut(id) {
            let tags = devices.get(&service.route.device).map(|device| &device.tags);
            let policy = policies.of(&service.route, aliases_of.get(id), tags);
            if !is_same(service.route.policy.as_ref(), policy.as_ref()) {
                service.route.policy = policy;
                concerned.devices.push(service.route.device);
                concerned.policies_of.push(*id);
            }
        }
    }
}

impl Lookup {
    /// A device has these tags from now on.
    pub(super) fn set_tags(&mut self, device: &DeviceId, tags: BTreeSet<Tag>, concerned: &mut Change) {
        let Some(registered) = self.devices.get_mut(device) else { return };
        registered.tags = tags;
        concerned.devices.push(*device); // another release may be for it
        let services: Vec<RegisteredId> = registered.services.values().copied().collect();
        services.iter().for_each(|id| self.assign(id, concerned));
    }

    /// The tags of all devices.
    fn tags(&self) -> impl Iterator<Item = (&DeviceId, &BTreeSet<Tag>)> {
        self.devices.iter().map(|(id, device)| (id, &device.tags))
    }
}

/// When the policies of the config file are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileUse {
    /// The server starts.
    Begins,
    /// The file has changed.
    Changes,
}

/// Why a policy of the config file did not take the place of the registry's.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// A policy of the file does not fit.
    #[error(transparent)]
    File(#[from] FileConflict),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A raw TCP service whose port is not listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutService {
    pub id: RegisteredId,
    pub device: DeviceId,
    pub name: ServiceName,
    /// 0 or `None`: the system chooses one.
    pub port: Option<u16>,
    /// What it is held to.
    pub policy: PolicyName,
}

impl Directory {
    /// The policies of the registry, and those of the config file.
    pub fn policies(&self) -> (Vec<Policy>, Arc<[Policy]>) {
        let tables = self.read();
        (tables.policies.registry.policies.clone(), Arc::clone(&tables.policies.file))
    }

    /// Visitors' keys; those that were revoked, too.
    pub fn visitor_keys(&self) -> Vec<StoredKey> {
        self.read().policies.registry.keys.clone()
    }

    /// The policies that let nobody in, because all their keys were revoked.
    pub fn keyless(&self) -> Vec<PolicyName> {
        let policies = self.read().policies.clone();
        let keys = &policies.registry.keys;
        let is_keyless = |policy: &&Policy| policy.is_keyless(&policy.revoked_keys(keys));
        policies.all().filter(is_keyless).map(|policy| policy.name.clone()).collect()
    }

    /// Says in the log which policies let nobody in, because all their keys were revoked.
    pub(crate) fn warn_of_keyless(&self) {
        for policy in self.keyless() {
            tracing::warn!(%policy, "a policy lets nobody in: all its keys are revoked");
        }
    }

    /// What would be open without this policy. Walks over all services.
    pub fn exposure_without(&self, name: &PolicyName) -> Exposure {
        // Made beside the tables, and not under their lock: whoever changes them must not wait so long.
        let policies = self.known_policies().without(name);
        let tables = self.read();
        let of = |service: &Service| {
            let tags = tables.devices.get(&service.route.device).map(|device| &device.tags);
            policies.of(&service.route, tables.aliases_of.get(&service.route.id), tags)
        };
        let open = tables.services.values().filter(|it| of(it).as_deref().is_none_or(is_open)).count();
        Exposure { open, services: tables.services.len(), new_are_open: policies.default_is_open() }
    }

    /// A policy as visits are held to it.
    pub fn policy(&self, name: &PolicyName) -> Option<Arc<ServicePolicy>> {
        self.read().policies.called(name)
    }

    /// The policy because of which the port of a raw TCP service is not listened on.
    pub fn shut_by(&self, id: &RegisteredId) -> Option<PolicyName> {
        let tables = self.read();
        let route = &tables.services.get(id)?.route;
        let policy =
            route.policy.as_ref().filter(|policy| route.kind == ServiceKind::Tcp && policy.shuts_tcp());
        policy.map(|policy| policy.name.clone())
    }

    /// The raw TCP services whose ports are not listened on, because their policies ask for a key and for no address, with
    /// their policies. Walks over all services.
    pub fn shut_services(&self) -> Vec<ShutService> {
        let tables = self.read();
        let services = tables.services.values().filter(|service| service.route.kind == ServiceKind::Tcp);
        let shut = services.filter_map(|Service { route, port }| {
            let policy = route.policy.as_ref().filter(|policy| policy.shuts_tcp())?;
            let (id, device, name) = (route.id, route.device, route.name.clone());
            Some(ShutService { id, device, name, port: *port, policy: policy.name.clone() })
        });
        let mut shut: Vec<ShutService> = shut.collect();
        shut.sort_by_key(|service| service.id);
        shut
    }

    /// Says in the log whose services nobody is let in to because two policies name them.
    pub(crate) fn warn_of_contradictions(&self) {
        let contradictions = self.contradictions();
        if let Some((service, one, other)) = contradictions.first() {
            let services = contradictions.len();
            tracing::warn!(services, %service, %one, %other, "two policies name the same services; nobody is let in to them");
        }
    }

    /// The services that two policies name as closely, so that nobody is let in, with the two. Walks over all services.
    pub fn contradictions(&self) -> Vec<(RegisteredId, PolicyName, PolicyName)> {
        let tables = self.read();
        let contradiction = |Service { route, .. }: &Service| {
            let tags = tables.devices.get(&route.device).map(|device| &device.tags);
            let found = tables.policies.find(route, tables.aliases_of.get(&route.id), tags)?;
            Some((route.id, found.policy.name.clone(), found.disagrees_with?.name.clone()))
        };
        tables.services.values().filter_map(contradiction).collect()
    }

    /// The services that have a policy, by their registered IDs. Walks over all services.
    pub fn services_of(&self, name: &PolicyName) -> Vec<RegisteredId> {
        let tables = self.read();
        let has_it = |route: &Route| route.policy.as_ref().is_some_and(|policy| policy.name == *name);
        let services = tables.services.values().map(|service| &service.route);
        services.filter(|route| has_it(route)).map(|route| route.id).collect()
    }

    /// How many services are open to anybody who knows their name. Walks over all services.
    pub fn exposure(&self) -> Exposure {
        let tables = self.read();
        let routes = tables.services.values().map(|service| &service.route);
        let open = routes.filter(|route| route.policy.as_deref().is_none_or(is_open)).count();
        let new_are_open = tables.policies.default_is_open();
        Exposure { open, services: tables.services.len(), new_are_open }
    }

    /// Puts the policies of the config file in force.
    ///
    /// # Errors
    /// [`FileConflict`] when one does not fit to the registry; nothing has changed then.
    pub fn use_file(&self, file: Arc<[Policy]>, begins: FileUse) -> Result<(), FileConflict> {
        self.use_file_but(file, begins, None)
    }

    /// `moved`: the policy of the registry that is about to go, because the file has it now.
    fn use_file_but(
        &self,
        file: Arc<[Policy]>,
        begins: FileUse,
        moved: Option<&PolicyName>,
    ) -> Result<(), FileConflict> {
        let in_turn = self.policies_turn();
        let known = self.known_policies();
        let mut registry = known.registry.policies.clone();
        registry.retain(|policy| Some(&policy.name) != moved);
        if let Some(written) = &in_turn.written {
            registry.retain(|policy| policy.name != written.name);
            registry.push(written.clone());
        }
        // A server that begins takes what there is: whoever registered, or gave an alias, has made it so, and is closed.
        let before = match begins {
            FileUse::Begins => &file,
            FileUse::Changes => &known.file,
        };
        let owners = match begins {
            FileUse::Begins => HashMap::new(),
            FileUse::Changes => self.owners(registry.iter().chain(&**before).chain(&*file)),
        };
        let owner = |alias: &Alias| owners.get(alias).copied();
        let keys: BTreeSet<&VisitorKeyName> = known.registry.keys.iter().map(|key| &key.name).collect();
        // Without a lock: lookups go on.
        let conflicts = file_conflicts(&file, &registry, |name| keys.contains(name), owner);
        let was = match begins {
            FileUse::Begins => Named::default(),
            FileUse::Changes => Named::by(registry.iter().chain(&**before), owner),
        };
        if let Some(first) = conflicts.into_iter().find(|found| !was.has_overlap(&found.conflict, owner)) {
            return Err(first);
        }
        {
            let (before, after) = (registry.iter().chain(&**before), registry.iter().chain(&*file));
            check_tags(before, after, self.read().tags()).map_err(|conflict| {
                let is_named = |policy: &Policy| match &conflict {
                    Conflict::TagsDisagree { one, other, .. } => [one, other].contains(&&policy.name),
                    _ => false,
                };
                let place = file.iter().rposition(is_named).unwrap_or_default();
                FileConflict { place, part: PolicyPart::Services, conflict }
            })?;
        }
        self.tell(self.set_file(file));
        Ok(())
    }

    /// Lets the policy of the config file take the place of the registry's of the same name, and puts all of `file` in force.
    /// At each moment visits are held to one of the two.
    ///
    /// # Errors
    /// [`MoveError`]; what was in force before is so then, unless a reload has put something else in force meanwhile.
    ///
    /// # Cancel safety
    /// Once begun it goes on to its end: half of it would leave both in force.
    pub async fn move_to_file(
        &self,
        name: PolicyName,
        file: Arc<[Policy]>,
        actor: Actor,
    ) -> Result<(), MoveError> {
        let this = self.clone();
        let moving = tokio::spawn(async move { this.move_whole(name, file, actor).await });
        moving.await.unwrap_or_else(|error| Err(StoreError::new(StoreErrorKind::Failed, error).into()))
    }

    async fn move_whole(&self, name: PolicyName, file: Arc<[Policy]>, actor: Actor) -> Result<(), MoveError> {
        let (_, before) = self.policies();
        self.use_file_beside(Arc::clone(&file), &name)?;
        let remove = {
            let name = name.clone();
            move |store: Arc<dyn Store>| async move { Ok(((), store.remove_policy(name, actor).await?)) }
        };
        let removed = self.change(Asker::Operator, remove).await;
        if removed.is_err() {
            let _in_turn = self.policies_turn();
            // Whatever a reload has put in force meanwhile is what the file says now.
            if Arc::ptr_eq(&self.policies().1, &file) {
                self.tell(self.set_file(before));
            }
        }
        Ok(removed?)
    }

    /// Puts the policies of the config file in force while the registry still has the one of this name: the file's goes
    /// before it.
    pub(super) fn use_file_beside(&self, file: Arc<[Policy]>, name: &PolicyName) -> Result<(), FileConflict> {
        self.use_file_but(file, FileUse::Changes, Some(name))
    }

    /// As [`Directory::use_file`], whatever is wrong with them: for commands that put that right.
    pub fn take_file(&self, file: Arc<[Policy]>) {
        let _in_turn = self.policies_turn();
        self.set_file(file);
    }

    /// Whose the aliases are that policies name.
    fn owners<'a>(&self, policies: impl Iterator<Item = &'a Policy>) -> HashMap<&'a Alias, RegisteredId> {
        let tables = self.read();
        let aliases = policies.flat_map(|policy| &policy.services).filter_map(|target| match target {
            PolicyTarget::Alias(alias) => Some(alias),
            PolicyTarget::Id(_) | PolicyTarget::Tag(_) | PolicyTarget::Default | PolicyTarget::DefaultTcp => {
                None
            }
        });
        aliases.filter_map(|alias| Some((alias, *tables.aliases.get(alias.as_str())?))).collect()
    }

    fn set_file(&self, file: Arc<[Policy]>) -> Change {
        let policies = self.known_policies().with_file(file);
        let mut concerned = Change::default();
        self.write().set_policies(policies, &mut concerned);
        let _ = self.told.send(Told::Rules); // nobody may want to know
        concerned
    }

    /// The policies that are in force, so that others can be made of them while lookups go on.
    pub(super) fn known_policies(&self) -> Policies {
        self.read().policies.clone()
    }

    /// Whoever makes policies of those that are in force holds it until the new ones are.
    pub(super) fn policies_turn(&self) -> MutexGuard<'_, Making> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a policy of the registry, or makes one. It is in force when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_policy(&self, edit: PolicyEdit, actor: Actor) -> Result<Policy, StoreError> {
        let this = self.clone();
        let set = move |store: Arc<dyn Store>| async move {
            let (beside, written) = this.written_beside(&edit)?;
            let (policy, delta) = store.set_policy(edit, beside, actor).await?;
            Ok(((policy, written), delta))
        };
        // It is in force, or was not written: the config file may be changed again.
        self.change(Asker::Operator, set).await.map(|(policy, _written)| policy)
    }

    /// The policies of the config file, beside which one of the registry may be changed so; they stay as they are for as
    /// long as what is returned with them.
    fn written_beside(&self, edit: &PolicyEdit) -> Result<(Arc<[Policy]>, Written), StoreError> {
        let mut in_turn = self.policies_turn();
        let tables = self.read();
        let known = tables.policies.all().find(|policy| policy.name == edit.name).cloned();
        let edited = edit.clone().applied_to(known.unwrap_or_else(|| Policy::named(edit.name.clone())));
        let others = tables.policies.all().filter(|policy| policy.name != edited.name);
        check_tags(tables.policies.all(), others.chain([&edited]), tables.tags())?;
        let beside = Arc::clone(&tables.policies.file);
        in_turn.written = Some(edited);
        Ok((beside, Written(Arc::clone(&self.making))))
    }

    /// Changes what is written down of a client. Policies that name its tags are in force when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn label(&self, device: DeviceId, edit: LabelEdit, actor: Actor) -> Result<Labels, StoreError> {
        let this = self.clone();
        let label = move |store: Arc<dyn Store>| async move {
            this.check_label(&device, &edit)?;
            store.label(device, edit, actor).await
        };
        self.change(Asker::Operator, label).await
    }

    fn check_label(&self, device: &DeviceId, edit: &LabelEdit) -> Result<(), StoreError> {
        let tables = self.read();
        let Some(registered) = tables.devices.get(device) else { return Ok(()) };
        let by_tag = ByTag::of(tables.policies.all());
        let tags = edit.tags_after(&registered.tags);
        match by_tag.disagreement(&tags).filter(|_| by_tag.disagreement(&registered.tags).is_none()) {
            None => Ok(()),
            Some((one, other)) => Err(Conflict::TagsDisagree {
                client: Box::new(*device),
                one: one.clone(),
                other: other.clone(),
            }
            .into()),
        }
    }

    /// By what a route's policy names its service, and, where another one does so as closely, that one: nobody is let in
    /// then.
    pub fn named_by(&self, route: &Route) -> Option<(PolicyTarget, Option<PolicyName>)> {
        let tables = self.read();
        let tags = tables.devices.get(&route.device).map(|device| &device.tags);
        let found = tables.policies.find(route, tables.aliases_of.get(&route.id), tags)?;
        Some((found.target, found.disagrees_with.map(|policy| policy.name.clone())))
    }

    /// Takes a policy out of the registry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_policy(&self, name: PolicyName, actor: Actor) -> Result<(), StoreError> {
        let this = self.clone();
        let remove = move |store: Arc<dyn Store>| async move {
            if this.read().policies.is_of_file_alone(&name) {
                return Err(Conflict::PolicyInFile(name).into());
            }
            Ok(((), store.remove_policy(name, actor).await?))
        };
        self.change(Asker::Operator, remove).await
    }

    /// Makes a key for visitors. Returns it as they send it; nobody can ask for it again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create_key(&self, name: VisitorKeyName, actor: Actor) -> Result<SecretString, StoreError> {
        let create = move |store: Arc<dyn Store>| async move {
            let (id, secret) = (VisitorKeyId::random()?, KeySecret::random()?);
            let delta = store.create_key(NewKey { id, name, hash: secret.hash() }, actor).await?;
            Ok((secret.shown(id), delta))
        };
        self.change(Asker::Operator, create).await
    }

    /// Gives a key another secret; see [`Directory::create_key`]. The one from before is good for `overlap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rotate_key(
        &self,
        name: VisitorKeyName,
        overlap: Duration,
        actor: Actor,
    ) -> Result<(SecretString, StoredKey), StoreError> {
        let rotate = move |store: Arc<dyn Store>| async move {
            let secret = KeySecret::random()?;
            let (key, delta) = store.rotate_key(name, secret.hash(), overlap, actor).await?;
            Ok(((secret.shown(key.id), key), delta))
        };
        self.change(Asker::Operator, rotate).await
    }

    /// Ends a key for good. It lets nobody in any more when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_key(&self, name: VisitorKeyName, actor: Actor) -> Result<(), StoreError> {
        let revoke =
            move |store: Arc<dyn Store>| async move { Ok(((), store.revoke_key(name, actor).await?)) };
        self.change(Asker::Operator, revoke).await
    }

    /// Whether a service may get an alias: another policy than the service's may name it.
    pub(super) fn check_alias_policy(&self, id: RegisteredId, alias: &Alias) -> Result<(), StoreError> {
        let tables = self.read();
        let owner = |named: &Alias| tables.aliases.get(named.as_str()).copied();
        let with_it = |named: &Alias| if named == alias { Some(id) } else { owner(named) };
        let all = || tables.policies.all();
        Ok(Named::by(all(), with_it).check(&Named::by(all(), owner))?)
    }
}
