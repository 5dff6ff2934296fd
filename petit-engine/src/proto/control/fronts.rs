//! What the relay tells its agents of the public fronts that concern them. Only in sessions with the feature
//! [`FRONTS`].

use serde::{Deserialize, Serialize};

use super::error::ControlError;
use crate::cause::{FrontCause, FrontUntried};
use crate::limits;
use crate::name::Alias;

/// The feature of an agent that understands [`super::FromRelay::Fronts`].
pub const FRONTS: &str = "fronts";

/// How the public fronts are that a session's services are reached by. The whole of it, each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fronts {
    /// The endpoint: where registered IDs and aliases of one label are.
    pub http: FrontReport,
    /// The host of raw TCP services. Whether a service's own port takes connections is part of its probe.
    pub tcp: FrontReport,
    /// The aliases of the session's services that are whole domains.
    pub names: Vec<NameReport>,
}

/// How one front is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontReport {
    /// How.
    pub state: FrontState,
    /// For how many seconds it has been so.
    pub for_s: u64,
}

/// How a domain of a customer's own is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameReport {
    /// The domain.
    pub name: Alias,
    /// How it is.
    pub report: FrontReport,
}

/// What is known of a public front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrontState {
    /// Nothing yet, or not any more.
    #[default]
    Checking,
    /// A probe has come in through it within the last minute, as a visitor would.
    Passed,
    /// Probes do not get in.
    Failed(FrontCause),
    /// It could not be tried from where the server is.
    Untried(FrontUntried),
}

pub(super) fn check(fronts: &Fronts) -> Result<(), ControlError> {
    if fronts.names.len() > limits::MAX_SERVICES {
        return Err(ControlError::Limit { what: "names" });
    }
    let mut reports =
        [fronts.http, fronts.tcp].into_iter().chain(fronts.names.iter().map(|name| name.report));
    if reports.any(|report| report.for_s > limits::FRONT_AGE_MAX.as_secs()) {
        return Err(ControlError::Limit { what: "age of a front" });
    }
    Ok(())
}
