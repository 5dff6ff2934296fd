//! What commands print with `--json` that no server has answered.

use std::path::PathBuf;

use petit_engine::name::{Endpoint, ServerAddr};
use petit_engine::words::KeyWords;
use petit_host::update::{Channel, Target, Time, Version};
use serde::{Deserialize, Serialize};

use super::{CertificatesShown, ConfigReloaded};
use crate::backup::HeldBack;
use crate::registry::{ChangeHash, SignedHead};

/// `version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramVersion {
    /// The version of the wire.
    pub protocol: u16,
    /// Program and version.
    pub software: String,
}

/// `init`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initialised {
    pub backup_key: PathBuf,
    pub config: PathBuf,
    /// Where the config is that it was before it was changed (`--replace`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_before: Option<PathBuf>,
    /// It was not there before.
    pub config_made: bool,
    /// How public addresses are made.
    pub endpoint: Endpoint,
    /// Of the server's key.
    pub fingerprint: String,
    pub key: PathBuf,
    /// It was not there before.
    pub key_made: bool,
    pub key_words: KeyWords,
    pub registry: PathBuf,
    /// Where the logs of a registry are now that was there before and is gone: the new one would take what is in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale_logs: Vec<PathBuf>,
    /// Where invites send clients.
    pub tunnel_address: ServerAddr,
    /// The first key for visitors, as they send it; said this once.
    pub visitor_key: Option<String>,
}

/// `config check`, when nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChecked {
    pub fine: bool,
    /// HTTPS visitors will be served.
    pub https_visitors: bool,
    pub notes: Vec<ConfigNote>,
    pub path: PathBuf,
}

/// Something to know of a config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigNote {
    /// Where in the file, where it is of one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    pub message: String,
}

/// `start`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStarted {
    /// Why HTTPS visitors are not served as they should be.
    pub certificate_problem: Option<String>,
    pub pid: u32,
}

/// `restore`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRestored {
    /// Where that is which was there before.
    pub aside: Option<PathBuf>,
    /// The other folder of that, where the registry's file lies elsewhere.
    pub aside_elsewhere: Option<PathBuf>,
    pub clients: usize,
    /// The config file is the backup's.
    pub config_restored: bool,
    /// What no client gets until the operator says so.
    pub held_back: HeldBack,
    /// Files that the config names and that are not there.
    pub missing: Vec<PathBuf>,
    pub services: usize,
}

/// `audit verify`, when the log is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditVerified {
    /// The oldest change that is kept.
    pub first: Option<u64>,
    /// Of the newest change.
    pub hash: ChangeHash,
    /// The newest change.
    pub last: u64,
    /// Signed heads that it agrees with.
    pub signed_heads: usize,
    /// Signed heads from before a backup was put back.
    pub superseded_heads: usize,
    pub whole: bool,
}

/// `audit export`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogExported {
    pub changes: usize,
    pub file: PathBuf,
    pub head: SignedHead,
}

/// `config put`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPut {
    /// Where the config is that was there before; none where there was none, or nothing was changed.
    pub before: Option<PathBuf>,
    /// It said something else before.
    pub changed: bool,
    pub config: PathBuf,
    /// What the running server has made of it; none where no server runs.
    pub reloaded: Option<ConfigReloaded>,
}

/// `release put` and `release show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseShown {
    /// What is not as it was signed in the copy, so that clients cannot fetch it; `release show` alone looks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// What is handed out to clients; none where nothing is.
    pub release: Option<ReleaseView>,
}

/// A release that is handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseView {
    pub channel: Channel,
    pub counter: u64,
    pub created: Time,
    /// Until then clients take it.
    pub expires: Time,
    pub in_force: bool,
    /// The number of the key that has signed it.
    pub release_key: u64,
    pub targets: Vec<ReleaseTarget>,
}

/// What a release has for a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseTarget {
    pub bytes: u64,
    pub target: Target,
    pub version: Version,
}

/// `release withdraw`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseWithdrawn {
    /// There was one.
    pub withdrawn: bool,
}

/// `certificate put`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatePut {
    /// What it is for.
    pub names: Vec<String>,
    /// Where the server reads it.
    pub path: PathBuf,
    /// What the running server shows now; none where no server runs.
    pub shown: Option<CertificatesShown>,
}
