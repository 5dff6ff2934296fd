//! A walk along everything that has to be right.
//!
//! Each check says ✔, ✘ or that it could not be made because an earlier one failed. Nothing is changed, and a
//! running client is not disturbed. What is found are values; what they are called and what to do about them is said
//! by `words` for the command line, and by the catalogue for the window.

mod finding;
mod words;

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use petit_engine::agent::{ServiceSpec, SessionError, check, verify_identity};
use petit_engine::cause::ServiceCause;
use petit_engine::limits;
use petit_engine::name::{ServerAddr, ServiceName};
use petit_engine::net::dial::{DialError, DialRoute, who_answers};
use petit_engine::proto::control::FrontState;
use petit_engine::secret::PrivateKey;
use petit_host::cli::chain;
use petit_host::control::client::{CallError, Client};

pub use self::finding::{Certificate, Check, CheckResult, Fact, Fault, Finding, Found, Subject};
use crate::config::{self, Config};
use crate::dial_route;
use crate::folder::Folder;
use crate::registration::{self, Registration};
use crate::status::{BrokenAt, Connection, ServiceStatus, Status};
use crate::texts::Texts;
use crate::vault::Vault;

fn good(of: Subject, fact: Fact) -> Finding {
    Finding { of, found: Found::Good(fact) }
}

fn bad(of: Subject, fault: Fault) -> Finding {
    Finding { of, found: Found::Bad(fault) }
}

fn skipped(of: Subject) -> Finding {
    Finding { of, found: Found::Skipped }
}

/// Looks at everything, in the words of the command line.
pub async fn run(folder: &Folder, texts: &Texts) -> Vec<Check> {
    findings(folder).await.iter().map(|finding| words::check(texts, finding)).collect()
}

/// Looks at everything, in the order in which it is needed.
pub async fn findings(folder: &Folder) -> Vec<Finding> {
    let mut checks = Vec::new();
    let config = check_config(folder, &mut checks);
    let registration = check_registration(folder, &mut checks);
    let key = check_key(folder, registration.as_ref(), &mut checks).await;
    let route = match (&config, &registration) {
        (Some(config), Some(registration)) => dial_route::choose(config, &registration.server),
        _ => DialRoute::default(),
    };
    check_server(&route, registration.as_ref(), key.as_ref(), &mut checks).await;
    let running = running(folder).await;
    checks.extend(check_connection(registration.as_ref(), &running));
    let statuses = match running {
        Running::Says(status) => status.services,
        Running::No | Running::Unreadable => Vec::new(),
    };
    check_services(config.as_ref(), registration.as_ref(), &statuses, &mut checks).await;
    checks
}

fn check_config(folder: &Folder, checks: &mut Vec<Finding>) -> Option<Config> {
    match config::load(&folder.config) {
        Ok((config, notes)) => {
            checks.push(good(Subject::Config, Fact::Config { path: folder.config.clone(), notes }));
            Some(config)
        }
        Err(error) => {
            checks.push(bad(Subject::Config, Fault::Config(error)));
            None
        }
    }
}

fn check_registration(folder: &Folder, checks: &mut Vec<Finding>) -> Option<Registration> {
    match registration::load(folder) {
        Ok(Some(known)) => {
            let fact = Fact::Registered { server: known.server.clone(), device: known.device };
            checks.push(good(Subject::Registration, fact));
            Some(known)
        }
        Ok(None) => {
            checks.push(bad(Subject::Registration, Fault::Unregistered));
            None
        }
        Err(error) => {
            checks.push(bad(Subject::Registration, Fault::Registration(error)));
            None
        }
    }
}

async fn check_key(
    folder: &Folder,
    registration: Option<&Registration>,
    checks: &mut Vec<Finding>,
) -> Option<PrivateKey> {
    let Some(registration) = registration else {
        checks.push(skipped(Subject::Key));
        return None;
    };
    match Vault::of(registration.key_store, folder).load(&registration.key).await {
        Ok(Some(key)) => {
            let fact = Fact::KeyIn { store: registration.key_store, key: registration.key };
            checks.push(good(Subject::Key, fact));
            Some(key)
        }
        Ok(None) => {
            checks.push(bad(Subject::Key, Fault::KeyGone(registration.key_store)));
            None
        }
        Err(error) => {
            checks.push(bad(Subject::Key, Fault::Vault(error)));
            None
        }
    }
}

