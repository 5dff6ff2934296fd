//! What an operator asks about one address: tried now, once, and nothing is remembered of it.

use std::net::SocketAddr;
use std::time::Duration;

use petit_engine::cause::{FrontCause, FrontUntried};
use petit_engine::limits;
use petit_engine::name::{RegisteredId, VisitorHost};
use petit_engine::proto::control::{FrontState, ProbeResult};

use super::super::{Presence, Relay, Route, probe};
use super::FrontProbing;
use super::attempt::{AttemptOutcome, Target};
use super::own_machine::is_of_this_machine;

impl From<AttemptOutcome> for FrontState {
    fn from(outcome: AttemptOutcome) -> Self {
        match outcome {
            AttemptOutcome::Passed(_) => Self::Passed,
            AttemptOutcome::Failed(cause) => Self::Failed(cause),
            AttemptOutcome::Untried(why) => Self::Untried(why),
        }
    }
}

impl Relay {
    /// Tries the public address of one host now, once.
    pub async fn try_host(&self, host: &VisitorHost) -> FrontState {
        let probes = &self.shared.front_probes;
        if probes.probing == FrontProbing::OwnSockets {
            return FrontState::Untried(FrontUntried::SwitchedOff);
        }
        let target = Target::public(&self.shared.config.endpoint, host.name().to_owned());
        probes.prober.attempt(&target).await.into()
    }

    /// Tries the port of a raw TCP service now, once, where `host` leads. [`FrontState::Passed`]: a connection to
    /// there has come in at this process, which told it from a visitor's by its source; that can be known only where
    /// `host` is this machine.
    pub async fn try_port(&self, host: &str, id: &RegisteredId) -> FrontState {
        let probes = &self.shared.front_probes;
        if probes.probing == FrontProbing::OwnSockets {
            return FrontState::Untried(FrontUntried::SwitchedOff);
        }
        let found = match probes.prober.addresses(host, 0).await {
            Ok(found) => found,
            Err(outcome) => return outcome.into(),
        };
        let Some(ip) = found.iter().map(SocketAddr::ip).find(|ip| is_of_this_machine(*ip)) else {
            return FrontState::Untried(FrontUntried::OtherMachine);
        };
        match self.shared.tcp_listeners.try_port(Some(ip), id).await {
            Some(_) => FrontState::Passed,
            None => FrontState::Failed(FrontCause::ConnectionRefused),
        }
    }

    /// Tries the way from here to a service now, once: through the tunnel to its client, which connects to the service
    /// and sends it nothing. `None`: no client offers it.
    ///
    /// The client is waited for longer than it waits for the service ([`limits::SERVICE_CONNECT`]), so silence is the
    /// tunnel's.
    pub async fn try_service(&self, route: &Route) -> Option<ProbeResult> {
        match self.presence(route) {
            Presence::Suspended | Presence::Away | Presence::NotOffered => None,
            Presence::Offered(_) => {
                Some(probe::through(&self.shared, route, Duration::ZERO, limits::PROBE_LIMIT).await)
            }
        }
    }
}
