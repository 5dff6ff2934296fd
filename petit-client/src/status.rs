//! Where a client stands, as one value that the command line, the tray and other programs draw.
//!
//! A service's light is green only when something passed every hop within the last minute: the public front by the
//! server, which comes to it like a visitor, and the rest by a probe or a visitor who has passed from the server's own
//! front through tunnel and client to the service. Where the server cannot try its public address, the light says how
//! far the proof goes. Otherwise the first broken hop is named, with its cause and since when. Pure: times come in with
//! the call.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use petit_engine::agent::{AgentState, AgentView, KnownFront, KnownFronts, ServiceView, SuccessBy};
use petit_engine::cause::{Cause, Health};
use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, RegisteredId, ServerAddr, ServiceName, VendorName};
use petit_engine::proto::control::{
    Admits, FrontState, GrantOutcome, GrantRefusal, Kept, ProbeResult, ServiceKind,
};
use petit_engine::words::KeyWords;
use petit_host::service::RunBy;
use petit_host::update::{Hours, Version};
use serde::{Deserialize, Serialize};

pub use crate::broken::{Broken, BrokenAt};
use crate::clock::Now;
use crate::consent::Withheld;
use crate::hops;
use crate::vault::VaultError;

/// A client as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Program and version.
    pub software: String,
    /// The file of the program that runs; `None`: it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<PathBuf>,
    /// Process.
    pub pid: u32,
    /// It ends as soon as what is under way is finished.
    #[serde(default)]
    pub stopping: bool,
    /// The service manager that runs it; `None`: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_by: Option<RunBy>,
    /// Its config file.
    pub config: PathBuf,
    /// What is wrong with the config file; the settings before it are in force then.
    pub config_problem: Option<String>,
    /// Where it is registered.
    pub registered: Option<RegisteredAt>,
    /// Where the connection stands.
    pub connection: Connection,
    /// Program and version of the server, once it has said so.
    pub server_software: Option<String>,
    /// The services that are offered, in the order of the config.
    pub services: Vec<ServiceStatus>,
    /// Services of the config that are not offered, because they were not chosen for this vendor.
    #[serde(default)]
    pub withheld: Vec<Withheld>,
    /// Services that the server keeps an address for, though they are not set up any more.
    #[serde(default)]
    pub kept: Vec<Kept>,
    /// Visitors' streams open now.
    pub streams: usize,
    /// The shortest round trip to the server in this session.
    pub round_trip_us: Option<u64>,
    /// The key exchange of this session, such as `X25519MLKEM768`.
    pub key_exchange: Option<String>,
    /// True when a future quantum computer cannot undo it.
    pub post_quantum: Option<bool>,
    /// Another version of this program that the server hands out, as it was last looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Version>,
    /// Who installs that, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdatePlan>,
    /// What those who make the program say of the version that runs; there when it is not to be used any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<VersionStanding>,
    /// Who opens TLS connections on the way, when that is why there is none.
    pub inspected_by: Option<String>,
}

/// Who installs another version, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum UpdatePlan {
    /// A person, with `upgrade`.
    Hand,
    /// A person, in the window of the tray app.
    Window,
    /// It is being installed now: so much of a hundred has been fetched; everything, where nothing is said.
    Now {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fetched: Option<u8>,
    },
    /// Its installer was run in vain, or could not be fetched; a person may try again.
    Failed { why: UpdateFault },
    /// The client, in these hours, or soon.
    Itself {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hours: Option<Hours>,
    },
    /// The client, which has tried in vain, some time later.
    Later,
    /// The client, when the version that is on trial has shown that it works.
    AfterTrial,
    /// It did not work here, and is installed again only when a person insists.
    GivenUp,
    /// A package manager, or whoever administers the computer.
    Other,
    /// Nobody: the customer does not want it.
    Nobody,
    /// One that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Why another version was not installed. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateFault {
    /// It could not be fetched.
    Fetch,
    /// What came is not what those who make the program have signed.
    NotSigned,
    /// Its installer has given up.
    Installer,
    /// One that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Why the version that runs is not to be used any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum VersionStanding {
    Revoked,
    TooOld {
        minimum: Version,
    },
    /// One that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Where a client is registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisteredAt {
    /// The server.
    pub server: ServerAddr,
    /// What the vendor calls itself.
    #[serde(default)]
    pub vendor: Option<VendorName>,
    /// The server's name for this device.
    pub device: DeviceId,
    /// Six words of the server's key.
    #[serde(default)]
    pub key_words: KeyWords,
    /// Since when; seconds since 1970.
    #[serde(default)]
    pub since: Option<u64>,
    /// The service that the invite was made for.
    #[serde(default)]
    pub service: Option<ServiceName>,
}

