//! The registry as the relay asks it: lookups from memory, changes through the store.
//!
//! A change goes to the store first and into the tables after its commit, in a task of its own, so that a peer
//! that hangs up in between cannot leave the two apart.

mod follow;
mod following;
mod policies;
mod visitors;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use petit_engine::BoxFuture;
use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName, Tag};
use petit_engine::proto::control::{EnrolRefusal, GrantRefusal, Kept, ServiceKind, Text};
use petit_engine::proto::rate::Rate;
use petit_engine::secret::PublicKey;
use petit_relay::{
    Access, AnnouncedServices, Change, EnrolRequest, Enrolled, Names, Route, ServiceRegistration,
};
use tokio::sync::{Semaphore, broadcast, watch};

pub use self::following::{Followed, Told};
pub use self::policies::Exposure;
use self::policies::{Making, Policies};
pub use self::visitors::{FileUse, MoveError, ShutService};
use crate::registry::{
    Actor, AnnouncedRow, Delta, Device, EnrolmentTerms, RegistrationLimits, Service, StoreError,
    StoreErrorKind, Suspension, Tables,
};
use crate::store::Store;

/// Lookups and changes of the registry. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    store: Arc<dyn Store>,
    tables: Arc<RwLock<Lookup>>,
    changed: broadcast::Sender<Change>,
    line: Arc<Line>,
    /// See [`Directory::policies_turn`].
    making: Arc<Mutex<Making>>,
    /// Why what is looked up may not be what the registry says; `None`: it is.
    stale: Arc<Mutex<Option<String>>>,
    /// Devices whose registration has ended, for the process that this one has taken over from.
    ended: broadcast::Sender<DeviceId>,
    told: broadcast::Sender<Told>,
    limits: watch::Receiver<RegistrationLimits>,
}

/// Endings that wait to be told; told as they come, there is hardly ever one.
const ENDINGS: usize = 4096;

/// Changes that are told to the relay and that it has not looked at yet. When there are more it looks at everything.
const UNSEEN: usize = 1024;

/// Where changes wait for each other.
struct Line {
    /// Held from a change's begin to its place in the tables, so that both see changes in one order.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Room for those that clients ask for.
    room: Semaphore,
    /// Failures that are logged.
    complaints: Mutex<Rate>,
}

/// Who asks for a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// A person, who sees that it takes its time.
    Operator,
    /// A client, whose changes have a bounded line and a deadline.
    Client,
}

#[derive(Default)]
struct Lookup {
    keys: HashMap<PublicKey, DeviceId>,
    devices: HashMap<DeviceId, Registered>,
    services: HashMap<RegisteredId, Service>,
    aliases: HashMap<String, RegisteredId>,
    /// The other way round, sorted.
    aliases_of: HashMap<RegisteredId, BTreeSet<Alias>>,
    policies: Policies,
}

/// A device that is registered.
struct Registered {
    key: PublicKey,
    name: String,
    tags: BTreeSet<Tag>,
    is_suspended: bool,
    services: BTreeMap<ServiceName, RegisteredId>,
}

impl Lookup {
    /// All that the store has, beside the policies of the config file that are among `known`.
    fn of(mut tables: Tables, known: &Policies) -> Self {
        let rules = tables.visitors.take().unwrap_or_default();
        let mut lookup = Self { policies: known.with_registry(rules), ..Self::default() };
        lookup.add(tables, &mut Change::default());
        lookup
    }

    fn add(&mut self, tables: Tables, concerned: &mut Change) {
        for Device { id, key, name, tags, is_suspended } in tables.devices {
            self.keys.insert(key.clone(), id);
            self.devices.insert(id, Registered { key, name, tags, is_suspended, services: BTreeMap::new() });
        }
        for mut service in tables.services {
            let id = service.route.id;
            if let Some(device) = self.devices.get_mut(&service.route.device) {
                device.services.insert(service.route.name.clone(), id);
                service.route.is_suspended = device.is_suspended;
            }
            let before = self.services.insert(id, service);
            match before {
                // Whoever offers it learns with the answer who can come to it.
                None => self.assign(&id, &mut Change::default()),
                Some(before) => {
                    if let Some(service) = self.services.get_mut(&id) {
                        service.route.policy = before.route.policy;
                    }
                    self.assign(&id, concerned);
                }
            }
        }
        for (alias, id) in tables.aliases {
            self.remove_alias(&alias, concerned); // from a service that it belonged to before
            self.aliases.insert(alias.as_str().to_owned(), id);
            self.aliases_of.entry(id).or_default().insert(alias);
            self.assign(&id, concerned);
            concerned.devices.extend(self.services.get(&id).map(|service| service.route.device));
        }
    }

