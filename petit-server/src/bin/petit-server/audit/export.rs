//! An exported log as a file: one JSON value in each line, of which the first says what it begins with and the last where
//! it ends.

use std::path::Path;

use petit_engine::secret::Fingerprint;
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_server::audit::{AuditFault, Verified, Verifier, check_heads};
use petit_server::registry::{Change, SignedHead};
use serde::{Deserialize, Serialize};

/// The first line of an exported log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportBegin {
    /// The form of the file.
    pub(super) petit_audit: u32,
    pub(super) checkpoint: Option<SignedHead>,
}

/// Its last line: without it the file is not whole.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportEnd {
    pub(super) head: SignedHead,
}

/// An exported log.
pub(super) struct Export {
    begin: ExportBegin,
    changes: Vec<Change>,
    end: ExportEnd,
}

impl Export {
    pub(super) const FORM: u32 = 1;

    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let wrong = |line: usize, why: &str| {
            let place = format!("{}, line {line}: {why}", file.display());
            Failure::new(
                ExitCode::Failed,
                format!("{place}; is it what audit export has written, to its end?"),
            )
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::new(ExitCode::Failed, format!("cannot read {}: {error}", file.display()))
        })?;
        let lines: Vec<&str> = text.lines().collect();
        let [begin, changes @ .., end] = &lines[..] else {
            return Err(wrong(1, "there is no log in it"));
        };
        let begin: ExportBegin =
            serde_json::from_str(begin).map_err(|_| wrong(1, "it does not begin as an exported log does"))?;
        if begin.petit_audit != Self::FORM {
            return Err(wrong(1, &format!("form {} is not known", begin.petit_audit)));
        }
        let end = serde_json::from_str(end)
            .map_err(|_| wrong(lines.len(), "it does not end as an exported log does, with a signed head"))?;
        let change = |(line, text): (usize, &&str)| {
            serde_json::from_str(text).map_err(|_| wrong(line, "this is not a change as it was exported"))
        };
        let changes = (2..).zip(changes).map(change).collect::<Result<_, _>>()?;
        Ok(Self { begin, changes, end })
    }

    pub(super) fn verify(
        self,
        mut heads: Vec<SignedHead>,
        keys: &[Fingerprint],
    ) -> Result<Verified, AuditFault> {
        check_heads(std::slice::from_ref(&self.end.head), keys)?;
        let head = self.end.head.head;
        heads.push(self.end.head);
        let mut verifier = Verifier::new(self.begin.checkpoint.as_ref(), heads, keys)?;
        self.changes.iter().try_for_each(|change| verifier.add(change))?;
        verifier.finish(head)
    }
}
