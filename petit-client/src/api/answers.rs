//! What a running client answers.

use std::path::PathBuf;

use petit_engine::name::{ServerAddr, ServiceName};
use petit_engine::proto::control::{Admits, FrontState, GrantRefusal, Kept, ProbeResult};
use petit_host::logs::Level;
use serde::{Deserialize, Serialize};

use crate::consent::Withheld;
use crate::doctor::Check;
use crate::status::ServiceStatus;

/// The services, as they are listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Those that are offered.
    pub services: Vec<ServiceStatus>,
    /// Those of the config that are not, because they were not chosen for this vendor.
    #[serde(default)]
    pub withheld: Vec<Withheld>,
    /// Those that the server keeps an address for, though they are not set up any more.
    #[serde(default)]
    pub kept: Vec<Kept>,
}

/// What probes came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pings {
    /// One for each service.
    #[serde(rename = "trials")]
    pub pings: Vec<Ping>,
}

/// What the probe of a service came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    pub service: ServiceName,
    #[serde(flatten)]
    pub outcome: PingOutcome,
}

/// What became of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PingOutcome {
    /// There is no way to a service that the server has refused.
    Refused { refused: GrantRefusal },
    /// It was probed.
    Probed {
        /// How far the probe came.
        #[serde(rename = "trial")]
        result: ProbeResult,
        /// How the public front is.
        #[serde(default)]
        public: FrontState,
        /// Its public address.
        #[serde(default)]
        url: Option<String>,
        /// Where it is; `None` from an older client.
        #[serde(default)]
        target: Option<ServerAddr>,
        /// Who can come in, as its server says.
        #[serde(default)]
        admits: Option<Admits>,
    },
}

/// Which program answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Program and version.
    pub software: String,
    /// The version of the wire.
    pub protocol: u16,
    /// What it can do that older ones could not.
    #[serde(default)]
    pub features: Vec<Feature>,
}

impl Version {
    /// True when it offers its vendor only what was chosen for it.
    pub fn asks_for_consent(&self) -> bool {
        self.features.contains(&Feature::Consent)
    }
}

/// Something that older clients could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// It offers its vendor only what was chosen for it.
    Consent,
    /// A newer client's, which is not known here.
    #[serde(other)]
    Unknown,
}

/// Where the config file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPath {
    pub path: PathBuf,
}

/// What the doctor found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    pub checks: Vec<Check>,
}

/// It was told to go online, or offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    pub on: bool,
}

/// It ends, or has gone offline and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Its process.
    pub pid: u32,
    /// What is under way and finished first; `None` when that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<usize>,
    /// The process goes on without a connection, because its user sees it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stays: bool,
}

/// Another process serves in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// The process that serves.
    pub pid: u32,
    /// The process that served.
    pub replaced: u32,
    /// What was under way at that one.
    pub streams: usize,
}

/// The config file is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The services that are offered now.
    pub services: Vec<ServiceStatus>,
    /// Settings that are ignored while this computer is registered.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// How much is logged: what is wanted, and what is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevel {
    pub level: Level,
}

/// The registration was given back, or forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unregistered {
    /// It is gone here.
    pub unregistered: bool,
    /// The server has heard of it.
    #[serde(default)]
    pub server_told: bool,
}

/// A service can be reached from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    pub shared: ServiceName,
}

/// A service's public address was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub removed: ServiceName,
}