    fn remove_alias(&mut self, alias: &Alias, concerned: &mut Change) {
        if let Some(id) = self.aliases.remove(alias.as_str())
            && let Some(aliases) = self.aliases_of.get_mut(&id)
        {
            aliases.remove(alias);
            if aliases.is_empty() {
                self.aliases_of.remove(&id);
            }
            self.assign(&id, concerned);
            concerned.devices.extend(self.services.get(&id).map(|service| service.route.device));
        }
    }

    fn set_suspended(&mut self, device: &DeviceId, is_suspended: bool, concerned: &mut Change) {
        let Some(registered) = self.devices.get_mut(device) else { return };
        registered.is_suspended = is_suspended;
        for id in registered.services.values() {
            if let Some(service) = self.services.get_mut(id) {
                service.route.is_suspended = is_suspended;
            }
        }
        concerned.devices.push(*device);
    }

    fn remove_service(&mut self, id: &RegisteredId) {
        if let Some(Service { route, .. }) = self.services.remove(id)
            && let Some(device) = self.devices.get_mut(&route.device)
        {
            device.services.remove(&route.name);
        }
    }

    /// `policies`: where they are others than before. Returns whom the change concerns.
    fn apply(&mut self, delta: Delta, policies: Option<Policies>) -> Change {
        let mut concerned = Change::default();
        if let Some(policies) = policies {
            self.set_policies(policies, &mut concerned);
        }
        self.add(delta.added, &mut concerned);
        for (device, name) in delta.renamed {
            if let Some(device) = self.devices.get_mut(&device) {
                device.name = name;
            }
        }
        for (device, tags) in delta.tagged {
            self.set_tags(&device, tags, &mut concerned);
        }
        for (device, is_suspended) in delta.suspended {
            self.set_suspended(&device, is_suspended, &mut concerned);
        }
        for alias in &delta.aliases_gone {
            self.remove_alias(alias, &mut concerned);
        }
        for id in &delta.services_gone {
            self.remove_service(id);
        }
        for device in &delta.devices_gone {
            if let Some(gone) = self.devices.remove(device) {
                self.keys.remove(&gone.key);
            }
        }
        concerned.devices.extend(delta.devices_gone);
        concerned.services_gone = delta.services_gone;
        concerned
    }

    /// What a device's services are registered as when each of them is registered just as it is offered, so that
    /// there is nothing to write down.
    fn announced(
        &self,
        device: &Registered,
        offer: &(ServiceName, ServiceKind),
        limits: RegistrationLimits,
    ) -> Option<ServiceRegistration> {
        let (name, kind) = offer;
        let id = device.services.get(name)?;
        let Service { route, port } = self.services.get(id)?;
        let has_its_port = match kind {
            ServiceKind::Http => port.is_none(),
            ServiceKind::Tcp => port.is_some_and(|port| limits.allows(port)),
        };
        let aliases = || self.aliases_of.get(id).into_iter().flatten().cloned().collect();
        (route.kind == *kind && has_its_port).then(|| ServiceRegistration {
            id: *id,
            aliases: aliases(),
            port: port.unwrap_or_default(),
        })
    }
}

