//! The client's part of the config file: read, checked, turned into types.

pub mod change;
pub mod edit;
pub mod proxy;
mod service;
pub mod shown;
mod updates;

use std::collections::BTreeSet;
use std::path::Path;

use petit_engine::agent::ServiceSpec;
use petit_engine::limits;
use petit_engine::name::{ServerAddr, ServiceName};
use petit_engine::proto::control::{Text, Vitae};
use petit_host::brand::{self, Brand};
use petit_host::config::{self, Part};
use petit_host::logs::Level;
use petit_host::toml_file::{self, Key, Note, Table, ValueKind};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::proxy::ProxySetting;
use self::service::{LocalForm, SERVICE, ServiceForm};
pub use self::service::{Service, ServiceFault, Trust, target};
use self::updates::{UPDATES, UpdatesForm};
pub use self::updates::{UpdateMode, UpdateSettings};

/// What a client needs to know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The only server whose invites are accepted, when set.
    pub host: Option<String>,
    /// How much is logged.
    pub log_level: Level,
    /// Where a new device key goes.
    pub key_store: KeyStore,
    /// What this computer is called towards the vendor; its host name when not set.
    pub device_name: Option<Text<64>>,
    /// Facts for the vendor's operator.
    pub vitae: Vitae,
    /// The proxy on the way out.
    pub proxy: ProxySetting,
    /// Further addresses of the server, tried after the one of the invite.
    pub addresses: Vec<ServerAddr>,
    /// Only post-quantum connections will do.
    pub require_pq: bool,
    /// The services, in the order of the file.
    pub services: Vec<Service>,
    /// Who installs another version of the program, and when.
    pub updates: UpdateSettings,
}

/// Where the device key is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStore {
    /// In the keychain of the operating system.
    #[default]
    Keychain,
    /// In a file that only its owner can read; for machines without a keychain.
    File,
}

impl std::str::FromStr for KeyStore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "keychain" => Ok(Self::Keychain),
            "file" => Ok(Self::File),
            _ => Err("a key is kept in the keychain or in a file".to_owned()),
        }
    }
}

impl std::fmt::Display for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keychain => "keychain",
            Self::File => "file",
        })
    }
}

impl Config {
    /// The services as the engine wants them; one without a name is called `first`.
    pub fn specs(&self, first: &ServiceName) -> Vec<ServiceSpec> {
        let spec = |service: &Service| ServiceSpec {
            name: service.name.clone().unwrap_or_else(|| first.clone()),
            kind: service.kind,
            target: service.target.clone(),
            options: service.options.clone(),
            tls: service.tls.clone(),
        };
        self.services.iter().map(spec).collect()
    }
}

/// Why there is no config to run with.
pub type ConfigError = config::ConfigError<ServiceFault>;

impl Part for Config {
    type Misfit = ServiceFault;

    fn parse(path: &Path, text: &str) -> Result<(Self, Vec<Note>), ConfigError> {
        parse(path, text)
    }

    fn mistakes(path: &Path, text: &str) -> Vec<ConfigError> {
        mistakes(path, text)
    }
}

/// Reads and checks a config file.
///
/// # Errors
/// [`ConfigError`].
pub fn load(path: &Path) -> Result<(Config, Vec<Note>), ConfigError> {
    config::load(path)
}

/// Reads and checks a config's text.
///
/// # Errors
/// [`ConfigError`].
pub fn parse(path: &Path, text: &str) -> Result<(Config, Vec<Note>), ConfigError> {
    let (file, notes) = toml_file::parse::<FileForm>(path, text, FILE)?;
    let mut form = file.client;
    let (services, faults) = services(path, &mut form);
    if let Some(fault) = faults.into_iter().next() {
        return Err(ConfigError::Part { path: path.to_owned(), misfit: fault });
    }
    let config = Config {
        host: form.host,
        log_level: form.log_level.unwrap_or_default(),
        key_store: form.key_store.unwrap_or_default(),
        device_name: form.name,
        vitae: form.vitae,
        proxy: form.proxy.map_or(ProxySetting::FromSystem, |proxy| proxy.0),
        addresses: form.addresses,
        require_pq: form.require_pq,
        services,
        updates: file.updates.into(),
    };
    Ok((config, notes))
}

/// All mistakes of a config's text, in its order, as far as they can be found in one go.
fn mistakes(path: &Path, text: &str) -> Vec<ConfigError> {
    let found = toml_file::mistakes::<FileForm>(path, text, FILE);
    // How services fit together is known when each value is right.
    let faults = match toml_file::parse::<FileForm>(path, text, FILE) {
        Ok((mut file, _)) => services(path, &mut file.client).1,
        Err(_) => Vec::new(),
    };
    let faults = faults.into_iter().map(|fault| ConfigError::Part { path: path.to_owned(), misfit: fault });
    found.into_iter().map(ConfigError::Invalid).chain(faults).collect()
}

