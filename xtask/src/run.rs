//! Running other programs.

use std::path::PathBuf;
use std::process::Command;

/// What went wrong, as a sentence or two.
pub(crate) type Outcome = Result<(), String>;

/// The repository.
pub(crate) fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}

/// `cargo`, in the repository. The one that runs us, so that both use one toolchain.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> Result<PathBuf, String> {
    let output = cargo(&["metadata", "--format-version=1", "--no-deps"]).output();
    let output = output.map_err(|error| format!("cannot run cargo: {error}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let target = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    target.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target directory".to_owned())
}

/// `cargo test` for one of the tests that its own step runs. With the features of the whole workspace, and programs from
/// [`build_all`] beside it: for the test's own package alone cargo would build everything anew, with fewer features.
pub(crate) fn test_of(name: &str) -> Command {
    cargo(&["test", "--workspace", "--locked", "--test", name])
}

/// Builds both programs and returns the folder that they are in.
pub(crate) fn build_programs() -> Result<PathBuf, String> {
    succeed(&mut cargo(&["build", "--locked", "-p", "petit-server", "-p", "petit-client"]))?;
    Ok(target()?.join("debug"))
}

/// Builds all programs, the tray app included, and returns the folder that they are in.
pub(crate) fn build_all() -> Result<PathBuf, String> {
    succeed(&mut cargo(&[
        "build",
        "--locked",
        "-p",
        "petit-server",
        "-p",
        "petit-client",
        "-p",
        "petit-desktop",
    ]))?;
    Ok(target()?.join("debug"))
}

/// Runs a command to its end.
pub(crate) fn succeed(command: &mut Command) -> Outcome {
    let said = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{said} ended with {status}")),
        Err(error) => Err(format!("cannot run {said}: {error}")),
    }
}

/// True when a program is on the path.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).any(|dir| dir.join(program).is_file())
}
