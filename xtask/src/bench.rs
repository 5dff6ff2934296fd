//! The benchmark: builds Petit as it is released, installs what it is measured beside, and runs `petit-bench`.

use crate::run::{Outcome, cargo, root, succeed, target};
use crate::setup::{self, Needed};

/// The profile that is measured; see `Cargo.toml`.
const PROFILE: &str = "measure";

const NEEDED: [Needed; 9] = [
    ("nginx", "nginx-light", "the service behind every system"),
    ("haproxy", "haproxy", "a plain reverse proxy to compare with"),
    ("sshd", "openssh-server", "ssh -R to compare with"),
    ("ssh", "openssh-client", "ssh -R to compare with"),
    ("wrk", "wrk", "sends many requests"),
    ("openssl", "openssl", "certificates for the others"),
    ("strip", "binutils", "sizes of the programs as they are released"),
    ("valgrind", "valgrind", "counts instructions"),
    ("perf", "linux-perf", "finds out where CPU time goes"),
];

/// The tunnel to compare with. Without `--locked`: the versions that it locks no longer build.
const RATHOLE: [&str; 4] = ["install", "rathole", "--version", "0.5.0"];

/// Runs it; what it can be told is its own matter.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let target = target()?;
    let (programs, peers) = (target.join(PROFILE), target.join("peers"));
    if !arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        setup::install(&NEEDED, &[], "The benchmark needs")?;
        if !peers.join("bin").join("rathole").is_file() {
            println!("Building rathole to compare with (this takes some minutes).");
            // Its own target folder: nothing of it is built with what this repository says.
            let mut install = cargo(&RATHOLE);
            install.arg("--root").arg(&peers).env("CARGO_TARGET_DIR", peers.join("build"));
            succeed(&mut install)?;
        }
        println!("Building the programs as they are released (this takes some minutes the first time) …");
        // By themselves, so that the bench's own wishes change nothing about them.
        let build = ["build", "--quiet", "--locked", "--profile", PROFILE];
        succeed(cargo(&build).args(["-p", "petit-server", "-p", "petit-client"]))?;
    }
    let build = ["build", "--quiet", "--locked", "--profile", PROFILE, "-p", "petit-bench"];
    succeed(&mut cargo(&build))?;
    let mut bench = std::process::Command::new(programs.join("petit-bench"));
    bench.args(arguments).arg("--root").arg(root()).arg("--programs").arg(&programs);
    bench.arg("--peers-dir").arg(peers.join("bin")).arg("--work").arg(target.join("bench"));
    succeed(&mut bench)
}
