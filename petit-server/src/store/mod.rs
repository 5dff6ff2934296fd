//! What survives: devices, services, aliases, invites, and what happened to them.
//!
//! [`Store`] is what the rest of the server knows: each change is one transaction in which the rules of
//! [`registry`](crate::registry) decide, and is answered after it is on disk. [`sqlite`] is the one implementation, and
//! the only place with SQL.

pub mod sqlite;
pub mod yielding;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use petit_engine::BoxFuture;
use petit_engine::name::{Alias, DeviceId, PolicyName, RegisteredId, ServiceName, VisitorKeyName};
use petit_engine::proto::control::{EnrolRefusal, ServiceKind};
use petit_engine::secret::{InviteId, PrivateKey};
use petit_relay::EnrolRequest;
use petit_relay::policy::KeyHash;

use crate::registry::{
    Actor, AliasRow, AnnouncedRow, ChangePage, Delta, DeviceRow, EnrolledRow, EnrolmentTerms, InviteRow,
    LabelEdit, Labels, NewInvite, NewKey, Policy, PolicyEdit, RegistrationLimits, Rollout, RolloutPlan,
    RolloutStep, StoreError, StoredKey, StoredReport, Successor, Suspension, Tables, VisitorRules,
};

/// What a store's methods return.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Keeps the registry.
pub trait Store: Send + Sync + 'static {
    /// All that lookups need.
    fn load(&self) -> StoreFuture<'_, Tables>;

    /// Makes an invite. With `force`, an alias that is kept for a former owner is promised all the same.
    fn invite(&self, invite: NewInvite, force: bool, actor: Actor) -> StoreFuture<'_, ()>;

    /// All invites, newest first.
    fn invites(&self) -> StoreFuture<'_, Vec<InviteRow>>;

    /// Takes an invite back.
    fn withdraw(&self, id: InviteId, actor: Actor) -> StoreFuture<'_, ()>;

    /// Consumes an invite and adds the device, in one transaction.
    fn enrol(
        &self,
        request: EnrolRequest,
        terms: EnrolmentTerms,
    ) -> StoreFuture<'_, Result<(EnrolledRow, Delta), EnrolRefusal>>;

    /// Registers the services that a device offers.
    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
        limits: RegistrationLimits,
    ) -> StoreFuture<'_, (Vec<AnnouncedRow>, Delta)>;

    /// Takes note of what the customer calls a device now. Writes nothing when that is what it was called before,
    /// or nothing.
    fn rename(&self, device: DeviceId, name: String) -> StoreFuture<'_, Delta>;

    /// Frees a service.
    fn remove_service(&self, device: DeviceId, name: ServiceName) -> StoreFuture<'_, Delta>;

    /// Ends a device's registration for good.
    fn revoke(&self, device: DeviceId, actor: Actor) -> StoreFuture<'_, Delta>;

    /// Keeps a device out that stays registered, or lets it in again.
    fn suspend(&self, device: DeviceId, to: Suspension, actor: Actor) -> StoreFuture<'_, Delta>;

    /// Writes down that a device's sessions are ended.
    fn note_kick(&self, device: DeviceId, actor: Actor) -> StoreFuture<'_, Delta>;

    /// Ends a device's registration for good, because its client wants it.
    fn unregister(&self, device: DeviceId) -> StoreFuture<'_, Delta>;

    /// Changes what is written down of a client. Returns how it is now.
    fn label(&self, device: DeviceId, edit: LabelEdit, actor: Actor) -> StoreFuture<'_, (Labels, Delta)>;

    /// Gives a service an alias.
    fn add_alias(&self, id: RegisteredId, alias: Alias, force: bool, actor: Actor) -> StoreFuture<'_, Delta>;

    /// Takes an alias from a service.
    fn remove_alias(&self, id: RegisteredId, alias: Alias, actor: Actor) -> StoreFuture<'_, Delta>;

    /// Changes a policy, or makes one, beside those of the config file. Returns it as it is now.
    fn set_policy(
        &self,
        edit: PolicyEdit,
        beside: Arc<[Policy]>,
        actor: Actor,
    ) -> StoreFuture<'_, (Policy, Delta)>;

    /// Takes a policy away.
    fn remove_policy(&self, name: PolicyName, actor: Actor) -> StoreFuture<'_, Delta>;

    /// Keeps a new key for visitors.
    fn create_key(&self, key: NewKey, actor: Actor) -> StoreFuture<'_, Delta>;

    /// Gives a key another secret; the one from before goes on being good for a while.
    fn rotate_key(
        &self,
        name: VisitorKeyName,
        hash: KeyHash,
        overlap: Duration,
        actor: Actor,
    ) -> StoreFuture<'_, (StoredKey, Delta)>;

    /// Ends a key for good.
    fn revoke_key(&self, name: VisitorKeyName, actor: Actor) -> StoreFuture<'_, Delta>;

    /// All policies and keys.
    fn visitor_rules(&self) -> StoreFuture<'_, VisitorRules>;

    /// Begins to hand a release out, to the first of some rings.
    fn start_rollout(&self, plan: RolloutPlan, actor: Actor) -> StoreFuture<'_, Rollout>;

    /// Changes the roll-out that was started last.
    fn step_rollout(&self, step: RolloutStep, actor: Actor) -> StoreFuture<'_, Rollout>;

    /// All roll-outs, the one that was started last at the end, and what clients have said of releases.
    fn rollouts(&self) -> StoreFuture<'_, (Vec<Rollout>, Vec<StoredReport>)>;

    /// Keeps what clients have said of releases.
    fn put_reports(&self, reports: Vec<StoredReport>) -> StoreFuture<'_, ()>;

    /// All devices, those whose registration has ended included.
    fn devices(&self) -> StoreFuture<'_, Vec<DeviceRow>>;

    /// One device.
    fn device(&self, device: DeviceId) -> StoreFuture<'_, Option<DeviceRow>>;

    /// All readable names.
    fn aliases(&self) -> StoreFuture<'_, Vec<AliasRow>>;

    /// The log of changes after a version, so many of them at most.
    fn changes(&self, after: u64, most: u32) -> StoreFuture<'_, ChangePage>;

    /// Forgets changes that are older than they are kept, and signs what was forgotten. Returns up to which version.
    fn trim_changes(&self, key: PrivateKey) -> StoreFuture<'_, Option<u64>>;

    /// Takes note that the registry was put back from a backup.
    fn superseded(&self, by: Successor, actor: Actor, key: PrivateKey) -> StoreFuture<'_, ()>;

    /// Whether what was opened is still what stands in its place.
    ///
    /// # Errors
    /// [`StoreErrorKind::Replaced`](crate::registry::StoreErrorKind::Replaced).
    fn in_place(&self) -> Result<(), StoreError>;

    /// Writes one state of the registry into a new file, also of one that has been removed meanwhile. Delta go on.
    fn backup(&self, to: PathBuf) -> StoreFuture<'_, ()>;

    /// Closes the registry, so that its file alone is all of it.
    fn close(&self) -> StoreFuture<'_, ()>;
}
