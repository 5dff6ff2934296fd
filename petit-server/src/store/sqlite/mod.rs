//! The registry in one SQLite file. Write-ahead log with `synchronous = FULL`: what was answered is on disk,
//! whatever happens next. One connection writes, so that changes are in line; another one reads, so that a look at
//! everything holds up no change. A reader sees one state, never half of a change.

mod file;
mod migrations;
mod queries;
mod rollouts;
mod rows;
mod values;
mod visitors;

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use petit_engine::name::{Alias, DeviceId, PolicyName, RegisteredId, ServiceName, VisitorKeyName};
use petit_engine::proto::control::{EnrolRefusal, ServiceKind};
use petit_engine::secret::{InviteId, PrivateKey};
use petit_relay::EnrolRequest;
use petit_relay::policy::KeyHash;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Mutex;

use self::file::Identity;
use self::migrations::{FORM, Uncommitted};
use self::values::is_locked;
use super::{Store, StoreFuture};
use crate::registry::{
    Actor, AliasRow, AnnouncedRow, ChangePage, Delta, DeviceRow, EnrolledRow, EnrolmentTerms, InviteRow,
    LabelEdit, Labels, NewInvite, NewKey, Policy, PolicyEdit, RegistrationLimits, Registry, Rollout,
    RolloutPlan, RolloutStep, Rows, StoreError, StoreErrorKind, StoredKey, StoredReport, Successor,
    Suspension, Tables, Timestamp, VisitorRules,
};

/// The registry in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    /// The file that was opened. Its write-ahead log is not looked at.
    opened: Identity,
    /// `None` after a failure: what state a connection is in then (a transaction that was neither ended nor
    /// begun) is nobody's guess, so the next change begins with a new one.
    writer: Mutex<Option<SqliteConnection>>,
    /// The files that it writes.
    files: std::sync::Mutex<Identity>,
    /// `None` after a failure. Open from the beginning: what it reads can be saved when the file has been removed.
    reader: Mutex<Option<SqliteConnection>>,
}

/// What is left to do when a registry was opened without changing its form. Dropped, it is not done.
#[derive(Debug)]
pub struct Migration(Option<Uncommitted>);