/// The services that a file sets up, and what is wrong with the others and with all of them together.
fn services(path: &Path, form: &mut ClientForm) -> (Vec<Service>, Vec<ServiceFault>) {
    let folder = path.parent().unwrap_or(Path::new("."));
    let local = form.local.take().map(|local| local.check()).into_iter();
    let named = std::mem::take(&mut form.service).into_iter().map(|service| service.check(folder));
    let (mut services, mut faults) = (Vec::new(), Vec::new());
    for checked in local.chain(named) {
        match checked {
            Ok(service) => services.push(service),
            Err(fault) => faults.push(fault),
        }
    }
    if services.len() + faults.len() > limits::MAX_SERVICES {
        faults.push(ServiceFault::TooMany { most: limits::MAX_SERVICES });
    }
    let mut seen = BTreeSet::new();
    for name in services.iter().filter_map(|service: &Service| service.name.as_ref()) {
        if !seen.insert(name) {
            faults.push(ServiceFault::SameName { name: name.clone() });
        }
    }
    (services, faults)
}

const fn key(name: &'static str, kind: ValueKind) -> Key {
    Key { name, kind }
}

const FILE: Table = Table(&[
    key("client", ValueKind::Table(CLIENT)),
    key(updates::NAME, ValueKind::Table(UPDATES)),
    key("server", ValueKind::Foreign),
    key("policy", ValueKind::Foreign), // the server's, too
]);

const CLIENT: Table = Table(&[
    key("host", ValueKind::Value),
    key("log_level", ValueKind::Value),
    key("key_store", ValueKind::Value),
    key("name", ValueKind::Value),
    key("proxy", ValueKind::Value),
    key("addresses", ValueKind::Value),
    key("require_pq", ValueKind::Value),
    key("vitae", ValueKind::Free),
    key("service", ValueKind::Tables(SERVICE)),
    key("local", ValueKind::Table(LOCAL)),
    // The original's.
    key("port", ValueKind::Retired("there is no SSH; the invite says where to connect")),
    key("back_port", ValueKind::Retired("there is one connection; the invite says where to connect")),
    key("username", ValueKind::Retired("there is no SSH user; the device has a key of its own")),
    key("passphrase", ValueKind::Retired("the device key is kept in the keychain")),
    key("listen_port", ValueKind::Retired("commands go over a socket beside this file")),
    key("bind_addr", ValueKind::Retired("commands go over a socket beside this file")),
    key("api_port", ValueKind::Retired("the API is served on a socket beside this file")),
]);

const LOCAL: Table =
    Table(&[key("host", ValueKind::Value), key("port", ValueKind::Value), key("tls", ValueKind::Value)]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    client: ClientForm,
    #[serde(default)]
    updates: UpdatesForm,
}

/// The `[client]` table as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientForm {
    host: Option<String>,
    log_level: Option<Level>,
    key_store: Option<KeyStore>,
    name: Option<Text<64>>,
    #[serde(default)]
    vitae: Vitae,
    proxy: Option<ProxyForm>,
    #[serde(default)]
    addresses: Vec<ServerAddr>,
    #[serde(default)]
    require_pq: bool,
    #[serde(default)]
    service: Vec<ServiceForm>,
    local: Option<LocalForm>,
}

struct ProxyForm(ProxySetting);

