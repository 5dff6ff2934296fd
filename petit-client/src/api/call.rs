//! Asking the client that runs on this computer.

use petit_engine::name::ServiceName;
pub use petit_host::control::api::AskError as LocalError;
use petit_host::control::client::{Client, Events};
use petit_host::logs::Level;
use petit_host::settings::SettingsInForce;
use serde::de::DeserializeOwned;

use super::answers::{
    Listed, LogLevel, Pings, Reloaded, Removed, Restarted, Shared, Stopped, Switched, Unregistered, Version,
};
use super::request::{LocalRequest, RegisterRequest, UnregisterRequest};
use crate::enrol::Done;
use crate::folder::Folder;
use crate::status::Status;

/// The client that runs in a folder, through its control socket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalClient {
    socket: Client,
}

impl LocalClient {
    /// The one that holds the folder's lock.
    pub fn of(folder: &Folder) -> Self {
        Self { socket: Client::new(&folder.socket()) }
    }

    async fn ask<A: DeserializeOwned>(&self, request: LocalRequest) -> Result<A, LocalError> {
        let (method, target) = request.target();
        self.socket.ask_for(method, &target, request.body()).await
    }

    /// Where it stands.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn status(&self) -> Result<Status, LocalError> {
        self.ask(LocalRequest::Status).await
    }

    /// Where it stands, now and after every change.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn statuses(&self) -> Result<Statuses, LocalError> {
        let (_, target) = LocalRequest::Events.target();
        Ok(Statuses { events: self.socket.events(&target).await? })
    }

    /// Its services.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn services(&self) -> Result<Listed, LocalError> {
        self.ask(LocalRequest::Services).await
    }

    /// Its settings in force.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn settings(&self) -> Result<SettingsInForce, LocalError> {
        self.ask(LocalRequest::Settings).await
    }

    /// Has one service probed end to end, or all.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn ping(&self, service: Option<&ServiceName>) -> Result<Pings, LocalError> {
        self.ask(LocalRequest::Ping { service: service.cloned() }).await
    }

    /// Which program it is.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn version(&self) -> Result<Version, LocalError> {
        self.ask(LocalRequest::Version).await
    }

    /// Has it go online, and ask for its key again.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn start(&self) -> Result<Switched, LocalError> {
        self.ask(LocalRequest::Start).await
    }

    /// Has it end; a tray app's goes offline and stays.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn stop(&self) -> Result<Stopped, LocalError> {
        self.ask(LocalRequest::Stop).await
    }

    /// Has another process take its place.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn restart(&self) -> Result<Restarted, LocalError> {
        self.ask(LocalRequest::Restart).await
    }

    /// Has it read the config file now.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn reload(&self) -> Result<Reloaded, LocalError> {
        self.ask(LocalRequest::Reload).await
    }

    /// Changes how much it logs.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn log(&self, level: Level) -> Result<LogLevel, LocalError> {
        self.ask(LocalRequest::Log(LogLevel { level })).await
    }

    /// Has it register this computer.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn register(&self, wanted: RegisterRequest) -> Result<Done, LocalError> {
        self.ask(LocalRequest::Register(wanted)).await
    }

    /// Has it end the registration.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn unregister(&self, how: UnregisterRequest) -> Result<Unregistered, LocalError> {
        self.ask(LocalRequest::Unregister(how)).await
    }

    /// Has it let the vendor reach a service.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn share(&self, service: &ServiceName) -> Result<Shared, LocalError> {
        self.ask(LocalRequest::Share { service: service.clone() }).await
    }

    /// Has it give a service's public address back.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn remove(&self, service: &ServiceName) -> Result<Removed, LocalError> {
        self.ask(LocalRequest::Remove { service: service.clone() }).await
    }
}

/// Where a client stands, as it changes.
#[derive(Debug)]
pub struct Statuses {
    events: Events,
}

impl Statuses {
    /// The next status; `None` when the client has ended, or another process serves in its place.
    ///
    /// # Errors
    /// [`LocalError`]. After [`LocalError::OtherVersion`] the next one can be asked for.
    pub async fn next(&mut self) -> Result<Option<Status>, LocalError> {
        let Some(value) = self.events.next().await? else { return Ok(None) };
        serde_json::from_value(value).map(Some).map_err(LocalError::OtherVersion)
    }
}
