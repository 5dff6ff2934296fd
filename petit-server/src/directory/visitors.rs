//! Policies and visitors' keys: looked up, and changed through the store.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use petit_engine::name::{
    Alias, DeviceId, PolicyName, RegisteredId, ServiceName, Tag, VisitorKeyId, VisitorKeyName,
};
use petit_engine::proto::control::ServiceKind;
use petit_relay::policy::{KeySecret, ServicePolicy};
use petit_relay::{Change, Route};
use secrecy::SecretString;

use super::policies::{Exposure, Policies, is_open, is_same};
use super::{Asker, Directory, Lookup, Told};
use crate::registry::{
    Actor, ByTag, Conflict, FileConflict, LabelEdit, Labels, NewKey, Policy, PolicyEdit, PolicyPart,
    PolicyTarget, Service, StoreError, StoredKey, VisitorRules, check_overlap, check_tags, file_conflicts,
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
        let _in_turn = self.policies_turn();
        {
            let tables = self.read();
            let owner = |alias: &Alias| tables.aliases.get(alias.as_str()).copied();
            let VisitorRules { policies, keys } = &*tables.policies.registry;
            let is_key = |name: &VisitorKeyName| keys.iter().any(|key| key.name == *name);
            if let Some(first) = file_conflicts(&file, policies, is_key, owner).into_iter().next() {
                return Err(first);
            }
            // A server that begins takes what there is: whoever registered has made it so, and is closed.
            let before = match begins {
                FileUse::Begins => file.iter(),
                FileUse::Changes => tables.policies.file.iter(),
            };
            let after = policies.iter().chain(&*file);
            check_tags(policies.iter().chain(before), after, tables.tags()).map_err(|conflict| {
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

    /// As [`Directory::use_file`], whatever is wrong with them: for commands that put that right.
    pub fn take_file(&self, file: Arc<[Policy]>) {
        let _in_turn = self.policies_turn();
        self.set_file(file);
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
    pub(super) fn policies_turn(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a policy of the registry, or makes one. It is in force when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_policy(&self, edit: PolicyEdit, actor: Actor) -> Result<Policy, StoreError> {
        let this = self.clone();
        let set = move |store: Arc<dyn Store>| async move {
            let beside = this.file_beside(&edit)?;
            store.set_policy(edit, beside, actor).await
        };
        self.change(Asker::Operator, set).await
    }

    /// The policies of the config file, beside which one of the registry may be changed so.
    fn file_beside(&self, edit: &PolicyEdit) -> Result<Arc<[Policy]>, StoreError> {
        let tables = self.read();
        let known = tables.policies.all().find(|policy| policy.name == edit.name).cloned();
        let edited = edit.clone().applied_to(known.unwrap_or_else(|| Policy::named(edit.name.clone())));
        let others = tables.policies.all().filter(|policy| policy.name != edited.name);
        check_tags(tables.policies.all(), others.chain([&edited]), tables.tags())?;
        Ok(Arc::clone(&tables.policies.file))
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

    /// By what a route's policy names its service, and, where another one does so by another tag of the client, that one:
    /// nobody is let in then.
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
        let owner = |named: &Alias| match named == alias {
            true => Some(id),
            false => tables.aliases.get(named.as_str()).copied(),
        };
        Ok(check_overlap(tables.policies.all(), owner)?)
    }
}
