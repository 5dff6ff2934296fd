//! What the controller does because time has passed.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::Instant;

use super::{Controller, Intent, LOOK_AT_WALL, PUBLISH_EVERY};
use crate::prefs::DesiredState;
use crate::traffic::SAMPLE;

impl Controller {
    pub(super) fn next_moment(&self) -> Option<Instant> {
        let now = Instant::now();
        let publish = self.dirty.then(|| self.published_at.map_or(now, |at| at + PUBLISH_EVERY));
        let pause =
            matches!(self.memory.desired, DesiredState::Paused { .. }).then(|| now + self.pause_left());
        let sample = self.window.then_some(self.sample_at);
        let note = self.watcher.due().map(Instant::from_std);
        [publish, pause, sample, note, self.key_at, self.trouble_at].into_iter().flatten().min()
    }

    /// Until the pause is over, or until it is time to look at the clock on the wall.
    fn pause_left(&self) -> Duration {
        let DesiredState::Paused { until } = self.memory.desired else { return LOOK_AT_WALL };
        let end = UNIX_EPOCH + Duration::from_secs(until);
        end.duration_since((self.clock)()).unwrap_or_default().min(LOOK_AT_WALL)
    }

    pub(super) async fn on_time(&mut self) {
        let now = Instant::now();
        if matches!(self.memory.desired, DesiredState::Paused { .. }) && self.desired().is_on() {
            tracing::info!("the pause is over");
            if let Err(refused) = self.set_desired(DesiredState::On).await {
                tracing::warn!(code = refused.code, "the pause is over, but it is not online");
            }
        }
        if self.key_at.is_some_and(|at| at <= now) {
            self.unlock_ours();
        }
        if self.trouble_at.is_some_and(|at| at <= now) {
            self.open().await;
        }
        if self.window && self.sample_at <= now {
            self.sample_at = now + SAMPLE;
            self.sample();
        }
        if self.watcher.due().is_some_and(|at| Instant::from_std(at) <= now) {
            self.dirty = true;
        }
    }

    /// Reads the counters without waiting for them.
    fn sample(&self) {
        let (Some(link), again) = (self.link.clone(), self.again.clone()) else { return };
        tokio::spawn(async move {
            if let (Some(status), Some(intents)) = (link.status().await, again.upgrade()) {
                let _ = intents.send(Intent::Sampled(Box::new(status))).await;
            }
        });
    }
}
