//! What the rules ask of whatever keeps the registry: rows, within one transaction, and no decision.

use petit_engine::name::{Alias, DeviceId, PolicyName, RegisteredId, ServiceName};
use petit_engine::proto::control::ServiceKind;
use petit_engine::secret::{InviteHash, InviteId, PublicKey};

use super::change::{Actor, Change, Head, SignedHead};
use super::error::StoreError;
use super::label::Labels;
use super::model::{EndedBy, NewInvite};
use super::policy::{Policy, StoredKey};
use super::rollout::{Rollout, StoredReport};
use super::timestamp::Timestamp;

/// An invite as it is kept.
#[derive(Clone, Debug)]
pub struct StoredInvite {
    /// What proves that it is held.
    pub secret: InviteHash,
    /// The service that it is for.
    pub service: ServiceName,
    /// The alias that the service gets.
    pub alias: Option<Alias>,
    /// What its client gets.
    pub labels: Labels,
    pub made: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// The operator took it back.
    pub is_withdrawn: bool,
    /// The device that has used it, and its key.
    pub used_by: Option<(DeviceId, PublicKey)>,
}

/// How an invite is used.
#[derive(Clone, Debug)]
pub struct InviteUse {
    pub device: DeviceId,
    pub key: PublicKey,
    /// What its service was registered as.
    pub service: RegisteredId,
    pub at: Timestamp,
}

/// A device as it is kept.
#[derive(Clone, Debug)]
pub struct StoredDevice {
    pub id: DeviceId,
    pub key: PublicKey,
    /// What the customer calls it.
    pub name: String,
    /// Its registration has ended.
    pub is_ended: bool,
    /// Since when the operator has kept it out, if so.
    pub suspended: Option<Timestamp>,
}

impl StoredDevice {
    /// As who it makes changes.
    pub fn actor(&self) -> Actor {
        Actor::Client(self.key.fingerprint())
    }
}

/// A device to be kept.
#[derive(Clone, Debug)]
pub struct NewDevice {
    pub id: DeviceId,
    pub key: PublicKey,
    /// What the customer calls it.
    pub name: String,
    /// Program and version.
    pub software: String,
    pub labels: Labels,
    pub made: Timestamp,
}

/// A registered service as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredService {
    pub id: RegisteredId,
    /// Whose it is.
    pub device: DeviceId,
    /// Its name at its device.
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// The port of a raw TCP service.
    pub port: Option<u16>,
}

/// What is kept of an alias that was given up.
#[derive(Clone, Copy, Debug)]
pub struct Tombstone {
    /// Whose it was.
    pub device: DeviceId,
    pub released: Timestamp,
}

/// The rows of the registry within one transaction. One small method each; what follows from a row is decided by
/// [`Registry`](super::Registry). A service or device that has ended is not found unless it says so.
///
/// # Errors
/// Every method: [`StoreError`]. The transaction is given up then.
///
/// # Cancel safety
/// Dropping a future may leave its statement undone or done: the transaction is given up then, too.
pub trait Rows: Send {
    fn invite(
        &mut self,
        id: &InviteId,
    ) -> impl Future<Output = Result<Option<StoredInvite>, StoreError>> + Send;

