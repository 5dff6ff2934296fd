//! The server's part of the config file: read, checked, turned into types. Relative paths are relative to the
//! file's folder.

mod fronts_form;
mod limits_form;
mod ports;
pub mod shown;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use petit_engine::limits;
use petit_engine::name::{Endpoint, ServerAddr, VendorName};
use petit_engine::proto::control::{Text, Vitae};
use petit_host::files;
use petit_host::logs::Level;
use petit_host::toml_file::{self, Fault, Key, Note, Table, TomlError, ValueKind};
use petit_relay::LimitsConfig;
use serde::Deserialize;

pub use self::fronts_form::Fronts;
use self::fronts_form::FrontsForm;
use self::limits_form::{LimitsForm, LogSize, Span};
use crate::access_log::AccessLogForm;

/// Bytes of log that are kept unless the operator says otherwise. A session costs two lines of 150 bytes, but no
/// more than one line a second over time, so this is four days of the busiest server and months of a small one.
const LOG_SIZE: u64 = 50 << 20;

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
}

impl Config {
    /// The settings that differ from those that the server was started with, and cannot be taken over.
    pub fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let mut names = Vec::new();
        let mut note = |name, same: bool| {
            if !same {
                names.push(name);
            }
        };
        note("proxy_bind", self.proxy_bind == running.proxy_bind);
        note("proxy_port", self.proxy_port == running.proxy_port);
        note("secure_bind", self.secure_bind == running.secure_bind);
        note("secure_proxy_port", self.secure_proxy_port == running.secure_proxy_port);
        note("endpoint", self.endpoint == running.endpoint);
        note("registry_file", self.registry_file == running.registry_file);
        note("tcp_bind", self.tcp_bind == running.tcp_bind);
        note("trusted_proxies", self.trusted_proxies == running.trusted_proxies);
        note("access_log", self.access_log == running.access_log);
        note("legacy_errors", self.legacy_errors == running.legacy_errors);
        note("vitae", self.vitae == running.vitae);
        note("fronts", self.fronts == running.fronts);
        let same_room = (self.connections, self.memory) == (running.connections, running.memory);
        note("limits", self.limits == running.limits && same_room);
        names
    }

    /// Takes over from a newer config what needs no restart.
    pub fn take_over(&mut self, newer: &Self) {
        self.tunnel_address.clone_from(&newer.tunnel_address);
        self.certificates.clone_from(&newer.certificates);
        self.certificate.clone_from(&newer.certificate);
        self.certificate_key.clone_from(&newer.certificate_key);
        self.certificate_named = newer.certificate_named;
        self.tcp_ports = newer.tcp_ports;
        self.log_level = newer.log_level;
        self.log_size = newer.log_size;
        self.max_services = newer.max_services;
        self.invite_lifetime = newer.invite_lifetime;
        self.drain = newer.drain;
        self.goodbye = newer.goodbye;
        self.name.clone_from(&newer.name);
    }
}

/// Why there is no config to run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no file.
    #[error("there is no config file at {}; make one with: petit-server init", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    Invalid(#[from] TomlError),
    /// It has no part for the server.
    #[error("{} has no [server] part; add one with: petit-server init", path.display())]
    NoServer { path: PathBuf },
    /// Others can change it.
    #[error(transparent)]
    Unsafe(#[from] files::FileError),
}

/// Reads and checks a config file.
///
/// # Errors
/// [`ConfigError`].
pub fn load(path: &Path) -> Result<(Config, Vec<Note>), ConfigError> {
    files::check_not_writable_by_others(path)?;
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ConfigError::Missing { path: path.to_owned() })
        }
        Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Reads and checks a config's text.
///
/// # Errors
/// [`ConfigError`].
pub fn parse(path: &Path, text: &str) -> Result<(Config, Vec<Note>), ConfigError> {
    let (file, mut notes) = toml_file::parse::<FileForm>(path, text, FILE)?;
    let server = file.server.ok_or_else(|| ConfigError::NoServer { path: path.to_owned() })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let config = server.check(folder);
    for collision in ports::collisions(&config) {
        let ((line, column), message) = (collision.place(text), collision.said(text));
        // A server runs without one of the many ports of TCP services.
        if collision.keys.contains(&"tcp_ports") {
            notes.push(Note { line, message });
        } else {
            let (path, fault) = (path.to_owned(), Box::new(Fault::Value));
            return Err(TomlError { path, line, column, message, fault }.into());
        }
    }
    Ok((config, notes))
}

/// All mistakes of a config's text, in its order, as far as they can be found in one go.
pub fn mistakes(path: &Path, text: &str) -> Vec<TomlError> {
    let mut found = toml_file::mistakes::<FileForm>(path, text, FILE);
    // How values fit together is known when each is right.
    if found.is_empty()
        && let Err(ConfigError::Invalid(error)) = parse(path, text)
    {
        found.push(error);
    }
    found
}

