//! A walk along everything that has to be right, with what to do where it is not.
//!
//! Each check says ✔, ✘ or that it could not be made because an earlier one failed. Nothing is changed, and a
//! running client is not disturbed.

use std::io;
use std::time::{Duration, Instant};

use petit_engine::agent::connect;
use petit_engine::limits;
use petit_engine::name::ServerAddr;
use petit_engine::net::dial::{self, DialError};
use petit_engine::net::tls;
use petit_engine::secret::PrivateKey;
use petit_host::cli::chain;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use crate::config::{self, Config};
use crate::folder::Folder;
use crate::messages::{self, Words};
use crate::registration::{self, Registration};
use crate::vault::Vault;

/// How long a refusal may take to arrive after the handshake. (TLS 1.3 lets a client finish first.)
const REFUSAL: Duration = Duration::from_secs(2);

/// One thing that was looked at.
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
    /// An earlier check has to pass first.
    Skipped,
}

fn good(name: &str, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), result: CheckResult::Good, detail: detail.into(), advice: String::new() }
}

fn bad(name: &str, words: Words) -> Check {
    Check {
        name: name.to_owned(),
        result: CheckResult::Bad,
        detail: words.what,
        advice: words.todo.to_owned(),
    }
}

fn skipped(name: &str) -> Check {
    let detail = "not looked at: something before it is not right".to_owned();
    Check { name: name.to_owned(), result: CheckResult::Skipped, detail, advice: String::new() }
}

/// Looks at everything, in the order in which it is needed.
pub async fn run(folder: &Folder) -> Vec<Check> {
    let mut checks = Vec::new();
    let config = check_config(folder, &mut checks);
    let registration = check_registration(folder, &mut checks);
    let key = check_key(folder, registration.as_ref(), &mut checks).await;
    check_server(registration.as_ref(), key.as_ref(), &mut checks).await;
    check_services(config.as_ref(), registration.as_ref(), &mut checks).await;
    checks
}

fn check_config(folder: &Folder, checks: &mut Vec<Check>) -> Option<Config> {
    const NAME: &str = "config file";
    match config::load(&folder.config) {
        Ok((config, notes)) => {
            let mut detail = folder.config.display().to_string();
            for note in notes {
                detail.push_str(&format!("; line {}: {}", note.line, note.message));
            }
            checks.push(good(NAME, detail));
            Some(config)
        }
        Err(error) => {
            let todo = "correct it with: petit-client config edit (or make one with: petit-client init)";
            checks.push(bad(NAME, Words { what: chain(&error), todo }));
            None
        }
    }
}

fn check_registration(folder: &Folder, checks: &mut Vec<Check>) -> Option<Registration> {
    const NAME: &str = "registration";
    match registration::load(folder) {
        Ok(Some(registration)) => {
            checks.push(good(NAME, format!("with {} as {}", registration.server, registration.device)));
            Some(registration)
        }
        Ok(None) => {
            let what = "this computer is not registered".to_owned();
            checks.push(bad(NAME, Words { what, todo: "petit-client register" }));
            None
        }
        Err(error) => {
            checks.push(bad(NAME, Words { what: chain(&error), todo: "" }));
            None
        }
    }
}

async fn check_key(
    folder: &Folder,
    registration: Option<&Registration>,
    checks: &mut Vec<Check>,
) -> Option<PrivateKey> {
    const NAME: &str = "device key";
    let Some(registration) = registration else {
        checks.push(skipped(NAME));
        return None;
    };
    match Vault::of(registration.key_store, folder).load(&registration.key).await {
        Ok(Some(key)) => {
            checks.push(good(NAME, format!("in the {}, {}", registration.key_store, registration.key)));
            Some(key)
        }
        Ok(None) => {
            let error = crate::client::StartError::KeyGone(registration.key_store);
            checks.push(bad(NAME, messages::start(&error)));
            None
        }
        Err(error) => {
            checks.push(bad(NAME, messages::vault(&error)));
            None
        }
    }
}

