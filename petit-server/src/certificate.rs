//! The certificate for HTTPS visitors. Without one there are no HTTPS visitors; clients do not need it.
//!
//! It is read when the server starts, when the config is read again, and when its files change. A pair that cannot
//! be used never takes the place of one that can.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use petit_engine::net::tls;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use x509_cert::der::Decode;

use crate::config::Config;
use crate::seconds;

/// How often its files are looked at. Links are followed, so a watch on one folder would not see it all.
pub const EVERY: Duration = Duration::from_secs(2);
/// The operator is warned when it ends within this.
pub const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// How often the operator is warned.
pub const WARN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The config names it, but it is not there.
    #[error("there is no certificate at {}, though the config file names it", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Only one of the two files is there.
    #[error("{} is missing beside {}", missing.display(), found.display())]
    Half {
        /// The one that is there.
        found: PathBuf,
        /// The one that is not.
        missing: PathBuf,
    },
    /// A file holds something else.
    #[error("{} does not hold a {what} in PEM form", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What was wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// The two do not belong together, or are of a kind that cannot be used.
    #[error("the certificate {} and its key cannot be used together", path.display())]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// What TLS said.
        source: rustls::Error,
    },
}

/// A certificate with its key, ready for visitors.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// What visitors are served with.
    pub tls: Arc<ServerConfig>,
    /// Where it was read.
    pub path: PathBuf,
    /// When it ends, if that can be read in it.
    pub not_after: Option<SystemTime>,
}

impl Certificate {
    /// How much is left of it.
    pub fn expiry(&self, now: SystemTime) -> Expiry {
        match self.not_after.map(|end| end.duration_since(now)) {
            None => Expiry::Later,
            Some(Err(_)) => Expiry::Over,
            Some(Ok(left)) if left < WARN_BEFORE => Expiry::Soon { days: left.as_secs() / (24 * 60 * 60) },
            Some(Ok(_)) => Expiry::Later,
        }
    }

    /// For programs, and for the command line that makes words of it.
    pub fn view(&self, now: SystemTime) -> Value {
        json!({
            "path": self.path,
            "not_after": self.not_after.map(seconds),
            "ends_soon": self.expiry(now) != Expiry::Later,
        })
    }
}

/// How much is left of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// More than [`WARN_BEFORE`].
    Later,
    /// Less.
    Soon {
        /// Whole days that are left.
        days: u64,
    },
    /// Nothing: visitors refuse it.
    Over,
}

/// Reads the certificate that the config names. `None` when it names none and the usual files are not there.
///
/// # Errors
/// [`CertificateError`].
pub fn load(config: &Config) -> Result<Option<Certificate>, CertificateError> {
    let (path, key) = (&config.certificate, &config.certificate_key);
    match (path.exists(), key.exists()) {
        (false, false) if config.certificate_named => {
            return Err(CertificateError::Missing { path: path.clone() });
        }
        (false, false) => return Ok(None),
        (true, true) => {}
        (true, false) => {
            return Err(CertificateError::Half { found: path.clone(), missing: key.clone() });
        }
        (false, true) => {
            return Err(CertificateError::Half { found: key.clone(), missing: path.clone() });
        }
    }
    let pem = |path: &Path, what| {
        let path = path.to_owned();
        move |source| CertificateError::Pem { path, what, source }
    };
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(path, "certificate"))?;
    let Some(first) = chain.first() else {
        return Err(pem(path, "certificate")(rustls::pki_types::pem::Error::NoItemsFound));
    };
    let not_after = not_after(first);
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "private key"))?;
    let unusable = |source| CertificateError::Unusable { path: path.clone(), source };
    let mut tls = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Certificate { tls: Arc::new(tls), path: path.clone(), not_after }))
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    Some(parsed.tbs_certificate().validity().not_after.to_system_time())
}

/// What tells that a file was replaced or written anew.
type Stamp = Option<(SystemTime, u64, u64)>;

/// The files of a certificate as they lie on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps([Stamp; 2]);

