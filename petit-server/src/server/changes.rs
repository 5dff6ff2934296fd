//! The log of changes, as the running server looks after it: what is old goes, and where the log stands is signed, so that
//! nobody who can write the registry's file can take something back unnoticed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use petit_engine::secret::InvalidKey;
use petit_host::logs::RotatingFile;
use tokio::task::JoinError;

use super::Server;
use crate::registry::{SignedFor, SignedHead, StoreError, StoreErrorKind, Timestamp};

/// How often the head is signed into the log: what is done to changes that are older than this is noticed.
const SIGN_EVERY: Duration = Duration::from_secs(60 * 60);

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
            if let Some(through) = store.trim_changes(key.clone()).await? {
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
