//! The running client: the one owner of the desired state, the settings and the agent.
//!
//! It is the same for the headless program and for the tray app; both talk to it through its methods, or, from
//! another process, through the control socket.

mod available;
mod given;
mod inner;
mod publish;
mod registering;
mod settings;

use std::sync::Arc;

use petit_engine::agent::{Agent, AgentConfig, AskError, DialledWith, Direct};
use petit_engine::name::ServiceName;
use petit_engine::proto::control::{ProbeResult, Text};
use petit_engine::secret::PrivateKey;
use petit_host::cli::chain;
use petit_host::lock::Lock;
use petit_host::logs::LevelHandle;
use tokio::sync::{Mutex, watch};

use self::given::{Given, dial_with};
use self::inner::{Available, ClientShared, Inner};
use crate::SOFTWARE;
use crate::clock::Clock;
use crate::config::{Config, KeyStore};
use crate::enrol::{self, RegisterError};
use crate::folder::Folder;
use crate::registration::{self, Registration, RegistrationError};
use crate::status::{KeyTrouble, Status};
use crate::vault::{Vault, VaultError};
use crate::{capacity, wake};

/// Why there is no client running.
#[derive(Debug, thiserror::Error)]
pub enum ClientStartError {
    /// The registration cannot be read.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The key cannot be read.
    #[error("the key of this computer cannot be read")]
    Vault(#[from] VaultError),
    /// The key is not where it was put.
    #[error("the key of this computer is gone from the {0}; without it the registration cannot be used")]
    KeyGone(KeyStore),
    /// The key cannot be used.
    #[error("the key of this computer cannot be used")]
    Key(#[from] rustls::Error),
}

impl From<&ClientStartError> for KeyTrouble {
    fn from(error: &ClientStartError) -> Self {
        match error {
            ClientStartError::Vault(error) => Self::from(error),
            ClientStartError::KeyGone(_) => Self::Gone,
            ClientStartError::Registration(_) | ClientStartError::Key(_) => Self::Failed,
        }
    }
}

/// Why the registration was not given back.
#[derive(Debug, thiserror::Error)]
pub enum UnregisterError {
    /// There is none.
    #[error("this computer is not registered")]
    NotRegistered,
    /// The server did not hear of it.
    #[error("the server could not be told: {0}")]
    Ask(#[from] AskError),
    /// It could not be forgotten here.
    #[error(transparent)]
    Forget(#[from] RegisterError),
}

/// The running client. Cheap to clone; [`Client::stop`] ends it in an orderly way.
#[derive(Clone)]
pub struct Client {
    shared: Arc<ClientShared>,
}

impl Client {
    /// Starts a client with the settings it is given, and goes online when it is registered.
    ///
    /// # Errors
    /// [`ClientStartError`].
    pub async fn start(
        folder: Folder,
        config: Config,
        lock: Lock,
        level: Option<LevelHandle>,
    ) -> Result<Self, ClientStartError> {
        let client = Self::open(folder, config, lock, level)?;
        client.switch(true).await;
        client.unlock().await?;
        Ok(client)
    }

    /// As [`Client::start`], in the place of another process whose sessions go on meanwhile. `instance` is what that
    /// one has said with [`Client::instance`].
    ///
    /// # Errors
    /// [`ClientStartError`].
    pub async fn succeed(
        folder: Folder,
        config: Config,
        lock: Lock,
        (level, instance): (Option<LevelHandle>, Option<&str>),
    ) -> Result<Self, ClientStartError> {
        let client = Self::open(folder, config, lock, level)?;
        client.shared.inner.lock().await.predecessor = instance.map(Text::lossy);
        client.switch(true).await;
        client.unlock().await?;
        Ok(client)
    }

    /// A client that is switched off and has not asked for its key yet, so that nothing has to be waited for.
    /// [`Client::unlock`] gets the key, [`Client::switch`] goes online; in any order.
    ///
    /// # Errors
    /// [`ClientStartError::Registration`].
    pub fn open(
        folder: Folder,
        config: Config,
        lock: Lock,
        level: Option<LevelHandle>,
    ) -> Result<Self, ClientStartError> {
        let registration = registration::load(&folder)?;
        let key_trouble = registration.as_ref().map(|_| KeyTrouble::Asked);
        let inner = Inner {
            clock: Clock::default(),
            config,
            config_problem: None,
            given: Given::default(),
            registration,
            wanted: false,
            key_trouble,
            predecessor: None,
            stopping: false,
            available: Available::default(),
            agent: None,
            publishing: None,
        };
        let status = watch::Sender::new(publish::status_of(&folder, &inner));
        let shared = Arc::new(ClientShared {
            folder,
            inner: Mutex::new(inner),
            registering: Mutex::new(()),
            status,
            failed: watch::Sender::new(false),
            level,
            config_missing: tokio::sync::Notify::new(),
            update_wanted: tokio::sync::Notify::new(),
            lock: std::sync::Mutex::new(Some(lock)),
        });
        Ok(Self { shared })
    }

    /// Gets the key of the registration, if there is one, and starts the agent with it; goes online when that is
    /// wanted. With an agent there already it does nothing.
    ///
    /// # Errors
    /// [`ClientStartError`]; the status says so too, and trying again is safe.
    pub async fn unlock(&self) -> Result<(), ClientStartError> {
        let wanted = {
            let mut inner = self.shared.inner.lock().await;
            if inner.agent.is_some() {
                return Ok(());
            }
            inner.key_trouble = inner.registration.as_ref().map(|_| KeyTrouble::Asked);
            self.publish(&inner);
            inner.registration.clone()
        };
        let Some(registration) = wanted else { return Ok(()) };
        // The keychain may take as long as its user does; others must not wait for the lock meanwhile.
        let vault = Vault::of(registration.key_store, &self.shared.folder);
        let key = match vault.load(&registration.key).await {
            Ok(Some(key)) => Ok(key),
            Ok(None) => Err(ClientStartError::KeyGone(registration.key_store)),
            Err(error) => Err(error.into()),
        };
        let mut inner = self.shared.inner.lock().await;
        // Somebody may have been faster, or have given the registration back.
        let Some(in_force) = inner.registration.clone().filter(|it| it.key == registration.key) else {
            return Ok(());
        };
        if inner.agent.is_some() {
            return Ok(());
        }
        let started = match key {
            Ok(key) => self.start_agent(&mut inner, &in_force, key).await,
            Err(error) => Err(error),
        };
        inner.key_trouble = started.as_ref().err().map(KeyTrouble::from);
        self.publish(&inner);
        started
    }

    /// Starts the agent of a registration.
    async fn start_agent(
        &self,
        inner: &mut Inner,
        registration: &Registration,
        key: PrivateKey,
    ) -> Result<(), ClientStartError> {
        let DialledWith { route, vitae } = dial_with(&inner.config, registration);
        inner.given = Given::default();
        inner.give(DialledWith { route: route.clone(), vitae: vitae.clone() });
        let config = AgentConfig {
            server: registration.server.clone(),
            route,
            pins: registration.pins.clone(),
            key,
            software: Text::lossy(SOFTWARE),
            device_name: Text::lossy(&enrol::device_name(&inner.config)),
            vitae,
            services: registration.shared(&inner.config),
            connections: capacity::connections(petit_host::harden::open_files()),
        };
        let agent = match inner.predecessor.take() {
            Some(instance) => Agent::succeed(config, Arc::new(Direct), instance)?,
            None => Agent::start(config, Arc::new(Direct))?,
        };
        if inner.wanted {
            agent.switch(true).await;
        }
        let view = agent.view();
        inner.agent = Some(agent);
        if let Some(before) =
            inner.publishing.replace(tokio::spawn(publish::publishing(Arc::downgrade(&self.shared), view)))
        {
            before.abort();
        }
        Ok(())
    }

    /// What the server knows this process by; `None` without an agent.
    pub async fn instance(&self) -> Option<String> {
        let inner = self.shared.inner.lock().await;
        inner.agent.as_ref().map(|agent| agent.instance().as_str().to_owned())
    }

    /// The folder's lock. Taken out, another process has it alone.
    pub fn lock(&self) -> std::sync::MutexGuard<'_, Option<Lock>> {
        self.shared.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What it keeps beside its config file.
    pub fn folder(&self) -> &Folder {
        &self.shared.folder
    }

    /// Where it stands.
    pub async fn status(&self) -> Status {
        publish::status_of(&self.shared.folder, &*self.shared.inner.lock().await)
    }

    /// Where it stands, now and after every change.
    pub fn statuses(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// Waits until what a client is made of has ended though nobody has ended it: a fault of ours. It says what it said last
    /// from then on, and does nothing.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn failed(&self) {
        // Its sender is there for as long as we are.
        let _ = self.shared.failed.subscribe().wait_for(|failed| *failed).await;
    }

    fn publish(&self, inner: &Inner) {
        publish::publish(&self.shared, inner);
    }

    /// Goes online, or offline; visits that are under way finish.
    pub async fn switch(&self, on: bool) {
        let mut inner = self.shared.inner.lock().await;
        inner.wanted = on;
        inner.stopping &= !on;
        if let Some(agent) = &inner.agent {
            agent.switch(on).await;
        }
        self.publish(&inner);
    }

    /// Ends a wait for the next attempt to connect.
    pub async fn reconnect_now(&self) {
        if let Some(agent) = &self.shared.inner.lock().await.agent {
            agent.reconnect_now().await;
        }
    }

    /// Tells the agent when the computer has slept or its network has changed, for as long as the future is
    /// polled. Never ends.
    pub async fn watch_network(&self) {
        let mut watch = wake::Watch::new();
        loop {
            let event = watch.next().await;
            tracing::debug!(?event, "looking whether the connection is alive");
            let inner = self.shared.inner.lock().await;
            match (&inner.agent, event) {
                (Some(agent), wake::WakeEvent::Woke) => agent.wake().await,
                (Some(agent), wake::WakeEvent::Network(addresses)) => agent.network_changed(addresses).await,
                (None, _) => {}
            }
        }
    }

    /// Has a service probed end to end.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn probe(&self, service: &ServiceName) -> Result<ProbeResult, AskError> {
        // The agent answers when the probe is over; others must not wait for the lock meanwhile.
        let asked = {
            let inner = self.shared.inner.lock().await;
            inner.agent.as_ref().ok_or(AskError::Offline)?.asker()
        };
        asked.probe(service).await
    }

    /// Gives a service's registered ID and aliases back.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn remove(&self, service: &ServiceName) -> Result<(), AskError> {
        let asked = {
            let inner = self.shared.inner.lock().await;
            inner.agent.as_ref().ok_or(AskError::Offline)?.asker()
        };
        asked.remove(service).await
    }

    /// Ends in an orderly way: visits that are under way get [`petit_engine::limits::DRAIN`] to finish.
    ///
    /// # Cancel safety
    /// Cancelling ends everything at once.
    pub async fn stop(&self) {
        let agent = {
            let mut inner = self.shared.inner.lock().await;
            inner.stopping = true;
            let agent = inner.agent.take();
            self.publish(&inner);
            agent
        };
        if let Some(agent) = agent {
            agent.stop().await;
        }
    }

    /// Takes nothing new, because another process serves, and returns when what is under way has finished or its time
    /// is over. [`Client::come_back`] brings it back.
    ///
    /// # Cancel safety
    /// Cancelling leaves it switched off; what is under way goes on.
    pub async fn leave(&self) {
        let asked = {
            let mut inner = self.shared.inner.lock().await;
            (inner.wanted, inner.stopping) = (false, true);
            let Some(agent) = &inner.agent else { return };
            agent.switch(false).await;
            agent.asker()
        };
        asked.drained().await;
    }

    /// Comes back after [`Client::leave`], because the process that served meanwhile has died: with the registration
    /// and the settings as that one has left them. What cannot be read is as it was known before.
    pub async fn come_back(&self) {
        match registration::load(&self.shared.folder) {
            Ok(left) => self.use_registration(left).await,
            Err(error) => {
                tracing::error!(error = %chain(&error), "the registration cannot be read again; going on with what is known");
            }
        }
        // What is wrong with the config has been logged and is in the status.
        let _ = self.reload().await;
        self.switch(true).await;
        // Its user may take as long as they like over the keychain; what comes of it is in the status.
        let client = self.clone();
        tokio::spawn(async move {
            if let Err(error) = client.unlock().await {
                tracing::warn!(error = %chain(&error), "no key");
            }
        });
    }

    /// Takes a registration over that another process has written down.
    async fn use_registration(&self, registration: Option<Registration>) {
        let mut inner = self.shared.inner.lock().await;
        let key = |registration: &Option<Registration>| registration.as_ref().map(|it| it.key);
        if key(&inner.registration) != key(&registration) {
            // It is over, or another one is in force: the former vendor reaches nothing from here on.
            (inner.agent, inner.key_trouble) = (None, None);
        }
        inner.registration = registration;
    }
}
