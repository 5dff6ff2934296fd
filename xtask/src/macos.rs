//! Whether the programs compile for macOS, as far as that can be told without one: Rust code is checked whole, C is
//! compiled by zig, which brings macOS's headers; linking needs frameworks that come with Apple's tools only.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{cargo, succeed, target};
use crate::setup::python_with;

const TARGET: &str = "aarch64-apple-darwin";
/// zig as a package of Python, which is where a stable release of it is to be had everywhere.
const ZIG: &str = "ziglang==0.15.2";

/// Checks client, server and tray app.
pub(crate) fn check() -> Result<String, String> {
    succeed(Command::new("rustup").args(["target", "add", TARGET]))?;
    let folder = target()?.join("macos");
    let zig = zig(&folder.join("python"))?;
    let compiler = wrapper(&folder, "cc", &compiler(&zig))?;
    let archiver = wrapper(&folder, "ar", &format!("exec '{}' ar \"$@\"\n", zig.display()))?;
    let mut check = cargo(&["check", "--locked", "--target", TARGET]);
    check.args(["-p", "petit-client", "-p", "petit-server", "-p", "petit-desktop"]);
    check.env("CC_aarch64_apple_darwin", compiler).env("AR_aarch64_apple_darwin", archiver);
    succeed(check.env("CARGO_TARGET_AARCH64_APPLE_DARWIN_RUSTFLAGS", "-D warnings"))?;
    Ok(format!("client, server and tray app check for {TARGET}"))
}

/// zig, in an environment of Python's beside what cargo builds.
fn zig(python: &Path) -> Result<PathBuf, String> {
    python_with(python, ZIG)?;
    let mut ask = Command::new(python.join("bin/python"));
    ask.args(["-c", "import ziglang; print(ziglang.__path__[0])"]);
    let output = ask.output().map_err(|error| format!("cannot run {ask:?}: {error}"))?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let zig = Path::new(&folder).join("zig");
    if zig.is_file() { Ok(zig) } else { Err(format!("there is no zig in {}", python.display())) }
}

/// A C compiler that takes what crates say to clang: zig is told the system once, and knows no SDK.
fn compiler(zig: &Path) -> String {
    format!(
        "skip=
for word do
    shift
    if [ -n \"$skip\" ]; then
        skip=
        continue
    fi
    case $word in
    -arch | -isysroot | -target) skip=yes ;;
    --target=* | -mmacosx-version-min* | -mmacos-version-min* | -gdwarf*) ;;
    *) set -- \"$@\" \"$word\" ;;
    esac
done
exec '{}' cc -target aarch64-macos \"$@\"
",
        zig.display()
    )
}

fn wrapper(folder: &Path, name: &str, script: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::write(&path, format!("#!/bin/sh\n{script}")).map_err(failed)?;
    executable(&path).map_err(failed)?;
    Ok(path)
}

#[cfg(unix)]
fn executable(path: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

/// Where there is no such right, there is no shell for it either.
#[cfg(not(unix))]
fn executable(_: &Path) -> std::io::Result<()> {
    Ok(())
}
