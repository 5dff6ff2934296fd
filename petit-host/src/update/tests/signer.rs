//! Signs as minisign does (<https://jedisct1.github.io/minisign/>), with keys that are thrown away.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use blake2::{Blake2b512, Digest};
use data_encoding::BASE64;

use super::Roots;

pub(super) struct Key {
    pair: Ed25519KeyPair,
    number: [u8; 8],
}

impl Key {
    pub(super) fn new() -> Self {
        let mut number = [0; 8];
        SystemRandom::new().fill(&mut number).unwrap();
        Self { pair: Ed25519KeyPair::generate().unwrap(), number }
    }

    /// The public key in base64.
    pub(super) fn public(&self) -> String {
        self.public_as(self.number)
    }

    /// The same key under another number.
    pub(super) fn public_as(&self, number: [u8; 8]) -> String {
        BASE64.encode(&[b"Ed", &number[..], self.pair.public_key().as_ref()].concat())
    }

    pub(super) fn sign(&self, text: &str) -> String {
        self.signature(b"ED", &Blake2b512::digest(text.as_bytes()))
    }

    /// As old versions of minisign do it, without a hash.
    pub(super) fn sign_as_of_old(&self, text: &str) -> String {
        self.signature(b"Ed", text.as_bytes())
    }

    fn signature(&self, algorithm: &[u8], what: &[u8]) -> String {
        const COMMENT: &str = "a throw-away key";
        let signature = self.pair.sign(what);
        let both = self.pair.sign(&[signature.as_ref(), COMMENT.as_bytes()].concat());
        let signature = BASE64.encode(&[algorithm, &self.number[..], signature.as_ref()].concat());
        let both = BASE64.encode(both.as_ref());
        format!("untrusted comment: none\n{signature}\ntrusted comment: {COMMENT}\n{both}\n")
    }
}

/// The three root keys.
pub(super) struct Roots3([Key; 3]);

impl Roots3 {
    pub(super) fn new() -> Self {
        Self([Key::new(), Key::new(), Key::new()])
    }

    pub(super) fn text(&self) -> String {
        let lines = self.0.iter().map(|key| format!("untrusted comment: a root\n{}\n", key.public()));
        lines.collect()
    }

    pub(super) fn public(&self) -> Roots {
        Roots::parse(&self.text()).unwrap()
    }

    pub(super) fn sign(&self, root: usize, text: &str) -> String {
        self.0[root].sign(text)
    }
}
