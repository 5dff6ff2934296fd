//! What `init` is asked, and what it comes to.

use std::path::{Path, PathBuf};

use petit_engine::name::Endpoint;
use petit_host::files::{self, FileError};
use petit_server::config::Config;
use petit_server::folder::Folder;
use petit_server::server::LostRegistry;
use secrecy::SecretString;

/// What `init` was asked.
pub(crate) struct InitArgs<'a> {
    /// How public addresses are made, in a new config file.
    pub(crate) endpoint: Option<&'a Endpoint>,
    /// Where clients come in, in a new config file.
    pub(crate) port: Option<u16>,
    /// Where certificates are looked for, in a new config file.
    pub(crate) certificates: Option<&'a Path>,
    /// What becomes of a registry that is not there.
    pub(crate) lost: LostRegistry,
    /// What a new server asks of visitors.
    pub(crate) visitors: FirstVisitors,
    /// A config that says others is changed, where no client has registered yet.
    pub(crate) replace: bool,
}

impl InitArgs<'_> {
    /// True when a config says already what is to stand in a new one: whoever sets up a server by a script runs it again.
    pub(crate) fn are_those_of(&self, path: &Path, config: &Config) -> bool {
        let in_folder = |folder| Folder::of(path).path().join(folder);
        self.endpoint.is_none_or(|endpoint| *endpoint == config.endpoint)
            && self.port.is_none_or(|port| port == config.secure_proxy_port)
            && self.certificates.is_none_or(|folder| in_folder(folder) == config.certificates)
    }
}

/// What a new server asks of visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstVisitors {
    /// A key, by a policy for all services.
    Keyed,
    /// The same, but the first key is shown to nobody.
    KeyedLater,
    /// Nothing.
    Open,
}

/// What `init` writes where a config file has no server's part, or another one.
pub(crate) struct NewConfig {
    pub(crate) text: String,
    pub(crate) write: fn(&Path, &[u8]) -> Result<(), FileError>,
    /// Where a server's part that was there is kept; `None`: there was none.
    pub(crate) kept: Option<PathBuf>,
}

impl NewConfig {
    /// Writes it.
    pub(crate) fn put(&self, path: &Path) -> Result<(), FileError> {
        if let (Some(kept), Ok(before)) = (&self.kept, std::fs::read(path)) {
            files::write_private(kept, &before)?;
        }
        (self.write)(path, self.text.as_bytes())
    }
}

/// What `init` has made.
pub(crate) struct InitDone {
    pub(crate) keys: bool,
    /// Where the logs of a registry are now that is gone.
    pub(crate) stale_logs: Vec<PathBuf>,
    /// The first key for visitors, as they send it.
    pub(crate) visitor_key: Option<SecretString>,
}
