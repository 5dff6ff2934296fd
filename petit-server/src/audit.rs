//! Whether the log of changes is whole: each change is what its hash says, follows the one before, and nothing that the
//! server has signed is missing. Pure; reads what it is given, page by page.

use petit_engine::secret::Fingerprint;

use crate::registry::{CHANGES_KEPT, Change, ChangeHash, Head, SUPERSEDED, SignedFor, SignedHead, Timestamp};

/// Why a log is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditFault {
    /// The log begins where nobody with the server's key has cut it.
    #[error(
        "the log begins after change {version}, and what says so is not signed by this server ({key}); to trust that key, add --key {key}"
    )]
    Checkpoint {
        /// The change that it should follow.
        version: u64,
        /// Whose signature is there.
        key: Fingerprint,
    },
    /// What has been kept elsewhere is not what this server has signed.
    #[error(
        "a head of change {version} was to be compared with, but this server has not signed it ({key}); to trust that key, add --key {key}"
    )]
    Head {
        /// Which change it is of.
        version: u64,
        /// Whose signature is there.
        key: Fingerprint,
    },
    /// Changes are missing.
    #[error("change {expected} is missing: the next one that is there is {found}")]
    Missing { expected: u64, found: u64 },
    /// A change does not say what it said.
    #[error("change {version} was altered: its hash is of something else")]
    Altered { version: u64 },
    /// A change follows another one than the one before it.
    #[error(
        "change {version} does not follow the one before it: that one, or a part of the log, was replaced"
    )]
    Replaced { version: u64 },
    /// What the server has signed is not there any more.
    #[error(
        "the log ends with change {last}, but the server has signed change {signed} at {at}: the end of the log was cut off"
    )]
    Cut { last: u64, signed: u64, at: String },
    /// What the server has signed is another change now.
    #[error("change {version} is not the one that the server has signed at {at}: the log was written anew")]
    Rewritten { version: u64, at: String },
    /// The registry says that its log stands elsewhere.
    #[error(
        "the log ends with change {last}, but the registry's version is {version}: the end of the log was cut off"
    )]
    Short { last: u64, version: u64 },
}

/// What was found of a log that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The first change that is there; `None` when there is none.
    pub first: Option<u64>,
    /// Where it ends.
    pub head: Head,
    /// Signed heads that it agrees with.
    pub signed: usize,
    /// Signed heads of before a backup was put back, or of before all that is kept, to which nothing can be compared any
    /// more.
    pub superseded: usize,
}

/// Looks at one change after the other.
#[derive(Debug)]
pub struct Verifier {
    /// Where the log stands so far.
    head: Head,
    first: Option<u64>,
    /// Those that are still to be met, by version.
    signed: Vec<SignedHead>,
    agreed: usize,
    superseded: usize,
    /// Whose signatures count.
    keys: Vec<Fingerprint>,
}

impl Verifier {
    /// Of a log that was trimmed to a checkpoint, or never was, looked at `now`. Of `heads`, those count that one of `keys`
    /// has signed and that the log still reaches back to.
    ///
    /// # Errors
    /// [`AuditFault::Checkpoint`].
    pub fn new(
        checkpoint: Option<&SignedHead>,
        heads: Vec<SignedHead>,
        keys: &[Fingerprint],
        now: Timestamp,
    ) -> Result<Self, AuditFault> {
        let head = match checkpoint {
            None => Head { version: 0, hash: ChangeHash::NONE },
            Some(signed) if signed.is_signed(SignedFor::Checkpoint, keys) => signed.head,
            Some(forged) => {
                let (version, key) = (forged.head.version, forged.key.fingerprint());
                return Err(AuditFault::Checkpoint { version, key });
            }
        };
        // What was signed before is of changes that have gone: of this log, or of one before a backup was put back, which
        // may have gone further. The change that would say so has gone, too. By a clock that was ahead when the log was
        // trimmed, whatever is signed for a long time would be of before.
        let since = checkpoint.map(|signed| signed.at.min(now) - CHANGES_KEPT);
        let mut signed = heads;
        signed.retain(|signed| {
            signed.head.version >= head.version && signed.is_signed(SignedFor::Standing, keys)
        });
        signed.sort_by_key(|signed| signed.head.version);
        signed.dedup_by(|one, other| one.head == other.head && one.at == other.at);
        let all = signed.len();
        signed.retain(|signed| since.is_none_or(|since| signed.at >= since));
        let superseded = all - signed.len();
        let keys = keys.to_vec();
        let mut verifier = Self { head, first: None, signed, agreed: 0, superseded, keys };
        verifier.compare()?;
        Ok(verifier)
    }

