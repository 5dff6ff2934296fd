//! Whether the server hands out another version of this program: looked at when it says so, and once in a while. Nothing but
//! the signed documents is fetched, and nothing is done with them but to say it in the status.

use std::time::Duration;

use petit_engine::proto::control::FetchedBy;
use petit_engine::secret::random_bytes;
use petit_host::cli::chain;
use petit_host::files::FileError;
use petit_host::update::{
    Bundle, BundleError, Channel, Consent, Installed, InvalidRoots, Refusal, Roots, Situation, Step, Target,
    Time, Version, decide, verify,
};
use tokio::time::Instant;

use super::Client;
use crate::releases::{Fetcher, ReleaseError};
use crate::updates::{UpdateError, Updates};

/// How often it is looked whether the server has said something.
const HINT_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked without a hint, about.
const LOOK_EVERY: Duration = Duration::from_hours(6);
/// All clients of a server hear of a release at the same moment, and ask for it within this time.
const SPREAD: Duration = Duration::from_secs(30);

/// Why it is not known whether there is another version.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Roots(#[from] InvalidRoots),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Update(#[from] UpdateError),
}

impl Client {
    /// Keeps the status up to date about another version that the server hands out for `target`, for as long as the future
    /// is polled. Never ends.
    pub async fn watch_available(&self, updates: &Updates, target: &Target) {
        let mut hint = None;
        let mut due = Instant::now() + up_to(LOOK_EVERY);
        loop {
            tokio::time::sleep(HINT_EVERY).await;
            let told = {
                let inner = self.shared.inner.lock().await;
                inner.agent.as_ref().and_then(|agent| agent.view().borrow().release)
            };
            if told.is_some() && told != hint {
                hint = told;
                due = due.min(Instant::now() + up_to(SPREAD));
            }
            if due > Instant::now() {
                continue;
            }
            due = Instant::now() + LOOK_EVERY / 2 + up_to(LOOK_EVERY);
            match self.available(updates, target).await {
                Ok(available) => {
                    let mut inner = self.shared.inner.lock().await;
                    if inner.available != available {
                        if let Some(version) = &available {
                            tracing::info!(%version, "the server hands out another version");
                        }
                        inner.available = available;
                        self.publish(&inner);
                    }
                }
                Err(error) => {
                    tracing::info!(error = %chain(&error), "it is not known whether there is another version");
                }
            }
        }
    }

    /// The version that `upgrade` would have; nothing where there is none, or this one does not know who makes it.
    async fn available(&self, updates: &Updates, target: &Target) -> Result<Option<Version>, Unknown> {
        let source = {
            let inner = self.shared.inner.lock().await;
            inner.agent.as_ref().map(petit_engine::agent::Agent::source)
        };
        let roots = updates.place().roots();
        let (Some(source), true) = (source, roots.exists()) else { return Ok(None) };
        let fetcher = Fetcher::with(self.folder(), source, target.clone(), FetchedBy::Itself).await?;
        let Some(documents) = fetcher.documents().await? else { return Ok(None) };
        let read = std::fs::read_to_string(&roots);
        let text = read.map_err(|source| FileError::Io { action: "read", path: roots, source })?;
        let verified = verify(&Bundle::read(documents)?, &Roots::parse(&text)?)?;
        let installed = Installed {
            target: target.clone(),
            version: updates.own().clone(),
            owner: updates.place().owner(),
        };
        let history = updates.history()?;
        let situation = Situation {
            installed: &installed,
            channel: Channel::Stable,
            consent: &Consent::Asked { approved: None },
            history: &history,
            now: Time::now(),
            minute: 0,
        };
        let advice = decide(&verified, &situation)?;
        // It counts as seen: an older one, or one under a key that was replaced, is refused from now on, by `upgrade` as well.
        updates.change(|history| history.remember(&verified)).await??;
        Ok(match advice.step {
            Step::Ask { version } | Step::Tell { version } | Step::Wait { version, .. } => Some(version),
            Step::Install(artifact) => Some(artifact.version.clone()),
            Step::Nothing | Step::GivenUp { .. } => None,
        })
    }
}

/// Some time up to this, by chance.
fn up_to(most: Duration) -> Duration {
    let dice = random_bytes::<4>().map_or(0, u32::from_ne_bytes);
    most.mul_f64(f64::from(dice) / f64::from(u32::MAX))
}