impl<'de> Deserialize<'de> for ProxyForm {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // It may hold a password, so nothing of it is repeated.
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        proxy::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The commented `[client]` part that `init` writes.
pub fn template() -> String {
    template_of(brand::here())
}

/// The invites of one server only, where the brand is of one.
fn template_of(brand: &Brand) -> String {
    let text = include_str!("template.toml");
    match brand.server() {
        Some(server) => text.replace("# host = \"tunnel.example.com\"", &format!("host = \"{server}\"")),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use petit_engine::proto::control::ServiceKind;

    use super::*;

    pub(super) fn read(text: &str) -> Result<(Config, Vec<Note>), ConfigError> {
        parse(Path::new("/home/anna/.petit/config.toml"), text)
    }

    #[test]
    fn the_template_says_the_defaults() {
        let (config, notes) = read(&template()).unwrap();
        assert_eq!(config, Config::default());
        assert!(notes.is_empty());
        assert_eq!(read("").unwrap().0, Config::default());
    }

    #[test]
    fn the_template_of_a_brand_takes_the_invites_of_its_server_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("brand.toml");
        std::fs::write(&path, "id = \"north\"\nname = \"North\"\nserver = \"t.north.example\"").unwrap();
        let (config, _) = read(&template_of(&Brand::read(&path).unwrap())).unwrap();
        assert_eq!(config, Config { host: Some("t.north.example".to_owned()), ..Config::default() });
    }

    #[test]
    fn services_are_read_in_order() {
        let text = r#"
            [client]
            name = "Anna's laptop"
            key_store = "file"
            [client.vitae]
            brand = "acme"
            [[client.service]]
            name = "web"
            target = "localhost:3000"
            [[client.service]]
            name = "db"
            target = "[::1]:5432"
            kind = "tcp"
        "#;
        let (config, _) = read(text).unwrap();
        assert_eq!(config.key_store, KeyStore::File);
        let specs = config.specs(&ServiceName::first());
        assert_eq!(specs[0].target.to_string(), "localhost:3000");
        assert_eq!((specs[1].kind, specs[1].target.to_string()), (ServiceKind::Tcp, "[::1]:5432".to_owned()));
    }

    #[test]
    fn a_file_of_the_original_loads() {
        let text = r#"
            [client]
            host = "g2c.example.com"
            port = 22
            backPort = 3014
            username = "g2c"
            listenPort = 3015
            logLevel = "info"
            bindAddr = "127.0.0.1"
            apiPort = 8100
            [client.vitae]
            brand = "ce"
            bundle = "plain"
            [client.local]
            host = "127.0.0.1"
            port = 8080
            [server]
            proxyPort = 8090
        "#;
        let (config, notes) = read(text).unwrap();
        assert_eq!(config.host.as_deref(), Some("g2c.example.com"));
        assert_eq!(config.vitae.len(), 2);
        let specs = config.specs(&"accounts".parse().unwrap());
        assert_eq!(
            (specs[0].name.as_str(), specs[0].target.to_string()),
            ("accounts", "127.0.0.1:8080".to_owned())
        );
        let notes: Vec<String> = notes.into_iter().map(|note| note.message).collect();
        assert_eq!(notes.len(), 6, "{notes:?}");
        assert!(notes.iter().all(|note| note.contains("has no effect any more: ")));
    }

    #[test]
    fn mistakes_are_said_where_they_stand() {
        for (text, expected) in [
            (
                "[client]\nlog_levl = \"x\"",
                ":2:1: [client] has no key \"log_levl\"; did you mean \"log_level\"?",
            ),
            (
                "[[client.service]]\nname = \"a\"\ntarget = \"3000\"",
                ":3:10: client.service.target: \"3000\" is no host and port",
            ),
            (
                "[[client.service]]\nname = \"A\"\ntarget = \"a:1\"",
                ":2:8: client.service.name: a service name may not contain 'A'",
            ),
            (
                "[[client.service]]\nname = \"a\"",
                ":1:1: [[client.service]] has no \"target\"; write target = …",
            ),
            ("[[client.service]]\nname=\"a\"\ntarget=\"a:1\"\nkind=\"udp\"", ":4:6: "),
            (
                "[updates]\nmode = \"often\"",
                ":2:8: updates.mode: expected \"ask\", \"automatic\", \"never\"; found \"often\"",
            ),
            ("[updates]\nhours = \"22-5\"", ":2:9: updates.hours: \"22-5\" is not hours such as 22:00-05:30"),
            ("[updates]\nhour = \"22-5\"", ":2:1: [updates] has no key \"hour\"; did you mean \"hours\"?"),
            ("[client]\nproxy = \"ftp://anna:secret@x\"", ":2:9: client.proxy: expected a proxy such as"),
        ] {
            let error = petit_host::cli::chain(&read(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        let twice =
            "[[client.service]]\nname=\"a\"\ntarget=\"a:1\"\n[[client.service]]\nname=\"a\"\ntarget=\"b:1\"";
        assert!(read(twice).unwrap_err().to_string().contains("two services are called \"a\""));
    }

    /// There is no `[client.local]` to write below then, and what is written below `[client]` is another key.
    #[test]
    fn what_is_missing_in_a_table_on_one_line_goes_into_that_line() {
        for (text, expected, mended) in [
            (
                "[client]\nlocal = { host = \"x\" }",
                ":2:9: client.local has no \"port\"; write port = … between its braces",
                "[client]\nlocal = { host = \"x\", port = 1 }",
            ),
            (
                "[client]\nservice = [{ name = \"a\" }]",
                ":2:12: an entry of client.service has no \"target\"; write target = … between its braces",
                "[client]\nservice = [{ name = \"a\", target = \"localhost:1\" }]",
            ),
            (
                "[client]\nlocal.host = \"x\"",
                ":2:1: client.local has no \"port\"; write port = … beside its other keys",
                "[client]\nlocal.host = \"x\"\nlocal.port = 1",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(read(mended).unwrap().0.services.len(), 1);
        }
    }

    #[test]
    fn all_mistakes_are_told_in_one_go() {
        let said = |text: &str| -> Vec<String> {
            mistakes(Path::new("c"), text).iter().map(|error| petit_host::cli::chain(error)).collect()
        };
        let text = "[client]\nlog_levl = \"x\"\nkey_store = \"safe\"\n[[client.service]]\nname = \"A\"\ntarget = \"3000\"";
        let found = said(text);
        let lines: Vec<&str> = found.iter().filter_map(|said| said.split(':').nth(1)).collect();
        assert_eq!(lines, ["2", "3", "5", "6"], "{found:?}");
        let text = "[[client.service]]\nname=\"a\"\ntarget=\"a:1\"\nkind=\"tcp\"\nhost=\"x\"\n\
            [[client.service]]\nname=\"b\"\ntarget=\"b:1\"\n[[client.service]]\nname=\"b\"\ntarget=\"b:1\"";
        let found = said(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("service a: host") && found[1].contains("called \"b\""), "{found:?}");
        assert!(said(&template()).is_empty());
    }
}
