//! Certificates for HTTPS visitors.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A certificate for HTTPS visitors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// It ends within two weeks, or has ended.
    pub ends_soon: bool,
    /// Its key, while all users of this computer may read it.
    pub exposed_key: Option<PathBuf>,
    /// The DNS names that it is for.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970, if that can be read in it.
    pub not_after: Option<u64>,
    pub path: PathBuf,
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
