//! What is registered, as values: for lookups, for the operator, and as the answers to what peers ask for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName, Tag};
use petit_engine::proto::control::ServiceKind;
use petit_engine::secret::{Fingerprint, InviteHash, InviteId, PublicKey};
use petit_relay::Route;
use serde::{Deserialize, Serialize};

use super::label::Labels;
use super::policy::{Policy, VisitorRules};

/// An invite to be made.
#[derive(Clone, Debug)]
pub struct NewInvite {
    pub id: InviteId,
    /// What proves that it is held.
    pub secret: InviteHash,
    /// The service that it is for.
    pub service: ServiceName,
    /// The alias that the service gets.
    pub alias: Option<Alias>,
    /// What the operator wants to remember of it, and of its client.
    pub labels: Labels,
    /// When it ends.
    pub not_after: SystemTime,
}

/// What an invite has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InviteState {
    /// It can be used.
    Open,
    /// It was.
    Used,
    /// Nobody used it in time.
    Expired,
    /// The operator took it back.
    Withdrawn,
}

/// An invite as the operator sees it.
#[derive(Clone, Debug)]
pub struct InviteRow {
    pub id: InviteId,
    /// The service that it is for.
    pub service: ServiceName,
    /// The alias that the service gets.
    pub alias: Option<Alias>,
    /// What the operator wanted to remember.
    pub labels: Labels,
    /// When it ends.
    pub not_after: SystemTime,
    /// What it has become.
    pub state: InviteState,
    /// Who used it.
    pub device: Option<DeviceId>,
}

/// A client as the operator sees it.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    /// Its ID.
    pub id: DeviceId,
    /// Its key's fingerprint.
    pub fingerprint: Fingerprint,
    /// What the customer called it when it last connected.
    pub name: String,
    /// What the operator has written down of it.
    pub labels: Labels,
    /// Program and version at enrolment.
    pub software: String,
    /// When it registered.
    pub created: SystemTime,
    /// Since when the operator has kept it out, if so.
    pub suspended: Option<SystemTime>,
    /// When its registration ended, and by whom.
    pub ended: Option<(SystemTime, EndedBy)>,
    /// Its services.
    pub services: Vec<ServiceRow>,
}

/// Who ended a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// `clients revoke`.
    Operator,
    /// `unregister`.
    Client,
}

impl EndedBy {
    /// As it is kept.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Client => "client",
        }
    }
}

/// A service as the operator sees it.
#[derive(Clone, Debug)]
pub struct ServiceRow {
    /// Its registered ID.
    pub id: RegisteredId,
    /// Its name at its device.
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// The port of a raw TCP service.
    pub port: Option<u16>,
    /// Its aliases.
    pub aliases: Vec<Alias>,
}

/// A readable name as the operator sees it.
#[derive(Clone, Debug)]
pub struct AliasRow {
    pub alias: Alias,
    /// The service that it leads to.
    pub service: RegisteredId,
    /// That service's name at its device.
    pub name: ServiceName,
    /// Whose it is.
    pub device: DeviceId,
}

/// A registered device, as lookups need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its ID.
    pub id: DeviceId,
    /// Its key.
    pub key: PublicKey,
    /// What the customer calls it.
    pub name: String,
    /// What policies may name it by.
    pub tags: BTreeSet<Tag>,
    /// The operator keeps it out.
    pub is_suspended: bool,
}

/// A registered service, as lookups need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Where requests for it go.
    pub route: Route,
    /// The port of a raw TCP service.
    pub port: Option<u16>,
}

/// Everything that lookups need.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Registered devices.
    pub devices: Vec<Device>,
    /// Registered services.
    pub services: Vec<Service>,
    /// Aliases.
    pub aliases: Vec<(Alias, RegisteredId)>,
    /// All policies and keys, where they are not what they were.
    pub visitors: Option<VisitorRules>,
}

/// What a change has changed for lookups.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// New, or registered in another way than before.
    pub added: Tables,
    /// Devices that are called something else.
    pub renamed: Vec<(DeviceId, String)>,
    /// Devices that have other tags.
    pub tagged: Vec<(DeviceId, BTreeSet<Tag>)>,
    /// Devices that are kept out from then on, or are so no longer.
    pub suspended: Vec<(DeviceId, bool)>,
    /// Devices that are gone.
    pub devices_gone: Vec<DeviceId>,
    /// Services that are gone.
    pub services_gone: Vec<RegisteredId>,
    /// Aliases that are gone.
    pub aliases_gone: Vec<Alias>,
}

/// A device after its enrolment.
#[derive(Clone, Debug)]
pub struct EnrolledRow {
    /// Its ID.
    pub device: DeviceId,
    /// The service that the invite was for.
    pub service: ServiceName,
    /// That service's registered ID.
    pub id: RegisteredId,
}

/// A service after it was offered.
#[derive(Clone, Debug)]
pub enum AnnouncedRow {
    /// It is registered.
    Registered(ServiceRow),
    /// The device has as many services as it may.
    TooMany,
    /// No port is free, or none are given.
    NoPort,
}

/// What of the config an enrolment is held to.
#[derive(Clone, Debug)]
pub struct EnrolmentTerms {
    /// The policies of the config file: they may name what an invite's alias comes to.
    pub beside: Arc<[Policy]>,
    /// Services of one device.
    pub most: usize,
}

/// What limits a device's services.
#[derive(Clone, Copy, Debug)]
pub struct RegistrationLimits {
    /// Services of one device.
    pub most: usize,
    /// Ports for raw TCP services; (0, 0) lets the system choose.
    pub ports: Option<(u16, u16)>,
}

impl RegistrationLimits {
    /// True when a raw TCP service may have a port.
    pub fn allows(&self, port: u16) -> bool {
        self.ports.is_some_and(|(first, last)| (first..=last).contains(&port))
    }
}
