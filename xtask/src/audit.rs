//! Dependencies: what may be in, and what is known to be broken.

use std::process::Command;

use crate::Outcome;
use crate::run::{cargo, is_installed, succeed};

/// Runs `cargo deny`. Advisories need their database, which is on the internet; without it the rest counts.
pub(crate) fn run() -> Outcome {
    let there = is_installed("cargo-deny")
        || cargo(&["deny", "--version"]).output().is_ok_and(|output| output.status.success());
    if !there {
        println!("cargo-deny is not installed; installing it (this takes some minutes).");
        succeed(&mut cargo(&["install", "cargo-deny", "--locked"]))?;
    }
    succeed(&mut cargo(&["deny", "--workspace", "check", "bans", "licenses", "sources"]))?;
    let mut advisories: Command = cargo(&["deny", "--workspace", "check", "advisories"]);
    match advisories.output() {
        Ok(output) if output.status.success() => println!("No known advisories."),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            if said.contains("failed to fetch")
                || said.contains("unable to fetch")
                || said.contains("failed to clone")
            {
                println!("The advisory database cannot be reached from here; advisories were not checked.");
            } else {
                eprintln!("{said}");
                return Err("there are advisories".to_owned());
            }
        }
        Err(error) => return Err(format!("cannot run cargo deny: {error}")),
    }
    Ok(())
}
