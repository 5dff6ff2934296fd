//! The compose file and the manifests for Kubernetes, checked by a program in Go: their types are there.

use std::process::Command;

use super::build::read;
use crate::run::{root, succeed};
use crate::setup::{Needed, install};

const NEEDED: &[Needed] =
    &[("go", "golang-go", "compiles the types that Kubernetes and Compose themselves have")];

/// Checks them. Says what was found.
pub(super) fn check() -> Result<String, String> {
    install(NEEDED, &[], "The manifests need")?;
    let limits = read(&root().join("petit-engine/src/limits.rs"))?;
    let drain =
        drain(&String::from_utf8_lossy(&limits)).ok_or("limits.rs does not say how long a drain takes")?;
    let mut check = Command::new("go");
    check.current_dir(root().join("tests/packaging")).env("GOFLAGS", "-mod=readonly");
    check.args(["run", ".", "-version", env!("CARGO_PKG_VERSION"), "-drain", &format!("{drain}s")]);
    succeed(check.arg(root().join("packaging")))?;
    Ok("compose file and manifests are as they should be".to_owned())
}

/// The seconds that a server finishes what is under way in, unless its config says otherwise.
fn drain(limits: &str) -> Option<u64> {
    let (_, rest) = limits.split_once("pub const DRAIN: Duration = Duration::from_secs(")?;
    rest.split(')').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::drain;

    #[test]
    fn the_drain_is_what_the_engine_says() {
        assert_eq!(drain(include_str!("../../../petit-engine/src/limits.rs")), Some(30));
        assert_eq!(drain("pub const DRAIN: Duration = OTHER;"), None);
    }
}
