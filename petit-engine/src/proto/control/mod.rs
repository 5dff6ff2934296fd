//! The messages of stream 0, and of enrolment: JSON objects with a `type`, one per CONTROL frame.
//!
//! They are few and rare, so they are written for readers. What they carry is checked when it is parsed:
//! names are names, lists and texts have limits, and a field that this version does not know is an error, so
//! that nothing is ever half understood. Additions are negotiated by `protocol` and `features` in the hello.

mod enrol;
mod error;
mod fronts;
mod policies;
mod release;
mod text;
mod update;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::enrol::{Enrol, EnrolAnswer, EnrolRefusal, FromDevice};
pub use self::error::ControlError;
pub use self::fronts::{FRONTS, FrontReport, FrontState, Fronts, NameReport};
pub use self::policies::{Admits, POLICY, PolicyReport, SHUT_PORT};
pub use self::release::{BUNDLE_FILE, Fetch, FetchAnswer, FetchRefusal, FetchedBy, FromFetcher, RELEASE};
pub use self::text::is_harmless;
pub use self::text::{PublicUrl, SecretText, Text};
pub use self::update::{UPDATES, UpdateReport, UpdateState};
use crate::cause::{Health, ServiceCause};
use crate::limits;
use crate::name::{Alias, DeviceId, HostField, RegisteredId, ServiceName};

/// The version of the protocol that this module speaks.
pub const PROTOCOL: u16 = 1;

/// Agent to relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromAgent {
    /// The first message of a session.
    Hello(Hello),
    /// Instead of a hello: only wants to know whether it would be welcome, and what time it is there. The relay
    /// answers and closes; no session begins, and none that there is ends.
    #[serde(rename = "look")]
    VerifyIdentity {},
    /// The services offered have changed; this is the whole list.
    Services {
        /// All that are offered from now on.
        services: Vec<Offer>,
    },
    /// The local end of a service has changed.
    Health {
        /// The agent's number for it.
        service: u16,
        /// How it is now.
        health: Health,
    },
    /// The local ends of several services have changed. Only in a session with the feature [`HEALTHS`].
    Healths {
        /// Those that have changed.
        healths: Vec<ServiceHealth>,
    },
    /// Please probe a service end to end, from the public front.
    Probe {
        /// Comes back in the answer.
        probe: u32,
        /// The agent's number for the service.
        service: u16,
    },
    /// The customer calls this computer something else.
    Rename {
        /// What.
        device_name: Text<64>,
    },
    /// Gives a service's registered ID and aliases back.
    Remove {
        /// Its name.
        name: ServiceName,
    },
    /// Gives the device's registration back, with all its services. The relay answers and closes.
    Unregister {},
    /// Answers [`FromRelay::Move`]: the other process has welcomed this agent, which needs this session only for what it
    /// is used for still. Only in a session with the feature [`MOVED`].
    Moved {},
    /// What has become of a release here: after the welcome, when there is something to say, and whenever it is something
    /// else. Only in a session with the feature [`UPDATES`].
    Update(UpdateReport),
}

/// Relay to agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromRelay {
    /// Answers the hello: the session is in use from here on.
    Welcome(Welcome),
    /// Answers a look.
    #[serde(rename = "looked")]
    IdentityVerified {
        /// The device that the key belongs to.
        device: DeviceId,
        /// The relay's clock, in seconds since 1970.
        now: u64,
    },
    /// What became of the services offered.
    Services {
        /// One per offer.
        services: Vec<Grant>,
        /// What else is registered for this device.
        kept: Vec<Kept>,
    },
    /// What a probe found.
    Probed {
        /// From the question.
        probe: u32,
        /// How far it came and how long each hop took.
        #[serde(rename = "trial")]
        result: ProbeResult,
    },
    /// The service's ID and aliases are free again.
    Removed {
        /// Its name.
        name: ServiceName,
        /// False when the device had no such service.
        found: bool,
    },
    /// The device is no longer registered.
    Unregistered {},
    /// The session will not be used; the relay closes it after this.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// Another process is taking this relay's place at the same address: the agent is to begin a session with it
    /// at once. This session takes streams until the relay ends it. Only in a session with the feature [`MOVE`].
    Move {},
    /// How the public fronts are, at the beginning of a session and whenever that has changed. Only in a session
    /// with the feature [`FRONTS`].
    Fronts(Fronts),
    /// Who can come to these services, at the beginning of a session and whenever that has changed. Only in a session
    /// with the feature [`POLICY`].
    Policies {
        /// Those that the agent does not know it of.
        services: Vec<PolicyReport>,
    },
    /// A release is handed out to this client, at the beginning of a session and whenever it is another one. No more than
    /// a hint: what it is worth is in what is fetched. Only in a session with the feature [`RELEASE`].
    Release {
        /// The number of its manifest; 0 when there is none any more.
        counter: u64,
    },
}

