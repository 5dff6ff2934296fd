//! What the operator makes and takes back: invites, and registrations.

use petit_engine::name::{Alias, DeviceId, RegisteredId};
use petit_engine::secret::InviteId;

use super::change::Actor;
use super::change_body::ChangeBody;
use super::error::{Conflict, StoreError};
use super::label::check_tags;
use super::model::{Delta, EndedBy, NewInvite};
use super::rows::{Rows, StoredDevice};
use super::rules::Registry;

impl<R: Rows> Registry<'_, R> {
    /// Makes an invite. With `force`, an alias that belonged to another client not long ago is promised all the same.
    ///
    /// # Errors
    /// [`StoreError`]; a [`Conflict`] when the alias is in use or promised.
    pub async fn invite(mut self, invite: &NewInvite, force: bool, actor: Actor) -> Result<(), StoreError> {
        check_tags(&invite.labels.tags)?;
        if let Some(alias) = &invite.alias {
            match self.alias_conflict(alias, None, None).await? {
                Some(Conflict::AliasTombstoned { .. }) if force => {
                    self.rows.delete_tombstone(alias).await?;
                }
                Some(conflict) => return Err(conflict.into()),
                None => {}
            }
        }
        self.rows.insert_invite(invite, self.now).await?;
        let body = ChangeBody::InviteMade {
            service: invite.service.clone(),
            alias: invite.alias.clone(),
            note: invite.labels.note.clone(),
            tags: invite.labels.tags.clone(),
            not_after: invite.not_after.into(),
        };
        self.record(actor, invite.id, &body).await
    }

    /// Takes an invite back.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::NoInvite`] when it was used or taken back before.
    pub async fn withdraw(mut self, id: InviteId, actor: Actor) -> Result<(), StoreError> {
        let invite = self.rows.invite(&id).await?;
        if invite.is_none_or(|invite| invite.is_withdrawn || invite.used_by.is_some()) {
            return Err(Conflict::NoInvite.into());
        }
        self.rows.set_invite_withdrawn(&id, self.now).await?;
        self.record(actor, id, &ChangeBody::InviteWithdrawn {}).await
    }

    /// Ends a device's registration, with its services and aliases, for good.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::NoDevice`] when it is not registered.
    pub async fn revoke(mut self, device: DeviceId, actor: Actor) -> Result<Delta, StoreError> {
        self.registered(&device).await?;
        let (services, aliases) = self.end_device(&device, EndedBy::Operator).await?;
        self.record(actor, device, &ChangeBody::ClientRevoked { services, aliases }).await?;
        Ok(self.delta)
    }

    /// As [`Registry::revoke`], because the device itself wants it.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::NoDevice`] when it is not registered.
    pub async fn unregister(mut self, device: DeviceId) -> Result<Delta, StoreError> {
        let actor = self.registered(&device).await?.actor();
        let (services, aliases) = self.end_device(&device, EndedBy::Client).await?;
        self.record(actor, device, &ChangeBody::ClientUnregistered { services, aliases }).await?;
        Ok(self.delta)
    }

    /// A device whose registration has not ended.
    pub(super) async fn registered(&mut self, device: &DeviceId) -> Result<StoredDevice, StoreError> {
        let known = self.rows.device(device).await?.filter(|known| !known.is_ended);
        Ok(known.ok_or(Conflict::NoDevice(*device))?)
    }

    /// Returns the services and aliases that have ended with it.
    async fn end_device(
        &mut self,
        device: &DeviceId,
        by: EndedBy,
    ) -> Result<(Vec<RegisteredId>, Vec<Alias>), StoreError> {
        self.rows.set_device_ended(device, by, self.now).await?;
        for service in self.rows.services(device).await? {
            self.end_service(&service).await?;
        }
        self.delta.devices_gone.push(*device);
        Ok((self.delta.services_gone.clone(), self.delta.aliases_gone.clone()))
    }
}