/// Proxy, name, TCP, the server's identity, this device's and the clock, each on its own, so that the first that
/// fails is named.
async fn check_server(
    route: &DialRoute,
    registration: Option<&Registration>,
    key: Option<&PrivateKey>,
    checks: &mut Vec<Finding>,
) {
    use Subject::{Clock, Name, OwnIdentity, Proxy, Reachability, ServerIdentity};

    let Some(registration) = registration else {
        checks.extend([Proxy, Name, Reachability, ServerIdentity, OwnIdentity, Clock].map(skipped));
        return;
    };
    let server = &registration.server;
    let host = server.host().to_owned();
    checks.push(match &route.proxy {
        Some(proxy) => good(Proxy, Fact::Proxy { proxy: proxy.to_string(), server: server.clone() }),
        None => good(Proxy, Fact::NoProxy),
    });
    // Behind a proxy the name is the proxy's to resolve.
    let name = match (&route.proxy, tokio::net::lookup_host((server.host(), server.port())).await) {
        (Some(_), _) => Ok(Fact::NameByProxy { host }),
        (None, Ok(found)) => Ok(Fact::Name { host, addresses: found.map(|address| address.ip()).collect() }),
        (None, Err(source)) => Err(DialError::Name { server: server.clone(), source }),
    };
    match name {
        Ok(fact) => checks.push(good(Name, fact)),
        Err(error) => {
            checks.push(bad(Name, dialled(&error)));
            checks.extend([Reachability, ServerIdentity, OwnIdentity, Clock].map(skipped));
            return;
        }
    }
    let Some(key) = key else {
        checks.extend([Reachability, ServerIdentity, OwnIdentity, Clock].map(skipped));
        return;
    };
    let start = Instant::now();
    match verify_identity(server, route, key, registration.pins.clone()).await {
        Ok(found) => {
            let took = Some(start.elapsed());
            checks.push(good(Reachability, Fact::Answers { server: server.clone(), took }));
            checks.push(good(ServerIdentity, Fact::Pinned { keys: found.key_exchange }));
            checks.push(good(OwnIdentity, Fact::Known { device: found.device }));
            checks.push(clock(found.now));
        }
        Err(error) => server_trouble(server, &error, checks),
    }
}

/// Says which of the checks failed, and with it that those before it did not.
fn server_trouble(server: &ServerAddr, error: &SessionError, checks: &mut Vec<Finding>) {
    use Subject::{Clock, OwnIdentity, Proxy, Reachability, ServerIdentity};

    let answers = || good(Reachability, Fact::Answers { server: server.clone(), took: None });
    match error {
        SessionError::Dial(error @ DialError::Proxy(_)) => {
            // The last of them was the proxy's, and was taken to be right.
            if let Some(check) = checks.iter_mut().find(|check| check.of == Proxy) {
                *check = bad(Proxy, dialled(error));
            }
            checks.extend([Reachability, ServerIdentity, OwnIdentity, Clock].map(skipped));
        }
        SessionError::Dial(
            error @ (DialError::WrongServer { .. }
            | DialError::NotPetit { .. }
            | DialError::Inspected { .. }
            | DialError::Classical { .. }),
        ) => {
            checks.push(answers());
            checks.push(bad(ServerIdentity, dialled(error)));
            checks.extend([OwnIdentity, Clock].map(skipped));
        }
        SessionError::Dial(error @ DialError::Denied { .. }) => {
            checks.push(answers());
            checks.push(good(ServerIdentity, Fact::Pinned { keys: None }));
            checks.push(bad(OwnIdentity, dialled(error)));
            checks.push(skipped(Clock));
        }
        SessionError::Dial(
            error @ (DialError::Name { .. }
            | DialError::Tcp { .. }
            | DialError::Unanswered { .. }
            | DialError::Closed { .. }),
        ) => {
            checks.push(bad(Reachability, dialled(error)));
            checks.extend([ServerIdentity, OwnIdentity, Clock].map(skipped));
        }
        SessionError::Refused { .. }
        | SessionError::Ended { .. }
        | SessionError::TooMuch { .. }
        | SessionError::NoWelcome { .. }
        | SessionError::Broke { .. } => {
            checks.push(answers());
            checks.push(good(ServerIdentity, Fact::Pinned { keys: None }));
            let fault = Fault::Server { cause: error.cause(), said: String::new() };
            checks.push(bad(OwnIdentity, fault));
            checks.push(skipped(Clock));
        }
    }
}

