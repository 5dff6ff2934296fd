//! What a running client owns.

use petit_engine::agent::{Agent, DialledWith};
use petit_engine::proto::control::Text;
use petit_host::lock::Lock;
use petit_host::logs::LevelHandle;
use petit_host::update::Version;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;

use super::given::Given;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::shown::TakenBy;
use crate::folder::Folder;
use crate::registration::Registration;
use crate::status::{KeyTrouble, Status, UpdatePlan, VersionStanding};

pub(super) struct ClientShared {
    pub(super) folder: Folder,
    pub(super) inner: Mutex<Inner>,
    /// Held while the registration is being made or given back, so that the rest stays responsive.
    pub(super) registering: Mutex<()>,
    pub(super) status: watch::Sender<Status>,
    /// True once the agent, or what publishes its reports, has ended by a fault of ours.
    pub(super) failed: watch::Sender<bool>,
    pub(super) level: Option<LevelHandle>,
    /// Rings when the config file was not there as it was read.
    pub(super) config_missing: Notify,
    /// Rings when a person wants the version that is there.
    pub(super) update_wanted: Notify,
    /// `None`: another process has it alone.
    pub(super) lock: std::sync::Mutex<Option<Lock>>,
}

pub(super) struct Inner {
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) config_problem: Option<String>,
    /// What the agent was given for its sessions, as `config` came to be what it is.
    pub(super) given: Given,
    pub(super) registration: Option<Registration>,
    /// The desired state: to be online or not. It outlives the agent, which is there only while the key can be had.
    pub(super) wanted: bool,
    /// Why there is no agent although there is a registration.
    pub(super) key_trouble: Option<KeyTrouble>,
    /// The process whose place this one takes; asked for when the agent starts.
    pub(super) predecessor: Option<Text<32>>,
    /// It ends as soon as what is under way is finished.
    pub(super) stopping: bool,
    /// What is known of another version of this program.
    pub(super) available: Available,
    pub(super) agent: Option<Agent>,
    /// Publishes what the agent reports; ends with it.
    pub(super) publishing: Option<JoinHandle<()>>,
}

/// What the status says of updates.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Available {
    /// Another version of this program that the server hands out.
    pub(super) version: Option<Version>,
    pub(super) plan: Option<UpdatePlan>,
    pub(super) standing: Option<VersionStanding>,
}

impl Inner {
    /// An agent dials with these settings from now on.
    pub(super) fn give(&mut self, dial_with: DialledWith) {
        let session = self.dialled_with();
        self.given.push(dial_with, self.config.clone(), session.as_ref());
    }

    /// The settings that count in what `taken_by` takes over: of what a session keeps, those that it was dialled with;
    /// without a session, those for the next one.
    pub(super) fn in_force(&self, taken_by: TakenBy) -> &Config {
        let session = self.dialled_with();
        let of_session = session.as_ref().and_then(|session| self.given.of_session(taken_by, session));
        of_session.unwrap_or(&self.config)
    }

    fn dialled_with(&self) -> Option<DialledWith> {
        self.agent.as_ref()?.view().borrow().dialled_with.clone()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(publishing) = &self.publishing {
            publishing.abort();
        }
    }
}
