//! Every setting with its value, where that comes from, and who of the running client takes a change of it over.

use std::path::Path;
use std::time::Duration;

use petit_engine::name::ServiceName;
use petit_engine::proto::control::{Options, ServiceKind};
use petit_host::settings::{Origin, Setting, SettingValue, TablePlace};
use petit_host::toml_file;
use serde::Serialize;
use serde_json::{Value, json};

use super::proxy::ProxySetting;
use super::{Config, ConfigError, FILE, Service, Trust, UpdateSettings, updates};

/// What puts a change in force. None needs another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// `reload`; the running client notices the file by itself, too.
    Reload,
    /// Also the next connection to the server: the one that stands goes on.
    Reconnect,
    /// The next registration.
    Registration,
}

/// Who of the running client takes a setting over. A reload goes through all of them
/// ([`Client::reload`](crate::client::Client::reload)), so what stands here is what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenBy {
    /// The log.
    Log,
    /// The services that the agent offers.
    Services,
    /// What the agent calls this computer: it tells the server at once.
    Name,
    /// What else the agent tells the server when it connects.
    Vitae,
    /// The route by which the agent dials the server.
    Route,
    /// Nobody, until this computer is registered anew.
    Registration,
    /// The watch over what the server hands out.
    Updates,
}

impl TakenBy {
    /// In the order in which they take over.
    pub const ALL: [Self; 7] =
        [Self::Log, Self::Services, Self::Name, Self::Vitae, Self::Route, Self::Registration, Self::Updates];

    /// What puts a change in force.
    pub const fn takes(self) -> Takes {
        match self {
            Self::Log | Self::Services | Self::Name | Self::Updates => Takes::Reload,
            Self::Vitae | Self::Route => Takes::Reconnect,
            Self::Registration => Takes::Registration,
        }
    }
}

/// A setting without its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub said: SettingValue,
    pub taken_by: TakenBy,
}

/// All settings of a config's text, in the order of the template. `first` is what the original's `[client.local]` is
/// called.
///
/// # Errors
/// [`ConfigError`].
pub fn settings(path: &Path, text: &str, first: &ServiceName) -> Result<Vec<Setting<Takes>>, ConfigError> {
    let (config, _) = super::parse(path, text)?;
    // With the spellings that the original had brought into ours.
    let (file, _) = toml_file::parse::<toml::Table>(path, text, FILE)?;
    let client = file.get("client").and_then(toml::Value::as_table);
    let services = config.specs(first);
    let is_said = |SettingValue { table, place, entry, name, .. }: &SettingValue| {
        if *place == TablePlace::Beside {
            return file.get(table)?.as_table()?.get(name);
        }
        let client = client?;
        match (table.as_str(), entry) {
            ("", _) => client.get(name),
            (table, None) => client.get(table)?.as_table()?.get(name),
            (table, Some(entry)) => {
                let local = client.get("local").and_then(toml::Value::as_table);
                let number = services.iter().position(|service| service.name.as_str() == entry)?;
                match (local, number) {
                    // It has a port in any case, and its `host` is a part of the target.
                    (Some(local), 0) => match name.as_str() {
                        "target" => local.get("port"),
                        "tls" => local.get("tls"),
                        _ => None,
                    },
                    _ => {
                        let number = number - usize::from(local.is_some());
                        client.get(table)?.as_array()?.get(number)?.as_table()?.get(name)
                    }
                }
            }
        }
    };
    let settings = known(&config, first).into_iter().map(|Known { said, taken_by }| {
        let origin = if is_said(&said).is_some() { Origin::File } else { Origin::Default };
        Setting { said, origin, takes: taken_by.takes() }
    });
    Ok(settings.collect())
}

