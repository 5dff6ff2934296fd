//! What a check found, as values: the command line and the window have words of their own for it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use petit_engine::agent::KeyExchange;
use petit_engine::cause::{Cause, FrontCause, FrontUntried, ServiceCause};
use petit_engine::name::{DeviceId, ServerAddr, ServiceName};
use petit_engine::secret::Fingerprint;
use petit_host::toml_file::Note;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, KeyStore};
use crate::registration::RegistrationError;
use crate::status::{BrokenAt, Connection};
use crate::vault::VaultError;

/// One thing that was looked at.
#[derive(Debug)]
pub struct Finding {
    /// What was looked at.
    pub of: Subject,
    /// What was found.
    pub found: Found,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The config file.
    Config,
    /// What is written down of the registration.
    Registration,
    /// The key of this computer.
    Key,
    /// The proxy on the way.
    Proxy,
    /// The server's name.
    Name,
    /// Whether the server can be reached.
    Reachability,
    /// Whether the server is the one of the invite.
    ServerIdentity,
    /// Whether the server knows this computer.
    OwnIdentity,
    /// The clock.
    Clock,
    /// The connection that the running client holds.
    Connection,
    /// The services as a whole.
    Services,
    /// A service.
    Service(ServiceName),
    /// A service at the server.
    AtServer(ServiceName),
    /// The public address of a service.
    PublicAddress(ServiceName),
}

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// It is right.
    Good(Fact),
    /// It is not.
    Bad(Fault),
    /// The server could not find it out.
    Untried {
        why: FrontUntried,
        /// The address.
        url: String,
    },
    /// An earlier check has to pass first.
    Skipped,
}

/// Something that is right.
#[derive(Debug)]
pub enum Fact {
    /// The config file is read, with these notes.
    Config {
        /// Where it is.
        path: PathBuf,
        /// What is to be known of it.
        notes: Vec<Note>,
    },
    /// The computer is registered.
    Registered {
        server: ServerAddr,
        /// As what.
        device: DeviceId,
    },
    /// The key is there.
    KeyIn {
        /// Where it is kept.
        store: KeyStore,
        /// Which it is.
        key: Fingerprint,
    },
    /// No proxy is on the way.
    NoProxy,
    /// A proxy is.
    Proxy {
        /// The proxy.
        proxy: String,
        /// Where it leads.
        server: ServerAddr,
    },
    /// The name is the proxy's to resolve.
    NameByProxy { host: String },
    /// The name has addresses.
    Name {
        host: String,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
    /// The server answers.
    Answers {
        /// The server.
        server: ServerAddr,
        /// How long that took, when it was measured.
        took: Option<Duration>,
    },
    /// The server's key is one that the invite named.
    Pinned {
        /// How keys were agreed upon.
        keys: Option<KeyExchange>,
    },
    /// The server knows this computer.
    Known {
        /// As what.
        device: DeviceId,
    },
    /// The clock agrees with the server's.
    Agrees {
        /// How far they are apart.
        apart: Duration,
    },
    /// The running client is connected.
    Connected {
        /// With which server.
        server: ServerAddr,
    },
    /// A service takes connections.
    Accepts {
        /// Where it is.
        target: ServerAddr,
        /// How long that took.
        took: Duration,
    },
    /// The server has come in by the public address within the last minute.
    PublicAddress {
        /// The address.
        url: String,
    },
}

/// Something that is not right.
#[derive(Debug)]
pub enum Fault {
    /// The config file cannot be used.
    Config(ConfigError),
    /// The computer is not registered.
    Unregistered,
    /// What is written down of the registration cannot be read.
    Registration(RegistrationError),
    /// The key cannot be had.
    Vault(VaultError),
    /// The key is gone from where it was kept.
    KeyGone(KeyStore),
    /// The server is not reached, or does not take this computer.
    Server {
        cause: Cause,
        /// What was said on the way, for who looks after the network. Empty when nothing was.
        said: String,
    },
    /// The clocks do not agree.
    Clock {
        /// How far they are apart.
        apart: Duration,
        /// This computer's is the later one.
        is_ahead: bool,
    },
    /// No client runs.
    NotRunning,
    /// The running client is not connected.
    Connection(Connection),
    /// No service is set up.
    NoService {
        /// The one that the invite was made for, when there is a registration.
        invited: Option<ServiceName>,
    },
    /// A service is not reached.
    Service {
        /// Where it should be.
        target: ServerAddr,
        /// Why not.
        cause: ServiceCause,
        /// Whose certificate it showed, when that is the trouble.
        certificate: Option<Certificate>,
    },
    /// The way to a service ends at the server, or between it and this computer.
    Broken(BrokenAt),
    /// Visitors do not get in by the public address.
    PublicAddress {
        /// The address.
        url: String,
        /// Why not.
        cause: FrontCause,
    },
}

/// The certificate that a service showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Who signed it.
    pub issuer: String,
    /// It is for the service's name.
    pub poses: bool,
    /// What `tls_fingerprint` would have to be.
    pub fingerprint: String,
}

/// One thing that was looked at, in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// What was found.
    pub result: CheckResult,
    /// What was found, in words.
    pub detail: String,
    /// What to do; empty when all is well.
    pub advice: String,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// It is right.
    Good,
    /// It is not.
    Bad,
    /// The server could not find it out.
    Untried,
    /// An earlier check has to pass first.
    Skipped,
}

impl Found {
    /// Which of the three it is.
    pub fn result(&self) -> CheckResult {
        match self {
            Self::Good(_) => CheckResult::Good,
            Self::Bad(_) => CheckResult::Bad,
            Self::Untried { .. } => CheckResult::Untried,
            Self::Skipped => CheckResult::Skipped,
        }
    }
}