/// Compares this computer's clock with the server's.
fn clock(servers: u64) -> Finding {
    let own = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let apart = Duration::from_secs(own.abs_diff(servers));
    if apart <= limits::CLOCK_SKEW {
        return good(Subject::Clock, Fact::Agrees { apart });
    }
    bad(Subject::Clock, Fault::Clock { apart, is_ahead: own > servers })
}

fn dialled(error: &DialError) -> Fault {
    let said = match error {
        DialError::Tcp { source, address, .. } => format!(" ({address}: {source})"),
        DialError::NotPetit { source, .. } => format!(" ({source})"),
        DialError::Closed { source, .. } if source.kind() != io::ErrorKind::UnexpectedEof => {
            format!(" ({source})")
        }
        DialError::Inspected { issuer, server } => format!(": {issuer}; the host to exempt is {server}"),
        DialError::Proxy(error) => format!(" ({})", chain(error)),
        _ => String::new(),
    };
    Fault::Server { cause: error.cause(), said }
}

/// What the client that runs says of itself.
enum Running {
    Says(Box<Status>),
    No,
    /// One runs, and does not answer, or is of another version.
    Unreadable,
}

async fn running(folder: &Folder) -> Running {
    match Client::new(&folder.socket()).call("GET", "/status", None).await {
        Ok(value) => serde_json::from_value(value).map_or(Running::Unreadable, Running::Says),
        Err(CallError::NotRunning) => Running::No,
        Err(_) => Running::Unreadable,
    }
}

/// Whether the running client is connected: that the server takes this computer when it is asked by the doctor proves
/// nothing of the connection that visitors need.
fn check_connection(registration: Option<&Registration>, running: &Running) -> Option<Finding> {
    let of = Subject::Connection;
    let Some(registration) = registration else { return Some(skipped(of)) };
    Some(match running {
        Running::Says(status) => match &status.connection {
            Connection::Online { .. } => good(of, Fact::Connected { server: registration.server.clone() }),
            other => bad(of, Fault::Connection(other.clone())),
        },
        Running::No => bad(of, Fault::NotRunning),
        Running::Unreadable => return None,
    })
}

/// `statuses`: the services as the running client sees them; none while none runs.
async fn check_services(
    config: Option<&Config>,
    registration: Option<&Registration>,
    statuses: &[ServiceStatus],
    checks: &mut Vec<Finding>,
) {
    let Some(config) = config else {
        checks.push(skipped(Subject::Services));
        return;
    };
    if config.services.is_empty() {
        let invited = registration.map(|known| known.service.clone());
        checks.push(bad(Subject::Services, Fault::NoService { invited }));
        return;
    }
    let first = registration.map_or_else(ServiceName::first, |known| known.service.clone());
    for spec in config.specs(&first) {
        let own = check_service(&spec).await;
        let status = statuses.iter().find(|status| status.name == spec.name);
        let at_server = status.and_then(|status| check_at_server(status, &own.found));
        checks.push(own);
        checks.extend(at_server);
    }
}

