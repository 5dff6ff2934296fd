//! Keeping a client out for the time being, and what is written down when its sessions are ended.

use petit_engine::name::DeviceId;

use super::change::Actor;
use super::change_body::ChangeBody;
use super::error::StoreError;
use super::model::Delta;
use super::rows::Rows;
use super::rules::Registry;

/// Whether a client is to be kept out from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    /// It stays registered, with its names, and has no session.
    Suspend,
    /// It may come again.
    Resume,
}

impl<R: Rows> Registry<'_, R> {
    /// Keeps a client out, or lets it in again. Writes nothing when that is as it was.
    ///
    /// # Errors
    /// [`StoreError`], of a conflict when it is not registered.
    pub async fn suspend(
        mut self,
        device: DeviceId,
        to: Suspension,
        actor: Actor,
    ) -> Result<Delta, StoreError> {
        let is_suspended = self.registered(&device).await?.suspended.is_some();
        let (since, body) = match to {
            Suspension::Suspend => (Some(self.now), ChangeBody::ClientSuspended {}),
            Suspension::Resume => (None, ChangeBody::ClientResumed {}),
        };
        if is_suspended == since.is_some() {
            return Ok(self.delta);
        }
        self.rows.set_device_suspended(&device, since).await?;
        self.record(actor, device, &body).await?;
        self.delta.suspended.push((device, since.is_some()));
        Ok(self.delta)
    }

    /// Writes down that a client's sessions are ended. It may come back at once.
    ///
    /// # Errors
    /// [`StoreError`], of a conflict when it is not registered.
    pub async fn note_kick(mut self, device: DeviceId, actor: Actor) -> Result<Delta, StoreError> {
        self.registered(&device).await?;
        self.record(actor, device, &ChangeBody::ClientKicked {}).await?;
        Ok(self.delta)
    }
}
