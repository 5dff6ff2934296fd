//! The server's part of the config file: read, checked, turned into types. Relative paths are relative to the
//! file's folder, or, for a service of the system, to its state folder.

mod fronts_form;
mod limits_form;
mod policy_form;
mod ports;
mod server_form;
mod settings;
pub mod shown;
mod values;

use std::path::Path;

use petit_host::config::{self, Part};
use petit_host::toml_file::{self, Fault, Note, TomlError};

pub use self::fronts_form::Fronts;
pub use self::policy_form::FilePolicies;
use self::policy_form::PolicyForm;
use self::server_form::{FILE, FileForm};
pub use self::settings::Config;
pub use self::values::{body_size, check_lifetime, parse_body_size, parse_lifetime};
use crate::folder::Folder;

/// The file has no part for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no [server] part; add one with: petit-server init")]
pub struct NoServer;

/// Why there is no config to run with.
pub type ConfigError = config::ConfigError<NoServer>;

impl Part for Config {
    type Misfit = NoServer;

    fn parse(path: &Path, text: &str) -> Result<(Self, Vec<Note>), ConfigError> {
        parse(path, text)
    }

    fn mistakes(path: &Path, text: &str) -> Vec<ConfigError> {
        mistakes(path, text).into_iter().map(ConfigError::Invalid).collect()
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
    let (file, mut notes) = toml_file::parse::<FileForm>(path, text, FILE)?;
    let server = file.server.ok_or_else(|| ConfigError::Part { path: path.to_owned(), misfit: NoServer })?;
    let folder = Folder::of(path);
    let mut config = server.check(folder.path());
    config.policies = FilePolicies::new(file.policy.into_iter().map(PolicyForm::check).collect(), text);
    if let Some(first) = config.policies.conflicts().first() {
        return Err(config.policies.error(path, first).into());
    }
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
fn mistakes(path: &Path, text: &str) -> Vec<TomlError> {
    let mut found = toml_file::mistakes::<FileForm>(path, text, FILE);
    // How values fit together is known when each is right.
    if found.is_empty()
        && let Err(ConfigError::Invalid(error)) = parse(path, text)
    {
        let of_policies = policy_mistakes(path, text);
        found.extend(if of_policies.is_empty() { vec![error] } else { of_policies });
    }
    found
}

/// What of policies does not fit together.
fn policy_mistakes(path: &Path, text: &str) -> Vec<TomlError> {
    let Ok((file, _)) = toml_file::parse::<FileForm>(path, text, FILE) else { return Vec::new() };
    let policies = FilePolicies::new(file.policy.into_iter().map(PolicyForm::check).collect(), text);
    policies.conflicts().iter().map(|found| policies.error(path, found)).collect()
}

/// The commented `[server]` part that `init` writes.
pub fn template() -> String {
    include_str!("../template.toml").to_owned()
}

#[cfg(test)]
mod tests {
    use petit_engine::proto::control::Text;

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
            ("[server]\ntcp_ports = \"9-1\"", "2:13: server.tcp_ports: expected ports such as"),
            ("[server]\ntrusted_proxies = [\"x\"]", "expected a network such as"),
            (
                "[server]\ninvite_lifetime = \"9d\"",
                "2:19: server.invite_lifetime: an invite lasts between one minute and 7 days",
            ),
            ("[server]\nmax_services = 0", "2:16: server.max_services: a client has between 1 and"),
            (
                "[server.vitae]\nendpoint = \"https://example.com\"",
                "expected an address such as https://REGID.example.com",
            ),
            ("[server]\nlog_level = \"loud\"", "2:13: "),
            (
                "[server]\nproxy_port = 99999",
                "2:14: server.proxy_port: expected a whole number from 0 to 65535; found the number 99999",
            ),
            (
                "[server]\ntrusted_proxies = \"10.0.0.1\"",
                "2:19: server.trusted_proxies: expected a list, such as [\"…\", \"…\"]; found the text",
            ),
            (
                "[server]\nproxy_bind = \"home\"",
                "2:14: server.proxy_bind: expected an address such as \"127.0.0.1\"",
            ),
            ("[server.vitae]\nname = \"a\\u202Eb\"", "a vendor's name may not contain"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.starts_with("/etc/petit/config.toml:2:"), "{error}");
        }
        assert!(matches!(read("[client]\n"), Err(ConfigError::Part { misfit: NoServer, .. })));
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
