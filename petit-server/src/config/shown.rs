//! Every setting with its value, where that comes from, and what a change of it takes.

use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use petit_host::settings::{Origin, Setting, SettingValue};
use petit_host::toml_file;
use petit_relay::{FrontProbing, LimitsConfig};
use serde::Serialize;
use serde_json::{Value, json};

use super::ConfigError;
use super::fronts_form::Fronts;
use super::policy_form::POLICY_TABLE;
use super::server_form::FILE;
use super::settings::Config;
use crate::registry::{Enforcement, Policy};

/// What puts a change in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// `reload`; the running server notices the file by itself, too.
    Reload,
    /// `restart`.
    Restart,
}

impl Config {
    /// The settings that differ from those of the running server and cannot be taken over, by name; tables are named
    /// whole.
    pub fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let (wanted, running) = (known(self), known(running));
        let is_other = |one: &Known| one.takes == Takes::Restart && !running.contains(one);
        let gone = |one: &&Known| !wanted.iter().any(|it| it.is_same_setting(one));
        let other = wanted.iter().filter(|one| is_other(one));
        let mut groups: Vec<_> = other.chain(running.iter().filter(gone)).map(|one| one.group).collect();
        let mut seen = std::collections::BTreeSet::new();
        groups.retain(|group| seen.insert(*group));
        groups
    }

    /// All settings with their values, in the order of the template.
    pub fn settings(&self) -> Vec<SettingValue> {
        known(self).into_iter().map(|one| one.said).chain(of_policies(self)).collect()
    }
}

/// All settings of a config's text, in the order of the template.
///
/// # Errors
/// [`ConfigError`].
pub fn settings(path: &Path, text: &str) -> Result<Vec<Setting<Takes>>, ConfigError> {
    let (config, _) = super::parse(path, text)?;
    // With the spellings that the original had brought into ours.
    let (file, _) = toml_file::parse::<toml::Table>(path, text, FILE)?;
    let is_said = |SettingValue { table, name, .. }: &SettingValue| {
        let server = file.get("server")?.as_table()?;
        if table.is_empty() { server.get(name) } else { server.get(table)?.as_table()?.get(name) }
    };
    let settings = known(&config).into_iter().map(|Known { said, takes, .. }| {
        let origin = if is_said(&said).is_some() { Origin::File } else { Origin::Default };
        Setting { said, origin, takes }
    });
    // Those that are not set are said to be so by their values.
    let policies =
        of_policies(&config).map(|said| Setting { said, origin: Origin::File, takes: Takes::Reload });
    Ok(settings.chain(policies).collect())
}

/// A setting without its origin.
#[derive(PartialEq)]
struct Known {
    said: SettingValue,
    takes: Takes,
    /// What [`Config::needs_restart`] calls it: itself, or the table that it is in.
    group: &'static str,
}

impl Known {
    fn is_same_setting(&self, other: &Self) -> bool {
        (&self.said.table, &self.said.name) == (&other.said.table, &other.said.name)
    }
}

/// Taken apart whole, so that a setting that is forgotten here does not compile.
fn known(config: &Config) -> Vec<Known> {
    let Config {
        proxy_bind,
        proxy_port,
        secure_bind,
        secure_proxy_port,
        endpoint,
        tunnel_address,
        certificates,
        certificate,
        certificate_key,
        certificate_named: _,
        registry_file,
        tcp_bind,
        tcp_ports,
        trusted_proxies,
        legacy_errors,
        log_level,
        log_size,
        access_log,
        metrics_bind,
        max_services,
        invite_lifetime,
        drain,
        goodbye,
        name: _, // in vitae
        vitae,
        limits,
        connections,
        requests: _, // in limits
        fronts,
        memory,
        policies: _, // a list of tables, whose entries come and go: see `of_policies`
    } = config;
    let ports = tcp_ports.map(|(first, last)| format!("{first}-{last}")).unwrap_or_default();
    let (reload, restart) = (Takes::Reload, Takes::Restart);
    let server = [
        ("proxy_bind", json!(proxy_bind), restart),
        ("proxy_port", json!(proxy_port), restart),
        ("secure_bind", json!(secure_bind), restart),
        ("secure_proxy_port", json!(secure_proxy_port), restart),
        ("certificates", json!(certificates), reload),
        ("certificate", json!(certificate), reload),
        ("certificate_key", json!(certificate_key), reload),
        ("tunnel_address", json!(tunnel_address), reload),
        ("tcp_bind", json!(tcp_bind), restart),
        ("tcp_ports", json!(ports), reload),
        ("trusted_proxies", networks(trusted_proxies), restart),
        ("max_services", json!(max_services), reload),
        ("invite_lifetime", span(*invite_lifetime), reload),
        ("drain", span(*drain), reload),
        ("goodbye", span(*goodbye), reload),
        ("registry_file", json!(registry_file), restart),
        ("log_level", json!(log_level), reload),
        ("log_size", size(*log_size), reload),
        ("access_log", json!(access_log), restart),
        ("metrics_bind", json!(metrics_bind), restart),
        ("legacy_errors", json!(legacy_errors), restart),
    ];
    let mut known: Vec<Known> = server.into_iter().flat_map(|setting| of("", setting.0, [setting])).collect();
    known.extend(of("fronts", "fronts", of_fronts(fronts)));
    known.extend(of("limits", "limits", of_limits(limits, *connections, *memory)));
    known.extend(of("vitae", "endpoint", [("endpoint", json!(endpoint), restart)]));
    known.extend(of(
        "vitae",
        "vitae",
        vitae.iter().map(|(name, fact)| (name.as_str(), json!(fact), restart)),
    ));
    known
}

