//! Who speaks in the server's place? Asked only after the real handshake has failed, and only for the answer's
//! sake: the connection is never used, whatever it shows.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};

use super::tls::provider;
use crate::limits;
use crate::proto::control::Text;
use crate::secret::sha256;

/// A certificate that was shown, and believed by nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Who signed it.
    pub issuer: String,
    /// It is for the name that was asked for.
    pub poses: bool,
    /// SHA-256 of it.
    pub fingerprint: [u8; 32],
}

/// Looks at the certificate that is shown for `name` on the connection that `reach` comes to; `None` when there is
/// none within [`limits::INSPECT`].
///
/// # Cancel safety
/// Cancelling closes the connection.
pub async fn inspect(
    name: ServerName<'static>,
    reach: impl Future<Output = Option<TcpStream>>,
) -> Option<Stranger> {
    let seen = Arc::new(Recorder::default());
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Recorder>::clone(&seen))
        .with_no_client_auth();
    let look = async {
        // Fails always: the recorder accepts nothing.
        let _ = TlsConnector::from(Arc::new(config)).connect(name, reach.await?).await;
        Some(())
    };
    let _ = tokio::time::timeout(limits::INSPECT, look).await;
    seen.seen.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Writes down whose certificate is shown, and refuses it.
#[derive(Debug, Default)]
struct Recorder {
    seen: Mutex<Option<Stranger>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stranger(certificate, name);
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("nothing is accepted here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("nothing is accepted here".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn stranger(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Option<Stranger> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let poses = webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|entity| entity.verify_is_valid_for_subject_name(name).is_ok());
    Some(Stranger { issuer: issuer(&parsed), poses, fingerprint: sha256(certificate) })
}

/// The issuer as people know it: its common name, and its organisation when that says more.
fn issuer(certificate: &Certificate) -> String {
    // RFC 5280 §4.1.2.4: 2.5.4.3 is the common name, 2.5.4.10 the organisation.
    let attribute = |wanted: &str| {
        let attributes = certificate.tbs_certificate().issuer().iter_rdn().flat_map(|rdn| rdn.iter());
        let mut found = attributes.filter(|attribute| attribute.oid.to_string() == wanted);
        let value = &found.next()?.value;
        let utf8 = Utf8StringRef::try_from(value).ok().map(|text| text.as_str().to_owned());
        utf8.or_else(|| PrintableStringRef::try_from(value).ok().map(|text| text.as_str().to_owned()))
    };
    let text = match (attribute("2.5.4.3"), attribute("2.5.4.10")) {
        (Some(name), Some(organisation)) if !name.contains(&organisation) => {
            format!("{name} ({organisation})")
        }
        (Some(name), _) => name,
        (None, Some(organisation)) => organisation,
        (None, None) => "an issuer without a name".to_owned(),
    };
    // It comes from a stranger and ends on a screen.
    Text::<100>::lossy(&text).as_str().to_owned()
}
