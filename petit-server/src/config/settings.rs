//! What a server needs to know, as values that are right.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use petit_engine::name::{Endpoint, ServerAddr, VendorName};
use petit_engine::proto::control::Vitae;
use petit_host::logs::Level;
use petit_relay::LimitsConfig;

use super::fronts_form::Fronts;
use super::policy_form::FilePolicies;
use crate::access_log::AccessLogForm;

/// What a server needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where plain HTTP visitors come in.
    pub proxy_bind: IpAddr,
    /// Their port; 0 lets the system choose.
    pub proxy_port: u16,
    /// Where clients, and HTTPS visitors, come in.
    pub secure_bind: IpAddr,
    /// Their port; 0 lets the system choose.
    pub secure_proxy_port: u16,
    /// How public addresses are made.
    pub endpoint: Endpoint,
    /// Where invites send clients; by default `tunnel` under the endpoint's domain, and `secure_proxy_port`.
    pub tunnel_address: Option<ServerAddr>,
    /// A folder with certificates for HTTPS visitors.
    pub certificates: PathBuf,
    /// Certificate chain and key for HTTPS visitors, in PEM: the one that is preferred.
    pub certificate: PathBuf,
    /// See `certificate`.
    pub certificate_key: PathBuf,
    /// The file names the certificate, so it has to be there.
    pub certificate_named: bool,
    /// The registry.
    pub registry_file: PathBuf,
    /// Where raw TCP services listen.
    pub tcp_bind: IpAddr,
    /// Ports that raw TCP services get; `None`: there are none. 0 to 0: the system chooses.
    pub tcp_ports: Option<(u16, u16)>,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Answer errors with the original's body.
    pub legacy_errors: bool,
    /// How much is logged.
    pub log_level: Level,
    /// Bytes of log that are kept, and as many of the access log.
    pub log_size: u64,
    /// Whether a line is written for each visit, and how.
    pub access_log: AccessLogForm,
    /// Where metrics are read, by whoever reaches it; `None`: nowhere.
    pub metrics_bind: Option<SocketAddr>,
    /// Services that one client may register.
    pub max_services: usize,
    /// How long an invite lasts unless its maker says otherwise.
    pub invite_lifetime: Duration,
    /// How long what is under way may go on when the server stops, or another process takes its place.
    pub drain: Duration,
    /// How long WebSockets and event streams may go on then, before they are told to go.
    pub goodbye: Duration,
    /// What the vendor calls itself; in invites, and in `vitae`.
    pub name: Option<VendorName>,
    /// What clients may know of this server, beside the endpoint.
    pub vitae: Vitae,
    /// Limits against too much of everything.
    pub limits: LimitsConfig,
    /// Connections of all kinds at the same time; `None`: what descriptors and memory allow.
    pub connections: Option<usize>,
    /// Requests under way at the same time, where the operator says how many; `None`: the usual, or what memory allows.
    pub requests: Option<usize>,
    /// How the server tries its own public addresses.
    pub fronts: Fronts,
    /// Memory that the process may use before it turns visitors away; `None`: what the system gives it.
    pub memory: Option<u64>,
    /// What is asked of visitors, beside the registry's policies.
    pub policies: FilePolicies,
}

impl Config {
    /// Takes over from a newer config what needs no restart; see [`Config::needs_restart`].
    pub fn take_over(&mut self, newer: &Self) {
        // Taken apart whole, so that a setting that is forgotten here does not compile.
        let Self {
            tunnel_address,
            certificates,
            certificate,
            certificate_key,
            certificate_named,
            tcp_ports,
            log_level,
            log_size,
            max_services,
            invite_lifetime,
            drain,
            goodbye,
            name,
            policies,
            proxy_bind: _,
            proxy_port: _,
            secure_bind: _,
            secure_proxy_port: _,
            endpoint: _,
            registry_file: _,
            tcp_bind: _,
            trusted_proxies: _,
            access_log: _,
            metrics_bind: _,
            legacy_errors: _,
            vitae: _,
            limits: _,
            connections: _,
            requests: _,
            fronts: _,
            memory: _,
        } = newer;
        self.tunnel_address.clone_from(tunnel_address);
        self.certificates.clone_from(certificates);
        self.certificate.clone_from(certificate);
        self.certificate_key.clone_from(certificate_key);
        self.certificate_named = *certificate_named;
        self.tcp_ports = *tcp_ports;
        self.log_level = *log_level;
        self.log_size = *log_size;
        self.max_services = *max_services;
        self.invite_lifetime = *invite_lifetime;
        self.drain = *drain;
        self.goodbye = *goodbye;
        self.name.clone_from(name);
        self.policies.clone_from(policies);
    }
}
