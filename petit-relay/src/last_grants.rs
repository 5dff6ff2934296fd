//! What an agent was told last of its services, so that it is told again only what has changed.

use petit_engine::limits;
use petit_engine::proto::control::{Grant, Kept};
use petit_engine::proto::rate::Rate;
use tokio::time::Instant;

/// What an agent was told last of its services.
#[derive(Debug)]
pub(super) struct LastGrants {
    pub(super) grants: Vec<Grant>,
    pub(super) kept: Vec<Kept>,
    /// Changes of aliases.
    pub(super) changes: Rate,
    /// When to look again for what has changed.
    pub(super) again_at: Option<Instant>,
}

impl Default for LastGrants {
    fn default() -> Self {
        let changes = Rate::new(limits::ALIASES_TOLD_PER_SECOND, limits::ALIASES_TOLD_PER_SECOND);
        Self { grants: Vec::new(), kept: Vec::new(), changes, again_at: None }
    }
}
