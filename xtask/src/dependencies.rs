//! Dependencies: what may be in, what is not used, and what is known to be broken.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{Outcome, cargo, root, succeed, target};

/// Tools that are installed from source: their packages and versions. What they find must not depend on the day.
const TOOLS: [(&str, &str); 3] =
    [("cargo-auditable", "0.7.7"), ("cargo-deny", "0.20.2"), ("cargo-machete", "0.9.2")];

/// Fails when a dependency is in that may not be, comes from elsewhere, or is used by nobody. Says what was looked
/// at.
///
/// What is known to be broken in dependencies is not looked for, because that changes without a change of ours; see
/// [`audit`].
pub(crate) fn check() -> Result<String, String> {
    let mut deny = tool("cargo-deny")?;
    succeed(deny.args(["--workspace", "--locked", "check", "bans", "licenses", "sources"]))?;
    // The folder by its name: given none, the tool would look into what cargo has built as well.
    let mut machete = tool("cargo-machete")?;
    let members = members()?;
    succeed(machete.args(&members))?;
    Ok(format!("bans, licences, sources; {} packages use what they name", members.len()))
}

/// Runs all of `cargo deny`. Advisories need their database, which is on the internet; without it the rest counts.
pub(crate) fn audit() -> Outcome {
    check()?;
    let advisories = tool("cargo-deny")?.args(["--workspace", "--locked", "check", "advisories"]).output();
    let output = advisories.map_err(|error| format!("cannot run cargo deny: {error}"))?;
    if output.status.success() {
        println!("No known advisories.");
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if ["failed to fetch", "unable to fetch", "failed to clone"].iter().any(|what| said.contains(what)) {
        println!("The advisory database cannot be reached from here; advisories were not checked.");
        return Ok(());
    }
    eprintln!("{said}");
    Err("there are advisories".to_owned())
}

/// The folders of our packages, relative to the repository.
fn members() -> Result<Vec<String>, String> {
    let path = root().join("Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("members = ["));
    let names = line.and_then(|line| line.strip_suffix(']')).ok_or("Cargo.toml has no line of members")?;
    Ok(names.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect())
}

/// A tool in our version, in the repository; installed beside what cargo builds when it is not there yet.
pub(crate) fn tool(package: &str) -> Result<Command, String> {
    let Some((_, version)) = TOOLS.iter().find(|(name, _)| *name == package) else {
        return Err(format!("{package} is no tool of ours"));
    };
    let home: PathBuf = target()?.join("tools").join(format!("{package}-{version}"));
    let program = home.join("bin").join(package);
    if !program.exists() {
        println!("Installing {package} {version} for this step, into {}.", home.display());
        // Unoptimised: it runs for seconds, and optimising it would take minutes.
        let mut install =
            cargo(&["install", package, "--version", version, "--locked", "--debug", "--quiet", "--root"]);
        succeed(install.arg(&home))?;
    }
    let mut command = Command::new(program);
    command.current_dir(root());
    Ok(command)
}
