//! What policies have come to: visits that they have refused, and ports that they keep shut.

use petit_engine::name::{DeviceId, PolicyName, RegisteredId, ServiceName};
use petit_relay::policy::{Refusals, ServicePolicy};
use serde::{Deserialize, Serialize};

/// A policy, and what it has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyActivity {
    pub policy: PolicyName,
    #[serde(flatten)]
    pub counts: PolicyCounts,
}

/// What a policy has come to, since the server was started or the policy was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCounts {
    /// Visits that were refused.
    pub refused: RefusalCounts,
    /// Visits that were let in because the policy only counted.
    pub would_refuse: RefusalCounts,
}

impl PolicyCounts {
    pub(crate) fn of(policy: &ServicePolicy) -> Self {
        let counters = &policy.counters;
        Self { refused: counters.refused().into(), would_refuse: counters.would_refuse().into() }
    }
}

/// So many visits, by why they are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalCounts {
    /// They come from elsewhere.
    pub address: u64,
    /// Their bodies are too long.
    pub body: u64,
    /// Too many are under way.
    pub concurrent: u64,
    /// They show no key.
    pub key_missing: u64,
    /// They show one that is not taken.
    pub key_refused: u64,
    /// Too many have come in the last moments.
    pub rate: u64,
}

impl From<Refusals> for RefusalCounts {
    fn from(refusals: Refusals) -> Self {
        let Refusals { address, key_missing, key_refused, rate, concurrent, body } = refusals;
        Self { address, body, concurrent, key_missing, key_refused, rate }
    }
}

impl RefusalCounts {
    /// All of them.
    pub fn sum(&self) -> u64 {
        let Self { address, body, concurrent, key_missing, key_refused, rate } = self;
        [address, body, concurrent, key_missing, key_refused, rate].into_iter().sum()
    }
}

/// The port of a raw TCP service whose policy asks for a key, which raw TCP cannot carry, and for no address: it is not
/// listened on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutPort {
    /// Its public address, where a running server knows it.
    pub address: Option<String>,
    pub client: DeviceId,
    /// The service's registered ID.
    pub id: RegisteredId,
    /// The policy that shuts it.
    pub policy: PolicyName,
    /// `None`: the system chooses it.
    pub port: Option<u16>,
    pub service: ServiceName,
}

/// Which raw TCP ports a change has shut, and which it has opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortChanges {
    /// Not listened on any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shut_ports: Vec<ShutPort>,
    /// Listened on again, with the policy that had shut them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened_ports: Vec<ShutPort>,
}

impl PortChanges {
    /// What lies between two looks at the ports that are shut.
    pub(crate) fn between(before: &[ShutPort], mut now: Vec<ShutPort>) -> Self {
        let is_among = |ports: &[ShutPort], port: &ShutPort| ports.iter().any(|other| other.id == port.id);
        let opened_ports = before.iter().filter(|port| !is_among(&now, port)).cloned().collect();
        now.retain(|port| !is_among(before, port));
        Self { shut_ports: now, opened_ports }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_of_the_ports_that_it_concerns_alone() {
        let port = |policy: &str| ShutPort {
            address: None,
            client: DeviceId::random().unwrap(),
            id: RegisteredId::random().unwrap(),
            policy: policy.parse().unwrap(),
            port: Some(8000),
            service: ServiceName::first(),
        };
        let (stays, goes, comes) = (port("one"), port("one"), port("other"));
        let of_another_policy = ShutPort { policy: "other".parse().unwrap(), ..stays.clone() };
        let changes = PortChanges::between(&[stays, goes.clone()], vec![of_another_policy, comes.clone()]);
        assert_eq!(changes, PortChanges { shut_ports: vec![comes], opened_ports: vec![goes] });
    }
}