/// The feature of an agent that understands [`FromRelay::Move`].
pub const MOVE: &str = "move";

/// The feature of an agent that says [`FromAgent::Moved`], and of a relay that waits for it.
pub const MOVED: &str = "moved";

/// The feature of a relay that understands [`FromAgent::Healths`], and of an agent that says its healths so.
pub const HEALTHS: &str = "healths";

/// The feature of a side whose peer may grant it windows of [`limits::WIDE_WINDOW_BYTES`] on a stream.
pub const WIDE: &str = "wide";

/// The feature of an agent that understands [`GrantRefusal::PortBusy`].
pub const BUSY_PORT: &str = "busy_port";

/// The feature of an agent that understands [`Refusal::Suspended`].
pub const SUSPENDED: &str = "suspended";

/// Features by their names.
pub fn features<const N: usize>(names: [&str; N]) -> Vec<Text<32>> {
    names.map(Text::lossy).into()
}

/// True when a hello or a welcome names a feature.
pub fn has_feature(features: &[Text<32>], name: &str) -> bool {
    features.iter().any(|feature| feature.as_str() == name)
}

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The protocol version it speaks: [`PROTOCOL`].
    pub protocol: u16,
    /// Optional parts of the protocol that it understands, such as [`MOVE`].
    pub features: Vec<Text<32>>,
    /// Program and version, for the operator.
    pub software: Text<64>,
    /// What the customer calls this computer.
    pub device_name: Text<64>,
    /// Random per process: tells a reconnect from a second installation with the same key.
    pub instance: Text<32>,
    /// False when this agent was told that its identity is in use elsewhere: it then asks, and takes nothing.
    pub takeover: bool,
    /// True when no earlier session of this process is alive: the relay ends what it still holds of them, so that
    /// their visitors are told at once.
    pub only: bool,
    /// Streams it carries at the same time.
    pub max_streams: u32,
    /// Bytes that may be sent on each stream before its first WINDOW.
    pub window: u32,
    /// What the customer's config says of this installation (brand, host name, platform, …).
    pub vitae: Vitae,
    /// The services it offers.
    pub services: Vec<Offer>,
}

/// Short facts about an installation, for the other side's people.
pub type Vitae = BTreeMap<Text<32>, Text<128>>;

/// A service that an agent offers. Where it really is stays with the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The agent's number for it in this session; never used again for another target.
    pub service: u16,
    /// Its name between customer and vendor.
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// How its local end is.
    pub health: Health,
    /// How requests are to be handed to it.
    pub options: Options,
}

/// How the local end of a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceHealth {
    /// The agent's number for it.
    pub service: u16,
    /// How it is now.
    pub health: Health,
}

/// How an HTTP service wants its requests. Chosen at the agent; nothing in it says where the service is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// It speaks HTTP/2 from the first byte on (gRPC does) instead of HTTP/1.1.
    pub h2: bool,
    /// The `Host` that it sees; `None`: the visitor's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostField>,
    /// How long it may take to begin its answer; `None`: [`limits::FIRST_BYTE`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_within_s: Option<u32>,
    /// The longest request body that it takes; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
}

/// What a service speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// HTTP; visitors reach it by host name.
    #[default]
    Http,
    /// Any protocol over TCP; visitors reach it on a port of its own.
    Tcp,
}