/// Taken apart whole, so that a setting that is forgotten here does not compile.
pub fn known(config: &Config, first: &ServiceName) -> Vec<Known> {
    let Config {
        host,
        log_level,
        key_store,
        device_name,
        vitae,
        proxy,
        addresses,
        require_pq,
        services,
        updates: UpdateSettings { mode, hours },
    } = config;
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let own = [
        ("log_level", json!(log_level), TakenBy::Log),
        ("key_store", json!(key_store), TakenBy::Registration),
        ("name", json!(device_name), TakenBy::Name),
        ("host", json!(host), TakenBy::Registration),
        ("proxy", of_proxy(proxy), TakenBy::Route),
        ("addresses", json!(addresses), TakenBy::Route),
        ("require_pq", json!(require_pq), TakenBy::Route),
    ];
    let own = own
        .into_iter()
        .map(|(name, value, taken_by)| Known { said: SettingValue::new("", name, value), taken_by });
    let vitae = vitae.iter().map(|(name, fact)| Known {
        said: SettingValue::new("vitae", name.as_str(), json!(fact)),
        taken_by: TakenBy::Vitae,
    });
    let services = services.iter().flat_map(|service| {
        let entry = service.name.as_ref().unwrap_or(first);
        of_service(service, entry).into_iter().map(|(name, value)| Known {
            said: SettingValue::new("service", name, value).of_entry(entry.as_str()),
            taken_by: TakenBy::Services,
        })
    });
    let updates = [("mode", json!(mode)), ("hours", json!(hours))].map(|(name, value)| Known {
        said: SettingValue::new(updates::NAME, name, value).beside(),
        taken_by: TakenBy::Updates,
    });
    own.chain(vitae).chain(services).chain(updates).collect()
}

/// Where the proxy is, and never how to log in.
fn of_proxy(proxy: &ProxySetting) -> Value {
    match proxy {
        ProxySetting::FromSystem => Value::Null,
        ProxySetting::None => json!("none"),
        ProxySetting::Use(proxy) => json!(proxy.to_string()),
    }
}

