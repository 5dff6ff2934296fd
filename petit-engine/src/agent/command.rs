//! What an agent is started with, and what it is told to do.

use std::net::IpAddr;

use tokio::sync::oneshot;

use super::local::ServiceSpec;
use crate::name::{ServerAddr, ServiceName};
use crate::net::dial::DialRoute;
use crate::proto::control::{ProbeResult, Text, UpdateReport, Vitae};
use crate::secret::{Fingerprint, PrivateKey};

/// What an agent is started with.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where to dial.
    pub server: ServerAddr,
    /// How to get there.
    pub route: DialRoute,
    /// Keys that the server may have.
    pub pins: Vec<Fingerprint>,
    /// Who this device is.
    pub key: PrivateKey,
    /// Program and version, for the operator.
    pub software: Text<64>,
    /// What the customer calls this computer.
    pub device_name: Text<64>,
    /// What the operator may know of this installation.
    pub vitae: Vitae,
    /// What is offered.
    pub services: Vec<ServiceSpec>,
    /// Connections to services at the same time, over all sessions; at least one. [`crate::limits::SERVICE_CONNECTIONS`], or
    /// fewer where the process may not open so many.
    pub connections: usize,
}

/// Why a request to the agent came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The agent is not online.
    #[error("not online")]
    Offline,
    /// No such service is set up.
    #[error("no such service")]
    NoSuchService,
    /// The server did not answer in time.
    #[error("the server did not answer")]
    Unanswered,
}

pub(crate) enum Command {
    Switch(bool),
    ReconnectNow,
    Wake,
    Network(Vec<IpAddr>),
    SetRoute(DialRoute),
    SetServices(Vec<ServiceSpec>),
    Introduce(Text<64>, Vitae),
    ReportUpdate(Option<UpdateReport>),
    Probe(ServiceName, oneshot::Sender<Result<ProbeResult, AskError>>),
    Remove(ServiceName, oneshot::Sender<Result<(), AskError>>),
    Unregister(oneshot::Sender<Result<(), AskError>>),
    Drained(oneshot::Sender<()>),
    Stop,
}

/// The installation that an agent belongs to, as far as the relay can tell installations of one key apart.
pub(super) struct Installation {
    pub(super) instance: Text<32>,
    /// Another process of it may still have a session.
    pub(super) predecessor_until: Option<tokio::time::Instant>,
}