fn of<'a>(
    table: &'static str,
    group: &'static str,
    settings: impl IntoIterator<Item = (&'a str, Value, Takes)>,
) -> impl Iterator<Item = Known> {
    let known = move |(name, value, takes): (&str, Value, Takes)| Known {
        said: SettingValue::new(table, name, value),
        takes,
        group,
    };
    settings.into_iter().map(known)
}

/// The parts of each policy of the file. A change of them never needs a restart, whichever come and go.
fn of_policies(config: &Config) -> impl Iterator<Item = SettingValue> {
    let parts = |policy: &Policy| {
        // Taken apart whole, so that a part that is forgotten here does not compile.
        let Policy { name, services, from, keys, rate, burst, concurrent, per, max_body, enforcement } =
            policy;
        let parts = [
            ("name", json!(name)),
            ("services", json!(services)),
            ("from", from.as_deref().map(networks).unwrap_or_default()),
            ("keys", json!(keys)),
            ("rate", json!(rate)),
            ("burst", json!(burst)),
            ("concurrent", json!(concurrent)),
            ("per", json!(per)),
            ("max_body", json!(max_body.map(super::body_size))),
            ("enforce", json!(*enforcement == Enforcement::Enforce)),
        ];
        let of = |(part, value)| SettingValue::new(POLICY_TABLE, part, value).of_entry_beside(name.as_str());
        parts.map(of)
    };
    config.policies.list.iter().flat_map(parts).collect::<Vec<_>>().into_iter()
}

