//! The running server as a whole: whether it answers, stops, reads its config again, or gives its place to another.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use petit_host::control::{ApiProblem, Request};
use petit_host::logs::Level;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiRequest, CertificateView, KeylessPolicy, PortChanges};
use crate::directory::Exposure;

/// Does it answer?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping;

impl ApiRequest for Ping {
    type Answer = Pong;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/ping".to_owned())
    }
}

/// There it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    pub pong: bool,
}

/// Does it take visitors and log-ins?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetReadiness;

impl ApiRequest for GetReadiness {
    type Answer = Readiness;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/readiness".to_owned())
    }
}

/// Whether it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Why not; `None`: it does.
    pub not_ready: Option<NotReady>,
}

/// Why a server takes no visitors and log-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum NotReady {
    /// It finishes what is under way, and ends.
    Stopping,
    /// Its own listening socket does not take requests: it has tried.
    Listener { address: SocketAddr },
}

/// Which program is it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetVersion;

impl ApiRequest for GetVersion {
    type Answer = ServerVersion;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/version".to_owned())
    }
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerVersion {
    /// Program and version.
    pub software: String,
}

/// End, after what is under way; asked again, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopServer;

impl ApiRequest for StopServer {
    type Answer = ServerStopped;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/stop".to_owned())
    }
}

/// It ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStopped {
    pub pid: u32,
    /// `None`: a server of before this was told. It ends all the same.
    pub waits_for: Option<WaitsFor>,
}

/// What is under way at a server that is to end, and for how long that may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitsFor {
    /// Answers that are streams of events.
    pub event_streams: usize,
    /// Its process.
    pub pid: u32,
    /// Requests, downloads and uploads among them.
    pub requests: usize,
    pub seconds_left: u64,
    /// Connections to raw TCP services.
    pub tcp_connections: usize,
    pub websockets: usize,
}

/// Read the config again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadConfig;

impl ApiRequest for ReloadConfig {
    type Answer = ConfigReloaded;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/reload".to_owned())
    }
}

/// What of the config is in force now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // what is done is not told as a failure because an older server says less of it
pub struct ConfigReloaded {
    /// Why not all certificates that it leads to are shown; everything else is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_problem: Option<String>,
    /// What HTTPS visitors are shown.
    pub certificates: Vec<CertificateView>,
    /// Policies that let nobody in, because all their keys were revoked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keyless: Vec<KeylessPolicy>,
    /// Settings of the file that count only after a restart.
    pub needs_restart: Vec<String>,
    /// HTTPS visitors are shown others than before, or none any more.
    pub new_certificate: bool,
    /// What is open to anybody who knows the name, where that is more than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<Exposure>,
    #[serde(flatten)]
    pub ports: PortChanges,
}

/// Have another process take its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestartServer {
    /// The other one has to serve within this; `None` as usual.
    pub within_seconds: Option<u64>,
}

impl RestartServer {
    /// A new process has to serve within this, unless its operator says otherwise.
    pub const WITHIN: Duration = Duration::from_secs(30);

    /// The other one has to serve within this.
    pub fn within(&self) -> Duration {
        self.within_seconds.map_or(Self::WITHIN, Duration::from_secs)
    }

    pub(super) fn read(request: &Request) -> Result<Self, ApiProblem> {
        if request.body.is_null() { Ok(Self::default()) } else { request.read_body() }
    }
}

impl ApiRequest for RestartServer {
    type Answer = ServerRestarted;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/restart".to_owned())
    }

    // Somewhat longer than the other process may take.
    fn answered_within(&self) -> Option<Duration> {
        Some(self.within().saturating_add(Duration::from_mins(1)))
    }

    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        serde_json::to_value(self).map(Some)
    }
}

/// Another process serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRestarted {
    /// The process that serves.
    pub pid: u32,
    /// The process that served.
    pub replaced: u32,
    /// What that one finishes.
    pub waits_for: WaitsFor,
}

/// Log so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLogLevel {
    pub level: Level,
}

impl SetLogLevel {
    pub(super) fn read(request: &Request) -> Result<Self, ApiProblem> {
        #[derive(Deserialize)]
        struct Said {
            level: String,
        }
        // What is no text is no level either.
        let said = request.read_body().map_or_else(|_| String::new(), |Said { level }| level);
        let level = said.parse().map_err(|error: String| ApiProblem::new(400, "bad_level", error))?;
        Ok(Self { level })
    }
}

impl ApiRequest for SetLogLevel {
    type Answer = LogLevel;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/log".to_owned())
    }

    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        serde_json::to_value(LogLevel { level: self.level }).map(Some)
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevel {
    pub level: Level,
}

/// Write a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakeBackup {
    /// A folder that is not there yet, or is empty.
    pub folder: PathBuf,
    /// How many dated backups are kept beside it, itself included; older ones are removed. `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}

impl MakeBackup {
    /// The code of the refusal of a folder that has something in it.
    pub const NOT_EMPTY: &str = "not_empty";
}

impl ApiRequest for MakeBackup {
    type Answer = BackedUp;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/backup".to_owned())
    }

    // A disk that is slow, or on a network, is what backups are often on.
    fn answered_within(&self) -> Option<Duration> {
        Some(Duration::from_hours(1))
    }

    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        serde_json::to_value(self).map(Some)
    }
}

/// A backup was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// Where it is.
    pub backup: PathBuf,
    /// Files that the config names, and that lie outside of the server's folder.
    pub left_out: Vec<PathBuf>,
    /// Older backups that were removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<PathBuf>,
}
