//! What the relay is told of the release, and what clients get of it.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use petit_engine::BoxFuture;
use petit_engine::name::{DeviceId, Tag};
use petit_engine::proto::control::{Fetch, FetchRefusal, FetchedBy, UpdateReport, UpdateState};
use petit_host::cli::chain;
use petit_relay::{ReleaseFile, Releases};
use tokio::sync::watch;

use super::Rollouts;
use super::known::Known;
use crate::registry::{Rollout, StoredReport, Timestamp};
use crate::releases::HandedOut;

/// How long whoever asks is kept waiting for a server that begins.
const LOADED_WITHIN: Duration = Duration::from_secs(10);
/// A client that says another thing within this has all clients looked at no sooner than they are by themselves.
const SAID_LATELY: Duration = Duration::from_secs(10);

impl Rollouts {
    /// Whether a client gets the release that is handed out now.
    fn admits(&self, handed_out: &HandedOut, device: &DeviceId, by: FetchedBy) -> bool {
        if !self.is_loaded.load(Ordering::Acquire) {
            return false;
        }
        let known = self.read();
        match (by, known.of(handed_out)) {
            // A person may try it before everybody else does, but not what was seen to be bad.
            (FetchedBy::Hand, rollout) => rollout.is_none_or(Rollout::hands_out),
            (FetchedBy::Itself, None) => false,
            // One that was started before another one is watched by nobody any more.
            (FetchedBy::Itself, Some(rollout)) if known.last() != Some(rollout) => false,
            (FetchedBy::Itself, Some(rollout)) => {
                let ring = |tags: &BTreeSet<Tag>| rollout.rings.of(&rollout.release.release, device, tags);
                let ring = self.directory.with_tags(device, ring).flatten();
                rollout.hands_out() && ring.is_some_and(|ring| ring < rollout.open)
            }
        }
    }

    /// Keeps which program a client is, which it has just asked for.
    fn asks(&self, device: DeviceId, target: &str) {
        if self.read().targets.get(&device).is_none_or(|known| known != target) {
            self.write().targets.insert(device, target.to_owned());
        }
    }
}

impl Releases for Rollouts {
    fn open(
        &self,
        device: DeviceId,
        wanted: Fetch,
    ) -> BoxFuture<'_, Result<Option<Arc<dyn ReleaseFile>>, FetchRefusal>> {
        Box::pin(async move {
            // "Nothing" would mean to the client that there is none any more.
            let loaded = tokio::time::timeout(LOADED_WITHIN, self.load()).await;
            if !loaded.is_ok_and(|loaded| loaded.is_ok()) {
                return Err(FetchRefusal::Busy);
            }
            // Somebody may have put another one there a moment ago.
            let release = match self.mirror.look().await {
                Ok(Some(release)) => release,
                Ok(None) => return Ok(None),
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "the release cannot be read");
                    let before = self.mirror.handed_out().borrow().clone();
                    let had = before.is_some_and(|before| self.admits(&before, &device, wanted.by));
                    return if had { Err(FetchRefusal::Unreadable) } else { Ok(None) };
                }
            };
            let handed_out = release.handed_out.clone();
            self.asks(device, wanted.target.as_str());
            if !self.admits(&handed_out, &device, wanted.by) {
                return Ok(None);
            }
            let file = self.mirror.open(release, wanted).await?;
            let (known, is_loaded) = (Arc::clone(&self.known), Arc::clone(&self.is_loaded));
            let guarded = |file| {
                Arc::new(UnlessHalted { file, release: handed_out, known, is_loaded }) as Arc<dyn ReleaseFile>
            };
            Ok(file.map(guarded))
        })
    }

    fn offered(&self, device: &DeviceId) -> Option<u64> {
        let handed_out = self.mirror.handed_out().borrow().clone()?;
        self.admits(&handed_out, device, FetchedBy::Itself).then_some(handed_out.counter)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn reported(&self, device: DeviceId, report: UpdateReport) {
        let UpdateReport { counter, version, state } = report;
        if state == UpdateState::Other {
            return;
        }
        let version = version.to_string();
        let mut known = self.write();
        let target = known.targets.get(&device).cloned();
        // Later than what it is said of, also where the clock has gone back since.
        let begun = known.last().map_or(Timestamp::now(), Rollout::begun);
        let at = Timestamp::now().max(begun);
        let mut report = StoredReport { device, counter, version, state, at, target };
        if let Some(before) = known.reports.get(&device).filter(|before| before.says_as(&report)) {
            if report.target.is_none() || before.target == report.target {
                return;
            }
            report.at = before.at;
        }
        known.unsaved.insert(device);
        let lately = known.known_since.get(&device).is_some_and(|since| since.elapsed() < SAID_LATELY);
        known.put(report);
        drop(known);
        if !lately {
            self.said.notify_one();
        }
    }
}

/// A file of a release, for as long as that is not halted.
struct UnlessHalted {
    file: Arc<dyn ReleaseFile>,
    release: HandedOut,
    known: Arc<RwLock<Known>>,
    is_loaded: Arc<AtomicBool>,
}

impl ReleaseFile for UnlessHalted {
    fn length(&self) -> u64 {
        self.file.length()
    }

    fn read(&self, at: u64) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        let is_halted = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            !self.is_loaded.load(Ordering::Acquire)
                || known.of(&self.release).is_some_and(|rollout| !rollout.hands_out())
        };
        match is_halted {
            true => Box::pin(async { Err(io::Error::other("the release was halted")) }),
            false => self.file.read(at),
        }
    }
}
