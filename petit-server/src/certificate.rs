//! The certificate for HTTPS visitors. Without one there are no HTTPS visitors; clients do not need it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use petit_engine::net::tls;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
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

/// Reads certificate and key. `None` when neither file is there.
///
/// # Errors
/// [`CertificateError`].
pub fn load(certificate: &Path, key: &Path) -> Result<Option<Arc<ServerConfig>>, CertificateError> {
    match (certificate.exists(), key.exists()) {
        (false, false) => return Ok(None),
        (true, true) => {}
        (true, false) => {
            return Err(CertificateError::Half { found: certificate.to_owned(), missing: key.to_owned() });
        }
        (false, true) => {
            return Err(CertificateError::Half { found: key.to_owned(), missing: certificate.to_owned() });
        }
    }
    let pem = |path: &Path, what| {
        let path = path.to_owned();
        move |source| CertificateError::Pem { path, what, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "private key"))?;
    let unusable = |source| CertificateError::Unusable { path: certificate.to_owned(), source };
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}
