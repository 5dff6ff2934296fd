//! What the relay tells its agents of the policies of their services: who can come in, as far as its operator says. Only
//! in sessions with the feature [`POLICY`].

use serde::{Deserialize, Serialize};

use super::error::ControlError;
use crate::limits;

/// The feature of an agent that understands [`super::FromRelay::Policies`].
pub const POLICY: &str = "policy";

/// The feature of an agent that understands [`Admits::Nobody`].
pub const SHUT_PORT: &str = "shut_port";

/// Who can come to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyReport {
    /// The agent's number for the service.
    pub service: u16,
    pub admits: Admits,
}

/// Whom the operator lets come to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admits {
    /// Whoever knows its public address.
    Anyone,
    /// Those alone who show a key, or come from an address, that the operator has chosen.
    Chosen,
    /// Nobody: the policy asks for what raw TCP cannot carry, so the service's port is not listened on. Only in a session
    /// with the feature [`SHUT_PORT`].
    Nobody,
}

/// No more than there can be services.
pub(super) fn check(services: &[PolicyReport]) -> Result<(), ControlError> {
    if services.len() > limits::MAX_SERVICES {
        return Err(ControlError::Limit { what: "services" });
    }
    Ok(())
}
