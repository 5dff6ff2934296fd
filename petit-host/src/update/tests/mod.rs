mod deciding;
mod forms;
mod placing;
mod progress;
mod signer;
mod stolen;

use super::*;
use signer::{Key, Roots3};

const STARTED: &str = "2026-11-28T12:00:00Z";

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn target() -> Target {
    "petit-client-linux-x86_64".parse().unwrap()
}

/// The program that releases consist of here.
const PROGRAM: &[u8] = b"a new program";

fn artifact(version: &str) -> Artifact {
    let Measured { bytes, sha256 } = Measured::of(PROGRAM).unwrap();
    Artifact {
        target: target(),
        version: version.parse().unwrap(),
        file: "petit-client-linux-x86_64".parse().unwrap(),
        bytes,
        sha256,
        minimum: None,
        revoked: Vec::new(),
    }
}

/// What is released: all keys, and what the next manifest says.
struct Release {
    roots: Roots3,
    key: Key,
    release_key: ReleaseKey,
    manifest: Manifest,
}

impl Release {
    /// Version 0.2.0, signed by key 1 in manifest 7.
    fn new() -> Self {
        let (roots, key) = (Roots3::new(), Key::new());
        let release_key = ReleaseKey::new(1, time("2027-06-01T00:00:00Z"), key.public());
        let dates = (time("2026-11-28T10:00:00Z"), time("2026-12-12T10:00:00Z"));
        let manifest = Manifest::new(Channel::Stable, 7, dates, vec![artifact("0.2.0")]);
        Self { roots, key, release_key, manifest }
    }

    fn bundle(&self) -> Bundle {
        let release_key = self.release_key.to_text();
        let manifest = self.manifest.to_text();
        Bundle {
            root_signatures: vec![self.roots.sign(0, &release_key), self.roots.sign(2, &release_key)],
            manifest_signature: self.key.sign(&manifest),
            release_key,
            manifest,
        }
    }

    fn verified(&self) -> Verified {
        verify(&self.bundle(), &self.roots.public()).unwrap()
    }

    fn refused(&self, bundle: &Bundle) -> Refusal {
        verify(bundle, &self.roots.public()).unwrap_err()
    }
}