impl Directory {
    /// Reads the registry into memory.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(
        store: Arc<dyn Store>,
        limits: watch::Receiver<RegistrationLimits>,
    ) -> Result<Self, StoreError> {
        let tables = store.load().await?;
        Ok(Self::of(tables, store, limits))
    }

    /// Of what was read of the registry.
    pub fn of(tables: Tables, store: Arc<dyn Store>, limits: watch::Receiver<RegistrationLimits>) -> Self {
        let lookup = Lookup::of(tables, &Policies::default());
        let line = Line {
            turn: Arc::default(),
            room: Semaphore::new(limits::CHANGES_WAITING),
            complaints: Mutex::new(Rate::new(1, limits::FAILURES_LOGGED)),
        };
        Self {
            store,
            tables: Arc::new(RwLock::new(lookup)),
            changed: broadcast::Sender::new(UNSEEN),
            line: Arc::new(line),
            making: Arc::default(),
            stale: Arc::default(),
            ended: broadcast::Sender::new(ENDINGS),
            told: broadcast::Sender::new(UNSEEN),
            limits,
        }
    }

    /// The store, for what is not looked up.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Ends a device's registration; its sessions are closed within a second.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke(&self, device: DeviceId, actor: Actor) -> Result<(), StoreError> {
        let revoke = move |store: Arc<dyn Store>| async move { Ok(((), store.revoke(device, actor).await?)) };
        self.change(Asker::Operator, revoke).await
    }

    /// Keeps a device out that stays registered, or lets it in again. Its sessions are closed within a second.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn suspend(&self, device: DeviceId, to: Suspension, actor: Actor) -> Result<(), StoreError> {
        let suspend =
            move |store: Arc<dyn Store>| async move { Ok(((), store.suspend(device, to, actor).await?)) };
        self.change(Asker::Operator, suspend).await
    }

    /// Writes down that a device's sessions are ended, which is nothing that lookups need.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_kick(&self, device: DeviceId, actor: Actor) -> Result<(), StoreError> {
        let note =
            move |store: Arc<dyn Store>| async move { Ok(((), store.note_kick(device, actor).await?)) };
        self.change(Asker::Operator, note).await
    }

    /// Tells each device whose registration this process has ended, from now on.
    pub fn endings(&self) -> broadcast::Receiver<DeviceId> {
        self.ended.subscribe()
    }

    /// Another process has ended a device's registration: closes its sessions here.
    pub fn forget(&self, device: DeviceId) {
        let concerned = {
            let mut tables = self.write();
            let services =
                tables.devices.get(&device).into_iter().flat_map(|device| device.services.values());
            let services_gone: Vec<RegisteredId> = services.copied().collect();
            let aliases = services_gone.iter().filter_map(|id| tables.aliases_of.get(id)).flatten();
            let aliases_gone = aliases.cloned().collect();
            let devices_gone = vec![device];
            let delta = Delta { devices_gone, services_gone, aliases_gone, ..Delta::default() };
            tables.apply(delta, None)
        };
        self.tell(concerned);
        let _ = self.ended.send(device);
    }

    /// Brings the tables up to what the store has now. Returns whom that concerns.
    fn apply(&self, mut delta: Delta) -> Change {
        let Some(rules) = delta.added.visitors.take() else { return self.write().apply(delta, None) };
        let _in_turn = self.policies_turn();
        let policies = self.known_policies().with_registry(rules);
        self.write().apply(delta, Some(policies))
    }

    /// Tells the relay whom a change concerns.
    fn tell(&self, concerned: Change) {
        if !concerned.is_empty() {
            let _ = self.changed.send(concerned); // an error: nobody listens
        }
    }

    /// Gives a service an alias.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_alias(
        &self,
        id: RegisteredId,
        alias: Alias,
        force: bool,
        actor: Actor,
    ) -> Result<(), StoreError> {
        let this = self.clone();
        let add = move |store: Arc<dyn Store>| async move {
            this.check_alias_policy(id, &alias)?;
            Ok(((), store.add_alias(id, alias, force, actor).await?))
        };
        self.change(Asker::Operator, add).await
    }

    /// Takes an alias from a service.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_alias(&self, id: RegisteredId, alias: Alias, actor: Actor) -> Result<(), StoreError> {
        let remove =
            move |store: Arc<dyn Store>| async move { Ok(((), store.remove_alias(id, alias, actor).await?)) };
        self.change(Asker::Operator, remove).await
    }

    /// Shows each client that is registered and not suspended, and its tags. The tables are held meanwhile.
    pub fn each_client(&self, mut show: impl FnMut(&DeviceId, &BTreeSet<Tag>)) {
        let tables = self.read();
        let let_in = tables.devices.iter().filter(|(_, registered)| !registered.is_suspended);
        let_in.for_each(|(device, registered)| show(device, &registered.tags));
    }

    /// What the customer calls a client; nothing of one that is not registered.
    pub fn name_of(&self, device: &DeviceId) -> Option<String> {
        self.read().devices.get(device).map(|registered| registered.name.clone())
    }

    /// Asks something about the tags of a client; nothing of one that is not registered.
    pub fn with_tags<T>(&self, device: &DeviceId, ask: impl FnOnce(&BTreeSet<Tag>) -> T) -> Option<T> {
        self.read().devices.get(device).map(|registered| ask(&registered.tags))
    }

    /// All aliases, in no order.
    pub fn all_aliases(&self) -> Vec<Alias> {
        self.read().aliases_of.values().flatten().cloned().collect()
    }

    /// Registered devices that are kept out.
    pub fn suspended_clients(&self) -> HashSet<DeviceId> {
        let tables = self.read();
        let suspended = tables.devices.iter().filter(|(_, registered)| registered.is_suspended);
        suspended.map(|(device, _)| *device).collect()
    }

    /// Number of devices and services.
    pub fn counts(&self) -> (usize, usize) {
        let tables = self.read();
        (tables.devices.len(), tables.services.len())
    }

    /// The device that a text stands for: its ID, or a registered ID or an alias of one of its services.
    pub fn device_called(&self, text: &str) -> Option<DeviceId> {
        let tables = self.read();
        let service = tables.aliases.get(text).copied().or_else(|| text.parse().ok());
        let owner = service.and_then(|id| tables.services.get(&id)).map(|service| service.route.device);
        owner.or_else(|| text.parse().ok())
    }

    /// Changes the store, then the tables, then tells the relay. What has begun goes on when the caller is dropped;
    /// what still waits for its turn is given up with it.
    async fn change<T, F, R>(&self, asker: Asker, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn Store>) -> R + Send + 'static,
        R: Future<Output = Result<(T, Delta), StoreError>> + Send,
    {
        let made = async {
            let turn = {
                let _place = match asker {
                    Asker::Operator => None,
                    Asker::Client => Some(self.line.room.try_acquire().map_err(|_| StoreErrorKind::Busy)?),
                };
                Arc::clone(&self.line.turn).lock_owned().await
            };
            let this = self.clone();
            let task = tokio::spawn(async move {
                let _turn = turn;
                if this.stale().is_some() {
                    this.reload_in_turn().await?;
                }
                let (value, delta) = change(Arc::clone(&this.store)).await?;
                let (ended, told) = (delta.devices_gone.clone(), Told::of(&delta));
                let concerned = this.apply(delta);
                this.tell(concerned);
                for told in told {
                    let _ = this.told.send(told); // nobody may want to know
                }
                for device in ended {
                    let _ = this.ended.send(device); // nobody may want to know
                }
                Ok(value)
            });
            let failed = |error| StoreError::new(StoreErrorKind::Failed, error);
            task.await.unwrap_or_else(|error| Err(failed(error)))
        };
        match asker {
            Asker::Operator => made.await,
            Asker::Client => tokio::time::timeout(limits::CHANGE, made)
                .await
                .unwrap_or_else(|_| Err(StoreErrorKind::Busy.into())),
        }
    }

    /// What a device's offers are registered as, in their order; `None` for those that would have to be written down.
    /// Nothing for a device that is not registered.
    fn announced(
        &self,
        device: DeviceId,
        offers: &[(ServiceName, ServiceKind)],
    ) -> Vec<Option<ServiceRegistration>> {
        let limits = *self.limits.borrow();
        let tables = self.read();
        let Some(device) = tables.devices.get(&device) else { return vec![None; offers.len()] };
        offers.iter().map(|offer| tables.announced(device, offer, limits)).collect()
    }

    /// What is registered for a device beside what it offers.
    fn kept(&self, device: DeviceId, offers: &[(ServiceName, ServiceKind)]) -> Vec<Kept> {
        let offered: BTreeSet<&ServiceName> = offers.iter().map(|(name, _)| name).collect();
        let tables = self.read();
        let registered = tables.devices.get(&device).into_iter().flat_map(|device| &device.services);
        let kept = registered.filter(|(name, _)| !offered.contains(name));
        kept.map(|(name, id)| Kept { name: name.clone(), id: *id }).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Lookup> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Lookup> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs what a client's request came to. Not for each of many clients: then their number says it all.
    fn report(&self, what: &str, error: &StoreError) {
        use std::error::Error;
        if *error.kind() == StoreErrorKind::Elsewhere {
            return tracing::debug!(what, "left to the process that keeps the registry now");
        }
        if *error.kind() == StoreErrorKind::Closed {
            return tracing::debug!(what, "came when the server had closed its registry");
        }
        let source = error.source().map(ToString::to_string);
        let is_news =
            self.line.complaints.lock().unwrap_or_else(PoisonError::into_inner).allow(Instant::now());
        if is_news {
            tracing::error!(what, %error, source, "the registry could not be changed");
        } else {
            tracing::debug!(what, %error, source, "the registry could not be changed");
        }
    }
}

