//! Tests that can fail: cargo-mutants breaks the code in one place after the other, and the unit tests of the crate
//! have to notice. What they do not notice is a missing test, or a change that makes no difference.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Outcome, cargo, root, succeed, target};

const VERSION: &str = "27.1.0";

/// What is broken: code that decides, and that unit tests can reach without a network.
const PARTS: [(&str, &str); 6] = [
    ("proto", "petit-engine/src/proto/**/*.rs"),
    ("mux", "petit-engine/src/mux/core/*.rs"),
    ("http", "petit-engine/src/http/*.rs"),
    ("head", "petit-relay/src/ingress/head/*.rs"),
    ("pool", "petit-relay/src/ingress/pool.rs"),
    ("retry", "petit-relay/src/ingress/forward.rs"),
];

/// Shards of one part. Each is some tens of mutants, so little is lost when a run is interrupted.
const SHARDS: usize = 4;

/// The outcomes that cargo-mutants keeps a list of each.
const LISTS: [&str; 4] = ["caught", "missed", "timeout", "unviable"];

/// Runs the shards that have not been run yet, of all parts or of those that are named. It can be interrupted and
/// goes on where it was; `--again` forgets what was found.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let (options, names): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with("--"));
    let again = match options.as_slice() {
        [] => false,
        ["--again"] => true,
        _ => return Err("usage: cargo xtask mutants [--again] [PART …]".to_owned()),
    };
    if let Some(unknown) = names.iter().find(|name| PARTS.iter().all(|(part, _)| part != *name)) {
        let known = PARTS.map(|(part, _)| part).join(", ");
        return Err(format!("there is no part {unknown:?}; there are {known}"));
    }
    let found = target()?.join("mutants");
    let program = install()?;
    let wanted = PARTS.iter().filter(|(part, _)| names.is_empty() || names.contains(part));
    let mut missed = 0;
    for (part, files) in wanted {
        let of_part = found.join(part);
        if again && of_part.exists() {
            std::fs::remove_dir_all(&of_part).map_err(|error| format!("{}: {error}", of_part.display()))?;
        }
        for shard in 0..SHARDS {
            let out = of_part.join(format!("{shard}-of-{SHARDS}"));
            if !out.join(DONE).exists() {
                println!("\n=== {part}, shard {} of {SHARDS}", shard + 1);
                run_shard(&program, files, shard, &out)?;
            }
        }
        missed += summary(part, &of_part);
    }
    if missed == 0 { Ok(()) } else { Err(format!("{missed} mutants were not noticed")) }
}

/// Marks a shard that has come to its end.
const DONE: &str = "done";

fn install() -> Result<PathBuf, String> {
    let tools = target()?.join("tools");
    let program = tools.join("bin").join("cargo-mutants");
    if !program.is_file() {
        println!("Building cargo-mutants (this takes some minutes).");
        let mut install = cargo(&["install", "cargo-mutants", "--version", VERSION, "--locked"]);
        // Its own target folder: nothing of it is built with what this repository says.
        succeed(install.arg("--root").arg(&tools).env("CARGO_TARGET_DIR", tools.join("build")))?;
    }
    Ok(program)
}

fn run_shard(program: &Path, files: &str, shard: usize, out: &Path) -> Outcome {
    std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let package = files.split('/').next().unwrap_or_default();
    // Beside other work: it takes hours.
    let mut command = Command::new("nice");
    command.arg("-n19").arg(program).args(["mutants", "--package", package, "--file", files]);
    command.args(["--exclude-re", "impl (Debug|Display|.*Error)", "--exclude", "**/fuzz.rs"]);
    command.args(["--shard", &format!("{shard}/{SHARDS}"), "--no-shuffle", "--cap-lints=true"]);
    // A mutant that makes a test wait for ever is noticed, too. Fifty times what the tests take beside other work.
    command.args(["--minimum-test-timeout", "120", "--cargo-test-arg=--lib", "--output"]).arg(out);
    command.current_dir(root()).env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("CARGO_TARGET_DIR");
    let status = command.status().map_err(|error| format!("cannot run cargo-mutants: {error}"))?;
    match status.code() {
        // All noticed; some missed; some without end.
        Some(0 | 2 | 3) => {
            std::fs::write(out.join(DONE), "").map_err(|error| format!("{}: {error}", out.display()))
        }
        _ => Err(format!("cargo-mutants ended with {status}; its logs are in {}", out.display())),
    }
}

/// Prints what was found in a part; returns how many mutants were missed.
fn summary(part: &str, of_part: &Path) -> usize {
    let lines = |list: &str| -> Vec<String> {
        let shards = (0..SHARDS).map(|shard| of_part.join(format!("{shard}-of-{SHARDS}")));
        let texts = shards.map(|out| out.join("mutants.out").join(format!("{list}.txt")));
        let texts = texts.filter_map(|path| std::fs::read_to_string(path).ok());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let counts: Vec<String> = LISTS.iter().map(|list| format!("{} {list}", lines(list).len())).collect();
    println!("{part}: {}", counts.join(", "));
    let missed = lines("missed");
    for mutant in &missed {
        println!("    missed: {mutant}");
    }
    missed.len()
}
