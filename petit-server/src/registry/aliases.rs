//! Readable names: each leads to one service, is promised to one invite at most, and rests after its owner.

use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, RegisteredId};
use petit_engine::secret::InviteId;
use petit_relay::aliases_bytes;

use super::change::Actor;
use super::change_body::ChangeBody;
use super::error::{Conflict, StoreError};
use super::model::Delta;
use super::rows::{Rows, StoredService, Tombstone};
use super::rules::Registry;

impl<R: Rows> Registry<'_, R> {
    /// Gives a service an alias. With `force`, also one that is kept for a former owner.
    ///
    /// # Errors
    /// [`StoreError`]; a [`Conflict`] when it belongs to somebody, or its client could not be told of it.
    pub async fn add_alias(
        mut self,
        id: RegisteredId,
        alias: &Alias,
        force: bool,
        actor: Actor,
    ) -> Result<Delta, StoreError> {
        let device = self.owned(&id).await?.device;
        match self.alias_conflict(alias, Some(&device), None).await? {
            // Asked for twice is asked for once.
            Some(Conflict::AliasTaken { id: owner, .. }) if owner == id => return Ok(self.delta),
            Some(Conflict::AliasTombstoned { .. }) if force => {}
            Some(conflict) => return Err(conflict.into()),
            None => {}
        }
        let others = self.rows.aliases(&id).await?;
        if aliases_bytes(others.iter().chain([alias])) > limits::MAX_ALIASES_BYTES {
            let (count, bytes) = (others.len(), aliases_bytes(&others));
            return Err(Conflict::TooManyAliases { id, count, bytes, most: limits::MAX_ALIASES_BYTES }.into());
        }
        self.give_alias(alias, &id).await?;
        self.record(actor, alias, &ChangeBody::AliasAdded { id, client: device }).await?;
        Ok(self.delta)
    }

    /// Takes an alias from a service.
    ///
    /// # Errors
    /// [`StoreError`]; a [`Conflict`] when the service does not have it.
    pub async fn remove_alias(
        mut self,
        id: RegisteredId,
        alias: Alias,
        actor: Actor,
    ) -> Result<Delta, StoreError> {
        let device = self.owned(&id).await?.device;
        if self.rows.alias(&alias).await? != Some(id) {
            return Err(Conflict::NoAlias { id, alias }.into());
        }
        self.record(actor, &alias, &ChangeBody::AliasRemoved { id, client: device }).await?;
        self.release_alias(&device, alias).await?;
        Ok(self.delta)
    }

    async fn owned(&mut self, id: &RegisteredId) -> Result<StoredService, StoreError> {
        Ok(self.rows.service(id).await?.ok_or(Conflict::NoService(*id))?)
    }

    /// Why an alias cannot be given to a device, if so. `invite` may claim what it was promised itself.
    pub(super) async fn alias_conflict(
        &mut self,
        alias: &Alias,
        device: Option<&DeviceId>,
        invite: Option<&InviteId>,
    ) -> Result<Option<Conflict>, StoreError> {
        let alias_of = || alias.clone();
        if let Some(id) = self.rows.alias(alias).await? {
            return Ok(Some(Conflict::AliasTaken { alias: alias_of(), id }));
        }
        let promised = self.rows.unused_invites(alias).await?;
        let is_promised =
            |(id, end): &&(InviteId, _)| *end >= self.now && invite.is_none_or(|invite| invite != id);
        if let Some((invite, _)) = promised.iter().find(is_promised) {
            return Ok(Some(Conflict::AliasPromised { alias: alias_of(), invite: *invite }));
        }
        let Some(Tombstone { device: former, released }) = self.rows.tombstone(alias).await? else {
            return Ok(None);
        };
        let left = (released + limits::ALIAS_TOMBSTONE).since(self.now);
        if left.is_zero() || device == Some(&former) {
            return Ok(None);
        }
        let days_left = left.as_secs().div_ceil(86_400);
        Ok(Some(Conflict::AliasTombstoned { alias: alias_of(), device: former, days_left }))
    }

    /// Gives a service an alias that nothing is in the way of.
    pub(super) async fn give_alias(&mut self, alias: &Alias, id: &RegisteredId) -> Result<(), StoreError> {
        self.rows.insert_alias(alias, id, self.now).await?;
        self.rows.delete_tombstone(alias).await?;
        self.delta.added.aliases.push((alias.clone(), *id));
        Ok(())
    }

    /// Takes an alias from a device, and keeps it from others for a while.
    pub(super) async fn release_alias(&mut self, device: &DeviceId, alias: Alias) -> Result<(), StoreError> {
        self.rows.delete_alias(&alias).await?;
        let tombstone = Tombstone { device: *device, released: self.now };
        self.rows.put_tombstone(&alias, tombstone).await?;
        self.delta.aliases_gone.push(alias);
        Ok(())
    }
}
