//! What a running client owns.

use std::time::Instant;

use petit_engine::agent::{Agent, AgentState};
use petit_engine::proto::control::Text;
use petit_host::lock::Lock;
use petit_host::logs::LevelHandle;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::folder::Folder;
use crate::registration::Registration;
use crate::status::{KeyTrouble, Status};

pub(super) struct ClientShared {
    pub(super) folder: Folder,
    pub(super) inner: Mutex<Inner>,
    /// Held while the registration is being made or given back, so that the rest stays responsive.
    pub(super) registering: Mutex<()>,
    pub(super) status: watch::Sender<Status>,
    pub(super) level: Option<LevelHandle>,
    /// `None`: another process has it alone.
    pub(super) lock: std::sync::Mutex<Option<Lock>>,
}

pub(super) struct Inner {
    pub(super) config: Config,
    pub(super) config_problem: Option<String>,
    /// The settings with which the session that stands was begun, where they are not those of `config` any more.
    pub(super) begun: Option<Begun>,
    pub(super) registration: Option<Registration>,
    /// The desired state: to be online or not. It outlives the agent, which is there only while the key can be had.
    pub(super) wanted: bool,
    /// Why there is no agent although there is a registration.
    pub(super) key_trouble: Option<KeyTrouble>,
    /// The process whose place this one takes; asked for when the agent starts.
    pub(super) predecessor: Option<Text<32>>,
    /// It ends as soon as what is under way is finished.
    pub(super) stopping: bool,
    pub(super) agent: Option<Agent>,
    /// Publishes what the agent reports; ends with it.
    pub(super) publishing: Option<JoinHandle<()>>,
}

/// The settings with which a session was begun.
pub(super) struct Begun {
    /// The session's begin, by which it is known.
    pub(super) since: Instant,
    pub(super) config: Config,
}

impl Inner {
    /// Puts other settings in the place of those that there are; a session that stands keeps what it was begun with.
    pub(super) fn replace_config(&mut self, config: Config) -> Config {
        let before = std::mem::replace(&mut self.config, config);
        let since = self.online_since();
        if self.begun.as_ref().map(|begun| begun.since) != since {
            self.begun = since.map(|since| Begun { since, config: before.clone() });
        }
        before
    }

    /// The settings with which the session that stands was begun; without a session, those for the next one.
    pub(super) fn session_config(&self) -> &Config {
        let begun = self.begun.as_ref().filter(|begun| Some(begun.since) == self.online_since());
        begun.map_or(&self.config, |begun| &begun.config)
    }

    fn online_since(&self) -> Option<Instant> {
        match self.agent.as_ref()?.view().borrow().state {
            AgentState::Online { since } => Some(since),
            AgentState::Idle
            | AgentState::Connecting
            | AgentState::Waiting { .. }
            | AgentState::Stopped { .. } => None,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(publishing) = &self.publishing {
            publishing.abort();
        }
    }
}
