//! `[server]` as it is written: its keys, those of the original that are gone, and what each says when it is left out.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use petit_engine::limits;
use petit_engine::name::{Endpoint, ServerAddr, VendorName};
use petit_engine::proto::control::{Text, Vitae};
use petit_host::files;
use petit_host::logs::Level;
use petit_host::toml_file::{Table, ValueKind};
use serde::Deserialize;

use super::fronts_form::{FRONTS, FrontsForm};
use super::limits_form::{LIMITS, LimitsForm};
use super::policy_form::{FilePolicies, POLICY, POLICY_TABLE, PolicyForm};
use super::settings::Config;
use super::values::{Lifetime, LogSize, MaxServices, Network, PortRange, Span, key};
use crate::access_log::AccessLogForm;

/// Bytes of log that are kept unless the operator says otherwise. A session costs two lines of 150 bytes, but no
/// more than one line a second over time, so this is four days of the busiest server and months of a small one.
const LOG_SIZE: u64 = 50 << 20;

pub(super) const FILE: Table = Table(&[
    key("server", ValueKind::Table(SERVER)),
    key("client", ValueKind::Foreign),
    key("updates", ValueKind::Foreign), // the client's, too
    key(POLICY_TABLE, ValueKind::Tables(POLICY)),
]);

pub(super) const SERVER: Table = Table(&[
    key("proxy_bind", ValueKind::Value),
    key("proxy_port", ValueKind::Value),
    key("secure_bind", ValueKind::Value),
    key("secure_proxy_port", ValueKind::Value),
    key("tunnel_address", ValueKind::Value),
    key("certificates", ValueKind::Value),
    key("certificate", ValueKind::Value),
    key("certificate_key", ValueKind::Value),
    key("registry_file", ValueKind::Value),
    key("tcp_bind", ValueKind::Value),
    key("tcp_ports", ValueKind::Value),
    key("trusted_proxies", ValueKind::Value),
    key("legacy_errors", ValueKind::Value),
    key("log_level", ValueKind::Value),
    key("log_size", ValueKind::Value),
    key("access_log", ValueKind::Value),
    key("metrics_bind", ValueKind::Value),
    key("max_services", ValueKind::Value),
    key("invite_lifetime", ValueKind::Value),
    key("drain", ValueKind::Value),
    key("goodbye", ValueKind::Value),
    key("vitae", ValueKind::Free),
    key("fronts", ValueKind::Table(FRONTS)),
    key("limits", ValueKind::Table(LIMITS)),
    // The original's. `registryfile` is one word there.
    key("registryfile", ValueKind::Retired("the registry is now a database; name it with registry_file")),
    key("back_port", ValueKind::Retired("clients come in on secure_proxy_port; there is no second port")),
    key("listen_port", ValueKind::Retired("commands go over a socket beside this file")),
    key("api_port", ValueKind::Retired("the API is served on a socket beside this file")),
    key("bind_addr", ValueKind::Retired("use proxy_bind and secure_bind")),
    key(
        "registry_url",
        ValueKind::Retired("the registry is a file, named with registry_file; there is no Redis"),
    ),
    key("stats_url", ValueKind::Retired("statistics need no other server")),
    key("es_url", ValueKind::Retired("statistics need no other server")),
]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileForm {
    pub(super) server: Option<ServerForm>,
    #[serde(default)]
    pub(super) policy: Vec<PolicyForm>,
}

/// The `[server]` table as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerForm {
    proxy_bind: Option<IpAddr>,
    proxy_port: Option<u16>,
    secure_bind: Option<IpAddr>,
    secure_proxy_port: Option<u16>,
    tunnel_address: Option<ServerAddr>,
    certificates: Option<PathBuf>,
    certificate: Option<PathBuf>,
    certificate_key: Option<PathBuf>,
    registry_file: Option<PathBuf>,
    tcp_bind: Option<IpAddr>,
    tcp_ports: Option<PortRange>,
    trusted_proxies: Option<Vec<Network>>,
    legacy_errors: Option<bool>,
    log_level: Option<Level>,
    log_size: Option<LogSize>,
    access_log: Option<AccessLogForm>,
    metrics_bind: Option<SocketAddr>,
    max_services: Option<MaxServices>,
    invite_lifetime: Option<Lifetime>,
    drain: Option<Span<1, DRAIN_MAX_SECONDS>>,
    goodbye: Option<Span<0, DRAIN_MAX_SECONDS>>,
    #[serde(default)]
    vitae: VitaeForm,
    #[serde(default)]
    fronts: FrontsForm,
    #[serde(default)]
    limits: LimitsForm,
}