impl Status {
    /// The service that is to be set up where there is none: the invite's, whose address and aliases are there already,
    /// or, when that was given up, another one that the server keeps an address for.
    pub fn to_be_set_up(&self) -> Option<&ServiceName> {
        let invited = self.registered.as_ref().and_then(|at| at.service.as_ref());
        let is_kept = |name: &ServiceName| self.kept.iter().any(|kept| kept.name == *name);
        let is_given_up = |name: &ServiceName| !self.kept.is_empty() && !is_kept(name);
        let kept = || self.kept.first().map(|kept| &kept.name);
        invited.filter(|name| !is_given_up(name)).or_else(kept)
    }
}

/// Where the connection to the server stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Connection {
    /// Not registered, so there is nothing to connect to.
    Unregistered,
    /// Switched off.
    Off,
    /// The key of this computer cannot be had, so that it cannot say who it is.
    NoKey { trouble: KeyTrouble },
    /// On the way.
    Connecting,
    /// Connected.
    Online {
        /// Seconds since 1970.
        since: u64,
    },
    /// The next attempt is not due yet.
    Waiting {
        /// Why the last one failed, or the last connection ended.
        cause: Cause,
        retry_in_ms: u64,
    },
    /// No further attempt is made before somebody acts.
    Stopped { cause: Cause },
}

/// Why the key of this computer cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyTrouble {
    /// The keychain has been asked and has not answered yet; it may be asking for its password.
    Asked,
    /// There is no keychain, or it does not run.
    Missing,
    /// The keychain is locked.
    Locked,
    /// Its user said no.
    Denied,
    /// It did not answer in time.
    Unanswered,
    /// The key is not where it was put.
    Gone,
    /// Something else; the log has it.
    Failed,
}

impl From<&VaultError> for KeyTrouble {
    fn from(error: &VaultError) -> Self {
        match error {
            VaultError::NoKeychain => Self::Missing,
            VaultError::Locked => Self::Locked,
            VaultError::Denied => Self::Denied,
            VaultError::Unanswered(_) => Self::Unanswered,
            VaultError::Failed(_) | VaultError::File(_) | VaultError::NotAKey(_) => Self::Failed,
        }
    }
}

/// A service as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is.
    pub target: ServerAddr,
    /// Its registered ID, once the server has given one. It stays while there is no connection.
    pub id: Option<RegisteredId>,
    /// Its public address.
    pub url: Option<String>,
    /// Its aliases.
    pub aliases: Vec<Alias>,
    /// Who can come in, as the server says in this session; `None` when it has not said.
    #[serde(default)]
    pub admits: Option<Admits>,
    /// Green, red or neither.
    pub light: Light,
    /// The first broken hop, when the light is red.
    pub broken: Option<Broken>,
    /// How the public front is that its address belongs to.
    #[serde(default)]
    pub front: FrontStatus,
    /// How those of its aliases are that are domains of their own.
    #[serde(default)]
    pub alias_fronts: Vec<AliasFront>,
    /// The way to it.
    #[serde(default)]
    pub hops: Vec<hops::Hop>,
    /// When something last passed from the server's own front to the service.
    pub proved: Option<LastSuccess>,
    /// How far the last probe came, when it was within the last minute of this session.
    #[serde(default)]
    #[serde(rename = "trial")]
    pub probe: Option<ProbeResult>,
    /// Connections from the server to the service so far. One is kept for a moment, and carries one request after
    /// another, or many at a time; the server counts these.
    pub visits: u64,
    /// Of these, the ones that are open.
    pub active: u64,
    /// Bytes to the service.
    pub to_service_bytes: u64,
    /// Bytes from the service.
    pub from_service_bytes: u64,
}

impl ServiceStatus {
    /// True when the server has no room for it among this computer's services.
    pub fn is_one_too_many(&self) -> bool {
        let at = self.broken.as_ref().map(|broken| broken.at);
        at == Some(BrokenAt::Server(GrantRefusal::TooMany))
    }
}

/// True for the address of a raw TCP service whose port is open on the server's own machine only. Read here, it would
/// be an address of this computer.
pub fn is_server_only(url: &str) -> bool {
    let socket = url.strip_prefix("tcp://").and_then(|socket| socket.parse::<SocketAddr>().ok());
    socket.is_some_and(|socket| socket.ip().to_canonical().is_loopback())
}

