//! What an agent lets others see.

use std::sync::Arc;

use super::fronts::KnownFronts;
use super::local::ServiceSpec;
use super::meter::Meter;
use super::state::AgentState;
use crate::name::{Alias, DeviceId, RegisteredId};
use crate::net::dial::DialRoute;
use crate::proto::control::{Admits, GrantOutcome, Kept, PublicUrl, Text, Vitae};

/// What an agent lets others see.
#[derive(Clone, Debug)]
pub struct AgentView {
    /// Where it stands.
    pub state: AgentState,
    /// Who it is at the server, once it has been welcomed.
    pub device: Option<DeviceId>,
    /// What the server said of itself.
    pub server: Option<ServerView>,
    /// What it offers, in the order of the config.
    pub services: Vec<ServiceView>,
    /// What else the server keeps for it.
    pub kept: Vec<Kept>,
    /// The public fronts, as the server has told of them in this session.
    pub fronts: KnownFronts,
    /// The number of the release that the server has said last that it hands out; no more than a hint.
    pub release: Option<u64>,
    /// The key exchange of the present session, and whether it is post-quantum.
    pub key_exchange: Option<KeyExchange>,
    /// What the present session was dialled with, which a change of either leaves as it is.
    pub dialled_with: Option<DialledWith>,
    /// Who opens TLS connections on the way, when the last attempt came to nothing because of that.
    pub inspected_by: Option<String>,
}

/// How a session's keys were agreed upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyExchange {
    /// Its name, such as `X25519MLKEM768`.
    pub name: String,
    /// True when a future quantum computer cannot undo it.
    pub post_quantum: bool,
}

/// What a session begins with, and keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialledWith {
    pub route: DialRoute,
    /// As the hello said them.
    pub vitae: Vitae,
}

/// What the server said of itself.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// Program and version.
    pub software: Text<64>,
    /// What its operator's config says.
    pub vitae: Vitae,
}

/// One service as it stands.
#[derive(Clone, Debug)]
pub struct ServiceView {
    /// What was set up.
    pub spec: Arc<ServiceSpec>,
    /// What the server made of it; `None` until it has answered in this session.
    pub outcome: Option<GrantOutcome>,
    /// The public names that the server has given it last, in whichever session. They stay its own.
    pub names: Option<ServiceNames>,
    /// Who can come in, as the server says in this session; `None` when it has not said.
    pub admits: Option<Admits>,
    /// What is known and counted of it.
    pub meter: Arc<Meter>,
}

/// The public names of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceNames {
    /// Its registered ID.
    pub id: RegisteredId,
    /// Its public address; for a TCP service host and port.
    pub url: PublicUrl,
    /// Its aliases.
    pub aliases: Vec<Alias>,
}
