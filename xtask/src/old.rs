//! Today's programs beside those of an older version.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::run::{build_all, cargo, root, succeed, target, test_of};
use crate::watch::watch;

/// The last commit before anything was added to the wire: no peer knows less than its programs.
const COMMIT: &str = "f09d36b";

/// Runs the tests that need the older programs. Says how many passed.
pub(crate) fn check() -> Result<String, String> {
    let old = programs()?;
    let mut command = test_of("old");
    let watched = watch(command.env("PETIT_PROGRAMS", build_all()?).env("PETIT_OLD_PROGRAMS", old))?;
    if watched.success {
        Ok(format!("{} passed, with the programs of {COMMIT}", watched.passed))
    } else {
        Err(watched.failures())
    }
}

/// The older programs, built once and kept beside what cargo builds of today's source.
fn programs() -> Result<PathBuf, String> {
    let home = target()?.join("old").join(COMMIT);
    let programs = home.join("target/debug");
    if ["petit-client", "petit-server"].iter().all(|program| programs.join(program).exists()) {
        return Ok(programs);
    }
    let source = home.join("source");
    std::fs::create_dir_all(&source).map_err(|error| format!("{}: {error}", source.display()))?;
    println!("Building the programs of {COMMIT} into {}; this is done once.", home.display());
    let git =
        Command::new("git").args(["archive", COMMIT]).current_dir(root()).stdout(Stdio::piped()).spawn();
    let mut git = git.map_err(|error| format!("cannot run git: {error}"))?;
    let archive = git.stdout.take().ok_or("git has no output")?;
    succeed(Command::new("tar").arg("-x").arg("-C").arg(&source).stdin(archive))?;
    match git.wait() {
        Ok(status) if status.success() => {}
        _ => return Err(format!("git has no {COMMIT}: the whole history is needed (git fetch --unshallow)")),
    }
    let mut build = cargo(&["build", "--locked", "-p", "petit-server", "-p", "petit-client"]);
    succeed(build.current_dir(&source).env("CARGO_TARGET_DIR", home.join("target")))?;
    Ok(programs)
}
