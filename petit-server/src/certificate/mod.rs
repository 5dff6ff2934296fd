//! The certificates for HTTPS visitors. Without one there are no HTTPS visitors; clients do not need any.
//!
//! There may be several: each visitor is shown the one that fits the name that the ClientHello asks for (SNI). They
//! are read when the server starts, when the config is read again, and when their files change. A pair that cannot
//! be used, or is for other names, never takes the place of one that can. Of several for one name the newest is shown, and
//! none that has ended while another one is good.
//!
//! `files` finds the pairs, `keep` puts one where they are looked for, `set` decides which of them are in use, `shown` is what a running server knows of
//! them. A key that everybody on the computer may read is used all the same, because who renews certificates is often
//! another program with a mind of its own; the operator is told.

mod error;
mod files;
pub mod keep;
mod set;
mod shown;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use petit_engine::net::tls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use zeroize::Zeroizing;

pub use self::error::{CertificateError, Contents, advised, remedy, said, to_the_service};
use self::files::{Pair, Pairs};
pub use self::files::{Settling, Stamps, files};
pub use self::set::{HttpsBefore, Loaded, LostHttps, PublicNames, ServedCertificate, load, serving, views};
pub use self::shown::Shown;
use crate::api::CertificateView;
use crate::config::Config;
use crate::seconds;

/// How often their files are looked at. Links are followed, so a watch on one folder would not see it all.
pub const EVERY: Duration = Duration::from_secs(2);
/// The operator is warned when one ends within this.
pub const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// How often the operator is warned.
pub const WARN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate with its key, ready for visitors.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Where it was read.
    pub path: PathBuf,
    /// The DNS names that it is for (`subjectAltName`), lower-case, `*.example.com` among them.
    pub names: Vec<String>,
    /// When it begins, if that can be read in it.
    pub not_before: Option<SystemTime>,
    /// When it ends, if that can be read in it.
    pub not_after: Option<SystemTime>,
    /// Where its key was read.
    key_path: PathBuf,
    /// All users of this computer could read its key when it was read.
    was_exposed: bool,
    /// It is the one that `certificate` in the config names.
    is_own: bool,
    key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Reads a pair.
    fn read(pair: &Pair, config: &Config) -> Result<Self, CertificateError> {
        let content = |path: &Path, named: &Path| {
            std::fs::read(path).map_err(|source| CertificateError::File { path: named.to_owned(), source })
        };
        let real = pair.behind_links();
        let chain = content(&real.certificate, &pair.certificate)?;
        let key = Zeroizing::new(content(&real.key, &pair.key)?);
        Self::of(pair, config, &chain, &key)
    }

    /// A pair with what is in its files.
    fn of(pair: &Pair, config: &Config, chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let Pair { certificate: path, key: key_path } = pair;
        let pem = |path: &Path, what| {
            let path = path.to_owned();
            move |source| CertificateError::Pem { path, what, source }
        };
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem(path, "certificate"))?;
        let Some(first) = chain.first() else {
            return Err(pem(path, "certificate")(rustls::pki_types::pem::Error::NoItemsFound));
        };
        let parsed = x509_cert::Certificate::from_der(first).ok();
        let validity = parsed.as_ref().map(|parsed| *parsed.tbs_certificate().validity());
        let names = parsed.as_ref().map(dns_names).unwrap_or_default();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(pem(key_path, "private key"))?;
        let key = CertifiedKey::from_der(chain, key, &tls::provider()).map_err(|source| match source {
            rustls::Error::InconsistentKeys(_) => {
                CertificateError::Mismatch { path: path.clone(), key: key_path.clone() }
            }
            source => CertificateError::Unusable { path: path.clone(), source },
        })?;
        Ok(Self {
            path: path.clone(),
            names,
            not_before: validity.map(|validity| validity.not_before.to_system_time()),
            not_after: validity.map(|validity| validity.not_after.to_system_time()),
            key_path: key_path.clone(),
            was_exposed: petit_host::files::is_readable_by_all(key_path),
            is_own: *path == config.certificate,
            key: Arc::new(key),
        })
    }

    /// True when it is the same as another one, not only in the same place.
    pub fn is(&self, other: &Self) -> bool {
        self.path == other.path && self.key.cert == other.key.cert
    }

    /// True when visitors of `host` may be shown it. `*.example.com` as a host asks for all that lie under it.
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| covers(name, host))
    }

    /// Its key, while all users of this computer may read it. Looks at the file.
    pub fn exposed_key(&self) -> Option<&Path> {
        Some(self.key_path.as_path()).filter(|key| petit_host::files::is_readable_by_all(key))
    }

    /// How much is left of it.
    pub fn expiry(&self, now: SystemTime) -> Expiry {
        match self.not_after.map(|end| end.duration_since(now)) {
            None => Expiry::Later,
            Some(Err(_)) => Expiry::Over,
            Some(Ok(left)) if left < WARN_BEFORE => Expiry::Soon { days: left.as_secs() / (24 * 60 * 60) },
            Some(Ok(_)) => Expiry::Later,
        }
    }

    /// True when it has begun and has not ended.
    fn is_in_force(&self, now: SystemTime) -> bool {
        self.not_before.is_none_or(|begin| begin <= now) && self.expiry(now) != Expiry::Over
    }

    /// For programs, and for the command line that makes words of it. `instead`: what is shown for all its names.
    fn view(&self, now: SystemTime, instead: Option<PathBuf>) -> CertificateView {
        CertificateView {
            instead,
            ends_soon: self.expiry(now) != Expiry::Later,
            exposed_key: self.exposed_key().map(Path::to_owned),
            names: self.names.clone(),
            not_after: self.not_after.map(seconds),
            path: self.path.clone(),
        }
    }
}

/// True when a name of a certificate stands for a host: the same, or with `*` for the host's first label, and for
/// that alone (RFC 9525 §6.3).
fn covers(name: &str, host: &str) -> bool {
    let under =
        |suffix: &str| host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix);
    name == host || name.strip_prefix("*.").is_some_and(under)
}

/// The names that browsers go by. What stands in the subject has counted for none of them since 2017.
fn dns_names(certificate: &x509_cert::Certificate) -> Vec<String> {
    let found = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let names = found.ok().flatten().map(|(_, names)| names.0).unwrap_or_default();
    let dns = |name: GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    };
    names.into_iter().filter_map(dns).collect()
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

#[cfg(test)]
mod tests;
