//! A walk along everything that has to be right, with what to do where it is not.
//!
//! Each check says ✔, ✘ or that it could not be made because an earlier one failed. Nothing is changed, and a
//! running client is not disturbed.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use petit_engine::agent::{ServiceSpec, SessionError, connect, look};
use petit_engine::cause::ServiceCause;
use petit_engine::limits;
use petit_engine::name::ServerAddr;
use petit_engine::net::dial::{DialError, Way};
use petit_engine::net::inspect::inspect;
use petit_engine::secret::PrivateKey;
use petit_host::cli::{ago, chain};
use serde::{Deserialize, Serialize};

use crate::config::{self, Config};
use crate::folder::Folder;
use crate::messages::{self, Words};
use crate::registration::{self, Registration};
use crate::vault::Vault;
use crate::way;

const PROXY: &str = "proxy";
const NAME: &str = "server's name";
const TCP: &str = "way to the server";
const SERVER_IDENTITY: &str = "server's identity";
const OWN_IDENTITY: &str = "this computer's identity";
const CLOCK: &str = "clock";
/// What concerns the server, in the order in which it is needed.
const NAMES: [&str; 6] = [PROXY, NAME, TCP, SERVER_IDENTITY, OWN_IDENTITY, CLOCK];

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
    let way = match (&config, &registration) {
        (Some(config), Some(registration)) => way::way(config, &registration.server),
        _ => Way::default(),
    };
    check_server(&way, registration.as_ref(), key.as_ref(), &mut checks).await;
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

/// Proxy, name, TCP, the server's identity, this device's and the clock, each on its own, so that the first that
/// fails is named.
async fn check_server(
    way: &Way,
    registration: Option<&Registration>,
    key: Option<&PrivateKey>,
    checks: &mut Vec<Check>,
) {
    let Some(registration) = registration else {
        checks.extend(NAMES.map(skipped));
        return;
    };
    let server = &registration.server;
    match &way.proxy {
        Some(proxy) => checks.push(good(PROXY, format!("{proxy} leads to {server}"))),
        None => checks.push(good(PROXY, "none on the way")),
    }
    // Behind a proxy the name is the proxy's to resolve.
    let name = match (&way.proxy, tokio::net::lookup_host((server.host(), server.port())).await) {
        (Some(_), _) => Ok(good(NAME, format!("{} is looked up by the proxy", server.host()))),
        (None, Ok(addresses)) => {
            let addresses: Vec<String> = addresses.map(|address| address.ip().to_string()).collect();
            Ok(good(NAME, format!("{} is {}", server.host(), addresses.join(", "))))
        }
        (None, Err(source)) => Err(DialError::Name { server: server.clone(), source }),
    };
    let later = [TCP, SERVER_IDENTITY, OWN_IDENTITY, CLOCK];
    match name {
        Ok(check) => checks.push(check),
        Err(error) => {
            checks.push(bad(NAME, dialled(&error)));
            checks.extend(later.map(skipped));
            return;
        }
    }
    let Some(key) = key else {
        checks.extend(later.map(skipped));
        return;
    };
    let start = Instant::now();
    match look(server, way, key, registration.pins.clone()).await {
        Ok(found) => {
            checks.push(good(TCP, format!("{server} answers in {} ms", start.elapsed().as_millis())));
            let keys = found.key_exchange.map_or_else(String::new, |keys| {
                let kind = if keys.post_quantum { "post-quantum" } else { "classical" };
                format!("; {kind} ({})", keys.name)
            });
            checks.push(good(SERVER_IDENTITY, format!("its key is one that the invite named{keys}")));
            checks.push(good(OWN_IDENTITY, format!("the server knows this computer as {}", found.device)));
            checks.push(clock(found.now));
        }
        Err(error) => server_trouble(server, &error, checks),
    }
}

