//! The registry as the relay asks it: lookups from memory, changes through the store.
//!
//! A change goes to the store first and into the tables after its commit, in a task of its own, so that a peer
//! that hangs up in between cannot leave the two apart.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::{EnrolRefusal, GrantRefusal, Kept, ServiceKind, Text};
use petit_engine::relay::{self, Access, EnrolRequest, Enrolled, Names, Registration, Route};
use petit_engine::secret::PublicKey;
use tokio::sync::watch;

use crate::store::{Announced, Changes, EndedBy, ServiceLimits, Store, StoreError, Tables};

/// Lookups and changes of the registry. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    store: Arc<dyn Store>,
    tables: Arc<RwLock<Lookup>>,
    changed: Arc<watch::Sender<u64>>,
    /// Held from a change's begin to its place in the tables, so that both see changes in one order.
    changing: Arc<tokio::sync::Mutex<()>>,
    limits: watch::Receiver<ServiceLimits>,
}

#[derive(Default)]
struct Lookup {
    devices: HashMap<PublicKey, DeviceId>,
    services: HashMap<RegisteredId, Route>,
    aliases: HashMap<String, RegisteredId>,
    /// The other way round, sorted.
    aliases_of: HashMap<RegisteredId, BTreeSet<Alias>>,
    /// What is registered for a device.
    services_of: HashMap<DeviceId, BTreeMap<ServiceName, RegisteredId>>,
}

impl Lookup {
    fn add(&mut self, tables: Tables) {
        self.devices.extend(tables.devices);
        for route in tables.services {
            self.services_of.entry(route.device).or_default().insert(route.name.clone(), route.id);
            self.services.insert(route.id, route);
        }
        for (alias, id) in tables.aliases {
            self.remove_alias(&alias); // from a service that it belonged to before
            self.aliases.insert(alias.as_str().to_owned(), id);
            self.aliases_of.entry(id).or_default().insert(alias);
        }
    }

    fn remove_alias(&mut self, alias: &Alias) {
        if let Some(id) = self.aliases.remove(alias.as_str())
            && let Some(aliases) = self.aliases_of.get_mut(&id)
        {
            aliases.remove(alias);
            if aliases.is_empty() {
                self.aliases_of.remove(&id);
            }
        }
    }

    fn remove_service(&mut self, id: &RegisteredId) {
        if let Some(route) = self.services.remove(id)
            && let Some(services) = self.services_of.get_mut(&route.device)
        {
            services.remove(&route.name);
            if services.is_empty() {
                self.services_of.remove(&route.device);
            }
        }
    }

    fn apply(&mut self, changes: Changes) {
        self.add(changes.added);
        for alias in &changes.aliases_gone {
            self.remove_alias(alias);
        }
        for id in &changes.services_gone {
            self.remove_service(id);
        }
        self.devices.retain(|_, device| !changes.devices_gone.contains(device));
    }
}

impl Directory {
    /// Reads the registry into memory.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(
        store: Arc<dyn Store>,
        limits: watch::Receiver<ServiceLimits>,
    ) -> Result<Self, StoreError> {
        let mut lookup = Lookup::default();
        lookup.add(store.load().await?);
        let tables = Arc::new(RwLock::new(lookup));
        Ok(Self { store, tables, changed: Arc::new(watch::Sender::new(0)), changing: Arc::default(), limits })
    }

    /// The store, for what is not looked up.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Ends a device's registration; its sessions are closed within a second.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_device(&self, device: DeviceId, by: EndedBy) -> Result<(), StoreError> {
        self.change(move |store| async move { Ok(((), store.end_device(device, by).await?)) }).await
    }

    /// Gives a service an alias.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_alias(&self, id: RegisteredId, alias: Alias, force: bool) -> Result<(), StoreError> {
        self.change(move |store| async move { Ok(((), store.add_alias(id, alias, force).await?)) }).await
    }

    /// Takes an alias from a service.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_alias(&self, id: RegisteredId, alias: Alias) -> Result<(), StoreError> {
        self.change(move |store| async move { Ok(((), store.remove_alias(id, alias).await?)) }).await
    }

    /// All aliases, in no order.
    pub fn all_aliases(&self) -> Vec<Alias> {
        self.read().aliases_of.values().flatten().cloned().collect()
    }

    /// Number of devices and services.
    pub fn counts(&self) -> (usize, usize) {
        let tables = self.read();
        (tables.devices.len(), tables.services.len())
    }

    /// Changes the store, then the tables, then tells the relay. Goes on when the caller is dropped.
    async fn change<T, F, R>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn Store>) -> R + Send + 'static,
        R: Future<Output = Result<(T, Changes), StoreError>> + Send,
    {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let _in_order = this.changing.lock().await;
            let (value, changes) = change(Arc::clone(&this.store)).await?;
            this.write().apply(changes);
            this.changed.send_modify(|count| *count += 1);
            Ok(value)
        });
        task.await
            .unwrap_or_else(|error| Err(StoreError::Failed(sqlx::Error::Io(std::io::Error::other(error)))))
    }

    fn read(&self) -> RwLockReadGuard<'_, Lookup> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Lookup> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
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
        self.read().services.get(id).cloned()
    }
}

