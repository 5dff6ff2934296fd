//! The server as its operator sees it.

use std::net::SocketAddr;
use std::path::PathBuf;

use petit_engine::name::{Endpoint, ServerAddr};
use petit_engine::proto::control::FrontState;
use petit_engine::secret::Fingerprint;
use petit_engine::words::KeyWords;
use petit_host::service::RunBy;
use petit_host::settings::SettingsInForce;
use serde::{Deserialize, Serialize};

use super::{ApiRequest, CertificateView, ClientView, KeylessPolicy, PolicyActivity, ShutPort, WaitsFor};
use crate::directory::Exposure;
use crate::registry::Timestamp;

/// The server, with all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetStatus;

impl ApiRequest for GetStatus {
    type Answer = Status;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/status".to_owned())
    }
}

/// The settings in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetSettings;

impl ApiRequest for GetSettings {
    type Answer = SettingsInForce;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/settings".to_owned())
    }
}

/// A running server. It has its clients in a form of its own while it writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status<C = Vec<ClientView>> {
    /// What the processes before this one still wait for.
    pub before: Vec<WaitsFor>,
    /// Why what lies on the disk is not what HTTPS visitors are shown.
    pub certificate_problem: Option<String>,
    /// What HTTPS visitors are shown.
    pub certificates: Vec<CertificateView>,
    /// The config file.
    pub config: PathBuf,
    /// Why it is not in force.
    pub config_problem: Option<String>,
    /// How public addresses are made.
    pub endpoint: Endpoint,
    /// How much of it whoever knows a name can reach.
    pub exposure: Exposure,
    /// How the ways in are.
    pub fronts: Vec<FrontView>,
    /// Where visitors come in.
    pub http: SocketAddr,
    /// HTTPS visitors are served.
    pub https_visitors: bool,
    /// Policies that let nobody in, because all their keys were revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keyless: Vec<KeylessPolicy>,
    /// The words of its key.
    pub key_words: Option<KeyWords>,
    /// The log file.
    pub log: PathBuf,
    /// Where its metrics are read; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Settings of the file that count only after a restart.
    pub needs_restart: Vec<String>,
    /// What is going on.
    pub now: Load,
    pub pid: u32,
    /// What its policies have come to, by their names.
    pub policies: Vec<PolicyActivity>,
    /// Why the registry is not where it was opened.
    pub registry_problem: Option<String>,
    /// What is wrong with the copy of the release that clients are handed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_problem: Option<String>,
    /// The roll-out of the release that clients are handed is halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_halted: Option<HaltedRollout>,
    /// The fingerprint of its key.
    pub server_key: Option<Fingerprint>,
    /// The service manager that runs it; `None`: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_by: Option<RunBy>,
    /// The raw TCP ports that are not listened on because of their policies.
    pub shut_ports: Vec<ShutPort>,
    /// In seconds since 1970.
    pub since: u64,
    /// Program and version.
    pub software: String,
    /// What it is about.
    pub state: PhaseView,
    /// Where clients come in.
    pub tls: SocketAddr,
    /// Where invites send clients.
    pub tunnel_address: Option<ServerAddr>,
    pub up_seconds: u64,
    /// What is under way at a server that is to end.
    pub waits_for: Option<WaitsFor>,
    /// Public hosts that no certificate covers.
    pub without_certificate: Vec<String>,
    /// All clients.
    pub clients: C,
}

/// A roll-out that goes on when somebody says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltedRollout {
    /// Nobody has asked for it.
    pub by_itself: bool,
    /// The number of the manifest with which it was started.
    pub counter: u64,
    pub reason: String,
    pub since: Timestamp,
}

/// What a server is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseView {
    /// It serves.
    Running,
    /// It serves; another process is getting ready to take its place.
    Restarting,
    /// It finishes what is under way.
    Stopping,
}

/// A way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontView {
    /// What was tried; empty for the host of raw TCP services.
    pub address: String,
    /// Which one.
    pub front: FrontName,
    /// Since when its state is so, in seconds since 1970.
    pub since: u64,
    pub state: FrontState,
    /// How long the last attempt took that got in.
    pub took_us: Option<u64>,
    /// When it was tried last, in seconds since 1970.
    pub tried: Option<u64>,
}

/// The kinds of ways in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrontName {
    /// The endpoint, with all names under its domain.
    Endpoint,
    /// The host of raw TCP services.
    TcpHost,
    /// A domain of a customer's own.
    Domain,
    /// The socket for plain HTTP.
    PlainSocket,
    /// The socket for TLS.
    TlsSocket,
}

/// How much is going on, and how much went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    pub connections: usize,
    /// Files of releases that are handed out; `None`: an earlier version does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloads: Option<Downloads>,
    pub faults: u64,
    pub requests: usize,
    pub shortages: Vec<ShortageView>,
    /// Tasks of the thread that answers.
    pub tasks: usize,
    /// Visitors who were turned away, in all.
    pub turned_away: u64,
    pub turned_away_by: TurnedAway,
}

/// Files of releases that are handed out to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloads {
    /// Those that were told to come back later.
    pub busy: u64,
    /// Bytes that were sent, in all.
    pub bytes: u64,
    /// Those that had to give way to another one for a while.
    pub gave_way: u64,
    /// Under way.
    pub now: usize,
}

/// Why visitors were turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedAway {
    /// Visits that were broken off for others.
    pub broken_off: u64,
    /// Connections.
    pub connections: u64,
    /// Visits that gave way before the service had begun its answer.
    pub gave_way_unanswered: u64,
    /// Visits that gave way while nothing of their body had come.
    pub gave_way_without_body: u64,
    /// Requests for which there was no place.
    pub requests: u64,
}

/// Places that are running short, and who has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortageView {
    /// Who has most of them.
    pub holders: Vec<HolderView>,
    /// How many there are.
    pub most: usize,
    /// Whose: a client's ID or a service's.
    pub of: Option<String>,
    /// In use.
    pub used: usize,
    /// Places for what.
    pub what: ScarceKind,
}

/// What there are places for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScarceKind {
    /// Requests of all clients.
    Requests,
    /// Requests to one service.
    ServiceRequests,
    /// Visits to one client.
    Visits,
    /// WebSockets of one client.
    #[serde(rename = "websockets")]
    WebSockets,
}

/// Who holds places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderView {
    pub kind: HolderKind,
    /// `None` for all visitors without a share of their own.
    pub name: Option<String>,
    pub places: usize,
}

/// Of what kind a holder of places is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderKind {
    Client,
    Service,
    /// A network of visitors.
    Visitor,
    /// All visitors without a share of their own.
    ExemptNetworks,
}