const DRAIN_MAX_SECONDS: u64 = limits::DRAIN_MAX.as_secs();

#[derive(Default, Deserialize)]
struct VitaeForm {
    endpoint: Option<Endpoint>,
    name: Option<VendorName>,
    #[serde(flatten)]
    other: Vitae,
}

impl ServerForm {
    pub(super) fn check(self, folder: &Path) -> Config {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let proxy_port = self.proxy_port.unwrap_or(8090);
        let in_folder = |path: Option<PathBuf>, default: &str| {
            files::resolve(folder, &path.unwrap_or_else(|| default.into()))
        };
        // Without an endpoint the server is for trying out on one machine.
        let local = || format!("http://REGID.localhost:{proxy_port}").parse();
        let endpoint = self.vitae.endpoint.or_else(|| local().ok());
        let certificate_named = self.certificate.is_some() || self.certificate_key.is_some();
        Config {
            proxy_bind: self.proxy_bind.unwrap_or(loopback),
            proxy_port,
            secure_bind: self.secure_bind.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            secure_proxy_port: self.secure_proxy_port.unwrap_or(8453),
            endpoint: endpoint.unwrap_or_else(Endpoint::localhost),
            tunnel_address: self.tunnel_address,
            certificates: in_folder(self.certificates, "certificates"),
            certificate: in_folder(self.certificate, "certificates/server.crt"),
            certificate_key: in_folder(self.certificate_key, "certificates/server.key"),
            certificate_named,
            registry_file: in_folder(self.registry_file, "registry.db"),
            tcp_bind: self.tcp_bind.unwrap_or(loopback),
            tcp_ports: self.tcp_ports.map_or(Some((20_000, 20_999)), |range| range.0),
            trusted_proxies: self.trusted_proxies.unwrap_or_default().into_iter().map(|net| net.0).collect(),
            legacy_errors: self.legacy_errors.unwrap_or(false),
            log_level: self.log_level.unwrap_or_default(),
            log_size: self.log_size.map_or(LOG_SIZE, |size| size.0),
            access_log: self.access_log.unwrap_or_default(),
            metrics_bind: self.metrics_bind,
            max_services: self.max_services.map_or(16, |max| max.0),
            invite_lifetime: self.invite_lifetime.map_or(limits::INVITE_LIFETIME, |lifetime| lifetime.0),
            drain: self.drain.map_or(limits::DRAIN, |span| span.0),
            goodbye: self.goodbye.map_or(limits::GOODBYE, |span| span.0),
            vitae: vitae(self.vitae.name.as_ref(), self.vitae.other),
            name: self.vitae.name,
            connections: self.limits.connections(),
            requests: self.limits.requests(),
            fronts: self.fronts.check(folder),
            memory: self.limits.memory(),
            limits: self.limits.limits_config(),
            policies: FilePolicies::default(), // in tables of their own
        }
    }
}

/// What clients are told: the vendor's name among the other facts, as many as a message may hold.
fn vitae(name: Option<&VendorName>, other: Vitae) -> Vitae {
    let name = name.map(|name| (Text::lossy("name"), Text::lossy(name.as_str())));
    other.into_iter().take(31).chain(name).collect()
}
