//! What an agent was told of the fronts.

use petit_engine::name::Alias;
use petit_engine::proto::control::FrontState;

/// What an agent was told, without how long it had been so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrontsTold {
    pub(super) http: FrontState,
    pub(super) tcp: FrontState,
    pub(super) names: Vec<(Alias, FrontState)>,
}
