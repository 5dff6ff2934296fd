//! What clients say of themselves and their services: announcing them, giving one back, a new name.

use std::time::Duration;

use petit_engine::limits;
use petit_engine::name::{DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::ServiceKind;
use petit_relay::Route;

use super::error::{Conflict, StoreError};
use super::events::EventScope;
use super::model::{AnnouncedRow, Delta, RegistrationLimits, Service, ServiceRow};
use super::rows::{Rows, StoredService};
use super::rules::Registry;

const HOUR: Duration = Duration::from_secs(60 * 60);

impl<R: Rows> Registry<'_, R> {
    /// Gives every offered service its row, within the limits. Writes nothing when nothing is new.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::NoDevice`] when the device is not registered (any more).
    pub async fn announce(
        mut self,
        device: &DeviceId,
        services: &[(ServiceName, ServiceKind)],
        limits: RegistrationLimits,
    ) -> Result<(Vec<AnnouncedRow>, Delta), StoreError> {
        let known = self.rows.device(device).await?;
        if known.is_none_or(|known| known.is_ended) {
            // Revoked a moment ago; its session is being closed.
            return Err(Conflict::NoDevice(*device).into());
        }
        let mut registered = self.rows.services(device).await?;
        // Every ID that was ever given keeps its row, so a device that gives back and takes anew cannot go on for ever.
        let mut lately = self.rows.services_made_since(device, self.now - HOUR).await?;
        let most_lately = usize::try_from(limits::NEW_SERVICES_PER_HOUR).unwrap_or(usize::MAX);
        let mut announced = Vec::new();
        for (name, kind) in services {
            let known = registered.iter().find(|known| known.name == *name).cloned();
            let had = known.as_ref().and_then(|known| known.port).filter(|port| limits.allows(*port));
            let port = match (kind, had) {
                (ServiceKind::Http, _) => None,
                (ServiceKind::Tcp, Some(port)) => Some(port),
                (ServiceKind::Tcp, None) => match self.free_port(limits.ports).await? {
                    Some(port) => Some(port),
                    None => {
                        announced.push(AnnouncedRow::NoPort);
                        continue;
                    }
                },
            };
            let service = match known {
                Some(known) => self.changed_service(known, *kind, port).await?,
                None if registered.len() >= limits.most || lately >= most_lately => {
                    announced.push(AnnouncedRow::TooMany);
                    continue;
                }
                None => {
                    lately += 1;
                    self.new_service(device, name, *kind, port).await?
                }
            };
            registered.retain(|known| known.id != service.id);
            registered.push(service.clone());
            announced.push(AnnouncedRow::Registered(self.service_row(service).await?));
        }
        Ok((announced, self.delta))
    }

    /// Takes note of what a device is called now. Writes nothing when that is what it was called before, or nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rename(mut self, device: &DeviceId, name: &str) -> Result<Delta, StoreError> {
        let known = self.rows.device(device).await?;
        if name.is_empty() || known.is_none_or(|known| known.is_ended || known.name == name) {
            return Ok(self.delta);
        }
        self.rows.set_device_name(device, name).await?;
        self.event(EventScope::Of(device), "device-renamed", device.as_str(), name).await?;
        self.delta.renamed.push((*device, name.to_owned()));
        Ok(self.delta)
    }

    /// Frees a service that its device gives back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_service(
        mut self,
        device: &DeviceId,
        name: &ServiceName,
    ) -> Result<Delta, StoreError> {
        if let Some(service) = self.service_called(device, name).await? {
            self.end_services((device, EventScope::Of(device)), &[service]).await?;
        }
        Ok(self.delta)
    }

    pub(super) async fn service_called(
        &mut self,
        device: &DeviceId,
        name: &ServiceName,
    ) -> Result<Option<StoredService>, StoreError> {
        let services = self.rows.services(device).await?;
        Ok(services.into_iter().find(|service| service.name == *name))
    }

    /// Registers a service of a device under an ID of its own.
    pub(super) async fn new_service(
        &mut self,
        device: &DeviceId,
        name: &ServiceName,
        kind: ServiceKind,
        port: Option<u16>,
    ) -> Result<StoredService, StoreError> {
        let id = RegisteredId::random()?;
        let service = StoredService { id, device: *device, name: name.clone(), kind, port };
        self.rows.insert_service(&service, self.now).await?;
        self.event(EventScope::Of(device), "service-added", id.as_str(), name.as_str()).await?;
        self.delta.added.services.push(lookup(&service));
        Ok(service)
    }

    /// A service as it is offered now: the same name may speak something else, or have another port. Its ID stays.
    async fn changed_service(
        &mut self,
        known: StoredService,
        kind: ServiceKind,
        port: Option<u16>,
    ) -> Result<StoredService, StoreError> {
        if known.kind == kind && known.port == port {
            return Ok(known);
        }
        self.rows.set_service_kind(&known.id, kind, port).await?;
        let service = StoredService { kind, port, ..known };
        self.delta.added.services.push(lookup(&service));
        Ok(service)
    }

    async fn service_row(&mut self, service: StoredService) -> Result<ServiceRow, StoreError> {
        let aliases = self.rows.aliases(&service.id).await?;
        let StoredService { id, name, kind, port, device: _ } = service;
        Ok(ServiceRow { id, name, kind, port, aliases })
    }

    /// The lowest free port of a range. (0, 0) asks for one that the system chooses when it listens.
    async fn free_port(&mut self, ports: Option<(u16, u16)>) -> Result<Option<u16>, StoreError> {
        let Some((first, last)) = ports else { return Ok(None) };
        if (first, last) == (0, 0) {
            return Ok(Some(0));
        }
        let taken = self.rows.ports_in_use().await?;
        Ok((first..=last).find(|port| taken.binary_search(port).is_err()))
    }

    /// Ends services, and keeps their aliases from others for a while.
    pub(super) async fn end_services(
        &mut self,
        (device, scope): (&DeviceId, EventScope<'_>),
        services: &[StoredService],
    ) -> Result<(), StoreError> {
        for StoredService { id, .. } in services {
            for alias in self.rows.aliases(id).await? {
                self.release_alias((device, scope), alias).await?;
            }
            self.rows.set_service_ended(id, self.now).await?;
            self.event(scope, "service-removed", id.as_str(), "").await?;
            self.delta.services_gone.push(*id);
        }
        Ok(())
    }
}

/// What lookups need of a service.
fn lookup(service: &StoredService) -> Service {
    let StoredService { id, device, name, kind, port } = service.clone();
    Service { route: Route { id, device, name, kind }, port }
}
