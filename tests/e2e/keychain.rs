//! The real keychain: GNOME's keyring daemon on a session bus of its own.

use std::path::Path;
use std::process::Stdio;

use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// A session bus; dies with the value.
struct Bus {
    _daemon: Child,
    address: String,
}

impl Bus {
    /// A bus on which nothing is started by itself, unless `services` is the folder of what may be.
    async fn start(dir: &Path) -> Self {
        let config = dir.join("bus.conf");
        let socket = dir.join("bus");
        let text = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><type>session</type>\
             <listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\"><allow send_destination=\"*\"/>\
             <allow own=\"*\"/><allow receive_sender=\"*\"/></policy></busconfig>",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--print-address", "--config-file"])
            .arg(&config)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("dbus-daemon is installed by `cargo xtask test`");
        let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
        let address = soon("the bus", lines.next_line()).await.unwrap().unwrap();
        Self { _daemon: daemon, address }
    }

    fn command(&self, program: &str, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address).env("HOME", dir).env("XDG_RUNTIME_DIR", dir);
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").kill_on_drop(true);
        command
    }

    /// Runs the keyring daemon with an unlocked keyring, and waits until it answers.
    async fn keyring(&self, dir: &Path) -> Child {
        let mut daemon = self
            .command("gnome-keyring-daemon", dir)
            .args(["--foreground", "--unlock", "--components=secrets"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon is installed by `cargo xtask test`");
        daemon.stdin.take().unwrap().write_all(b"bed\n").await.unwrap();
        soon("the keyring", async {
            loop {
                let asked = self
                    .call(
                        dir,
                        &[
                            "org.freedesktop.DBus.Properties.Get",
                            "org.freedesktop.Secret.Service",
                            "Collections",
                        ],
                    )
                    .await;
                if asked.contains("/collection/login") {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        daemon
    }

    async fn call(&self, dir: &Path, method: &[&str]) -> String {
        let output = self
            .command("gdbus", dir)
            .args([
                "call",
                "--session",
                "--dest",
                "org.freedesktop.secrets",
                "--object-path",
                "/org/freedesktop/secrets",
            ])
            .arg("--method")
            .args(method)
            .output()
            .await
            .expect("gdbus is installed by `cargo xtask test`");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What secret-tool finds of ours.
    async fn secrets(&self, dir: &Path) -> String {
        let output =
            self.command("secret-tool", dir).args(["search", "--all", "service", "petit"]).output().await;
        let output = output.expect("secret-tool is installed by `cargo xtask test`");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

#[tokio::test]
async fn a_key_lives_in_the_keychain_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::start(dir.path()).await;
    let mut daemon = bus.keyring(dir.path()).await;
    let service = Service::http("with the keychain").await;
    let server = Program::server().await;
    let _server = server.up().await;
    let client = Program::client().env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    let target = service.address().to_string();
    let link = server.invite([""; 0]).await;
    client.run_with(["register", "--service", &target], &link).await.ok();
    assert!(!client.dir().join("device.key").exists());
    let found = bus.secrets(dir.path()).await;
    assert!(found.contains("device key SHA256:"), "{found}");
    let secret = found.lines().find_map(|line| line.strip_prefix("secret = ")).unwrap().to_owned();
    for (path, text) in client.texts() {
        assert!(!text.contains(&secret[20..]), "the key is in {}", path.display());
    }
    let running = client.up().await;
    client.until_green().await;
    running.kill().await;

    // Locked: said so, nothing else is tried, and unlocking is enough to go on.
    bus.call(
        dir.path(),
        &["org.freedesktop.Secret.Service.Lock", "['/org/freedesktop/secrets/collection/login']"],
    )
    .await;
    let said = client.run(["start"]).await;
    assert_eq!(said.exit, 1);
    assert!(said.err.contains("the keychain is locked"), "{said:?}");
    let said = client.run(["doctor"]).await;
    assert!(said.out.contains("✘ device key") && said.out.contains("unlock it"), "{said:?}");

    // Gone: told from locked.
    daemon.kill().await.unwrap();
    let said = client.run(["start"]).await;
    assert!(said.err.contains("there is no keychain"), "{said:?}");

    // Back and unlocked: the same key as before.
    let _daemon = bus.keyring(dir.path()).await;
    let _running = client.up().await;
    client.until_green().await;
    client.run(["unregister", "--yes"]).await.ok();
    let found = bus.secrets(dir.path()).await;
    assert!(!found.contains("device key"), "nothing is left behind: {found}");
}

#[tokio::test]
async fn without_a_keychain_nothing_is_silently_put_into_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::start(dir.path()).await;
    let server = Program::server().await;
    let _server = server.up().await;
    let client = Program::client().env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    let link = server.invite([""; 0]).await;
    let said = client.run_with(["register"], &link).await;
    assert_eq!(said.exit, 1);
    assert!(said.err.contains("there is no keychain") && said.err.contains("--key-store file"), "{said:?}");
    assert!(!client.dir().join("device.key").exists());
    let rows = server.run(["invite", "--list", "--json"]).await.ok().json();
    assert_eq!(rows["invites"][0]["state"], "open", "the invite was not used up");
    client.run_with(["register", "--key-store", "file"], &link).await.ok();
    assert!(client.dir().join("device.key").exists(), "because it was asked for");
}
