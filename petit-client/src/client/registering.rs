//! Whom a client is registered with, and what that vendor may reach.

use std::time::Duration;

use petit_engine::agent::{AgentState, AgentView, AskError};
use petit_engine::cause::Cause;
use petit_engine::name::ServiceName;
use petit_host::cli::chain;
use tokio::sync::watch;

use super::{Client, UnregisterError};
use crate::config::Config;
use crate::enrol::{self, Done, Enrolled, FormerEnd, RegisterError, Request};
use crate::registration::{self, RegistrationError};

/// How long a session that was lost may take to come back before a question is given up. Its user is waiting.
const COME_BACK: Duration = Duration::from_secs(10);

/// Where an agent stands once it has a session again or has given up, or after [`COME_BACK`].
async fn settled(view: &mut watch::Receiver<AgentView>) -> AgentView {
    let is_settled =
        |view: &AgentView| matches!(view.state, AgentState::Online { .. } | AgentState::Stopped { .. });
    let _ = tokio::time::timeout(COME_BACK, view.wait_for(is_settled)).await;
    view.borrow().clone()
}

impl Client {
    /// The settings in force.
    pub async fn config(&self) -> Config {
        self.shared.inner.lock().await.config.clone()
    }

    /// Registers this computer and goes online. A registration that this one takes the place of goes on until this
    /// one stands; then its server is told, and the result says what came of that. With the invite of the registration
    /// in force nothing is replaced: see [`enrol::resume`].
    ///
    /// # Errors
    /// [`RegisterError`]; a registration that was in force still is.
    pub async fn register(&self, request: &Request<'_>) -> Result<Done, RegisterError> {
        let _one_at_a_time = self.shared.registering.lock().await;
        let config = self.shared.inner.lock().await.config.clone();
        if let Some(enrolled) = enrol::resume(&self.shared.folder, &config, request.invite).await? {
            self.switch(true).await;
            return Ok(self.registered(enrolled, &config).await);
        }
        let enrolled = enrol::register(&self.shared.folder, &config, request).await?;
        {
            let mut inner = self.shared.inner.lock().await;
            inner.registration = Some(enrolled.registration.clone());
            inner.wanted = true;
            // The former vendor reaches nothing from here on.
            inner.agent = None;
        }
        // Its release may have been looked at until then.
        if let Err(error) = registration::forget_update_report(&self.shared.folder) {
            tracing::warn!(error = %chain(&error), "what was known of the former vendor's release was not forgotten");
        }
        Ok(self.registered(enrolled, &config).await)
    }

    /// Goes online with the registration in force, and tells the server of the former one that it is over.
    async fn registered(&self, enrolled: Enrolled, config: &Config) -> Done {
        if let Err(error) = self.unlock().await {
            tracing::error!(error = %chain(&error), "registered, but not online");
        }
        let former = self.tell_former(config).await;
        Done::of(enrolled, former)
    }

    async fn tell_former(&self, config: &Config) -> Option<FormerEnd> {
        enrol::tell_former(&self.shared.folder, config).await.unwrap_or_else(|error| {
            tracing::error!(error = %chain(&error), "the former registration was not taken leave of");
            None
        })
    }

    /// Tells the server of a former registration that it is over, when the program ended before that was done.
    pub async fn finish_former(&self) {
        let _one_at_a_time = self.shared.registering.lock().await;
        let config = self.shared.inner.lock().await.config.clone();
        self.tell_former(&config).await;
    }

    /// Lets the vendor reach services of the config that were withheld. Names that are not withheld change nothing.
    ///
    /// # Errors
    /// [`RegistrationError`] when it cannot be written down; nothing has changed then.
    pub async fn share(&self, names: &[ServiceName]) -> Result<(), RegistrationError> {
        let mut inner = self.shared.inner.lock().await;
        let Some(registration) = &inner.registration else { return Ok(()) };
        let mut changed = registration.clone();
        changed.withheld.retain(|name| !names.contains(name));
        registration::save(&self.shared.folder, &changed)?;
        if let Some(agent) = &inner.agent {
            agent.set_services(changed.shared(&inner.config)).await;
        }
        tracing::info!(services = ?names, "shared");
        inner.registration = Some(changed);
        self.publish(&inner);
        Ok(())
    }

    /// Gives the whole registration back, and forgets it and its key here. A server that does not know this
    /// computer any more is not told.
    ///
    /// # Errors
    /// [`UnregisterError`]; with [`UnregisterError::Ask`] nothing has changed here.
    pub async fn unregister(&self) -> Result<(), UnregisterError> {
        let _one_at_a_time = self.shared.registering.lock().await;
        let (asker, mut view) = {
            let inner = self.shared.inner.lock().await;
            if inner.registration.is_none() {
                return Err(UnregisterError::NotRegistered);
            }
            let agent = inner.agent.as_ref().ok_or(AskError::Offline)?;
            (agent.asker(), agent.view())
        };
        let was_online = matches!(view.borrow().state, AgentState::Online { .. });
        let is_unknown = |view: &AgentView| view.state == AgentState::Stopped { cause: Cause::Unknown };
        if !is_unknown(&view.borrow()) {
            match asker.unregister().await {
                // The session has ended before the answer came. The server may have done it; the next session tells.
                Err(AskError::Offline) if was_online => {
                    if !is_unknown(&settled(&mut view).await) {
                        asker.unregister().await?;
                    }
                }
                asked => asked?,
            }
        }
        self.give_up().await?;
        Ok(())
    }

    /// Forgets the registration and its key on this computer; the server is not told.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn forget(&self) -> Result<(), RegisterError> {
        let _one_at_a_time = self.shared.registering.lock().await;
        self.give_up().await
    }

    async fn give_up(&self) -> Result<(), RegisterError> {
        let mut inner = self.shared.inner.lock().await;
        inner.agent = None;
        inner.registration = None;
        inner.key_trouble = None;
        self.publish(&inner);
        drop(inner);
        // The keychain is asked without the lock.
        enrol::forget(&self.shared.folder).await
    }
}