impl SqliteStore {
    /// Makes a registry where there is none, and opens it. For `init`: a server that finds its registry missing
    /// must not begin anew, because its clients would take that for the end of their registration.
    ///
    /// # Errors
    /// [`StoreError`]; a file that is damaged, not ours or too new is left as it is.
    pub async fn create(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::create_beside_logs(path).await?.0)
    }

    /// As [`SqliteStore::create`]. Returns as well where the logs are now of a registry that was there and is gone: they are
    /// put aside, since the new one would take what is in them.
    ///
    /// # Errors
    /// [`StoreError`]; a file that is damaged, not ours or too new is left as it is.
    pub async fn create_beside_logs(path: &Path) -> Result<(Self, Vec<PathBuf>), StoreError> {
        let is_missing = std::fs::metadata(path).map_or(true, |found| found.len() == 0);
        let aside = if is_missing { file::create(path).await? } else { Vec::new() };
        Ok((Self::open(path).await?, aside))
    }

    /// Opens a registry, and brings one of an earlier version to the present form. Call with the server's lock held.
    ///
    /// # Errors
    /// [`StoreError`]; a file that is missing, damaged, not ours or too new is left as it is.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::with(path, Some(file::connect(path).await?)).await
    }

    /// Opens a registry without changing its form, and reads all that lookups need, in the present form: an earlier one is
    /// brought to that in a transaction that is not ended, so that whoever finds that it cannot go on leaves the file to
    /// programs of before as it was. Nothing else is to be asked before [`SqliteStore::commit`].
    ///
    /// # Errors
    /// [`StoreError`]; a file that is missing, damaged, not ours or too new is left as it is.
    pub async fn begin(path: &Path) -> Result<(Self, Migration, Tables), StoreError> {
        let (mut connection, form) = file::connect_as_it_is(path).await?;
        if form < FORM {
            let (uncommitted, tables) = Uncommitted::begin(connection, form).await?;
            return Ok((Self::with(path, None).await?, Migration(Some(uncommitted)), tables));
        }
        let tables = queries::load(&mut connection).await?;
        Ok((Self::with(path, Some(connection)).await?, Migration(None), tables))
    }

    async fn with(path: &Path, writer: Option<SqliteConnection>) -> Result<Self, StoreError> {
        let files = Identity::of(path);
        Ok(Self {
            path: path.to_owned(),
            opened: files.closed(),
            writer: Mutex::new(writer),
            files: std::sync::Mutex::new(files),
            reader: Mutex::new(Some(file::connect_to_read(path).await?)),
        })
    }

    /// Puts the present form into the file, where that had an earlier one.
    ///
    /// # Errors
    /// [`StoreError`], such as of a disk that is full; the file is as it was then.
    pub async fn commit(&self, migration: Migration) -> Result<(), StoreError> {
        if let Some(uncommitted) = migration.0 {
            *self.writer.lock().await = Some(uncommitted.commit(&self.path).await?);
        }
        Ok(())
    }

    /// The files that a registry at `path` is in, or was about to be made in.
    pub fn files_at(path: &Path) -> Vec<PathBuf> {
        file::all(path)
    }

    /// True when nobody was ever invited.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_untouched(&self) -> Result<bool, StoreError> {
        self.read(async |rows| queries::is_untouched(rows).await).await
    }

    /// Looks whether a file is a registry that can be opened, and leaves it as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn check(path: &Path) -> Result<(), StoreError> {
        file::check(path).await
    }

    /// Runs `work` in one transaction, which is on disk when this returns.
    async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.change(async |connection| {
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            let value = work(&mut tx).await?;
            tx.commit().await?;
            Ok(value)
        })
        .await
    }

    /// As [`SqliteStore::write`], but the file is locked for writing only when `work` first writes.
    async fn read_then_write<T>(
        &self,
        work: impl AsyncFn(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.change(async |connection| {
            let mut tx = connection.begin().await?;
            match work(&mut tx).await {
                // A program that only reads so far is told at once, whatever it is willing to wait.
                Err(error) if is_locked(&error) => tx.rollback().await?,
                value => {
                    let value = value?;
                    tx.commit().await?;
                    return Ok(value);
                }
            }
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            let value = work(&mut tx).await?;
            tx.commit().await?;
            Ok(value)
        })
        .await
    }

    /// Runs `work` with the connection that writes. What goes into a file that somebody has removed or replaced
    /// would be acknowledged and lost, so that is looked at before and after.
    async fn change<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock().await;
        let connection = match writer.as_mut() {
            Some(connection) => connection,
            None => {
                self.check_opened()?;
                let connection = file::connect(&self.path).await?;
                *self.files() = Identity::of(&self.path);
                writer.insert(connection)
            }
        };
        self.check_files()?;
        let result = work(connection).await;
        if result.as_ref().is_err_and(is_broken) {
            *writer = None;
            // The write-ahead log goes with the last connection.
            *self.files() = self.opened;
            // Unless somebody is looking; what has failed for one is no good for the other either.
            if let Ok(mut reader) = self.reader.try_lock() {
                *reader = None;
            }
        }
        let value = result?;
        self.check_files()?;
        Ok(value)
    }

    /// Runs `work` on one state of the registry.
    async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_reader(async |connection| {
            let mut tx = connection.begin().await?;
            let value = work(&mut tx).await?;
            tx.rollback().await?;
            Ok(value)
        })
        .await
    }

    /// Runs `work` with the connection that reads.
    async fn with_reader<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut reader = self.reader.lock().await;
        let connection = match reader.as_mut() {
            Some(connection) => connection,
            None => {
                self.check_opened()?;
                reader.insert(file::connect_to_read(&self.path).await?)
            }
        };
        let result = work(connection).await;
        if result.as_ref().is_err_and(is_broken) {
            *reader = None;
        }
        result
    }

    fn files(&self) -> MutexGuard<'_, Identity> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what is written goes to where it is found again.
    fn check_files(&self) -> Result<(), StoreError> {
        self.unless_replaced(self.files().is_found_as(&Identity::of(&self.path)))
    }

    /// Whether what stands at the path is still the registry that was opened.
    fn check_opened(&self) -> Result<(), StoreError> {
        self.unless_replaced(self.opened.is_found_as(&Identity::of(&self.path)))
    }

    fn unless_replaced(&self, is_in_place: bool) -> Result<(), StoreError> {
        if is_in_place { Ok(()) } else { Err(StoreErrorKind::Replaced.into()) }
    }
}

