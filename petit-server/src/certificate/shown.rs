//! What a running server shows to HTTPS visitors, and what is to be said of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use super::{Certificate, Expiry, Settling, Stamps, WARN_EVERY};

/// What HTTPS visitors are shown, and what is to be said of it.
#[derive(Debug, Default)]
pub struct Shown {
    /// The certificates in use.
    pub certificates: Vec<Certificate>,
    /// Why what lies on the disk is not, or not all of it.
    pub problems: Vec<String>,
    files: Settling,
    warned: BTreeMap<PathBuf, SystemTime>,
}

impl Shown {
    /// Uses `certificates`, which were read from files that were as `stamps` says. True when they are others than
    /// before.
    pub fn set(&mut self, certificates: Vec<Certificate>, problems: Vec<String>, stamps: Stamps) -> bool {
        let changed = !self.files.is_as_read(&stamps);
        self.files.read(stamps);
        self.certificates = certificates;
        self.problems = problems;
        if changed {
            self.warned.clear();
        }
        changed
    }

    /// What does not work, behind how the server is otherwise.
    pub fn complaint(&self) -> Option<String> {
        let problem = self.problems.first()?;
        Some(match self.certificates.is_empty() {
            true => format!("; HTTPS visitors are not served: {problem}"),
            false => format!("; a certificate for HTTPS visitors cannot be used: {problem}"),
        })
    }

    /// True when the files have changed since they were read.
    pub fn take_change(&mut self, now: &Stamps) -> bool {
        self.files.take_change(now)
    }

    /// Warns in the log, once a day, of each certificate that ends soon, and of each key that is no secret.
    pub fn warn(&mut self, now: SystemTime) {
        let lately = |warned: &SystemTime| now.duration_since(*warned).is_ok_and(|since| since < WARN_EVERY);
        for key in self.certificates.iter().filter(|read| read.was_exposed).map(|read| &read.key_path) {
            if !self.warned.get(key).is_some_and(lately) {
                tracing::warn!(key = %key.display(), "all users of this computer can read the certificate's key");
                self.warned.insert(key.clone(), now);
            }
        }
        for certificate in &self.certificates {
            let path = certificate.path.display();
            match certificate.expiry(now) {
                Expiry::Later => continue,
                _ if self.warned.get(&certificate.path).is_some_and(lately) => continue,
                Expiry::Soon { days } => {
                    tracing::warn!(%path, days, "the certificate for HTTPS visitors ends soon");
                }
                Expiry::Over => tracing::error!(%path, "the certificate has ended; HTTPS visitors refuse it"),
            }
            self.warned.insert(certificate.path.clone(), now);
        }
    }
}
