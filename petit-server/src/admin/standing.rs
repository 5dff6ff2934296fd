//! Keeping a client out for the time being, and ending its sessions.

use super::{Admin, ApiResult};
use crate::api::{ClientKicked, ClientStanding};
use crate::registry::{Actor, Suspension};
use crate::seconds;

impl Admin {
    /// Keeps a client out, or lets it in again.
    pub(super) async fn suspend(
        &self,
        name: &str,
        to: Suspension,
        actor: Actor,
    ) -> ApiResult<ClientStanding> {
        let client = self.find(name).await?.id;
        self.directory.suspend(client, to, actor).await.map_err(self.problem())?;
        let suspended = self.find(client.as_str()).await?.suspended.map(seconds);
        Ok(ClientStanding { client, suspended })
    }

    /// Ends a client's sessions; it may come back at once.
    pub(super) async fn kick(&self, name: &str, actor: Actor) -> ApiResult<ClientKicked> {
        let client = self.find(name).await?.id;
        let relay = &self.running()?.server.relay;
        // Who has done it is written down before it is done, or not at all.
        self.directory.note_kick(client, actor).await.map_err(self.problem())?;
        Ok(ClientKicked { client, sessions: relay.end_sessions(&client) })
    }
}
