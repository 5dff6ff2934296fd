//! A registry that can be left to another process for a while, or for good.
//!
//! Only one process may keep it at a time: two that change it would each have tables of their own. While it is not
//! certain which of the two it will be, whoever asks waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use petit_engine::name::{Alias, DeviceId, PolicyName, RegisteredId, ServiceName, VisitorKeyName};
use petit_engine::proto::control::{EnrolRefusal, ServiceKind};
use petit_engine::secret::{InviteId, PrivateKey};
use petit_relay::EnrolRequest;
use petit_relay::policy::KeyHash;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{Store, StoreFuture};
use crate::registry::{
    Actor, AliasRow, AnnouncedRow, ChangePage, Delta, DeviceRow, EnrolledRow, EnrolmentTerms, InviteRow,
    LabelEdit, Labels, NewInvite, NewKey, Policy, PolicyEdit, RegistrationLimits, Rollout, RolloutPlan,
    RolloutStep, StoreError, StoreErrorKind, StoredKey, StoredReport, Successor, Suspension, Tables,
    VisitorRules,
};

/// Where the registry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    ThisProcess,
    AnotherProcess,
    /// This process has closed it for good.
    Nobody,
}

/// A store that can be yielded.
pub struct Yielding {
    store: Arc<dyn Store>,
    keeper: Arc<RwLock<Keeper>>,
}

/// A store that is closed, and about which it is not certain yet who keeps it. Dropped, it stays this process's.
#[derive(Debug)]
pub struct Yielded(OwnedRwLockWriteGuard<Keeper>);

impl Yielded {
    /// Another process keeps it from now on; whoever has waited is told so.
    pub fn to_another_process(mut self) {
        *self.0 = Keeper::AnotherProcess;
    }
}

impl Yielding {
    /// One that this process keeps.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, keeper: Arc::new(RwLock::new(Keeper::ThisProcess)) }
    }

    /// One that this process is about to keep. Whoever asks waits until what is returned beside it is dropped.
    pub async fn to_come(store: Arc<dyn Store>) -> (Self, Yielded) {
        let yielding = Self::new(store);
        let held = Arc::clone(&yielding.keeper).write_owned().await;
        (yielding, Yielded(held))
    }

    /// Waits for what is under way and closes the store, so that its file alone is all of it.
    ///
    /// # Errors
    /// [`StoreError`]; it stays this process's then.
    pub async fn yield_up(&self) -> Result<Yielded, StoreError> {
        let held = Arc::clone(&self.keeper).write_owned().await;
        self.store.close().await?;
        Ok(Yielded(held))
    }

    /// This process keeps it again. Only after the other one has ended.
    pub async fn take_back(&self) {
        *self.keeper.write().await = Keeper::ThisProcess;
    }

    /// True while this process keeps it.
    pub async fn is_here(&self) -> bool {
        *self.keeper.read().await == Keeper::ThisProcess
    }

    async fn here(&self) -> Result<OwnedRwLockReadGuard<Keeper>, StoreError> {
        let here = Arc::clone(&self.keeper).read_owned().await;
        match *here {
            Keeper::ThisProcess => Ok(here),
            Keeper::AnotherProcess => Err(StoreErrorKind::Elsewhere.into()),
            Keeper::Nobody => Err(StoreErrorKind::Closed.into()),
        }
    }
}

/// Asks the store within while this process keeps it.
macro_rules! asked {
    ($self:ident, $method:ident($($argument:ident),*)) => {
        Box::pin(async move {
            let _here = $self.here().await?;
            $self.store.$method($($argument),*).await
        })
    };
}

