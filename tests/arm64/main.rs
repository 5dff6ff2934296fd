//! Client and server for arm64: what their packages hold, and that they work, under qemu.
//!
//! `cargo xtask test arm64` makes packages and programs, and says in `PETIT_PACKAGES` and `PETIT_PROGRAMS` where they are;
//! the programs there are scripts that run those for arm64.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assert by failing"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use petit_tests::bed::client_config;
use petit_tests::process::{Program, programs};
use petit_tests::service::Service;

const NAMES: [&str; 2] = ["petit-server", "petit-client"];
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// `EM_AARCH64`, in ELF's header.
const MACHINE: [u8; 2] = [0xb7, 0];

fn package(file: &str) -> PathBuf {
    Path::new(&std::env::var_os("PETIT_PACKAGES").expect("run this by `cargo xtask test arm64`")).join(file)
}

fn said_by(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn packages_for_arm64_hold_programs_for_it_and_say_so() {
    for name in NAMES {
        let deb = package(&format!("{name}_{VERSION}_arm64.deb"));
        let field = |field: &str| said_by(Command::new("dpkg-deb").arg("--field").arg(&deb).arg(field));
        assert_eq!((field("Package").as_str(), field("Architecture").as_str()), (name, "arm64"));
        assert!(field("Depends").starts_with("libc6 (>= 2."), "{}", field("Depends"));
        let rpm = package(&format!("{name}-{VERSION}-1.aarch64.rpm"));
        let query = ["--query", "--queryformat", "%{NAME} %{ARCH}", "--package"];
        assert_eq!(said_by(Command::new("rpm").args(query).arg(&rpm)), format!("{name} aarch64"));
        let dir = tempfile::tempdir().unwrap();
        said_by(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(dir.path()));
        let program = dir.path().join("usr/bin").join(name);
        assert_eq!(std::fs::read(&program).unwrap()[18..20], MACHINE, "{name}");
        for page in ["man/man1", "bash-completion/completions", "doc"] {
            assert!(dir.path().join("usr/share").join(page).is_dir(), "{page}");
        }
    }
}

#[tokio::test]
async fn a_request_passes_through_server_and_client_for_arm64() {
    for name in NAMES {
        let said = said_by(Command::new(programs().join(name)).arg("--version"));
        assert!(said.contains(VERSION), "{said}");
    }
    let service = Service::http("by arm64").await;
    let (server, client) = (Program::server().await, Program::client());
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    let _server = server.up().await;
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let running = client.up().await;
    let status = client.until_green().await;
    let host = format!("{}.localhost", status["services"][0]["id"].as_str().unwrap());
    assert_eq!(server.visitor().await.get(&host, "/").await.text(), "by arm64");
    // Nothing else has served.
    let program = said_by(Command::new("cat").arg(format!("/proc/{}/cmdline", running.id())));
    assert!(program.contains("qemu-aarch64"), "{program:?}");
}
