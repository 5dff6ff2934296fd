//! What a running client owns.

use petit_engine::agent::Agent;
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

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(publishing) = &self.publishing {
            publishing.abort();
        }
    }
}