impl Store for Yielding {
    fn load(&self) -> StoreFuture<'_, Tables> {
        asked!(self, load())
    }

    fn invite(&self, invite: NewInvite, force: bool, actor: Actor) -> StoreFuture<'_, ()> {
        asked!(self, invite(invite, force, actor))
    }

    fn invites(&self) -> StoreFuture<'_, Vec<InviteRow>> {
        asked!(self, invites())
    }

    fn withdraw(&self, id: InviteId, actor: Actor) -> StoreFuture<'_, ()> {
        asked!(self, withdraw(id, actor))
    }

    fn enrol(
        &self,
        request: EnrolRequest,
        terms: EnrolmentTerms,
    ) -> StoreFuture<'_, Result<(EnrolledRow, Delta), EnrolRefusal>> {
        asked!(self, enrol(request, terms))
    }

    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
        limits: RegistrationLimits,
    ) -> StoreFuture<'_, (Vec<AnnouncedRow>, Delta)> {
        asked!(self, announce(device, services, limits))
    }

    fn rename(&self, device: DeviceId, name: String) -> StoreFuture<'_, Delta> {
        asked!(self, rename(device, name))
    }

    fn remove_service(&self, device: DeviceId, name: ServiceName) -> StoreFuture<'_, Delta> {
        asked!(self, remove_service(device, name))
    }

    fn revoke(&self, device: DeviceId, actor: Actor) -> StoreFuture<'_, Delta> {
        asked!(self, revoke(device, actor))
    }

    fn unregister(&self, device: DeviceId) -> StoreFuture<'_, Delta> {
        asked!(self, unregister(device))
    }

    fn suspend(&self, device: DeviceId, to: Suspension, actor: Actor) -> StoreFuture<'_, Delta> {
        asked!(self, suspend(device, to, actor))
    }

    fn note_kick(&self, device: DeviceId, actor: Actor) -> StoreFuture<'_, Delta> {
        asked!(self, note_kick(device, actor))
    }

    fn label(&self, device: DeviceId, edit: LabelEdit, actor: Actor) -> StoreFuture<'_, (Labels, Delta)> {
        asked!(self, label(device, edit, actor))
    }

    fn add_alias(&self, id: RegisteredId, alias: Alias, force: bool, actor: Actor) -> StoreFuture<'_, Delta> {
        asked!(self, add_alias(id, alias, force, actor))
    }

    fn remove_alias(&self, id: RegisteredId, alias: Alias, actor: Actor) -> StoreFuture<'_, Delta> {
        asked!(self, remove_alias(id, alias, actor))
    }

    fn set_policy(
        &self,
        edit: PolicyEdit,
        beside: Arc<[Policy]>,
        actor: Actor,
    ) -> StoreFuture<'_, (Policy, Delta)> {
        asked!(self, set_policy(edit, beside, actor))
    }

    fn remove_policy(&self, name: PolicyName, actor: Actor) -> StoreFuture<'_, Delta> {
        asked!(self, remove_policy(name, actor))
    }

    fn create_key(&self, key: NewKey, actor: Actor) -> StoreFuture<'_, Delta> {
        asked!(self, create_key(key, actor))
    }

    fn rotate_key(
        &self,
        name: VisitorKeyName,
        hash: KeyHash,
        overlap: Duration,
        actor: Actor,
    ) -> StoreFuture<'_, (StoredKey, Delta)> {
        asked!(self, rotate_key(name, hash, overlap, actor))
    }

    fn revoke_key(&self, name: VisitorKeyName, actor: Actor) -> StoreFuture<'_, Delta> {
        asked!(self, revoke_key(name, actor))
    }

    fn visitor_rules(&self) -> StoreFuture<'_, VisitorRules> {
        asked!(self, visitor_rules())
    }

    fn changes(&self, after: u64, most: u32) -> StoreFuture<'_, ChangePage> {
        asked!(self, changes(after, most))
    }

    fn trim_changes(&self, key: PrivateKey) -> StoreFuture<'_, Option<u64>> {
        asked!(self, trim_changes(key))
    }

    fn superseded(&self, by: Successor, actor: Actor, key: PrivateKey) -> StoreFuture<'_, ()> {
        asked!(self, superseded(by, actor, key))
    }

    fn start_rollout(&self, plan: RolloutPlan, actor: Actor) -> StoreFuture<'_, Rollout> {
        asked!(self, start_rollout(plan, actor))
    }

    fn step_rollout(&self, step: RolloutStep, actor: Actor) -> StoreFuture<'_, Rollout> {
        asked!(self, step_rollout(step, actor))
    }

    fn rollouts(&self) -> StoreFuture<'_, (Vec<Rollout>, Vec<StoredReport>)> {
        asked!(self, rollouts())
    }

    fn put_reports(&self, reports: Vec<StoredReport>) -> StoreFuture<'_, ()> {
        asked!(self, put_reports(reports))
    }

    fn devices(&self) -> StoreFuture<'_, Vec<DeviceRow>> {
        asked!(self, devices())
    }

    fn device(&self, device: DeviceId) -> StoreFuture<'_, Option<DeviceRow>> {
        asked!(self, device(device))
    }

    fn aliases(&self) -> StoreFuture<'_, Vec<AliasRow>> {
        asked!(self, aliases())
    }

    /// What another process keeps is no business of this one's.
    fn in_place(&self) -> Result<(), StoreError> {
        match self.keeper.try_read() {
            Ok(keeper) if *keeper == Keeper::ThisProcess => self.store.in_place(),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn backup(&self, to: PathBuf) -> StoreFuture<'_, ()> {
        asked!(self, backup(to))
    }

    /// Also when another process keeps it: then there is nothing to close. Whoever asks later is refused, and does not open
    /// it again behind the back of whoever comes next.
    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut keeper = self.keeper.write().await;
            if *keeper == Keeper::ThisProcess {
                self.store.close().await?;
                *keeper = Keeper::Nobody;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::SqliteStore;

    async fn store() -> (Arc<Yielding>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::create(&dir.path().join("registry.db")).await.unwrap();
        (Arc::new(Yielding::new(Arc::new(store))), dir)
    }

    #[tokio::test]
    async fn whoever_asks_in_between_waits_and_is_then_told_who_keeps_it() {
        let (store, dir) = store().await;
        let yielded = store.yield_up().await.unwrap();
        assert!(!dir.path().join("registry.db-wal").exists(), "the file alone is all of it");
        let ask = |store: &Arc<Yielding>| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.devices().await })
        };
        let waiting = ask(&store);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        yielded.to_another_process();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), &StoreErrorKind::Elsewhere);
        assert_eq!(store.devices().await.unwrap_err().kind(), &StoreErrorKind::Elsewhere);
        store.close().await.unwrap();
        store.take_back().await;
        assert!(store.devices().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_that_is_closed_is_not_opened_again() {
        let (store, dir) = store().await;
        store.devices().await.unwrap();
        store.close().await.unwrap();
        assert_eq!(store.devices().await.unwrap_err().kind(), &StoreErrorKind::Closed);
        assert!(!dir.path().join("registry.db-wal").exists());
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_not_taken_stays() {
        let (store, _dir) = store().await;
        let yielded = store.yield_up().await.unwrap();
        let waiting = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.devices().await }
        });
        tokio::task::yield_now().await;
        drop(yielded);
        assert!(waiting.await.unwrap().unwrap().is_empty());
    }
}
