//! What clients say of themselves and their services: announcing them, giving one back, a new name.

use std::time::Duration;

use petit_engine::limits;
use petit_engine::name::{DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::ServiceKind;
use petit_relay::Route;

use super::change_body::{ChangeBody, ServiceBody};
use super::error::StoreError;
use super::model::{AnnouncedRow, Delta, RegistrationLimits, Service, ServiceRow};
use super::rows::{Rows, StoredService};
use super::rules::Registry;

const HOUR: Duration = Duration::from_secs(60 * 60);

impl<R: Rows> Registry<'_, R> {
    /// Gives every offered service its row, within the limits. Writes nothing when nothing is new.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::NoDevice`](super::Conflict::NoDevice) when the device is not registered (any more).
    pub async fn announce(
        mut self,
        device: &DeviceId,
        services: &[(ServiceName, ServiceKind)],
        limits: RegistrationLimits,
    ) -> Result<(Vec<AnnouncedRow>, Delta), StoreError> {
        // One that was revoked a moment ago is not; its session is being closed.
        let actor = self.registered(device).await?.actor();
        let mut registered = self.rows.services(device).await?;
        // Every ID that was ever given keeps its row, so a device that gives back and takes anew cannot go on for ever.
        let mut lately = self.rows.services_made_since(device, self.now - HOUR).await?;
        let most_lately = usize::try_from(limits::NEW_SERVICES_PER_HOUR).unwrap_or(usize::MAX);
        // What is not new has been answered from memory, so there is something to be written down.
        let is_over_budget = self.is_over_budget(actor).await?;
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
                Some(known) if known.kind == *kind && known.port == port => known,
                _ if is_over_budget => {
                    announced.push(AnnouncedRow::TooMany);
                    continue;
                }
                Some(known) => self.change_service(known, *kind, port).await?,
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
        if !self.delta.added.services.is_empty() {
            let services = self.delta.added.services.iter().map(ServiceBody::of).collect();
            self.record(actor, device, &ChangeBody::ServicesRegistered { services }).await?;
        }
        Ok((announced, self.delta))
    }

    /// Takes note of what a device is called now. Writes nothing when that is what it was called before, or nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rename(mut self, device: &DeviceId, name: &str) -> Result<Delta, StoreError> {
        let Some(known) = self.rows.device(device).await? else { return Ok(self.delta) };
        if name.is_empty() || known.is_ended || known.name == name {
            return Ok(self.delta);
        }
        let actor = known.actor();
        if self.is_over_budget(actor).await? {
            return Ok(self.delta); // its next session brings the name again
        }
        self.rows.set_device_name(device, name).await?;
        let body = ChangeBody::ClientRenamed { before: known.name, name: name.to_owned() };
        self.record(actor, device, &body).await?;
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
        let (known, service) = (self.rows.device(device).await?, self.service_called(device, name).await?);
        let (Some(known), Some(service)) = (known, service) else { return Ok(self.delta) };
        self.end_service(&service).await?;
        let aliases = self.delta.aliases_gone.clone();
        let body = ChangeBody::ServiceRemoved { id: service.id, name: service.name, aliases };
        self.record(known.actor(), device, &body).await?;
        Ok(self.delta)
    }

    /// Whether a device has been given as many IDs within an hour as it may.
    pub(super) async fn has_had_its_share_of_services(
        &mut self,
        device: &DeviceId,
    ) -> Result<bool, StoreError> {
        let lately = self.rows.services_made_since(device, self.now - HOUR).await?;
        Ok(lately >= usize::try_from(limits::NEW_SERVICES_PER_HOUR).unwrap_or(usize::MAX))
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
        self.delta.added.services.push(lookup(&service));
        Ok(service)
    }

    /// A service as it is offered now: the same name may speak something else, or have another port. Its ID stays.
    async fn change_service(
        &mut self,
        known: StoredService,
        kind: ServiceKind,
        port: Option<u16>,
    ) -> Result<StoredService, StoreError> {
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

    /// Ends a service, and keeps its aliases from others for a while.
    pub(super) async fn end_service(&mut self, service: &StoredService) -> Result<(), StoreError> {
        for alias in self.rows.aliases(&service.id).await? {
            self.release_alias(&service.device, alias).await?;
        }
        self.rows.set_service_ended(&service.id, self.now).await?;
        self.delta.services_gone.push(service.id);
        Ok(())
    }
}

/// What lookups need of a service.
fn lookup(service: &StoredService) -> Service {
    let StoredService { id, device, name, kind, port } = service.clone();
    Service { route: Route { id, device, name, kind, policy: None, is_suspended: false }, port }
}