/// What the running client says of a service: where the way to it ends, and how its public address is. `own`: what the
/// doctor has found of the service itself.
fn check_at_server(status: &ServiceStatus, own: &Found) -> Option<Finding> {
    let at_server = Subject::AtServer(status.name.clone());
    let public = Subject::PublicAddress(status.name.clone());
    match status.broken.as_ref().map(|broken| broken.at) {
        Some(at @ (BrokenAt::Server(_) | BrokenAt::Client | BrokenAt::Tunnel)) => {
            return Some(bad(at_server, Fault::Broken(at)));
        }
        Some(BrokenAt::Front(cause)) => {
            let url = status.url.clone().unwrap_or_default();
            return Some(bad(public, Fault::PublicAddress { url, cause }));
        }
        Some(BrokenAt::Shut) => return Some(bad(public, Fault::Broken(BrokenAt::Shut))),
        // It takes connections, and gives visitors no answer.
        Some(BrokenAt::Service(cause)) if own.result() == CheckResult::Good => {
            let target = status.target.clone();
            return Some(bad(at_server, Fault::Service { target, cause, certificate: None }));
        }
        // Said of the service, of the connection and of the registration.
        Some(BrokenAt::Service(_) | BrokenAt::Connection(_) | BrokenAt::Registration) | None => {}
    }
    let url = status.url.clone()?;
    match status.front.state {
        FrontState::Checking => None,
        FrontState::Passed => Some(good(public, Fact::PublicAddress { url })),
        FrontState::Failed(cause) => Some(bad(public, Fault::PublicAddress { url, cause })),
        FrontState::Untried(why) => Some(Finding { of: public, found: Found::Untried { why, url } }),
    }
}

async fn check_service(spec: &ServiceSpec) -> Finding {
    let (of, target) = (Subject::Service(spec.name.clone()), spec.target.clone());
    let start = Instant::now();
    let cause = match check(spec).await {
        Ok(()) => return good(of, Fact::Accepts { target, took: start.elapsed() }),
        Err(cause) => cause,
    };
    let shown = match cause {
        ServiceCause::Untrusted => who_answers(&target, &DialRoute::default()).await,
        _ => None,
    };
    let certificate = shown.map(|shown| Certificate {
        fingerprint: data_encoding::HEXUPPER.encode(&shown.fingerprint),
        issuer: shown.issuer,
        poses: shown.poses,
    });
    bad(of, Fault::Service { target, cause, certificate })
}

#[cfg(test)]
mod tests {
    use petit_engine::cause::{Cause, FrontCause};
    use petit_engine::proto::control::{GrantRefusal, ServiceKind};

    use super::*;
    use crate::status::{Broken, FrontStatus, Light};

    /// A service whose public front was passed, and that is broken all the same.
    fn status(at: BrokenAt) -> ServiceStatus {
        ServiceStatus {
            name: "db".parse().unwrap(),
            kind: ServiceKind::Tcp,
            target: "localhost:5432".parse().unwrap(),
            id: None,
            url: Some("tcp://petit.example.com:20001".to_owned()),
            aliases: Vec::new(),
            admits: None,
            light: Light::Red,
            broken: Some(Broken { at, since: None }),
            front: FrontStatus { state: FrontState::Passed, since: None },
            alias_fronts: Vec::new(),
            hops: Vec::new(),
            proved: None,
            probe: None,
            visits: 0,
            active: 0,
            to_service_bytes: 0,
            from_service_bytes: 0,
        }
    }

    #[test]
    fn what_the_status_calls_broken_is_not_called_well() {
        let target = || "localhost:5432".parse().unwrap();
        let accepts = Found::Good(Fact::Accepts { target: target(), took: Duration::ZERO });
        for at in [
            BrokenAt::Front(FrontCause::Listener),
            BrokenAt::Shut,
            BrokenAt::Tunnel,
            BrokenAt::Client,
            BrokenAt::Server(GrantRefusal::NoPort),
            BrokenAt::Service(ServiceCause::NoAnswer),
        ] {
            let found = check_at_server(&status(at), &accepts).unwrap();
            assert_eq!(found.found.result(), CheckResult::Bad, "{at:?}");
            let said = words::check(&Texts::of("en"), &found).detail;
            let what = crate::messages::broken(at, "localhost:5432").what(&Texts::of("en"));
            assert!(said.ends_with(&what), "{said}");
        }
    }

    #[test]
    fn what_is_said_elsewhere_is_not_said_twice() {
        let fault = Fault::Service {
            target: "localhost:5432".parse().unwrap(),
            cause: ServiceCause::Refused,
            certificate: None,
        };
        let at = BrokenAt::Service(ServiceCause::Refused);
        let found = check_at_server(&status(at), &Found::Bad(fault)).unwrap();
        assert!(matches!(found.found, Found::Good(Fact::PublicAddress { .. })), "{found:?}");
        let lost = ServiceStatus { url: None, ..status(BrokenAt::Connection(Cause::Lost)) };
        assert!(check_at_server(&lost, &Found::Skipped).is_none());
    }
}