impl Access for Directory {
    fn device(&self, key: &PublicKey) -> Option<DeviceId> {
        self.read().devices.get(key).copied()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn enrol(&self, request: EnrolRequest) -> relay::Answer<'_, Result<Enrolled, EnrolRefusal>> {
        Box::pin(async move {
            let enrol = |store: Arc<dyn Store>| async move {
                Ok(match store.enrol(request).await? {
                    Ok((row, changes)) => {
                        (Ok(Enrolled { device: row.device, service: row.service, id: row.id }), changes)
                    }
                    Err(refusal) => (Err(refusal), Changes::default()),
                })
            };
            self.change(enrol).await.unwrap_or_else(|error| {
                report("enrolment", &error);
                Err(EnrolRefusal::StoreFailed)
            })
        })
    }

    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
    ) -> relay::Answer<'_, relay::Announced> {
        Box::pin(async move {
            let limits = *self.limits.borrow();
            let count = services.len();
            let offered: BTreeSet<ServiceName> = services.iter().map(|(name, _)| name.clone()).collect();
            let announce =
                move |store: Arc<dyn Store>| async move { store.announce(device, services, limits).await };
            let announced = self.change(announce).await.unwrap_or_else(|error| {
                report("announcement of services", &error);
                Vec::new()
            });
            let mut outcomes: Vec<_> = announced
                .into_iter()
                .map(|announced| match announced {
                    Announced::Registered(row) => Ok(Registration {
                        id: row.id,
                        aliases: row.aliases,
                        port: row.port.unwrap_or_default(),
                    }),
                    Announced::TooMany => Err(GrantRefusal::TooMany),
                    Announced::NoPort => Err(GrantRefusal::NoPort),
                })
                .collect();
            outcomes.resize(count, Err(GrantRefusal::StoreFailed));
            let tables = self.read();
            let registered = tables.services_of.get(&device).into_iter().flatten();
            let kept = registered.filter(|(name, _)| !offered.contains(*name));
            let kept = kept.map(|(name, id)| Kept { name: name.clone(), id: *id }).collect();
            relay::Announced { services: outcomes, kept }
        })
    }

    fn rename(&self, device: DeviceId, name: Text<64>) -> relay::Answer<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.store.rename(device, name.as_str().to_owned()).await {
                report("name of a client", &error);
            }
        })
    }

    fn remove(&self, device: DeviceId, service: ServiceName) -> relay::Answer<'_, Option<bool>> {
        Box::pin(async move {
            let remove = move |store: Arc<dyn Store>| async move {
                let changes = store.remove_service(device, service).await?;
                Ok((!changes.services_gone.is_empty(), changes))
            };
            self.change(remove).await.inspect_err(|error| report("removal of a service", error)).ok()
        })
    }

    fn unregister(&self, device: DeviceId) -> relay::Answer<'_, bool> {
        Box::pin(async move {
            let end = self.end_device(device, EndedBy::Client).await;
            end.inspect_err(|error| report("unregistration", error)).is_ok()
        })
    }
}

fn report(what: &str, error: &StoreError) {
    use std::error::Error;
    let source = error.source().map(ToString::to_string);
    tracing::error!(what, %error, source, "the registry could not be changed");
}
