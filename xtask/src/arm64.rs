//! The programs for arm64: built by Debian's cross compiler, packed, and run by qemu, which runs what other processors do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::dist::{Name, Wanted, has_arm64, programs_for_arm64};
use crate::made::{Build, set_mode};
use crate::run::{Outcome, cargo, target};
use crate::setup::{Needed, install};
use crate::watch::watch;

const NEEDED: &[Needed] = &[
    (QEMU, "qemu-user-static", "runs programs for arm64"),
    ("/usr/aarch64-linux-gnu/lib/libc.so.6", "libc6-arm64-cross", "is the C library that they are run with"),
];
const QEMU: &str = "qemu-aarch64-static";

/// Makes the packages, and runs the programs. Says how many tests passed.
pub(crate) fn check() -> Result<String, String> {
    if !has_arm64()? {
        return Ok("this machine is one itself: its own tests have run".to_owned());
    }
    install(NEEDED, &[], "Programs for arm64 need")?;
    let into = target()?.join("arm64");
    let names = vec![Name::Client, Name::Server];
    let wanted = Wanted { build: Build::Debug, from: None, into: into.clone(), roots: None, names };
    wanted.arm64(&wanted.programs()?)?;
    let scripts = scripts(&programs_for_arm64(Build::Debug)?, &into.join("programs"))?;
    let mut tests = cargo(&["test", "--locked", "-p", "petit-tests", "--test", "arm64"]);
    let watched = watch(tests.env("PETIT_PACKAGES", &into).env("PETIT_PROGRAMS", scripts))?;
    if watched.success {
        Ok(format!("{} passed under qemu", watched.passed))
    } else {
        Err(watched.failures())
    }
}

/// Programs for this machine that run those for arm64; returns the folder that they are in.
fn scripts(programs: &Path, folder: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for name in ["petit-server", "petit-client"] {
        let program = programs.join(name);
        let text =
            format!("#!/bin/sh\nexec {QEMU} -L /usr/aarch64-linux-gnu '{}' \"$@\"\n", program.display());
        write(&folder.join(name), &text)?;
    }
    Ok(folder.to_owned())
}

fn write(path: &Path, text: &str) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    fs::write(path, text).map_err(failed)?;
    set_mode(path, 0o755).map_err(failed)
}