impl Names for Directory {
    fn alias(&self, name: &str) -> Option<RegisteredId> {
        self.read().aliases.get(name).copied()
    }

    fn aliases(&self, id: &RegisteredId) -> Vec<Alias> {
        self.read().aliases_of.get(id).into_iter().flatten().cloned().collect()
    }

    fn service(&self, id: &RegisteredId) -> Option<Route> {
        self.read().services.get(id).map(|service| service.route.clone())
    }
}

impl Access for Directory {
    fn device(&self, key: &PublicKey) -> Option<DeviceId> {
        self.read().keys.get(key).copied()
    }

    fn is_suspended(&self, device: &DeviceId) -> bool {
        self.read().devices.get(device).is_some_and(|device| device.is_suspended)
    }

    fn is_called(&self, device: &DeviceId, name: &Text<64>) -> bool {
        self.read().devices.get(device).is_some_and(|device| device.name == name.as_str())
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changed.subscribe()
    }

    fn enrol(&self, request: EnrolRequest) -> BoxFuture<'_, Result<Enrolled, EnrolRefusal>> {
        Box::pin(async move {
            let this = self.clone();
            let enrol = |store: Arc<dyn Store>| async move {
                Ok(match store.enrol(request, this.enrolment_terms()).await? {
                    Ok((row, delta)) => {
                        (Ok(Enrolled { device: row.device, service: row.service, id: row.id }), delta)
                    }
                    Err(refusal) => (Err(refusal), Delta::default()),
                })
            };
            self.change(Asker::Client, enrol).await.unwrap_or_else(|error| {
                self.report("enrolment", &error);
                Err(match error.kind() {
                    // The process that keeps it takes the same invite, in a moment.
                    StoreErrorKind::Busy | StoreErrorKind::Elsewhere | StoreErrorKind::Closed => {
                        EnrolRefusal::Busy
                    }
                    _ => EnrolRefusal::StoreFailed,
                })
            })
        })
    }

    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
    ) -> BoxFuture<'_, AnnouncedServices> {
        Box::pin(async move {
            let known = self.announced(device, &services);
            // Most log-ins change nothing; then nothing is asked of the store.
            let outcomes = if known.iter().all(Option::is_some) {
                known.into_iter().flatten().map(Ok).collect()
            } else {
                self.write_down(device, &services).await.unwrap_or_else(|error| {
                    self.report("announcement of services", &error);
                    known.into_iter().map(|known| known.ok_or(GrantRefusal::StoreFailed)).collect()
                })
            };
            AnnouncedServices { services: outcomes, kept: self.kept(device, &services) }
        })
    }

    fn rename(&self, device: DeviceId, name: Text<64>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let rename = move |store: Arc<dyn Store>| async move {
                Ok(((), store.rename(device, name.as_str().to_owned()).await?))
            };
            if let Err(error) = self.change(Asker::Client, rename).await {
                self.report("name of a client", &error);
            }
        })
    }

    fn remove(&self, device: DeviceId, service: ServiceName) -> BoxFuture<'_, Option<bool>> {
        Box::pin(async move {
            let remove = move |store: Arc<dyn Store>| async move {
                let delta = store.remove_service(device, service).await?;
                Ok((!delta.services_gone.is_empty(), delta))
            };
            let removed = self.change(Asker::Client, remove).await;
            removed.inspect_err(|error| self.report("removal of a service", error)).ok()
        })
    }

    fn unregister(&self, device: DeviceId) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let end = move |store: Arc<dyn Store>| async move { Ok(((), store.unregister(device).await?)) };
            let end = self.change(Asker::Client, end).await;
            end.inspect_err(|error| self.report("unregistration", error)).is_ok()
        })
    }
}