/// Says which of the checks failed, and with it that those before it did not.
fn server_trouble(server: &ServerAddr, error: &SessionError, checks: &mut Vec<Check>) {
    let answers = || good(TCP, format!("{server} answers"));
    let own = |words| bad(OWN_IDENTITY, words);
    match error {
        SessionError::Dial(error @ DialError::Proxy(_)) => {
            // The last of them was the proxy's, and was taken to be right.
            if let Some(check) = checks.iter_mut().find(|check| check.name == PROXY) {
                *check = bad(PROXY, dialled(error));
            }
            checks.extend([TCP, SERVER_IDENTITY, OWN_IDENTITY, CLOCK].map(skipped));
        }
        SessionError::Dial(
            error @ (DialError::WrongServer { .. }
            | DialError::NotPetit { .. }
            | DialError::Inspected { .. }
            | DialError::Classical { .. }),
        ) => {
            checks.push(answers());
            checks.push(bad(SERVER_IDENTITY, dialled(error)));
            checks.extend([OWN_IDENTITY, CLOCK].map(skipped));
        }
        SessionError::Dial(error @ DialError::Denied { .. }) => {
            checks.push(answers());
            checks.push(good(SERVER_IDENTITY, "its key is one that the invite named"));
            checks.push(own(dialled(error)));
            checks.push(skipped(CLOCK));
        }
        SessionError::Dial(
            error @ (DialError::Name { .. } | DialError::Tcp { .. } | DialError::Unanswered { .. }),
        ) => {
            checks.push(bad(TCP, dialled(error)));
            checks.extend([SERVER_IDENTITY, OWN_IDENTITY, CLOCK].map(skipped));
        }
        SessionError::Refused { .. } | SessionError::Ended { .. } | SessionError::NoWelcome { .. } => {
            checks.push(answers());
            checks.push(good(SERVER_IDENTITY, "its key is one that the invite named"));
            checks.push(own(messages::cause(error.cause())));
            checks.push(skipped(CLOCK));
        }
    }
}

/// Compares this computer's clock with the server's.
fn clock(servers: u64) -> Check {
    let own = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let apart = Duration::from_secs(own.abs_diff(servers));
    if apart <= limits::CLOCK_SKEW {
        return good(CLOCK, format!("agrees with the server's ({} s apart)", apart.as_secs()));
    }
    let direction = if own > servers { "ahead of" } else { "behind" };
    let what = format!("this computer's clock is {} {direction} the server's", ago(apart));
    bad(CLOCK, Words { what, todo: "let the computer set its clock by itself; invites go by the server's" })
}

fn dialled(error: &DialError) -> Words {
    let Words { what, todo } = messages::cause(error.cause());
    let said = match error {
        DialError::Tcp { source, address, .. } => format!(" ({address}: {source})"),
        DialError::NotPetit { source, .. } if source.kind() != io::ErrorKind::UnexpectedEof => {
            format!(" ({source})")
        }
        DialError::Inspected { issuer, server } => format!(": {issuer}; the host to exempt is {server}"),
        DialError::Proxy(error) => format!(" ({})", chain(error)),
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
        checks.push(check_service(&spec).await);
    }
}

async fn check_service(spec: &ServiceSpec) -> Check {
    let (name, target) = (format!("service {}", spec.name), &spec.target);
    let start = Instant::now();
    match connect(spec).await {
        Ok(_) => good(&name, format!("{target} accepts in {} ms", start.elapsed().as_millis())),
        Err(cause) => {
            let Words { what, todo } = messages::service(cause);
            let mut what = format!("{target}: {what}");
            if cause == ServiceCause::Untrusted
                && let Some(shown) = inspect(target, &Way::default()).await
            {
                let hex = data_encoding::HEXUPPER.encode(&shown.fingerprint);
                let other = if shown.poses { "" } else { ", for another name" };
                what.push_str(&format!(" (signed by {}{other}; tls_fingerprint = \"{hex}\")", shown.issuer));
            }
            bad(&name, Words { what, todo })
        }
    }
}