fn of_service(service: &Service, name: &ServiceName) -> [(&'static str, Value); 10] {
    let Service {
        name: _, // or `first`
        kind,
        target,
        options: Options { h2, host, answer_within_s, max_body_bytes },
        trust,
        tls_name,
        tls: _, // comes of trust and name
    } = service;
    let kind = match (kind, h2) {
        (ServiceKind::Tcp, _) => "tcp",
        (ServiceKind::Http, true) => "h2",
        (ServiceKind::Http, false) => "http",
    };
    let answer_within = answer_within_s.map(|seconds| Duration::from_secs(u64::from(seconds)));
    let (ca, fingerprint) = match trust {
        None | Some(Trust::System) => (None, None),
        Some(Trust::Ca(path)) => (Some(path), None),
        Some(Trust::Fingerprint(sha256)) => (None, Some(data_encoding::HEXLOWER.encode(sha256))),
    };
    [
        ("name", json!(name)),
        ("target", json!(target.to_string())),
        ("kind", json!(kind)),
        ("host", json!(host.as_ref().map_or("preserve", |host| host.as_str()))),
        ("answer_within", json!(answer_within.map(|span| humantime::format_duration(span).to_string()))),
        ("max_body", json!(max_body_bytes.map(size))),
        ("tls", json!(trust.is_some())),
        ("tls_ca", json!(ca)),
        ("tls_fingerprint", json!(fingerprint)),
        ("tls_name", json!(tls_name.as_ref().map(|name| name.to_str()))),
    ]
}

/// An amount of data as the file says it, in the largest unit that it is whole in.
fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB")];
    let whole = units.into_iter().find(|(unit, _)| bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use petit_host::toml_file::{Table, ValueKind};

    use super::*;
    use crate::config::service::SERVICE;
    use crate::config::{CLIENT, UPDATES, parse};
    use crate::{dial_route, enrol};

    /// Another value for each setting: table, key, value.
    const OTHER: &[(&str, &str, &str)] = &[
        ("", "log_level", "\"debug\""),
        ("", "key_store", "\"file\""),
        ("", "name", "\"Front desk\""),
        ("", "host", "\"tunnel.example.com\""),
        ("", "proxy", "\"http://anna:canary@proxy.example:3128\""),
        ("", "addresses", "[\"tunnel2.example.com:443\"]"),
        ("", "require_pq", "true"),
        ("vitae", "brand", "\"ce\""),
        ("service", "name", "\"api\""),
        ("service", "target", "\"localhost:2\""),
        ("service", "kind", "\"h2\""),
        ("service", "host", "\"target\""),
        ("service", "answer_within", "\"2m\""),
        ("service", "max_body", "\"100MB\""),
        ("service", "tls", "true"),
        ("service", "tls_ca", "\"ca.pem\""),
        ("service", "tls_fingerprint", FINGERPRINT),
        ("service", "tls_name", "\"shop.internal\""),
        ("updates", "mode", "\"automatic\""),
        ("updates", "hours", "\"22:00-05:00\""),
    ];
    const FINGERPRINT: &str = "\"abababababababababababababababababababababababababababababababab\"";
    const CA: &str = "-----BEGIN CERTIFICATE-----
MIIBLjCB4aADAgECAhQgogNvFNiRbieP8zuCxqSc1lWuJzAFBgMrZXAwDDEKMAgG
A1UEAwwBeDAgFw0yNjExMjgwMzA2NTBaGA8yMTI2MTEwNDAzMDY1MFowDDEKMAgG
A1UEAwwBeDAqMAUGAytlcAMhAOrS/eq61hiYTW5P3JErKwmN5vXFPFhTWcARivWl
NSveo1MwUTAdBgNVHQ4EFgQU1ZQx6qnbnzjoEqVx9JYJunpi1bcwHwYDVR0jBBgw
FoAU1ZQx6qnbnzjoEqVx9JYJunpi1bcwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXAD
QQAdJUlN3ipbZ/C/5QsMwC0zjxO7hg/mMBbOr8/sg1wv2+VG6DaYNUp+EpUFo1Qb
IMPB9OK9M2cMhcXIjr2NxHcP
-----END CERTIFICATE-----
";

    /// The usual file, with one setting in another way.
    fn with(table: &str, name: &str, value: &str) -> String {
        let said = |here: &str| if table == here { format!("{name} = {value}\n") } else { String::new() };
        let usual = |key: &str, value: &str| {
            if (table, name) == ("service", key) { String::new() } else { format!("{key} = {value}\n") }
        };
        let (own, vitae, service, updates) = (said(""), said("vitae"), said("service"), said("updates"));
        let (called, target) = (usual("name", "\"web\""), usual("target", "\"localhost:1\""));
        format!(
            "[client]\n{own}[client.vitae]\n{vitae}[[client.service]]\n{service}{called}{target}[updates]\n{updates}"
        )
    }

    /// Whoever takes something else from one config than from another.
    fn differing(one: &Config, other: &Config) -> Vec<TakenBy> {
        let (server, first) = ("tunnel.example.com:443".parse().unwrap(), ServiceName::first());
        let differs = |taken_by: &TakenBy| match taken_by {
            TakenBy::Log => one.log_level != other.log_level,
            TakenBy::Services => one.specs(&first) != other.specs(&first),
            TakenBy::Name => enrol::device_name(one) != enrol::device_name(other),
            TakenBy::Vitae => enrol::vitae(one) != enrol::vitae(other),
            TakenBy::Route => dial_route::choose(one, &server) != dial_route::choose(other, &server),
            TakenBy::Registration => (&one.host, one.key_store) != (&other.host, other.key_store),
            TakenBy::Updates => one.updates != other.updates,
        };
        TakenBy::ALL.into_iter().filter(differs).collect()
    }

    #[test]
    fn each_setting_says_who_takes_it_over_and_that_is_so() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), CA).unwrap();
        let (path, first) = (dir.path().join("config.toml"), ServiceName::first());
        let usual = parse(&path, &with("", "require_pq", "false")).unwrap().0;
        for (table, name, value) in OTHER {
            let text = with(table, name, value);
            let other = parse(&path, &text).unwrap().0;
            let is_it = |said: &SettingValue| said.table == *table && said.name == *name;
            let known = known(&other, &first).into_iter().find(|one| is_it(&one.said));
            let known = known.unwrap_or_else(|| panic!("{table} {name} is not shown"));
            assert_eq!(differing(&usual, &other), [known.taken_by], "{table} {name}");
            let shown = settings(&path, &text, &first).unwrap();
            let shown = shown.into_iter().find(|one| is_it(&one.said)).unwrap();
            assert_eq!((shown.origin, shown.takes), (Origin::File, known.taken_by.takes()), "{table} {name}");
            let before = settings(&path, &with("", "require_pq", "false"), &first).unwrap();
            let before = before.into_iter().find(|one| is_it(&one.said)).map(|one| one.said.value);
            assert_ne!(before, Some(shown.said.value.clone()), "{table} {name}");
            assert!(!shown.said.value.to_string().contains("canary"), "{:?}", shown.said);
        }
    }

    #[test]
    fn every_key_of_the_file_is_shown_and_has_another_value_here() {
        let keys = |table: Table, place: &'static str| {
            let is_value = |kind: ValueKind| matches!(kind, ValueKind::Value);
            let keys = table.0.iter().filter(move |key| is_value(key.kind));
            keys.map(move |key| (place, key.name)).collect::<Vec<_>>()
        };
        let (path, first) = (Path::new("/etc/petit/config.toml"), ServiceName::first());
        let all = settings(path, &with("", "require_pq", "false"), &first).unwrap();
        let known: Vec<_> = [(CLIENT, ""), (SERVICE, "service"), (UPDATES, "updates")]
            .into_iter()
            .flat_map(|(table, place)| keys(table, place))
            .collect();
        for (table, name) in &known {
            assert!(all.iter().any(|it| it.said.table == *table && it.said.name == *name), "{table} {name}");
            assert!(OTHER.iter().any(|it| (it.0, it.1) == (*table, *name)), "{table} {name}");
        }
        assert_eq!(all.len(), known.len(), "nothing is shown that is no key");
        for Setting { said, origin, .. } in &all {
            let is_said = ["require_pq", "target"].contains(&said.name.as_str())
                || (said.table.as_str(), said.name.as_str()) == ("service", "name");
            assert_eq!(*origin == Origin::File, is_said, "{said:?}");
        }
    }

    #[test]
    fn what_the_original_wrote_is_the_files_word_too() {
        let text = "[client]\nlogLevel = \"info\"\n[client.local]\nhost = \"10.0.0.5\"\nport = 8080\n\
                    [[client.service]]\nname = \"api\"\ntarget = \"h:1\"\nkind = \"tcp\"\n";
        let all = settings(Path::new("/c.toml"), text, &"accounts".parse().unwrap()).unwrap();
        let of = |entry: Option<&str>, name: &str| {
            let is_it = |one: &&Setting<Takes>| one.said.entry.as_deref() == entry && one.said.name == name;
            let found = all.iter().find(is_it).unwrap();
            (found.said.value.clone(), found.origin)
        };
        assert_eq!(of(None, "log_level"), (json!("info"), Origin::File));
        assert_eq!(of(Some("accounts"), "target"), (json!("10.0.0.5:8080"), Origin::File));
        assert_eq!(of(Some("accounts"), "host").1, Origin::Default);
        assert_eq!(of(Some("accounts"), "name"), (json!("accounts"), Origin::Default));
        assert_eq!(of(Some("api"), "kind"), (json!("tcp"), Origin::File));
        assert_eq!(of(Some("api"), "tls"), (json!(false), Origin::Default));
    }
}
