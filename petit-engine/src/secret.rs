//! Keys, the invite's secret and fingerprints. A secret has no `Display`, no `Serialize` and a `Debug` that
//! says nothing; it is wiped when dropped and compared in constant time.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::SigningKey;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The system gave no random bytes. Nothing that needs them is done then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source gave no bytes")]
pub struct NoRandom;

/// Bytes from the system's random source.
///
/// # Errors
/// [`NoRandom`] when it fails.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in
        out.iter_mut().zip(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
    {
        *to = *from;
    }
    out
}

/// Names an invite; not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InviteId(pub [u8; 16]);

impl fmt::Display for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The 256 bits that let one device register, once.
#[derive(Clone)]
pub struct InviteSecret(SecretSlice<u8>);

impl InviteSecret {
    /// Bytes of the secret.
    pub const BYTES: usize = 32;

    /// A new one.
    ///
    /// # Errors
    /// [`NoRandom`] when the system's random source fails.
    pub fn random() -> Result<Self, NoRandom> {
        Ok(Self::from_bytes(*Zeroizing::new(random_bytes::<{ Self::BYTES }>()?)))
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(SecretSlice::from(bytes.to_vec()))
    }

    /// What the server keeps instead of the secret. A fast hash is right for 256 random bits.
    pub fn hash(&self) -> InviteHash {
        InviteHash(sha256(self.0.expose_secret()))
    }

    /// The bytes, for the invite's link and the enrolment request only.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret(…)")
    }
}

/// SHA-256 of an invite's secret, as the server stores it.
#[derive(Clone, Copy, Debug)]
pub struct InviteHash(pub [u8; 32]);

impl PartialEq for InviteHash {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// SHA-256 of a public key (SubjectPublicKeyInfo): how a key is pinned and shown.
#[derive(Clone, Copy)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a key in SubjectPublicKeyInfo form.
    pub fn of(spki: &[u8]) -> Self {
        Self(sha256(spki))
    }
}

impl PartialEq for Fingerprint {
    /// In constant time: a pin check must not tell how much of a forged key was right.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Fingerprint {}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", data_encoding::BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let text = text.strip_prefix("SHA256:").ok_or(InvalidKey::Fingerprint)?;
        let bytes =
            data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| InvalidKey::Fingerprint)?;
        bytes.try_into().map(Self).map_err(|_| InvalidKey::Fingerprint)
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A public key of an allowed kind, in SubjectPublicKeyInfo form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// What precedes the 32 bytes of an Ed25519 key (RFC 8410 §4).
    const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    /// What precedes the 64 bytes of an uncompressed P-256 point (RFC 5480 §2), `04` included.
    const P256: [u8; 27] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];

    /// Takes an Ed25519 key (44 bytes), or a P-256 key (91 bytes) as security chips make them.
    ///
    /// # Errors
    /// [`InvalidKey::Kind`] for anything else.
    pub fn parse(spki: &[u8]) -> Result<Self, InvalidKey> {
        let ed25519 = spki.len() == 44 && spki.starts_with(&Self::ED25519);
        let p256 = spki.len() == 91 && spki.starts_with(&Self::P256);
        if ed25519 || p256 { Ok(Self(spki.to_vec())) } else { Err(InvalidKey::Kind { length: spki.len() }) }
    }

    /// The SubjectPublicKeyInfo bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }

    /// True when `signature` is what [`PrivateKey::sign`] has made of `message` with this key.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
        // What precedes the key is of a known length; `04`, of an uncompressed point, belongs to the point.
        let verified = if let Some(point) = self.0.strip_prefix(&Self::ED25519[..]) {
            UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
        } else {
            let point = self.0.get(Self::P256.len() - 1..).unwrap_or_default();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
        };
        verified.is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.fingerprint(), f)
    }
}

/// Why bytes are not the key they should be. Says nothing of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// A private key that does not parse.
    #[error("not an Ed25519 or P-256 private key in PKCS#8 form")]
    Private,
    /// A public key of a kind that is not allowed.
    #[error("a public key of {length} bytes that is neither Ed25519 nor P-256")]
    Kind {
        /// Bytes of the key.
        length: usize,
    },
    /// Not `SHA256:` and 43 characters.
    #[error("not a fingerprint; it looks like SHA256: and 43 characters")]
    Fingerprint,
    /// No key could be made.
    #[error("the system's random source gave no bytes")]
    NoRandom,
}

/// A private key: the device's, which proves who a client is, or the server's, which clients pin.
#[derive(Clone)]
pub struct PrivateKey {
    pkcs8: SecretSlice<u8>,
    signing: Arc<dyn SigningKey>,
    public: PublicKey,
}