impl Stamps {
    /// As they are now.
    pub fn of(config: &Config) -> Self {
        let stamp = |path: &Path| {
            let found = std::fs::metadata(path).ok()?;
            #[cfg(unix)]
            let number = std::os::unix::fs::MetadataExt::ino(&found);
            #[cfg(not(unix))]
            let number = 0;
            Some((found.modified().ok()?, found.len(), number))
        };
        Self([stamp(&config.certificate), stamp(&config.certificate_key)])
    }

    /// True when neither file is there.
    pub fn are_gone(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Tells when the files of a certificate have changed and settled: certificate and key are written one after the
/// other, and between the two they do not belong together.
#[derive(Debug, Default)]
pub struct Settling {
    seen: Stamps,
    moving: Option<Stamps>,
}

impl Settling {
    /// What lies on the disk now was read.
    pub fn read(&mut self, now: Stamps) {
        *self = Self { seen: now, moving: None };
    }

    /// True when `now` differs from what was read last, and has been so for one look already.
    pub fn has_changed(&mut self, now: Stamps) -> bool {
        if now == self.seen {
            self.moving = None;
            return false;
        }
        let settled = self.moving == Some(now);
        self.moving = Some(now);
        if settled {
            self.read(now);
        }
        settled
    }
}

/// What HTTPS visitors are shown, and what is to be said of it.
#[derive(Debug, Default)]
pub struct Shown {
    /// The certificate in use.
    pub certificate: Option<Certificate>,
    /// Why what lies on the disk is not in use.
    pub problem: Option<String>,
    files: Settling,
    warned: Option<SystemTime>,
}

impl Shown {
    /// Uses `certificate`, which was read from files that were as `stamps` says. True when it is another one.
    pub fn set(&mut self, certificate: Option<Certificate>, stamps: Stamps) -> bool {
        let changed = self.files.seen != stamps;
        self.files.read(stamps);
        (self.certificate, self.problem) = (certificate, None);
        if changed {
            self.warned = None;
        }
        changed
    }

    /// True when the files have changed since they were read.
    pub fn is_stale(&mut self, now: Stamps) -> bool {
        self.files.has_changed(now)
    }

    /// Warns in the log, once a day, of a certificate that ends soon.
    pub fn warn(&mut self, now: SystemTime) {
        let Some(certificate) = &self.certificate else { return };
        let lately = |warned: SystemTime| now.duration_since(warned).is_ok_and(|since| since < WARN_EVERY);
        let path = certificate.path.display();
        match certificate.expiry(now) {
            Expiry::Later => return,
            _ if self.warned.is_some_and(lately) => return,
            Expiry::Soon { days } => {
                tracing::warn!(%path, days, "the certificate for HTTPS visitors ends soon");
            }
            Expiry::Over => tracing::error!(%path, "the certificate has ended; HTTPS visitors refuse it"),
        }
        self.warned = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_as_changed_once_they_have_settled() {
        let at = |certificate: u64, key: u64| {
            let stamp = |number| Some((SystemTime::UNIX_EPOCH, 1, number));
            Stamps([stamp(certificate), stamp(key)])
        };
        let mut files = Settling::default();
        files.read(at(1, 1));
        assert!(!files.has_changed(at(1, 1)));
        assert!(!files.has_changed(at(2, 1)), "the key may follow");
        assert!(!files.has_changed(at(2, 2)));
        assert!(files.has_changed(at(2, 2)));
        assert!(!files.has_changed(at(2, 2)), "once");
        assert!(!files.has_changed(at(3, 3)));
        assert!(!files.has_changed(at(2, 2)), "it was put back");
        assert!(!files.has_changed(at(3, 3)));
    }

    #[test]
    fn the_operator_is_warned_two_weeks_before_the_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let tls = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
        let certificate = |not_after| Certificate { tls: Arc::new(tls.clone()), path: "c".into(), not_after };
        let day = Duration::from_secs(24 * 60 * 60);
        let expiry = |left: Duration| certificate(Some(now + left)).expiry(now);
        assert_eq!(expiry(90 * day), Expiry::Later);
        assert_eq!(expiry(14 * day - Duration::from_secs(1)), Expiry::Soon { days: 13 });
        assert_eq!(expiry(day / 2), Expiry::Soon { days: 0 });
        assert_eq!(certificate(Some(now - day)).expiry(now), Expiry::Over);
        assert_eq!(certificate(None).expiry(now), Expiry::Later);
    }
}