fn of_fronts(fronts: &Fronts) -> [(&'static str, Value, Takes); 3] {
    let Fronts { probing, private_networks, ca } = fronts;
    [
        ("try_public", json!(*probing == FrontProbing::Public), Takes::Restart),
        ("private_networks", networks(private_networks), Takes::Restart),
        ("ca", json!(ca), Takes::Restart),
    ]
}

fn of_limits(
    limits: &LimitsConfig,
    connections: Option<usize>,
    memory: Option<u64>,
) -> impl Iterator<Item = (&'static str, Value, Takes)> {
    let LimitsConfig {
        connections: _, // what is made of the operator's, the system's and the memory's
        connections_per_address,
        requests,
        requests_per_service,
        requests_per_second,
        websockets_per_client,
        answer_within,
        answer_within_most,
        idle,
        release_rate,
        exempt_networks,
        threads,
    } = limits;
    let limits = [
        ("connections", json!(connections)),
        ("connections_per_address", json!(connections_per_address)),
        ("requests", json!(requests)),
        ("requests_per_service", json!(requests_per_service)),
        ("requests_per_second", json!(requests_per_second)),
        ("websockets_per_client", json!(websockets_per_client)),
        ("answer_within", span(*answer_within)),
        ("answer_within_most", span(*answer_within_most)),
        ("exempt_networks", networks(exempt_networks)),
        ("idle", span(*idle)),
        ("release_rate", json!(release_rate.map(super::values::body_size))),
        ("memory", memory.map(size).unwrap_or_default()),
        ("threads", json!((*threads > 0).then_some(threads))),
    ];
    limits.into_iter().map(|(name, value)| (name, value, Takes::Restart))
}

fn networks(networks: &[IpNet]) -> Value {
    json!(networks.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn span(span: Duration) -> Value {
    json!(humantime::format_duration(span).to_string())
}

fn size(bytes: u64) -> Value {
    json!(format!("{}MB", bytes >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another value for each setting: table, key, value.
    const OTHER: &[(&str, &str, &str)] = &[
        ("", "proxy_bind", "\"127.0.0.2\""),
        ("", "proxy_port", "1"),
        ("", "secure_bind", "\"127.0.0.2\""),
        ("", "secure_proxy_port", "1"),
        ("", "certificates", "\"elsewhere\""),
        ("", "certificate", "\"other.crt\""),
        ("", "certificate_key", "\"other.key\""),
        ("", "tunnel_address", "\"t.example.com:1\""),
        ("", "tcp_bind", "\"127.0.0.2\""),
        ("", "tcp_ports", "\"1-2\""),
        ("", "trusted_proxies", "[\"10.0.0.0/8\"]"),
        ("", "max_services", "3"),
        ("", "invite_lifetime", "\"2h\""),
        ("", "drain", "\"1m\""),
        ("", "goodbye", "\"1s\""),
        ("", "registry_file", "\"other.db\""),
        ("", "log_level", "\"debug\""),
        ("", "log_size", "\"2MB\""),
        ("", "access_log", "\"json\""),
        ("", "metrics_bind", "\"127.0.0.1:9101\""),
        ("", "legacy_errors", "true"),
        ("fronts", "try_public", "false"),
        ("fronts", "private_networks", "[\"10.0.0.0/8\"]"),
        ("fronts", "ca", "\"ca.crt\""),
        ("limits", "connections", "100"),
        ("limits", "connections_per_address", "7"),
        ("limits", "requests", "7"),
        ("limits", "requests_per_service", "7"),
        ("limits", "requests_per_second", "7"),
        ("limits", "websockets_per_client", "7"),
        ("limits", "answer_within", "\"7s\""),
        ("limits", "answer_within_most", "\"7s\""),
        ("limits", "exempt_networks", "[\"10.0.0.0/8\"]"),
        ("limits", "idle", "\"11s\""),
        ("limits", "release_rate", "\"128KB\""),
        ("limits", "memory", "\"100MB\""),
        ("limits", "threads", "3"),
        ("vitae", "endpoint", "\"https://REGID.example.com\""),
        ("vitae", "brand", "\"ce\""),
    ];

    const PATH: &str = "/etc/petit/config.toml";
    const USUAL: &str = "[server]\n[server.vitae]\nendpoint = \"https://REGID.example.org\"\n";

    #[test]
    fn each_setting_says_what_a_change_of_it_takes_and_that_is_so() {
        let path = Path::new(PATH);
        let (usual, _) = super::super::parse(path, USUAL).unwrap();
        let mut named = Vec::new();
        for (table, name, value) in OTHER {
            let dotted = if table.is_empty() { (*name).to_owned() } else { format!("{table}.{name}") };
            let text = match *table {
                "" => USUAL.replacen("[server]\n", &format!("[server]\n{name} = {value}\n"), 1),
                "vitae" if *name == "endpoint" => format!("[server]\n[server.vitae]\n{name} = {value}\n"),
                "vitae" => format!("{USUAL}{name} = {value}\n"),
                table => format!("{USUAL}[server.{table}]\n{name} = {value}\n"),
            };
            let (other, _) = super::super::parse(path, &text).unwrap();
            let settings = settings(path, &text).unwrap();
            let shown = settings.iter().find(|it| it.said.table == *table && it.said.name == *name);
            let shown = shown.unwrap_or_else(|| panic!("{dotted} is not shown"));
            assert_eq!(shown.origin, Origin::File, "{dotted}");
            let known = known(&other).into_iter().find(|it| it.said == shown.said).unwrap();
            let mut in_force = usual.clone();
            in_force.take_over(&other);
            let due = other.needs_restart(&usual);
            match shown.takes {
                Takes::Restart => assert_eq!(due, [known.group], "{dotted}"),
                Takes::Reload => {
                    assert!(due.is_empty(), "{dotted}: {due:?}");
                    assert_eq!(in_force, other, "{dotted}");
                }
            }
            named.push((*table, (*name).to_owned()));
        }
        let all = settings(path, USUAL).unwrap();
        for setting in &all {
            assert!(
                named.contains(&(setting.said.table.as_str(), setting.said.name.clone())),
                "{setting:?} has no other value here"
            );
            let is_said = setting.said.name == "endpoint";
            assert_eq!(setting.origin == Origin::File, is_said, "{setting:?}");
        }
    }

    #[test]
    fn every_key_of_the_file_is_shown() {
        use petit_host::toml_file::{Table, ValueKind};
        fn keys(table: Table, place: &'static str, into: &mut Vec<(&'static str, &'static str)>) {
            for key in table.0 {
                match key.kind {
                    ValueKind::Value => into.push((place, key.name)),
                    ValueKind::Table(inner) if place.is_empty() => keys(inner, key.name, into),
                    _ => {}
                }
            }
        }
        let mut known = Vec::new();
        keys(super::super::server_form::SERVER, "", &mut known);
        let all = settings(Path::new(PATH), USUAL).unwrap();
        for (table, name) in known {
            assert!(all.iter().any(|it| it.said.table == table && it.said.name == name), "{table} {name}");
        }
    }

    #[test]
    fn spellings_of_the_original_are_the_files_word_too() {
        let text = "[server]\nproxyPort = 8090\n";
        let all = settings(Path::new(PATH), text).unwrap();
        let port = all.iter().find(|it| it.said.name == "proxy_port").unwrap();
        assert_eq!((&port.said.value, port.origin), (&json!(8090), Origin::File));
    }
}