const fn key(name: &'static str, kind: ValueKind) -> Key {
    Key { name, kind }
}

const FILE: Table = Table(&[key("server", ValueKind::Table(SERVER)), key("client", ValueKind::Foreign)]);

const SERVER: Table = Table(&[
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
    key("max_services", ValueKind::Value),
    key("invite_lifetime", ValueKind::Value),
    key("drain", ValueKind::Value),
    key("goodbye", ValueKind::Value),
    key("vitae", ValueKind::Free),
    key("fronts", ValueKind::Table(fronts_form::FRONTS)),
    key("limits", ValueKind::Table(limits_form::LIMITS)),
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
struct FileForm {
    server: Option<ServerForm>,
}

/// The `[server]` table as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerForm {
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
    fn check(self, folder: &Path) -> Config {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let proxy_port = self.proxy_port.unwrap_or(8090);
        let in_folder =
            |path: Option<PathBuf>, default: &str| folder.join(path.unwrap_or_else(|| default.into()));
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
        }
    }
}

/// What clients are told: the vendor's name among the other facts, as many as a message may hold.
fn vitae(name: Option<&VendorName>, other: Vitae) -> Vitae {
    let name = name.map(|name| (Text::lossy("name"), Text::lossy(name.as_str())));
    other.into_iter().take(31).chain(name).collect()
}

/// Values with a form of their own; what is wrong with them is said where they stand.
macro_rules! text_form {
    ($name:ident($inner:ty), $parse:expr) => {
        struct $name($inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let parse: fn(&str) -> Result<$inner, String> = $parse;
                parse(&text).map($name).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_form!(PortRange(Option<(u16, u16)>), |text| {
    let wrong = || "expected ports such as \"20000-20999\", or \"\" for none".to_owned();
    if text.trim().is_empty() {
        return Ok(None);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().map_err(|_| wrong());
    match (port(first)?, port(last)?) {
        (first, last) if first <= last => Ok(Some((first, last))),
        _ => Err(wrong()),
    }
});

text_form!(Network(IpNet), |text| {
    let host = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| host()).map_err(|_| "expected a network such as \"10.0.0.0/8\"".to_owned())
});

text_form!(Lifetime(Duration), parse_lifetime);

/// How long an invite lasts, as people write it.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime =
        humantime::parse_duration(text).map_err(|_| "expected a time such as 30m, 4h or 3days".to_owned())?;
    check_lifetime(lifetime).map(|()| lifetime)
}

/// An invite lasts a minute to a week: somebody who is asked on Friday registers on Monday.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn check_lifetime(lifetime: Duration) -> Result<(), String> {
    if (Duration::from_secs(60)..=limits::INVITE_LIFETIME_MAX).contains(&lifetime) {
        Ok(())
    } else {
        Err("an invite lasts between one minute and 7 days".to_owned())
    }
}

struct MaxServices(usize);

impl<'de> Deserialize<'de> for MaxServices {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = usize::deserialize(deserializer)?;
        if (1..=limits::MAX_SERVICES).contains(&number) {
            Ok(Self(number))
        } else {
            Err(serde::de::Error::custom(format!(
                "a client has between 1 and {} services",
                limits::MAX_SERVICES
            )))
        }
    }
}

/// The commented `[server]` part that `init` writes.
pub fn template() -> String {
    include_str!("../template.toml").to_owned()
}