/// What may be said of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// Something passed every hop within the last minute, the public address included.
    Green,
    /// The way from the server's own front on was; the public address could not be tried.
    UpToServer,
    /// Nothing gets through, and it is known where it ends.
    Red,
    /// It is being found out.
    Checking,
    /// Switched off by its owner.
    Off,
}

/// How a public front is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontStatus {
    pub state: FrontState,
    /// Seconds since 1970; `None` when it is not known.
    pub since: Option<u64>,
}

/// How a domain of a customer's own is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasFront {
    /// The domain.
    pub alias: Alias,
    /// How it is.
    pub front: FrontStatus,
}

/// When something passed from the server's own front to a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastSuccess {
    /// Seconds since 1970.
    pub at: u64,
    /// `None` when a visitor's request passed; otherwise the probe.
    #[serde(rename = "trial")]
    pub probe: Option<ProbeResult>,
}

/// Where the connection stands.
pub fn connection(state: AgentState, now: &Now) -> Connection {
    match state {
        AgentState::Idle => Connection::Off,
        AgentState::Connecting => Connection::Connecting,
        AgentState::Online { since } => Connection::Online { since: now.stamp(since) },
        AgentState::Waiting { until, cause } => {
            let left: Duration = until.saturating_duration_since(now.instant);
            Connection::Waiting { cause, retry_in_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX) }
        }
        AgentState::Stopped { cause } => Connection::Stopped { cause },
    }
}

/// All services as they stand.
pub fn services(view: &AgentView, now: &Now) -> Vec<ServiceStatus> {
    view.services.iter().map(|service| self::service(service, &view.fronts, view.state, now)).collect()
}

fn service(view: &ServiceView, fronts: &KnownFronts, state: AgentState, now: &Now) -> ServiceStatus {
    let counts = view.meter.counts();
    let names = view.names.as_ref();
    let known = fronts.of(view.spec.kind);
    let (light, broken) = light(view, known, state, now);
    let front = |known: KnownFront| FrontStatus {
        state: known.state,
        since: known.since.map(|since| now.stamp(since)),
    };
    let aliases = names.map(|names| names.aliases.as_slice()).unwrap_or_default();
    let alias_front = |alias: &Alias| {
        let (_, known) = fronts.names.iter().find(|(name, _)| name == alias)?;
        Some(AliasFront { alias: alias.clone(), front: front(*known) })
    };
    let proved = view.meter.last_success().map(|good| LastSuccess {
        at: now.stamp(good.at),
        probe: match good.by {
            SuccessBy::Visitor => None,
            SuccessBy::Probe(probe) => Some(probe),
        },
    });
    ServiceStatus {
        name: view.spec.name.clone(),
        kind: view.spec.kind,
        target: view.spec.target.clone(),
        id: names.map(|names| names.id),
        url: names.map(|names| names.url.as_str().to_owned()),
        aliases: aliases.to_vec(),
        admits: view.admits,
        light,
        front: front(known),
        alias_fronts: aliases.iter().filter_map(alias_front).collect(),
        hops: hops::hops(hops::Facts {
            is_https: names.is_some_and(|names| names.url.as_str().starts_with("https:")),
            is_online: matches!(state, AgentState::Online { .. }),
            front: known.state,
            is_proved: is_proved(view, state, now),
            broken: broken.as_ref().map(|broken| broken.at),
        }),
        broken,
        proved,
        probe: match state {
            AgentState::Online { since } => view.meter.last_probe().and_then(|(at, probe)| {
                let fresh = now.instant.saturating_duration_since(at) <= limits::FRESH;
                (fresh && at >= since).then_some(probe)
            }),
            _ => None,
        },
        visits: counts.visits,
        active: counts.active,
        to_service_bytes: counts.to_service_bytes,
        from_service_bytes: counts.from_service_bytes,
    }
}

fn light(view: &ServiceView, front: KnownFront, state: AgentState, now: &Now) -> (Light, Option<Broken>) {
    let red = |at, since: Option<Instant>| {
        (Light::Red, Some(Broken { at, since: since.map(|since| now.stamp(since)) }))
    };
    let online_since = match state {
        AgentState::Idle => return (Light::Off, None),
        AgentState::Connecting => return (Light::Checking, None),
        AgentState::Waiting { cause, .. } | AgentState::Stopped { cause } => {
            return red(BrokenAt::Connection(cause), None);
        }
        AgentState::Online { since } => since,
    };
    match &view.outcome {
        None => return (Light::Checking, None),
        Some(GrantOutcome::Refused { cause }) => return red(BrokenAt::Server(*cause), None),
        Some(GrantOutcome::Registered { .. }) => {}
    }
    // What its owner can mend comes first.
    if let (Health::Down(cause), since) = view.meter.health() {
        return red(BrokenAt::Service(cause), since);
    }
    // Nobody listens there, so that whoever tries it finds no other reason.
    if view.admits == Some(Admits::Nobody) {
        return red(BrokenAt::Shut, None);
    }
    if let FrontState::Failed(cause) = front.state {
        return red(BrokenAt::Front(cause), front.since);
    }
    if let Some((since, hop)) = view.meter.last_failure().filter(|(at, _)| *at >= online_since) {
        return red(hop.into(), Some(since));
    }
    let light = match front.state {
        _ if !is_proved(view, state, now) => Light::Checking,
        FrontState::Passed => Light::Green,
        FrontState::Untried(_) => Light::UpToServer,
        FrontState::Checking | FrontState::Failed(_) => Light::Checking,
    };
    (light, None)
}