    /// The next change.
    ///
    /// # Errors
    /// [`AuditFault`].
    pub fn add(&mut self, change: &Change) -> Result<(), AuditFault> {
        let (version, expected) = (change.version, self.head.version.saturating_add(1));
        if version != expected {
            return Err(AuditFault::Missing { expected, found: version });
        }
        if change.prev != self.head.hash {
            return Err(AuditFault::Replaced { version });
        }
        if change.hash != change.computed_hash() {
            return Err(AuditFault::Altered { version });
        }
        if let Some(restored) = self.restored(change) {
            // What was signed before goes on from what the backup does not have.
            let before = self.signed.len();
            self.signed.retain(|signed| signed.at > restored.at);
            self.superseded += before - self.signed.len();
        }
        self.head = change.head();
        self.first.get_or_insert(version);
        self.compare()
    }

    /// What the server has signed when it put a registry into the place of another that ends with the change before this one. Without that anybody
    /// who can write the file could write such a change, and cut off what was signed before it.
    fn restored(&self, change: &Change) -> Option<SignedHead> {
        if !SUPERSEDED.contains(&&*change.kind) {
            return None;
        }
        let signed: SignedHead = change.body.get("signed")?.as_str()?.parse().ok()?;
        (signed.head == self.head && signed.is_signed(SignedFor::Restored, &self.keys)).then_some(signed)
    }

    /// Compares the change that was looked at last with what was signed of it.
    fn compare(&mut self) -> Result<(), AuditFault> {
        let due = self.signed.iter().take_while(|signed| signed.head.version == self.head.version).count();
        for signed in self.signed.drain(..due) {
            if signed.head.hash != self.head.hash {
                return Err(AuditFault::Rewritten { version: self.head.version, at: signed.at.to_string() });
            }
            self.agreed += 1;
        }
        Ok(())
    }

    /// The log is at its end, and the registry says that it is at `head`.
    ///
    /// # Errors
    /// [`AuditFault`].
    pub fn finish(self, head: Head) -> Result<Verified, AuditFault> {
        let last = self.head.version;
        if let Some(signed) = self.signed.last() {
            return Err(AuditFault::Cut { last, signed: signed.head.version, at: signed.at.to_string() });
        }
        if head != self.head {
            return Err(AuditFault::Short { last, version: head.version });
        }
        Ok(Verified { first: self.first, head, signed: self.agreed, superseded: self.superseded })
    }
}

/// Looks whether all of these are heads that one of `keys` has signed.
///
/// # Errors
/// [`AuditFault::Head`], of the first that is not.
pub fn check_heads(heads: &[SignedHead], keys: &[Fingerprint]) -> Result<(), AuditFault> {
    match heads.iter().find(|head| !head.is_signed(SignedFor::Standing, keys)) {
        Some(other) => Err(AuditFault::Head { version: other.head.version, key: other.key.fingerprint() }),
        None => Ok(()),
    }
}

/// The signed head in a log file's line, if there is one.
pub fn head_in(line: &str) -> Option<SignedHead> {
    let text = line.get(line.find(SignedFor::Standing.prefix())?..)?;
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')));
    text.get(..end.unwrap_or(text.len()))?.parse().ok()
}

#[cfg(test)]
mod tests;