/// Name, TCP, the server's identity and this device's, each on its own, so that the first that fails is named.
async fn check_server(
    registration: Option<&Registration>,
    key: Option<&PrivateKey>,
    checks: &mut Vec<Check>,
) {
    const NAMES: [&str; 4] =
        ["server's name", "way to the server", "server's identity", "this computer's identity"];
    let [name, tcp, server_identity, own_identity] = NAMES;
    let Some(registration) = registration else {
        checks.extend(NAMES.map(skipped));
        return;
    };
    let server = &registration.server;
    match tokio::net::lookup_host((server.host(), server.port())).await {
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.map(|address| address.ip().to_string()).collect();
            checks.push(good(name, format!("{} is {}", server.host(), addresses.join(", "))));
        }
        Err(source) => {
            let error = DialError::Name { server: server.clone(), source };
            checks.push(bad(name, dialled(&error)));
            checks.extend([tcp, server_identity, own_identity].map(skipped));
            return;
        }
    }
    let Some(key) = key else {
        checks.extend([tcp, server_identity, own_identity].map(skipped));
        return;
    };
    let start = Instant::now();
    let config = match tls::client(key, registration.pins.clone(), tls::ALPN_TUNNEL) {
        Ok(config) => config,
        Err(error) => {
            checks.push(bad(own_identity, Words { what: error.to_string(), todo: "" }));
            return;
        }
    };
    match dial::dial(server, config, limits::DIAL).await {
        Ok(mut tls) => {
            checks.push(good(tcp, format!("{server} answers in {} ms", start.elapsed().as_millis())));
            checks.push(good(server_identity, "its key is one that the invite named"));
            // Whoever is not wanted is told so at once; who is, is waited for.
            let refused = tokio::time::timeout(REFUSAL, tls.read(&mut [0; 1])).await;
            checks.push(match refused {
                Ok(Err(source)) => bad(own_identity, dialled(&DialError::from_tls(server, source))),
                Ok(Ok(_)) | Err(_) => good(own_identity, "the server knows this computer"),
            });
        }
        Err(error @ (DialError::WrongServer { .. } | DialError::NotPetit { .. })) => {
            checks.push(good(tcp, format!("{server} answers")));
            checks.push(bad(server_identity, dialled(&error)));
            checks.push(skipped(own_identity));
        }
        Err(error) => {
            checks.push(bad(tcp, dialled(&error)));
            checks.extend([server_identity, own_identity].map(skipped));
        }
    }
}

fn dialled(error: &DialError) -> Words {
    let Words { what, todo } = messages::cause(error.cause());
    let said = match error {
        DialError::Tcp { source, address, .. } => format!(" ({address}: {source})"),
        DialError::NotPetit { source, .. } if source.kind() != io::ErrorKind::UnexpectedEof => {
            format!(" ({source})")
        }
        _ => String::new(),
    };
    Words { what: format!("{what}{said}"), todo }
}

async fn check_services(
    config: Option<&Config>,
    registration: Option<&Registration>,
    checks: &mut Vec<Check>,
) {
    let Some(config) = config else {
        checks.push(skipped("services"));
        return;
    };
    if config.services.is_empty() {
        let what = "no service is set up".to_owned();
        checks.push(bad(
            "services",
            Words { what, todo: "add one with: petit-client service add NAME TARGET" },
        ));
        return;
    }
    let first =
        registration.map_or_else(petit_engine::name::ServiceName::first, |known| known.service.clone());
    for spec in config.specs(&first) {
        checks.push(check_service(&spec.name.to_string(), &spec.target).await);
    }
}

async fn check_service(name: &str, target: &ServerAddr) -> Check {
    let name = format!("service {name}");
    let start = Instant::now();
    match connect(target).await {
        Ok(_) => good(&name, format!("{target} accepts in {} ms", start.elapsed().as_millis())),
        Err(cause) => {
            let Words { what, todo } = messages::service(cause);
            bad(&name, Words { what: format!("{target}: {what}"), todo })
        }
    }
}