impl PrivateKey {
    /// Makes a new Ed25519 key.
    ///
    /// # Errors
    /// [`InvalidKey::NoRandom`] when the system's random source fails.
    pub fn generate() -> Result<Self, InvalidKey> {
        let pair = Ed25519KeyPair::generate().map_err(|_| InvalidKey::NoRandom)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| InvalidKey::NoRandom)?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    /// Reads a key in PKCS#8 form.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is not an Ed25519 or P-256 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, InvalidKey> {
        let der = PrivatePkcs8KeyDer::from(pkcs8);
        let signing: Arc<dyn SigningKey> = match rustls::crypto::aws_lc_rs::sign::any_eddsa_type(&der) {
            Ok(key) => key,
            Err(_) => rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&der.clone_key().into())
                .map_err(|_| InvalidKey::Private)?,
        };
        let spki: SubjectPublicKeyInfoDer<'_> = signing.public_key().ok_or(InvalidKey::Private)?;
        let public = PublicKey::parse(&spki)?;
        Ok(Self { pkcs8: SecretSlice::from(pkcs8.to_vec()), signing, public })
    }

    /// The PKCS#8 bytes in base64, for a keychain only.
    pub fn to_base64(&self) -> SecretString {
        SecretString::from(data_encoding::BASE64.encode(self.pkcs8.expose_secret()))
    }

    /// The key in PEM form, for a file that only its owner can read.
    pub fn to_pem(&self) -> SecretString {
        let base64 = self.to_base64();
        let base64 = base64.expose_secret();
        SecretString::from(format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n"))
    }

    /// Reads what [`PrivateKey::to_pem`] or [`PrivateKey::to_base64`] wrote.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is not an Ed25519 or P-256 key.
    pub fn from_text(text: &[u8]) -> Result<Self, InvalidKey> {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"-----"));
        let base64: Zeroizing<Vec<u8>> =
            Zeroizing::new(lines.flatten().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
        let pkcs8 = data_encoding::BASE64.decode(&base64).map_err(|_| InvalidKey::Private)?;
        Self::from_pkcs8(&Zeroizing::new(pkcs8))
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message: Ed25519 as it is (RFC 8032), P-256 with SHA-256. The message has to begin with words that no
    /// other use of the key signs; those of TLS 1.3 begin with 64 spaces (RFC 8446 §4.4.3).
    ///
    /// # Errors
    /// [`InvalidKey::Private`] when the key signs in neither way.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, InvalidKey> {
        use rustls::SignatureScheme::{ECDSA_NISTP256_SHA256, ED25519};
        let signer = self.signing.choose_scheme(&[ED25519, ECDSA_NISTP256_SHA256]);
        signer.ok_or(InvalidKey::Private)?.sign(message).map_err(|_| InvalidKey::Private)
    }

    pub(crate) fn signing(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.signing)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_storage_and_keeps_its_fingerprint() {
        let key = PrivateKey::generate().unwrap();
        for text in [key.to_pem(), key.to_base64()] {
            let again = PrivateKey::from_text(text.expose_secret().as_bytes()).unwrap();
            assert_eq!(key.public(), again.public());
        }
        let shown = key.public().fingerprint().to_string();
        assert_eq!(shown.parse(), Ok(key.public().fingerprint()));
    }

    #[test]
    fn p256_keys_of_security_chips_are_taken() {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let key = PrivateKey::from_pkcs8(pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
        assert_eq!(key.public().as_bytes().len(), 91);
    }

    #[test]
    fn a_signature_is_good_for_its_message_and_its_key_alone() {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let p256 = PrivateKey::from_pkcs8(pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
        let keys = [PrivateKey::generate().unwrap(), p256];
        for (key, other) in [(&keys[0], &keys[1]), (&keys[1], &keys[0])] {
            let signature = key.sign(b"a message").unwrap();
            assert!(key.public().has_signed(b"a message", &signature));
            assert!(!key.public().has_signed(b"another message", &signature));
            assert!(!other.public().has_signed(b"a message", &signature));
            assert!(!key.public().has_signed(b"a message", &signature[1..]));
            assert!(!key.public().has_signed(b"a message", &[]));
        }
    }

    #[test]
    fn other_keys_are_refused() {
        assert!(PublicKey::parse(&[]).is_err());
        assert!(PublicKey::parse(&[0; 44]).is_err());
        assert!(PublicKey::parse(&vec![0x30; 16 * 1024]).is_err());
        assert!(PrivateKey::from_pkcs8(b"nothing").is_err());
        assert!(PrivateKey::from_text(b"-----BEGIN PRIVATE KEY-----\nnothing!\n").is_err());
    }

    #[test]
    fn secrets_print_as_nothing() {
        let key = PrivateKey::generate().unwrap();
        let hex = data_encoding::HEXLOWER.encode(key.pkcs8.expose_secret());
        let secret = InviteSecret::from_bytes([7; 32]);
        let shown = format!("{key:?} {secret:?} {:?} {:?}", key.pkcs8, key.to_pem());
        assert!(!shown.contains(&hex[32..64]) && !shown.contains("7, 7") && !shown.contains("0707"));
        assert!(secret.hash() == InviteSecret::from_bytes([7; 32]).hash());
    }
}
