//! What survives: devices, services, aliases, invites, and what happened to them.
//!
//! [`Store`] is what the rest of the server knows; [`sqlite`] is the one implementation, and the only place with
//! SQL. Every change is one transaction and is answered after it is on disk.

pub mod sqlite;
pub mod yielding;

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use petit_engine::BoxFuture;
use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::{EnrolRefusal, ServiceKind};
use petit_engine::secret::{Fingerprint, InviteHash, InviteId, PublicKey};
use petit_relay::{EnrolRequest, Route};
use serde::{Deserialize, Serialize};

/// What a store's methods return.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Why the store did not do what it was asked. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is not a registry, or is damaged.
    #[error("{} is not a Petit registry, or is damaged", path.display())]
    NotARegistry {
        /// Which file.
        path: PathBuf,
        /// What the database said.
        source: sqlx::Error,
    },
    /// There is none.
    #[error("there is no registry at {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It is there, but cannot be opened or written.
    #[error("the registry {} cannot be opened; check its owner, its rights and the disk", path.display())]
    CannotOpen {
        /// Which file.
        path: PathBuf,
        /// What the database said.
        source: sqlx::Error,
    },
    /// A later version of Petit has written it.
    #[error("{} was written by a later version of Petit (form {found}, this one knows {known})", path.display())]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its form.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Somebody has removed the file, or put another one in its place, while it was open.
    #[error(
        "the registry {} was removed or replaced while the server runs, and nothing was changed; save what the server still has of it with: petit-server backup FOLDER",
        path.display()
    )]
    Replaced {
        /// Which file.
        path: PathBuf,
    },
    /// More changes wait than can be made in time.
    #[error("the registry has more changes to make than it can; try again in a moment")]
    Busy,
    /// Reading or writing failed: the disk is full, read-only, or gone.
    #[error("the registry cannot be read or written")]
    Failed(#[from] sqlx::Error),
    /// Another process keeps it now.
    #[error("another process keeps the registry now")]
    Elsewhere,
    /// A row does not hold what it should.
    #[error("the registry holds an invalid {what}")]
    Row { what: &'static str },
    /// What was asked for is not there, or is in the way.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// True when an error of this program's came about because a disk has no room, or its user may have no more of it.
pub fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    // https://sqlite.org/rescode.html: 13 FULL; 4874 IOERR_SHMSIZE, of the index of the write-ahead log, "may indicate
    // that the underlying filesystem volume is out of space".
    let is_full = |error: &(dyn std::error::Error + 'static)| {
        let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
        let sqlite = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
        matches!(io, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
            || sqlite.and_then(|error| error.code()).is_some_and(|code| matches!(&*code, "13" | "4874"))
    };
    std::iter::successors(Some(error), |error| error.source()).any(is_full)
}

/// Why a change cannot be made; for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// No such service.
    #[error("no service is registered as {0}")]
    NoService(RegisteredId),
    /// No such device.
    #[error("no client is registered as {0}")]
    NoDevice(DeviceId),
    /// No such alias, or not of this service.
    #[error("{id} has no alias {alias}")]
    NoAlias {
        /// Whose it should be.
        id: RegisteredId,
        alias: Alias,
    },
    /// It belongs to another service.
    #[error("{alias} belongs to {id} already")]
    AliasTaken {
        alias: Alias,
        /// Whose it is.
        id: RegisteredId,
    },
    /// An invite that has not been used yet was promised it.
    #[error(
        "{alias} is promised to invite {invite}, which has not been used yet; take that back with: petit-server invite --withdraw {invite}"
    )]
    AliasPromised {
        alias: Alias,
        /// To which invite.
        invite: InviteId,
    },
    /// It belonged to another client not long ago; whoever still uses it would reach the wrong one.
    #[error(
        "{alias} was taken from client {device} not long ago and is kept for it for another {days_left} days; to give it away all the same, add --force"
    )]
    AliasTombstoned {
        alias: Alias,
        /// Whose it was.
        device: DeviceId,
        /// For how long it is kept.
        days_left: u64,
    },
    /// Its client could not be told of another one.
    #[error(
        "{id} has {count} aliases with {bytes} bytes together, and one more would be too many: its client can be told of {most} bytes; take one that is not needed away with: petit-server removealias {id} ALIAS"
    )]
    TooManyAliases {
        id: RegisteredId,
        /// How many it has.
        count: usize,
        /// What they take in a message.
        bytes: usize,
        /// What they may take.
        most: usize,
    },
    /// No such invite that could still be used.
    #[error("there is no such invite that could still be used")]
    NoInvite,
}

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
    /// What the operator wants to remember of it.
    pub note: String,
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
    pub note: String,
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
    /// What the operator wanted to remember of the invite that it used last.
    pub note: String,
    /// Program and version at enrolment.
    pub software: String,
    /// When it registered.
    pub created: SystemTime,
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
}

/// What a change has changed for lookups.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New, or registered in another way than before.
    pub added: Tables,
    /// Devices that are called something else.
    pub renamed: Vec<(DeviceId, String)>,
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

/// Keeps the registry.
pub trait Store: Send + Sync + 'static {
    /// All that lookups need.
    fn load(&self) -> StoreFuture<'_, Tables>;

    /// Makes an invite. With `force`, an alias that is kept for a former owner is promised all the same.
    fn invite(&self, invite: NewInvite, force: bool) -> StoreFuture<'_, ()>;

    /// All invites, newest first.
    fn invites(&self) -> StoreFuture<'_, Vec<InviteRow>>;

    /// Takes an invite back.
    fn withdraw(&self, id: InviteId) -> StoreFuture<'_, ()>;

    /// Consumes an invite and adds the device, in one transaction.
    fn enrol(&self, request: EnrolRequest) -> StoreFuture<'_, Result<(EnrolledRow, Changes), EnrolRefusal>>;

    /// Registers the services that a device offers.
    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
        limits: RegistrationLimits,
    ) -> StoreFuture<'_, (Vec<AnnouncedRow>, Changes)>;

    /// Takes note of what the customer calls a device now. Writes nothing when that is what it was called before,
    /// or nothing.
    fn rename(&self, device: DeviceId, name: String) -> StoreFuture<'_, Changes>;

    /// Frees a service.
    fn remove_service(&self, device: DeviceId, name: ServiceName) -> StoreFuture<'_, Changes>;

    /// Ends a device's registration for good.
    fn end_device(&self, device: DeviceId, by: EndedBy) -> StoreFuture<'_, Changes>;

    /// Gives a service an alias.
    fn add_alias(&self, id: RegisteredId, alias: Alias, force: bool) -> StoreFuture<'_, Changes>;

    /// Takes an alias from a service.
    fn remove_alias(&self, id: RegisteredId, alias: Alias) -> StoreFuture<'_, Changes>;

    /// All devices, those whose registration has ended included.
    fn devices(&self) -> StoreFuture<'_, Vec<DeviceRow>>;

    /// One device.
    fn device(&self, device: DeviceId) -> StoreFuture<'_, Option<DeviceRow>>;

    /// All readable names.
    fn aliases(&self) -> StoreFuture<'_, Vec<AliasRow>>;

    /// Whether what was opened is still what stands in its place.
    ///
    /// # Errors
    /// [`StoreError::Replaced`].
    fn in_place(&self) -> Result<(), StoreError>;

    /// Writes one state of the registry into a new file, also of one that has been removed meanwhile. Changes go on.
    fn backup(&self, to: PathBuf) -> StoreFuture<'_, ()>;

    /// Closes the registry, so that its file alone is all of it.
    fn close(&self) -> StoreFuture<'_, ()>;
}
