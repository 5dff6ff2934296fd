//! A release from its first command to the client that is told of it: built, signed with throw-away keys as docs/releasing.md
//! says it, installed by its packages, and handed out by its server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use petit_tests::process::programs;
use serde_json::Value;

use crate::machine::{done, on_a_machine};
use crate::packages::package_in;
use crate::pair::{Pair, private_service};

/// What is released: programs of this very version, as another one.
const NEXT: &str = "9.0.0";
/// Clients spread over half a minute when they ask what there is.
pub(crate) const TOLD_WITHIN: Duration = Duration::from_secs(90);

/// Whoever releases, and the holders of the root keys, in one folder.
struct Workshop(tempfile::TempDir);

impl Workshop {
    /// With three root keys.
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        let roots = ["ada", "bob", "eve"].map(|name| fs::read_to_string(this.make_key(name)).unwrap());
        fs::write(this.at("roots.pub"), roots.concat()).unwrap();
        this
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a pair of keys without a password; returns the public one.
    fn make_key(&self, name: &str) -> PathBuf {
        let public = self.at(&format!("{name}.pub"));
        let secret = self.at(&format!("{name}.key"));
        done(Command::new("minisign").args(["-G", "-W", "-p"]).arg(&public).arg("-s").arg(secret));
        public
    }

    /// `cargo xtask release …`, with paths of this folder.
    fn release(&self, line: &str) -> String {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap());
        command.args(["xtask", "release"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        for word in line.split(' ') {
            match word.strip_prefix('@') {
                Some(name) => command.arg(self.at(name)),
                None => command.arg(word),
            };
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Signs the programs of `made` with a release key that two root keys have signed.
    fn sign(&self) {
        let public = self.make_key("release-1");
        assert!(public.exists());
        self.release("key --public @release-1.pub --number 1 --into @release");
        for root in ["ada", "eve"] {
            let document = self.at("release/release-key.next.json");
            let mut sign = Command::new("minisign");
            sign.arg("-S").arg("-s").arg(self.at(&format!("{root}.key"))).arg("-m").arg(&document);
            done(sign.arg("-x").arg(format!("{}.{root}.minisig", document.display())));
        }
        let said = self.release(&format!(
            "sign --roots @roots.pub --key @release-1.key --into @release --version {NEXT} --from @made"
        ));
        assert!(said.contains(&format!("petit-client-linux-x86_64 {NEXT}")), "{said}");
        assert!(!said.contains("petit-server-"), "only what looks for updates: {said}");
    }
}

/// Whose a file of a package of RPM is.
fn owner_in_rpm(package: &Path, file: &str) -> Option<String> {
    let query =
        ["--query", "--queryformat", "[%{FILENAMES} %{FILEUSERNAME}:%{FILEGROUPNAME}\\n]", "--package"];
    let output = Command::new("rpm").args(query).arg(package).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    listed.lines().find_map(|line| line.strip_prefix(&format!("{file} ")).map(str::to_owned))
}

#[test]
fn a_release_is_made_by_one_command_signed_installed_and_told_of() {
    let workshop = Workshop::new();
    let from = programs().display().to_string();
    let build = format!("build --debug --from {from} --roots @roots.pub --parts linux,images --into @made");
    let said = workshop.release(&build);
    // What is missing is said, and not found out by who asks for it.
    for missing in
        ["windows: --parts does not name it", "linux-arm64: --parts does not name it", "macos: it takes"]
    {
        assert!(said.contains(missing), "{missing} in {said}");
    }
    let made = workshop.at("made");
    done(Command::new("sha256sum").args(["--check", "--quiet", "--strict", "SHA256SUMS"]).current_dir(&made));
    let sums = fs::read_to_string(made.join("SHA256SUMS")).unwrap();
    for file in [
        "programs/petit-server-linux-x86_64",
        "images/layout/index.json",
        "images/petit-client-0.1.0.tar",
        "sbom/petit-client-linux-x86_64.cdx.json",
    ] {
        assert!(sums.contains(&format!("  {file}\n")), "{file} in {sums}");
    }
    workshop.sign();
    on_a_machine(async |machine| {
        let _service = private_service().await;
        for name in ["petit-server", "petit-client"] {
            let packages = made.join("packages");
            let rpm = package_in(&packages, name, "-0", ".rpm");
            let roots = format!("/usr/lib/{name}/petit-roots.pub");
            assert_eq!(owner_in_rpm(&rpm, &roots).as_deref(), Some("root:root"));
            let package = machine.bring(&package_in(&packages, name, "_", ".deb"));
            machine.says(&format!("dpkg --install {package}")).await;
            assert_eq!(machine.says(&format!("stat --format=%U:%G:%a {roots}")).await, "root:root:644");
        }
        let _pair = Pair::begin(&machine).await;
        let release = machine.path("/root/release");
        done(Command::new("cp").arg("--recursive").arg(workshop.at("release")).arg(&release));
        machine.says("petit-server release put release && petit-server rollout start --rings 100%").await;
        machine
            .until_within(TOLD_WITHIN, "petit-client status --json | grep '\"available\": \"9.0.0\"'")
            .await;
        let said: Value =
            serde_json::from_str(&machine.says("petit-client upgrade --check --json").await).unwrap();
        assert_eq!((&said["outcome"], &said["version"]), (&"told".into(), &NEXT.into()), "{said}");
        machine.says("petit-client version | grep 0.1.0").await;
    });
}
