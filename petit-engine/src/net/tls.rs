//! TLS of the tunnel: version 1.3 with raw public keys in both directions (RFC 7250).
//!
//! Two verifiers are all the bespoke security code there is: the client compares the server's key with the
//! pins of its invite, the server asks whether it knows the client's key. Both leave the proof of possession
//! to TLS (CertificateVerify). There is no X.509, no session ticket, no resumption and no early data: rustls
//! would take a client's identity out of a ticket without asking the verifier.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, NamedGroup,
    ServerConfig, SignatureScheme,
};

use crate::secret::{Fingerprint, PrivateKey, PublicKey};

/// ALPN of a session.
pub const ALPN_TUNNEL: &[u8] = b"petit/1";
/// ALPN of an enrolment.
pub const ALPN_ENROL: &[u8] = b"petit-enroll/1";
/// ALPN of a file of a release.
pub const ALPN_RELEASE: &[u8] = b"petit-release/1";

/// The cryptography of every connection: aws-lc-rs, X25519MLKEM768 preferred.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Who may have a session. Asked during the handshake, so it answers from memory.
pub trait KnownKeys: Send + Sync {
    /// True when the key belongs to a device that is registered now.
    fn knows(&self, key: &PublicKey) -> bool;
}

/// The server's configuration for sessions: only known keys pass.
///
/// # Errors
/// When the key cannot be used for TLS 1.3.
pub fn tunnel_server(key: &PrivateKey, keys: Arc<dyn KnownKeys>) -> Result<Arc<ServerConfig>, Error> {
    server(key, ALPN_TUNNEL, Some(keys))
}

/// The server's configuration for files of releases: only known keys pass.
///
/// # Errors
/// When the key cannot be used for TLS 1.3.
pub fn release_server(key: &PrivateKey, keys: Arc<dyn KnownKeys>) -> Result<Arc<ServerConfig>, Error> {
    server(key, ALPN_RELEASE, Some(keys))
}

/// The server's configuration for enrolments: any well-formed key passes; the invite decides.
///
/// # Errors
/// When the key cannot be used for TLS 1.3.
pub fn enrol_server(key: &PrivateKey) -> Result<Arc<ServerConfig>, Error> {
    server(key, ALPN_ENROL, None)
}

fn server(
    key: &PrivateKey,
    alpn: &[u8],
    keys: Option<Arc<dyn KnownKeys>>,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = provider();
    let verifier = Arc::new(DeviceVerifier { keys, provider: Arc::clone(&provider) });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified(key))));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// The client's configuration: only a server with one of the pinned keys passes.
///
/// # Errors
/// When the key cannot be used for TLS 1.3.
pub fn client(key: &PrivateKey, pins: Vec<Fingerprint>, alpn: &[u8]) -> Result<Arc<ClientConfig>, Error> {
    client_with(provider(), key, pins, alpn)
}

/// As [`client`], but the first ClientHello carries no post-quantum share and so fits one packet. The post-quantum
/// exchange is still offered, and a server that wants it asks for it (HelloRetryRequest). For boxes in between
/// that reset connections whose ClientHello comes in two packets (<https://tldr.fail>).
///
/// # Errors
/// When the key cannot be used.
pub fn small_client(
    key: &PrivateKey,
    pins: Vec<Fingerprint>,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>, Error> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::X25519);
    client_with(Arc::new(provider), key, pins, alpn)
}

/// True when a connection's keys were agreed upon in a way that a future quantum computer cannot undo.
pub fn is_post_quantum(connection: &rustls::CommonState) -> bool {
    connection
        .negotiated_key_exchange_group()
        .is_some_and(|group| matches!(group.name(), NamedGroup::X25519MLKEM768 | NamedGroup::MLKEM768))
}

fn client_with(
    provider: Arc<CryptoProvider>,
    key: &PrivateKey,
    pins: Vec<Fingerprint>,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>, Error> {
    let verifier = Arc::new(PinnedServer { pins, provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous() // rustls' word for a verifier of one's own; this one is stricter than the web's
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified(key))));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

fn certified(key: &PrivateKey) -> Arc<CertifiedKey> {
    let spki = CertificateDer::from(key.public().as_bytes().to_vec());
    Arc::new(CertifiedKey::new(vec![spki], key.signing()))
}

/// The device key that the peer of a finished handshake has proved to hold.
pub fn peer_key(connection: &rustls::ServerConnection) -> Option<PublicKey> {
    let spki = connection.peer_certificates()?.first()?;
    PublicKey::parse(spki).ok()
}

/// The signature schemes of the two kinds of key that [`PublicKey`] takes.
const SCHEMES: [SignatureScheme; 2] = [SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256];

fn signed(
    provider: &CryptoProvider,
    message: &[u8],
    spki: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
    verify_tls13_signature_with_raw_key(
        message,
        &spki,
        signature,
        &provider.signature_verification_algorithms,
    )
}

/// The trait wants an answer for TLS 1.2 too, which is never offered.
fn only_tls13() -> Error {
    Error::General("the tunnel speaks TLS 1.3 only".to_owned())
}

/// The client's side: the server is who holds a pinned key. Names and dates play no part.
struct PinnedServer {
    pins: Vec<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for PinnedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedServer").field("pins", &self.pins).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        spki: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = Fingerprint::of(spki);
        // Every pin is compared, each in constant time.
        let pinned = self.pins.iter().filter(|pin| **pin == found).count() > 0;
        if pinned && intermediates.is_empty() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed(&self.provider, message, spki, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The server's side: a device is who holds a registered key; without `keys`, who holds any key.
/// Trusts one certificate of a private service, whatever it says of itself: the one with this SHA-256. That its
/// holder has its key is proved in the handshake as always.
#[derive(Debug)]
pub struct PinnedCertificate {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl PinnedCertificate {
    /// Trusts the certificate whose DER form has this SHA-256.
    pub fn new(fingerprint: [u8; 32]) -> Self {
        Self { fingerprint: Fingerprint(fingerprint), provider: provider() }
    }
}

impl ServerCertVerifier for PinnedCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Fingerprint::of(certificate) == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

struct DeviceVerifier {
    keys: Option<Arc<dyn KnownKeys>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for DeviceVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceVerifier")
            .field("registered_only", &self.keys.is_some())
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for DeviceVerifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        spki: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let key =
            PublicKey::parse(spki).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let known = self.keys.as_ref().is_none_or(|keys| keys.knows(&key));
        if known && intermediates.is_empty() {
            Ok(ClientCertVerified::assertion())
        } else {
            // Sent to the peer as the alert access_denied.
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed(&self.provider, message, spki, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
