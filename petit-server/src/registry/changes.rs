//! Writing changes down, and forgetting old ones: see [`change`](super::change) for what one is.

use std::fmt;
use std::time::Duration;

use petit_engine::limits;
use petit_engine::secret::PrivateKey;

use super::change::{Actor, Change, Head, SignedFor, SignedHead};
use super::change_body::ChangeBody;
use super::error::StoreError;
use super::rows::Rows;
use super::rules::Registry;

/// How long changes are kept: a year, and some days to look at it.
pub(crate) const KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What has come in the place of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Successor {
    /// One from a backup.
    Backup,
    /// One without anything.
    Empty,
}

impl<R: Rows> Registry<'_, R> {
    /// Writes down what this transaction has changed. Once in each.
    pub(super) async fn record(
        &mut self,
        actor: Actor,
        subject: impl fmt::Display + Send,
        body: &ChangeBody,
    ) -> Result<(), StoreError> {
        let subject = subject.to_string();
        let head = self.rows.head().await?;
        let (kind, body) = body.written().map_err(|_| StoreError::row("change"))?;
        let change = Change::after(head, (self.now, actor), (kind.into(), subject), body);
        self.rows.append_change(&change).await
    }

    /// Whether a client has had as much written down as it may within a day.
    pub(super) async fn is_over_budget(&mut self, client: Actor) -> Result<bool, StoreError> {
        let since = self.now - DAY;
        Ok(self.rows.change_bytes(client, since).await? >= limits::CLIENT_CHANGES_BYTES_PER_DAY)
    }

    /// Forgets all changes of before 400 days ago, up to the first that is younger, and keeps the hash of the last of
    /// them, signed. At most once a day. Returns up to which version, if there was any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trim_changes(mut self, key: &PrivateKey) -> Result<Option<u64>, StoreError> {
        let oldest = self.rows.oldest_change().await?;
        if oldest.is_none_or(|oldest| oldest > self.now - KEPT - DAY) {
            return Ok(None);
        }
        let Some(last) = self.rows.last_change_before(self.now - KEPT).await? else { return Ok(None) };
        let through = last.version;
        let signed = self.signed(SignedFor::Checkpoint, last, key)?;
        self.rows.delete_changes(&signed).await?;
        self.record(Actor::Server, "changes", &ChangeBody::LogTrimmed { through }).await?;
        Ok(Some(through))
    }

    /// Takes note that this registry is in the place of another one. What the server has signed of changes that it does
    /// not have counts no more; so this, too, is signed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn superseded(
        mut self,
        by: Successor,
        actor: Actor,
        key: &PrivateKey,
    ) -> Result<(), StoreError> {
        let head = self.rows.head().await?;
        let signed = self.signed(SignedFor::Restored, head, key)?;
        let body = match by {
            Successor::Backup => ChangeBody::RegistryRestored { signed },
            Successor::Empty => ChangeBody::RegistryMadeAnew { signed },
        };
        self.record(actor, "registry", &body).await
    }

    fn signed(&self, signed_for: SignedFor, head: Head, key: &PrivateKey) -> Result<SignedHead, StoreError> {
        SignedHead::sign(signed_for, head, self.now, key).map_err(|_| StoreError::row("key to sign with"))
    }
}
