//! What the operator makes and takes back: invites, and registrations.

use petit_engine::name::DeviceId;
use petit_engine::secret::InviteId;

use super::error::{Conflict, StoreError};
use super::events::EventScope;
use super::model::{Delta, EndedBy, NewInvite};
use super::rows::Rows;
use super::rules::Registry;

impl<R: Rows> Registry<'_, R> {
    /// Makes an invite. With `force`, an alias that belonged to another client not long ago is promised all the same.
    ///
    /// # Errors
    /// [`StoreError`]; a [`Conflict`] when the alias is in use or promised.
    pub async fn invite(mut self, invite: &NewInvite, force: bool) -> Result<(), StoreError> {
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
        self.event(EventScope::Common, "invite-made", &invite.id.to_string(), invite.service.as_str()).await
    }

    /// Takes an invite back.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::NoInvite`] when it was used or taken back before.
    pub async fn withdraw(mut self, id: InviteId) -> Result<(), StoreError> {
        let invite = self.rows.invite(&id).await?;
        if invite.is_none_or(|invite| invite.is_withdrawn || invite.used_by.is_some()) {
            return Err(Conflict::NoInvite.into());
        }
        self.rows.set_invite_withdrawn(&id, self.now).await?;
        self.event(EventScope::Common, "invite-withdrawn", &id.to_string(), "").await
    }

    /// Ends a device's registration, with its services and aliases, for good.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::NoDevice`] when it is not registered.
    pub async fn end_device(mut self, device: DeviceId, by: EndedBy) -> Result<Delta, StoreError> {
        let known = self.rows.device(&device).await?;
        if known.is_none_or(|known| known.is_ended) {
            return Err(Conflict::NoDevice(device).into());
        }
        self.rows.set_device_ended(&device, by, self.now).await?;
        let services = self.rows.services(&device).await?;
        self.end_services((&device, EventScope::Common), &services).await?;
        self.event(EventScope::Common, "device-ended", device.as_str(), by.as_str()).await?;
        self.delta.devices_gone.push(device);
        Ok(self.delta)
    }
}