/// A text for clients.
pub fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::lossy(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Config, Vec<Note>), ConfigError> {
        parse(Path::new("/etc/petit/config.toml"), text)
    }

    #[test]
    fn the_template_says_the_defaults() {
        let (from_template, notes) = read(&template()).unwrap();
        let (defaults, _) = read("[server]\n[server.vitae]\nenvironment = \"local\"").unwrap();
        assert_eq!(from_template, defaults);
        assert!(notes.is_empty());
        assert!(defaults.proxy_bind.is_loopback(), "the data plane is private by default");
    }

    #[test]
    fn each_key_that_the_template_shows_is_read_with_the_value_that_stands_there() {
        let is_shown =
            |rest: &&str| rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| is_key(key));
        let lines = template();
        let lines = lines.lines().map(|line| line.strip_prefix("# ").filter(is_shown).unwrap_or(line));
        let (config, notes) = read(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(config.tunnel_address.unwrap().to_string(), "petit.example.com:443");
        assert!(config.limits.requests_per_second.is_some() && config.name.is_some());
        assert!(notes.is_empty(), "{notes:?}");
    }

    fn is_key(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    }

    #[test]
    fn a_file_of_the_original_loads() {
        let text = r#"
            [server]
            proxyPort = 8090
            secureProxyPort = 8453
            backPort = 3014
            listenPort = 3016
            registryfile = "./registry"
            registryUrl = "redis://127.0.0.1:6379"
            statsUrl = "http://localhost:9200"
            apiPort = 8101
            [server.vitae]
            environment = "staging"
            endpoint = "https://REGID.staging.example.com"
            [client]
            host = "127.0.0.1"
        "#;
        let (config, notes) = read(text).unwrap();
        assert_eq!((config.proxy_port, config.secure_proxy_port), (8090, 8453));
        assert_eq!(config.endpoint.domain(), "staging.example.com");
        assert_eq!(config.vitae.len(), 1);
        let notes: Vec<String> = notes.into_iter().map(|note| note.message).collect();
        assert_eq!(notes.len(), 6, "{notes:?}");
        assert!(notes.iter().any(|note| note.contains("registry_url") && note.contains("no Redis")));
    }

    #[test]
    fn mistakes_are_said_where_they_stand() {
        for (text, expected) in [
            (
                "[server]\nproxy_prt = 1",
                "2:1: [server] has no key \"proxy_prt\"; did you mean \"proxy_port\"?",
            ),
            ("[server]\ntcp_ports = \"9-1\"", "2:13: expected ports such as"),
            ("[server]\ntrusted_proxies = [\"x\"]", "expected a network such as"),
            ("[server]\ninvite_lifetime = \"9d\"", "2:19: an invite lasts between one minute and 7 days"),
            ("[server]\nmax_services = 0", "2:16: a client has between 1 and"),
            (
                "[server.vitae]\nendpoint = \"https://example.com\"",
                "expected an address such as https://REGID.example.com",
            ),
            ("[server]\nlog_level = \"loud\"", "2:13: "),
            (
                "[server]\nproxy_port = 99999",
                "2:14: expected a whole number from 0 to 65535; found the number 99999",
            ),
            (
                "[server]\ntrusted_proxies = \"10.0.0.1\"",
                "2:19: expected a list, such as [\"…\", \"…\"]; found the text",
            ),
            ("[server]\nproxy_bind = \"home\"", "2:14: invalid IP address syntax"),
            ("[server.vitae]\nname = \"a\\u202Eb\"", "a vendor's name may not contain"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.starts_with("/etc/petit/config.toml:2:"), "{error}");
        }
        assert!(matches!(read("[client]\n"), Err(ConfigError::NoServer { .. })));
    }

    #[test]
    fn the_vendors_name_is_one_of_the_facts_that_clients_are_told() {
        let (config, _) = read("[server.vitae]\nname = \"Nordlicht\"\nregion = \"eu\"").unwrap();
        assert_eq!(config.name.unwrap().as_str(), "Nordlicht");
        let told = |fact: &str| config.vitae.get(&Text::lossy(fact)).map(|fact| fact.as_str().to_owned());
        assert_eq!((told("name"), told("region")), (Some("Nordlicht".into()), Some("eu".into())));
        let many: String = (0..40).map(|n| format!("fact{n} = \"x\"\n")).collect();
        let (config, _) = read(&format!("[server.vitae]\n{many}name = \"Nordlicht\"")).unwrap();
        assert_eq!(config.vitae.len(), 32);
        assert!(config.vitae.contains_key(&Text::lossy("name")));
    }

    #[test]
    fn ports_networks_and_paths() {
        let (config, _) = read("[server]\ntcp_ports = \"\"\ntrusted_proxies = [\"10.0.0.0/8\", \"192.0.2.1\"]\ncertificate = \"/x/y.pem\"").unwrap();
        assert_eq!(config.tcp_ports, None);
        assert_eq!(config.trusted_proxies[1].to_string(), "192.0.2.1/32");
        assert_eq!(config.certificate, Path::new("/x/y.pem"));
        assert_eq!(config.registry_file, Path::new("/etc/petit/registry.db"));
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let (mut running, _) = read("[server]\n").unwrap();
        let (live, _) = read(
            "[server]\nlog_level = \"debug\"\nmax_services = 2\ntcp_ports = \"9-10\"\ncertificate = \"x\"\n\
             certificates = \"y\"\ntunnel_address = \"a:1\"\ninvite_lifetime = \"2h\"",
        )
        .unwrap();
        assert!(live.needs_restart(&running).is_empty());
        running.take_over(&live);
        assert_eq!(running, live, "what needs no restart is in force");
        let (running, _) = read("[server]\n").unwrap();
        let (wanted, _) = read("[server]\nproxy_port = 1\nlog_level = \"debug\"\nmax_services = 2").unwrap();
        assert_eq!(
            wanted.needs_restart(&running),
            ["proxy_port", "endpoint"],
            "the endpoint follows the port"
        );
    }
}