/// The relay's side of the introduction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Welcome {
    /// The protocol version of this session.
    pub protocol: u16,
    /// Features in use; a subset of the hello's.
    pub features: Vec<Text<32>>,
    /// Program and version.
    pub software: Text<64>,
    /// The device that the key belongs to.
    pub device: DeviceId,
    /// Bytes that the relay grants on each stream unless the OPEN says otherwise.
    pub window: u32,
    /// The relay's clock, in seconds since 1970.
    pub now: u64,
    /// What the operator's config says (environment, …).
    pub vitae: Vitae,
    /// One per offer.
    pub services: Vec<Grant>,
    /// What else is registered for this device.
    pub kept: Vec<Kept>,
}

/// A service that is registered for a device but not offered by it: its ID and its aliases are kept for it, and it
/// counts among the services that the device may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its name.
    pub name: ServiceName,
    /// Its registered ID.
    pub id: RegisteredId,
}

/// What became of an offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// From the offer.
    pub service: u16,
    /// From the offer.
    pub name: ServiceName,
    /// Its public names, or why it has none.
    pub outcome: GrantOutcome,
}

/// The outcome of an offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GrantOutcome {
    /// Visitors can reach it.
    Registered {
        /// Its registered ID.
        id: RegisteredId,
        /// Its public address; for a TCP service host and port.
        url: PublicUrl,
        /// Its aliases.
        aliases: Vec<Alias>,
    },
    /// Visitors cannot reach it.
    Refused {
        /// Why.
        cause: GrantRefusal,
    },
}

/// Why an offer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantRefusal {
    /// The device has as many services as the operator allows.
    TooMany,
    /// The server gives no ports for TCP services, or has none left.
    NoPort,
    /// The server could not write it down; it will be offered again.
    StoreFailed,
    /// Its port cannot be had just now, as while the process before still has it; it will be offered again. Only in a
    /// session with the feature [`BUSY_PORT`]; others hear [`Self::StoreFailed`].
    PortBusy,
}

/// How far a probe came, in order; every hop that was passed has its time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeResult {
    /// The public front took the request and routed it.
    pub front_us: Option<u64>,
    /// Server to client and back, without the service.
    pub tunnel_us: Option<u64>,
    /// The client connected to the service.
    pub service_us: Option<u64>,
    /// The first hop that failed; `None` when all passed.
    pub broken: Option<Hop>,
}

/// A part of the way between visitor and service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    /// The server's public side.
    Front,
    /// The connection between server and client.
    Tunnel,
    /// The client itself: it does not offer the service.
    Client,
    /// The private service.
    Service(ServiceCause),
}

/// Why a relay does not want a session or a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The device was revoked, or unregistered.
    Unknown,
    /// A newer session of another process has taken over, or an older one is alive and this agent was not to
    /// take over.
    InUseElsewhere,
    /// The hello speaks another protocol version.
    VersionMismatch,
    /// The vendor's operator keeps the device out for the time being; it is still registered. Only for agents with the
    /// feature [`SUSPENDED`], others are told [`Refusal::Busy`].
    Suspended,
    /// No room at the moment.
    Busy,
    /// The hello, or what followed, broke the protocol.
    Protocol,
}

/// A message that can stand in a CONTROL frame.
pub trait Message: Serialize + DeserializeOwned {
    /// Checks what types alone do not.
    ///
    /// # Errors
    /// [`ControlError::Limit`].
    fn check(&self) -> Result<(), ControlError>;

    /// The payload of its frame.
    ///
    /// # Errors
    /// [`ControlError::TooLong`].
    fn encode(&self) -> Result<Vec<u8>, ControlError> {
        let bytes = serde_json::to_vec(self).map_err(|_| ControlError::Unknown { bytes: 0 })?;
        if bytes.len() > limits::MAX_CONTROL_BYTES {
            return Err(ControlError::TooLong { bytes: bytes.len() });
        }
        Ok(bytes)
    }

    /// Reads and checks the payload of a frame.
    ///
    /// # Errors
    /// [`ControlError`].
    fn decode(payload: &[u8]) -> Result<Self, ControlError> {
        let message: Self =
            serde_json::from_slice(payload).map_err(|_| ControlError::Unknown { bytes: payload.len() })?;
        message.check()?;
        Ok(message)
    }
}