/// True when something has passed from the server's own front to the service within the last minute. What passed in
/// an earlier session says nothing about this one.
fn is_proved(view: &ServiceView, state: AgentState, now: &Now) -> bool {
    let AgentState::Online { since } = state else { return false };
    let is_fresh = |at: Instant| now.instant.saturating_duration_since(at) <= limits::FRESH;
    let is_bad = view.meter.last_failure().is_some_and(|(at, _)| at >= since);
    let is_down = matches!(view.meter.health().0, Health::Down(_));
    !is_bad && !is_down && view.meter.last_success().is_some_and(|good| good.at >= since && is_fresh(good.at))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use petit_engine::agent::{Meter, ServiceSpec, Success};
    use petit_engine::cause::{FrontCause, FrontUntried, ServiceCause};
    use petit_engine::proto::control::Hop;

    use std::time::UNIX_EPOCH;

    use super::*;

    fn view(meter: &Arc<Meter>) -> ServiceView {
        ServiceView {
            spec: Arc::new(ServiceSpec::plain(
                ServiceName::first(),
                ServiceKind::Http,
                "localhost:3000".parse().unwrap(),
            )),
            outcome: Some(GrantOutcome::Registered {
                id: RegisteredId::random().unwrap(),
                url: "https://x.example.com".to_owned().try_into().unwrap(),
                aliases: vec![],
            }),
            names: None,
            admits: None,
            meter: Arc::clone(meter),
        }
    }

    const PASSED: KnownFront = KnownFront { state: FrontState::Passed, since: None };

    fn after(start: Instant, seconds: u64) -> Now {
        Now {
            instant: start + Duration::from_secs(seconds),
            wall: UNIX_EPOCH + Duration::from_secs(1000 + seconds),
        }
    }

    #[test]
    fn green_is_what_passed_all_the_way_within_a_minute_of_this_session() {
        let meter = Arc::<Meter>::default();
        let start = Instant::now();
        let at = |seconds| after(start, seconds).instant;
        let online = AgentState::Online { since: at(10) };
        let light_at = |seconds| light(&view(&meter), PASSED, online, &after(start, seconds)).0;
        meter.record_success(Success { at: at(5), by: SuccessBy::Visitor });
        assert_eq!(light_at(11), Light::Checking, "that was before this session");
        meter.record_success(Success { at: at(20), by: SuccessBy::Visitor });
        assert_eq!(light_at(21), Light::Green);
        assert_eq!(light_at(80), Light::Green);
        assert_eq!(light_at(81), Light::Checking);
    }

    #[test]
    fn what_a_probe_has_seen_counts_for_a_minute_of_its_session() {
        let meter = Arc::<Meter>::default();
        let start = Instant::now();
        let at = |seconds| after(start, seconds);
        let far = ProbeResult { front_us: Some(1), broken: Some(Hop::Tunnel), ..ProbeResult::default() };
        meter.record_probe(far, at(20).instant);
        let fronts = KnownFronts::default();
        let seen = |state, now| service(&view(&meter), &fronts, state, &at(now)).probe;
        assert_eq!(seen(AgentState::Online { since: at(10).instant }, 21), Some(far));
        assert_eq!(seen(AgentState::Online { since: at(10).instant }, 81), None);
        assert_eq!(seen(AgentState::Online { since: at(30).instant }, 31), None, "that was another session");
        assert_eq!(seen(AgentState::Connecting, 21), None);
        let lost = AgentState::Waiting { until: at(30).instant, cause: Cause::Lost };
        assert_eq!(seen(lost, 21), None);
    }

    #[test]
    fn red_names_the_first_broken_hop() {
        let meter = Arc::<Meter>::default();
        let start = Instant::now();
        let online = AgentState::Online { since: start };
        let now = after(start, 100);
        let at = |state, view: &ServiceView| light(view, PASSED, state, &now).1.map(|broken| broken.at);
        let waiting = AgentState::Waiting { until: start, cause: Cause::NameNotFound };
        assert_eq!(at(waiting, &view(&meter)), Some(BrokenAt::Connection(Cause::NameNotFound)));
        let mut refused = view(&meter);
        refused.outcome = Some(GrantOutcome::Refused { cause: GrantRefusal::NoPort });
        assert_eq!(at(online, &refused), Some(BrokenAt::Server(GrantRefusal::NoPort)));
        meter.record_failure(Hop::Front, start);
        let found = light(&view(&meter), PASSED, online, &now);
        let front = BrokenAt::Front(FrontCause::Listener);
        assert_eq!(found, (Light::Red, Some(Broken { at: front, since: Some(1000) })));
        meter.set_health(Health::Down(ServiceCause::Refused), start);
        assert_eq!(at(online, &view(&meter)), Some(BrokenAt::Service(ServiceCause::Refused)));
        assert_eq!(at(AgentState::Idle, &view(&meter)), None);
    }

    #[test]
    fn a_port_that_the_vendor_has_not_opened_is_named_as_that_and_not_by_what_follows_from_it() {
        let meter = Arc::<Meter>::default();
        let start = Instant::now();
        let online = AgentState::Online { since: start };
        let now = after(start, 10);
        let shut = ServiceView { admits: Some(Admits::Nobody), ..view(&meter) };
        meter.record_success(Success { at: start, by: SuccessBy::Visitor });
        let found = |view: &ServiceView, state| light(view, PASSED, state, &now);
        let broken = Broken { at: BrokenAt::Shut, since: None };
        assert_eq!(found(&shut, online), (Light::Red, Some(broken.clone())), "at once, before any probe");
        meter.record_failure(Hop::Front, start);
        assert_eq!(found(&shut, online).1, Some(broken.clone()));
        let failed = KnownFront { state: FrontState::Failed(FrontCause::ConnectionRefused), since: None };
        assert_eq!(light(&shut, failed, online, &now).1, Some(broken));
        let hops = service(&shut, &KnownFronts::default(), online, &now).hops;
        let of = |name| hops.iter().find(|hop| hop.hop == name).unwrap().state;
        assert_eq!(of(hops::HopName::Port), hops::HopState::Broken);
        // What its owner can mend comes first, and it is nobody's fault that it is switched off.
        meter.set_health(Health::Down(ServiceCause::Refused), start);
        let down = found(&shut, online).1.map(|broken| broken.at);
        assert_eq!(down, Some(BrokenAt::Service(ServiceCause::Refused)));
        assert_eq!(found(&shut, AgentState::Idle), (Light::Off, None));
    }

    #[test]
    fn a_recovery_turns_the_light_without_a_restart() {
        let meter = Arc::<Meter>::default();
        let start = Instant::now();
        let online = AgentState::Online { since: start };
        let at = |seconds| after(start, seconds);
        meter.set_health(Health::Down(ServiceCause::Refused), at(1).instant);
        meter.record_failure(Hop::Service(ServiceCause::Refused), at(1).instant);
        assert_eq!(light(&view(&meter), PASSED, online, &at(2)).0, Light::Red);
        meter.set_health(Health::Up, at(3).instant);
        meter.record_success(Success { at: at(3).instant, by: SuccessBy::Probe(ProbeResult::default()) });
        assert_eq!(light(&view(&meter), PASSED, online, &at(4)).0, Light::Green);
    }

    #[test]
    fn green_needs_the_public_front_beside_the_services_own_proof() {
        let meter = Arc::<Meter>::default();
        let start = Instant::now();
        let now = after(start, 10);
        let online = AgentState::Online { since: start };
        let found = |state| {
            let front = KnownFront { state, since: Some(after(start, 3).instant) };
            light(&view(&meter), front, online, &now)
        };
        assert_eq!(found(FrontState::Passed), (Light::Checking, None), "the front alone proves nothing");
        meter.record_success(Success { at: now.instant, by: SuccessBy::Visitor });
        assert_eq!(found(FrontState::Passed), (Light::Green, None));
        assert_eq!(found(FrontState::Checking), (Light::Checking, None));
        assert_eq!(found(FrontState::Untried(FrontUntried::Unreachable)), (Light::UpToServer, None));
        let broken = Broken { at: BrokenAt::Front(FrontCause::CertificateExpired), since: Some(1003) };
        assert_eq!(found(FrontState::Failed(FrontCause::CertificateExpired)), (Light::Red, Some(broken)));
    }
}
