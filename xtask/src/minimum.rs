//! The oldest Rust that client and server are promised to build with.

use std::process::Command;

use crate::run::{root, succeed, target};

/// Checks both programs with the version that `rust-version` names; rustup fetches it when it is not there.
pub(crate) fn check() -> Result<String, String> {
    let path = root().join("Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("rust-version = \""));
    let version = line.and_then(|line| line.split('"').next()).ok_or("Cargo.toml has no rust-version")?;
    let rustup = || Command::new("rustup");
    succeed(rustup().args(["toolchain", "install", version, "--profile", "minimal", "--no-self-update"]))?;
    let mut check = rustup();
    check.args(["run", version, "cargo", "check", "--locked", "-p", "petit-client", "-p", "petit-server"]);
    // What runs us has told cargo and rustc which toolchain to use.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        check.env_remove(variable);
    }
    succeed(check.current_dir(root()).env("CARGO_TARGET_DIR", target()?.join("minimum")))?;
    Ok(format!("client and server build with Rust {version}"))
}