impl Message for FromAgent {
    fn check(&self) -> Result<(), ControlError> {
        match self {
            Self::Hello(hello) => {
                check_offers(&hello.services)?;
                check_vitae(&hello.vitae, &hello.features)?;
                let window = limits::MIN_WINDOW_BYTES..=limits::MAX_WINDOW_BYTES;
                if hello.max_streams == 0 || !window.contains(&hello.window) {
                    return Err(ControlError::Limit { what: "streams or window" });
                }
                Ok(())
            }
            Self::Services { services } => check_offers(services),
            Self::Healths { healths } if healths.len() > limits::MAX_SERVICES => {
                Err(ControlError::Limit { what: "services" })
            }
            Self::VerifyIdentity {}
            | Self::Health { .. }
            | Self::Healths { .. }
            | Self::Probe { .. }
            | Self::Rename { .. }
            | Self::Remove { .. }
            | Self::Unregister {}
            | Self::Moved {}
            | Self::Update(_) => Ok(()),
        }
    }
}

impl Message for FromRelay {
    fn check(&self) -> Result<(), ControlError> {
        match self {
            Self::Welcome(welcome) => {
                check_vitae(&welcome.vitae, &welcome.features)?;
                if welcome.window > limits::MAX_WINDOW_BYTES {
                    return Err(ControlError::Limit { what: "window" });
                }
                check_grants(&welcome.services, &welcome.kept)
            }
            Self::Services { services, kept } => check_grants(services, kept),
            Self::Probed { result, .. } => check_probe_result(result),
            Self::Fronts(fronts) => fronts::check(fronts),
            Self::Policies { services } => policies::check(services),
            Self::IdentityVerified { .. }
            | Self::Removed { .. }
            | Self::Unregistered {}
            | Self::Refused { .. }
            | Self::Move {}
            | Self::Release { .. } => Ok(()),
        }
    }
}

/// No more than allowed, and no number or name twice.
fn check_offers(offers: &[Offer]) -> Result<(), ControlError> {
    if offers.len() > limits::MAX_SERVICES {
        return Err(ControlError::Limit { what: "services" });
    }
    let mut numbers: Vec<u16> = offers.iter().map(|offer| offer.service).collect();
    let mut names: Vec<&ServiceName> = offers.iter().map(|offer| &offer.name).collect();
    numbers.sort_unstable();
    names.sort_unstable();
    numbers.dedup();
    names.dedup();
    if numbers.len() != offers.len() || names.len() != offers.len() {
        return Err(ControlError::Limit { what: "services of one number or name" });
    }
    let day = 24 * 60 * 60;
    if offers.iter().filter_map(|offer| offer.options.answer_within_s).any(|limit| limit == 0 || limit > day)
    {
        return Err(ControlError::Limit { what: "time for an answer" });
    }
    Ok(())
}

/// A probe does not take longer than it is waited for.
fn check_probe_result(result: &ProbeResult) -> Result<(), ControlError> {
    let most = limits::PROBE_LIMIT.as_micros();
    let times = [result.front_us, result.tunnel_us, result.service_us];
    if times.into_iter().flatten().any(|time| u128::from(time) > most) {
        return Err(ControlError::Limit { what: "time of a probe" });
    }
    Ok(())
}

/// No more than allowed, and no number twice.
fn check_grants(services: &[Grant], kept: &[Kept]) -> Result<(), ControlError> {
    if services.len() > limits::MAX_SERVICES || kept.len() > limits::MAX_SERVICES {
        return Err(ControlError::Limit { what: "services" });
    }
    let mut numbers: Vec<u16> = services.iter().map(|grant| grant.service).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() != services.len() {
        return Err(ControlError::Limit { what: "services of one number" });
    }
    Ok(())
}

fn check_vitae(vitae: &Vitae, features: &[Text<32>]) -> Result<(), ControlError> {
    if vitae.len() > 32 || features.len() > 32 {
        return Err(ControlError::Limit { what: "vitae or features" });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