/// The rules over the rows of a transaction, now.
fn rules(rows: &mut SqliteConnection) -> Registry<'_, SqliteConnection> {
    Registry::new(rows, Timestamp::now())
}

/// True when it is not known any more what state a connection is in.
fn is_broken(error: &StoreError) -> bool {
    *error.kind() == StoreErrorKind::Failed
}

impl Store for SqliteStore {
    fn load(&self) -> StoreFuture<'_, Tables> {
        Box::pin(self.read(async |rows| queries::load(rows).await))
    }

    fn invite(&self, invite: NewInvite, force: bool, actor: Actor) -> StoreFuture<'_, ()> {
        Box::pin(self.write(async move |rows| rules(rows).invite(&invite, force, actor).await))
    }

    fn invites(&self) -> StoreFuture<'_, Vec<InviteRow>> {
        Box::pin(self.read(async |rows| queries::invites(rows).await))
    }

    fn withdraw(&self, id: InviteId, actor: Actor) -> StoreFuture<'_, ()> {
        Box::pin(self.write(async move |rows| rules(rows).withdraw(id, actor).await))
    }

    fn enrol(
        &self,
        request: EnrolRequest,
        terms: EnrolmentTerms,
    ) -> StoreFuture<'_, Result<(EnrolledRow, Delta), EnrolRefusal>> {
        Box::pin(self.write(async move |rows| rules(rows).enrol(&request, &terms).await))
    }

    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
        limits: RegistrationLimits,
    ) -> StoreFuture<'_, (Vec<AnnouncedRow>, Delta)> {
        // A client that comes back with what it had needs no write, and so cannot fail on a disk that is full.
        Box::pin(
            self.read_then_write(async move |rows| rules(rows).announce(&device, &services, limits).await),
        )
    }

    fn rename(&self, device: DeviceId, name: String) -> StoreFuture<'_, Delta> {
        Box::pin(self.read_then_write(async move |rows| rules(rows).rename(&device, &name).await))
    }

    fn remove_service(&self, device: DeviceId, name: ServiceName) -> StoreFuture<'_, Delta> {
        Box::pin(self.write(async move |rows| rules(rows).remove_service(&device, &name).await))
    }

    fn revoke(&self, device: DeviceId, actor: Actor) -> StoreFuture<'_, Delta> {
        Box::pin(self.write(async move |rows| rules(rows).revoke(device, actor).await))
    }

    fn unregister(&self, device: DeviceId) -> StoreFuture<'_, Delta> {
        Box::pin(self.write(async move |rows| rules(rows).unregister(device).await))
    }

    fn suspend(&self, device: DeviceId, to: Suspension, actor: Actor) -> StoreFuture<'_, Delta> {
        Box::pin(self.write(async move |rows| rules(rows).suspend(device, to, actor).await))
    }

    fn note_kick(&self, device: DeviceId, actor: Actor) -> StoreFuture<'_, Delta> {
        Box::pin(self.write(async move |rows| rules(rows).note_kick(device, actor).await))
    }

    fn label(&self, device: DeviceId, edit: LabelEdit, actor: Actor) -> StoreFuture<'_, (Labels, Delta)> {
        Box::pin(self.write(async move |rows| rules(rows).label(device, edit, actor).await))
    }

    fn add_alias(&self, id: RegisteredId, alias: Alias, force: bool, actor: Actor) -> StoreFuture<'_, Delta> {
        Box::pin(self.write(async move |rows| rules(rows).add_alias(id, &alias, force, actor).await))
    }

    fn remove_alias(&self, id: RegisteredId, alias: Alias, actor: Actor) -> StoreFuture<'_, Delta> {
        Box::pin(self.write(async move |rows| rules(rows).remove_alias(id, alias, actor).await))
    }

    fn set_policy(
        &self,
        edit: PolicyEdit,
        beside: Arc<[Policy]>,
        actor: Actor,
    ) -> StoreFuture<'_, (Policy, Delta)> {
        Box::pin(self.write(async move |rows| rules(rows).set_policy(edit, &beside, actor).await))
    }

    fn remove_policy(&self, name: PolicyName, actor: Actor) -> StoreFuture<'_, Delta> {
        Box::pin(self.write(async move |rows| rules(rows).remove_policy(name, actor).await))
    }

    fn create_key(&self, key: NewKey, actor: Actor) -> StoreFuture<'_, Delta> {
        Box::pin(self.write(async move |rows| rules(rows).create_key(key, actor).await))
    }

    fn rotate_key(
        &self,
        name: VisitorKeyName,
        hash: KeyHash,
        overlap: Duration,
        actor: Actor,
    ) -> StoreFuture<'_, (StoredKey, Delta)> {
        Box::pin(self.write(async move |rows| rules(rows).rotate_key(&name, hash, overlap, actor).await))
    }

    fn revoke_key(&self, name: VisitorKeyName, actor: Actor) -> StoreFuture<'_, Delta> {
        Box::pin(self.write(async move |rows| rules(rows).revoke_key(&name, actor).await))
    }

    fn visitor_rules(&self) -> StoreFuture<'_, VisitorRules> {
        Box::pin(self.read(async |rows| {
            let (policies, keys) = (rows.policies().await?, rows.visitor_keys().await?);
            Ok(VisitorRules { policies, keys })
        }))
    }

    fn changes(&self, after: u64, most: u32) -> StoreFuture<'_, ChangePage> {
        Box::pin(self.read(async move |rows| queries::changes(rows, after, most).await))
    }

    fn trim_changes(&self, key: PrivateKey) -> StoreFuture<'_, Option<u64>> {
        // On most days there is nothing to forget, and nothing is written.
        Box::pin(self.read_then_write(async move |rows| rules(rows).trim_changes(&key).await))
    }

    fn superseded(&self, by: Successor, actor: Actor, key: PrivateKey) -> StoreFuture<'_, ()> {
        Box::pin(self.write(async move |rows| rules(rows).superseded(by, actor, &key).await))
    }

    fn start_rollout(&self, plan: RolloutPlan, actor: Actor) -> StoreFuture<'_, Rollout> {
        Box::pin(self.write(async move |rows| rules(rows).start_rollout(plan, actor).await))
    }

    fn step_rollout(&self, step: RolloutStep, actor: Actor) -> StoreFuture<'_, Rollout> {
        Box::pin(self.write(async move |rows| rules(rows).step_rollout(step, actor).await))
    }

    fn rollouts(&self) -> StoreFuture<'_, (Vec<Rollout>, Vec<StoredReport>)> {
        Box::pin(self.read(async |rows| Ok((rollouts::all(rows).await?, rollouts::reports(rows).await?))))
    }

    fn put_reports(&self, reports: Vec<StoredReport>) -> StoreFuture<'_, ()> {
        Box::pin(self.write(async move |rows| rules(rows).put_reports(&reports).await))
    }

    fn devices(&self) -> StoreFuture<'_, Vec<DeviceRow>> {
        Box::pin(self.read(async |rows| queries::devices(rows).await))
    }

    fn device(&self, device: DeviceId) -> StoreFuture<'_, Option<DeviceRow>> {
        Box::pin(self.read(async move |rows| queries::device(rows, &device).await))
    }

    fn aliases(&self) -> StoreFuture<'_, Vec<AliasRow>> {
        Box::pin(self.read(async |rows| queries::aliases(rows).await))
    }

    fn in_place(&self) -> Result<(), StoreError> {
        self.check_files()
    }

    fn backup(&self, to: PathBuf) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let target = to.to_str().ok_or_else(|| file::not_ours("its path is not UTF-8"))?;
            let io = |error| StoreError::new(StoreErrorKind::Failed, error);
            file::begin_private(&to).map_err(io)?;
            // VACUUM is no part of a transaction, and is one itself.
            self.with_reader(async |connection| {
                sqlx::query("VACUUM INTO ?").bind(target).execute(&mut *connection).await?;
                Ok(())
            })
            .await?;
            // SQLite does not flush what it has written in this way. Windows lets only those flush who may write.
            std::fs::OpenOptions::new().write(true).open(&to).and_then(|file| file.sync_all()).map_err(io)
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            // The one that writes last: it takes the write-ahead log into the file when it is alone.
            if let Some(connection) = self.reader.lock().await.take() {
                connection.close().await?;
            }
            if let Some(connection) = self.writer.lock().await.take() {
                *self.files() = self.opened;
                connection.close().await?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
