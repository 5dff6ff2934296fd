//! What the relay asks of the registry, and what it is told.

use std::net::IpAddr;

use petit_engine::BoxFuture;
use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::{EnrolRefusal, GrantRefusal, Kept, ServiceKind, Text};
use petit_engine::secret::{InviteHash, InviteId, PublicKey};
use tokio::sync::broadcast;

use super::Names;

/// Who may come in, and which name belongs to whom. Questions on a request's way are answered from memory;
/// changes are answered when they are on disk.
pub trait Access: Names + Send + Sync + 'static {
    /// The device that holds a key, while it is registered.
    fn device(&self, key: &PublicKey) -> Option<DeviceId>;

    /// True while the operator keeps a device out that is registered.
    fn is_suspended(&self, device: &DeviceId) -> bool;

    /// True when that is what a device is called already, as far as is written down.
    fn is_called(&self, device: &DeviceId, name: &Text<64>) -> bool;

    /// Tells each change that can end a session or move a name, after it was made. Who lags behind looks at
    /// everything.
    fn changes(&self) -> broadcast::Receiver<Change>;

    /// Consumes an invite and adds the device, in one transaction.
    fn enrol(&self, request: EnrolRequest) -> BoxFuture<'_, Result<Enrolled, EnrolRefusal>>;

    /// Gives every service that a device offers its registered ID; the same name keeps the same ID.
    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
    ) -> BoxFuture<'_, AnnouncedServices>;

    /// Takes note of what the customer calls a device now.
    fn rename(&self, device: DeviceId, name: Text<64>) -> BoxFuture<'_, ()>;

    /// Frees a service's registered ID and aliases. Says whether there was such a service; `None` when it could
    /// not be written down.
    fn remove(&self, device: DeviceId, service: ServiceName) -> BoxFuture<'_, Option<bool>>;

    /// Ends a device's registration at its own request. False when it could not be written down.
    fn unregister(&self, device: DeviceId) -> BoxFuture<'_, bool>;
}

/// Whom a change of the registry concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Devices whose registration has ended, that were suspended or are so no longer, or whose services have other aliases than before.
    pub devices: Vec<DeviceId>,
    /// Services that are registered no longer.
    pub services_gone: Vec<RegisteredId>,
    /// Services of these devices that have another policy than before. Requests see that by themselves, with their routes;
    /// the ports of raw TCP services are looked at.
    pub policies_of: Vec<RegisteredId>,
    /// Policies have changed, and with them those of any number of services: everybody is looked at.
    pub policies: bool,
}

impl Change {
    /// True when it concerns nobody.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
            && self.services_gone.is_empty()
            && self.policies_of.is_empty()
            && !self.policies
    }
}

/// A device that wants to register.
#[derive(Clone, Debug)]
pub struct EnrolRequest {
    /// The key it has proved to hold.
    pub key: PublicKey,
    /// Which invite it holds.
    pub invite: InviteId,
    /// SHA-256 of the secret it sent.
    pub secret: InviteHash,
    /// What the customer calls the computer.
    pub device_name: Text<64>,
    /// Program and version.
    pub software: Text<64>,
    /// Where it came from.
    pub from: IpAddr,
}

/// A device that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its ID.
    pub device: DeviceId,
    /// The service that the invite was made for.
    pub service: ServiceName,
    /// That service's registered ID.
    pub id: RegisteredId,
}

/// What became of the services that a device offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnouncedServices {
    /// One per offer, in its order.
    pub services: Vec<Result<ServiceRegistration, GrantRefusal>>,
    /// What else is registered for the device.
    pub kept: Vec<Kept>,
}

/// A service that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRegistration {
    /// Its registered ID.
    pub id: RegisteredId,
    /// Its aliases.
    pub aliases: Vec<Alias>,
    /// The port of a raw TCP service; 0 lets the system choose.
    pub port: u16,
}