impl Directory {
    fn enrolment_terms(&self) -> EnrolmentTerms {
        let beside = Arc::clone(&self.read().policies.file);
        EnrolmentTerms { beside, most: self.limits.borrow().most }
    }
}

type Outcomes = Vec<Result<ServiceRegistration, GrantRefusal>>;

impl Directory {
    /// Registers what a device offers in the store.
    async fn write_down(
        &self,
        device: DeviceId,
        services: &[(ServiceName, ServiceKind)],
    ) -> Result<Outcomes, StoreError> {
        let (limits, services) = (*self.limits.borrow(), services.to_vec());
        let announce =
            move |store: Arc<dyn Store>| async move { store.announce(device, services, limits).await };
        let announced = self.change(Asker::Client, announce).await?;
        let outcome = |announced| match announced {
            AnnouncedRow::Registered(row) => {
                let mut aliases = row.aliases;
                aliases.sort();
                Ok(ServiceRegistration { id: row.id, aliases, port: row.port.unwrap_or_default() })
            }
            AnnouncedRow::TooMany => Err(GrantRefusal::TooMany),
            AnnouncedRow::NoPort => Err(GrantRefusal::NoPort),
        };
        Ok(announced.into_iter().map(outcome).collect())
    }
}

#[cfg(test)]
mod tests;
