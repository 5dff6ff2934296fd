//! `[server.fronts]`: how the server tries its own public addresses.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use petit_host::files;
use petit_host::toml_file::{Table, ValueKind};
use petit_relay::FrontProbing;
use serde::Deserialize;

use super::values::{Network, key};

pub(super) const FRONTS: Table = Table(&[
    key("try_public", ValueKind::Value),
    key("private_networks", ValueKind::Value),
    key("ca", ValueKind::Value),
]);

/// How the server tries its own public addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fronts {
    /// Whether it does.
    pub probing: FrontProbing,
    /// Networks that are no part of the public internet and in which public addresses may be all the same.
    pub private_networks: Vec<IpNet>,
    /// Authorities, in PEM, that visitors trust beside those that the system knows.
    pub ca: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FrontsForm {
    try_public: Option<bool>,
    private_networks: Option<Vec<Network>>,
    ca: Option<PathBuf>,
}

impl FrontsForm {
    pub(super) fn check(self, folder: &Path) -> Fronts {
        Fronts {
            probing: if self.try_public.unwrap_or(true) {
                FrontProbing::Public
            } else {
                FrontProbing::OwnSockets
            },
            private_networks: self
                .private_networks
                .unwrap_or_default()
                .into_iter()
                .map(|net| net.0)
                .collect(),
            ca: self.ca.map(|path| files::resolve(folder, &path)),
        }
    }
}