    fn insert_invite(
        &mut self,
        invite: &NewInvite,
        made: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn set_invite_withdrawn(
        &mut self,
        id: &InviteId,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn set_invite_used(
        &mut self,
        id: &InviteId,
        used: &InviteUse,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Invites that were promised an alias and neither used nor withdrawn, with the end of each.
    fn unused_invites(
        &mut self,
        alias: &Alias,
    ) -> impl Future<Output = Result<Vec<(InviteId, Timestamp)>, StoreError>> + Send;

    /// A device, also one whose registration has ended.
    fn device(
        &mut self,
        id: &DeviceId,
    ) -> impl Future<Output = Result<Option<StoredDevice>, StoreError>> + Send;

    /// The device of a key, also one whose registration has ended.
    fn device_by_key(
        &mut self,
        key: &PublicKey,
    ) -> impl Future<Output = Result<Option<StoredDevice>, StoreError>> + Send;

    fn insert_device(&mut self, device: &NewDevice) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What is written down of a device. Of one that is not there: nothing.
    fn labels(&mut self, id: &DeviceId) -> impl Future<Output = Result<Labels, StoreError>> + Send;

    fn set_labels(
        &mut self,
        id: &DeviceId,
        labels: &Labels,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn set_device_name(
        &mut self,
        id: &DeviceId,
        name: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// `None`: it is not kept out any more.
    fn set_device_suspended(
        &mut self,
        id: &DeviceId,
        since: Option<Timestamp>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn set_device_ended(
        &mut self,
        id: &DeviceId,
        by: EndedBy,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn service(
        &mut self,
        id: &RegisteredId,
    ) -> impl Future<Output = Result<Option<StoredService>, StoreError>> + Send;

    /// All services of a device.
    fn services(
        &mut self,
        device: &DeviceId,
    ) -> impl Future<Output = Result<Vec<StoredService>, StoreError>> + Send;

    /// How many services a device has been given since a moment, those that have ended included.
    fn services_made_since(
        &mut self,
        device: &DeviceId,
        since: Timestamp,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// The ports of all services, but for those that the system chooses, in their order.
    fn ports_in_use(&mut self) -> impl Future<Output = Result<Vec<u16>, StoreError>> + Send;

    fn insert_service(
        &mut self,
        service: &StoredService,
        made: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn set_service_kind(
        &mut self,
        id: &RegisteredId,
        kind: ServiceKind,
        port: Option<u16>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn set_service_ended(
        &mut self,
        id: &RegisteredId,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The service that an alias leads to.
    fn alias(
        &mut self,
        alias: &Alias,
    ) -> impl Future<Output = Result<Option<RegisteredId>, StoreError>> + Send;

    /// The aliases of a service, the oldest first.
    fn aliases(
        &mut self,
        service: &RegisteredId,
    ) -> impl Future<Output = Result<Vec<Alias>, StoreError>> + Send;

    fn insert_alias(
        &mut self,
        alias: &Alias,
        service: &RegisteredId,
        made: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn delete_alias(&mut self, alias: &Alias) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn tombstone(
        &mut self,
        alias: &Alias,
    ) -> impl Future<Output = Result<Option<Tombstone>, StoreError>> + Send;

    /// Keeps a tombstone, in place of the one that there may be.
    fn put_tombstone(
        &mut self,
        alias: &Alias,
        tombstone: Tombstone,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn delete_tombstone(&mut self, alias: &Alias) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All policies, by name.
    fn policies(&mut self) -> impl Future<Output = Result<Vec<Policy>, StoreError>> + Send;

    /// Keeps a policy, in place of the one of its name that there may be.
    fn put_policy(
        &mut self,
        policy: &Policy,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn delete_policy(&mut self, name: &PolicyName) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All visitors' keys, by name; those that were revoked, too.
    fn visitor_keys(&mut self) -> impl Future<Output = Result<Vec<StoredKey>, StoreError>> + Send;

    /// Keeps a key, in place of the one of its name that there may be.
    fn put_visitor_key(&mut self, key: &StoredKey) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The roll-out that was started last.
    fn last_rollout(&mut self) -> impl Future<Output = Result<Option<Rollout>, StoreError>> + Send;

    /// The roll-out of a release.
    fn rollout_of(
        &mut self,
        release: &str,
    ) -> impl Future<Output = Result<Option<Rollout>, StoreError>> + Send;

    /// Keeps a roll-out, in place of the one of its release that there may be.
    fn put_rollout(&mut self, rollout: &Rollout) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps what a client has said, in place of what it has said before.
    fn put_report(&mut self, report: &StoredReport) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Where the log of changes stands. Whoever has asked comes before everybody who asks later.
    fn head(&mut self) -> impl Future<Output = Result<Head, StoreError>> + Send;

    /// Writes a change down that follows the head, and makes it the head.
    fn append_change(&mut self, change: &Change) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Bytes that the changes of an actor since a moment take.
    fn change_bytes(
        &mut self,
        actor: Actor,
        since: Timestamp,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// How many changes of a kind there are that concern `subject` and are later than a moment.
    fn count_changes(
        &mut self,
        kind: &'static str,
        subject: &str,
        since: Timestamp,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// When the first change that is kept was made.
    fn oldest_change(&mut self) -> impl Future<Output = Result<Option<Timestamp>, StoreError>> + Send;

    /// The last change that all changes of a moment or later come after.
    fn last_change_before(
        &mut self,
        moment: Timestamp,
    ) -> impl Future<Output = Result<Option<Head>, StoreError>> + Send;

    /// Forgets a change and all before it, and keeps what was signed of it.
    fn delete_changes(&mut self, through: &SignedHead)
    -> impl Future<Output = Result<(), StoreError>> + Send;
}
