//! Certificates for HTTPS visitors.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ApiRequest;

/// A certificate for HTTPS visitors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// It ends within two weeks, or has ended.
    pub ends_soon: bool,
    /// Its key, while all users of this computer may read it.
    pub exposed_key: Option<PathBuf>,
    /// Another one, which is shown for all its names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<PathBuf>,
    /// The DNS names that it is for.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970, if that can be read in it.
    pub not_after: Option<u64>,
    pub path: PathBuf,
}

/// Look at the certificates' files at once, and show what is better than what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewCertificates;

impl ApiRequest for RenewCertificates {
    type Answer = CertificatesShown;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/certificates/renew".to_owned())
    }
}

/// What HTTPS visitors are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatesShown {
    /// Each certificate that can be.
    pub certificates: Vec<CertificateView>,
    /// Why others cannot.
    pub problems: Vec<String>,
}

/// That no certificate covers a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingCertificate {
    /// Where certificates are looked for.
    pub folder: Option<PathBuf>,
    pub host: String,
    /// Certificates that there are, for other hosts.
    pub others: usize,
}
