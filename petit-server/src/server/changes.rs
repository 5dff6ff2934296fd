//! The log of changes, as the running server looks after it: what is old goes, and where the log stands is signed, so that
//! nobody who can write the registry's file can take something back unnoticed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use petit_engine::secret::InvalidKey;
use petit_host::logs::{self, RotatingFile};
use tokio::task::JoinError;

use super::Server;
use crate::audit::head_in;
use crate::registry::{SignedFor, SignedHead, StoreError, StoreErrorKind, Timestamp};

/// How often the head is signed into the log: what is done to changes that are older than this is noticed.
const SIGN_EVERY: Duration = Duration::from_secs(60 * 60);

/// For so long a clock has to have gone on as it does before anything is forgotten by it.
const STEADY: Duration = Duration::from_secs(24 * 60 * 60);
/// What a clock goes on by between two heads at most, unless it jumps, or the server was away.
const JUMP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// More than are signed in [`STEADY`], also when the server is started now and then.
const SIGNED_LATELY: usize = 100;

/// Why the head was not signed.
#[derive(Debug, thiserror::Error)]
enum SignError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] InvalidKey),
    #[error("cannot write it down in {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Task(#[from] JoinError),
}

impl Server {
    /// Signs the head of the log of changes now and every hour, and forgets what is older than it is kept, for as long as
    /// the future is polled. Never ends.
    pub async fn watch_changes(&self) {
        loop {
            match self.sign_changes().await {
                Ok(head) => {
                    tracing::info!(version = head.head.version, %head, "the log of changes stands here");
                }
                // Whoever keeps the registry now signs.
                Err(SignError::Store(error))
                    if matches!(error.kind(), StoreErrorKind::Elsewhere | StoreErrorKind::Closed) => {}
                Err(error) => {
                    let error = petit_host::cli::chain(&error);
                    tracing::warn!(error, "the head of the log of changes was not signed");
                }
            }
            tokio::time::sleep(SIGN_EVERY).await;
        }
    }

    async fn sign_changes(&self) -> Result<SignedHead, SignError> {
        let (store, key, path) = (Arc::clone(self.directory.store()), self.key.clone(), self.folder.heads());
        // In a task of its own: a server that stops, or hands its registry over, polls no watcher meanwhile, and would
        // wait for ever for what one of them holds of the store.
        let signing = tokio::spawn(async move {
            if is_steady(&signed_lately(&path), Timestamp::now())
                && let Some(through) = store.trim_changes(key.clone()).await?
            {
                tracing::info!(through, "changes that are older than 400 days were forgotten");
            }
            let head = store.changes(u64::MAX, 0).await?.head;
            let head = SignedHead::sign(SignedFor::Standing, head, Timestamp::now(), &key)?;
            let kept =
                RotatingFile::open(&path).and_then(|mut file| file.write_all(format!("{head}\n").as_bytes()));
            kept.map_err(|source| SignError::File { path, source })?;
            Ok(head)
        });
        signing.await?
    }
}

/// When heads were signed lately, the newest last.
fn signed_lately(heads: &Path) -> Vec<Timestamp> {
    let lines = logs::tail(heads, SIGNED_LATELY).unwrap_or_default();
    lines.iter().filter_map(|line| head_in(line)).map(|head| head.at).collect()
}

/// Whether a clock that says `now` has said what it should for a day. One that is years ahead, as that of a machine whose
/// battery is empty until it has asked another one, must not make all changes old: what is forgotten is gone.
fn is_steady(signed: &[Timestamp], now: Timestamp) -> bool {
    let mut later = now;
    // What a clock that was ahead has signed says nothing.
    for at in signed.iter().rev().copied().filter(|at| *at <= now) {
        if later.since(at) > JUMP {
            return false;
        }
        if now.since(at) >= STEADY {
            return true;
        }
        later = at;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_forgotten_by_a_clock_that_has_jumped_within_a_day() {
        const HOUR: i64 = 60 * 60;
        const YEARS: i64 = 2 * 365 * 24 * HOUR;
        let hours = |of: std::ops::Range<i64>, ahead: i64| of.map(move |hour| Timestamp(hour * HOUR + ahead));
        let at = |hour: i64, ahead: i64| Timestamp(hour * HOUR + ahead);
        let usual: Vec<_> = hours(0..100, 0).collect();
        assert!(is_steady(&usual, at(100, 0)));
        assert!(!is_steady(&[], at(100, 0)), "nothing is known of it");
        assert!(!is_steady(&usual[..20], at(20, 0)), "not for a day");
        assert!(!is_steady(&usual, at(100, YEARS)));
        // Also when it has signed, however often within a moment.
        let crashes: Vec<_> = usual.iter().copied().chain([at(100, YEARS); 200]).collect();
        assert!(!is_steady(&crashes, at(100, YEARS + 1)));
        // One that was put right again was ahead for a moment.
        assert!(is_steady(&crashes, at(101, 0)));
        // One that goes on like that for a day is right, and the server was away.
        let away: Vec<_> = usual.iter().copied().chain(hours(100..124, YEARS)).collect();
        assert!(!is_steady(&away, at(123, YEARS)) && is_steady(&away, at(124, YEARS)));
    }
}
