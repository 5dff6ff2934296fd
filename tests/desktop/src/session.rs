//! Display, bus, window manager and keychain.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use petit_tests::soon;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// A desktop. All of it ends with the value.
pub struct Session {
    home: TempDir,
    display: String,
    bus: String,
    _children: Vec<Child>,
}

const BUS: &str = "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
    \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><type>session</type>\
    <listen>unix:path=SOCKET</listen><auth>EXTERNAL</auth><policy context=\"default\"><allow send_destination=\"*\"/>\
    <allow own=\"*\"/><allow receive_sender=\"*\"/></policy></busconfig>";

async fn first_line(child: &mut Child, what: &str) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    soon(what, lines.next_line()).await.unwrap().unwrap()
}

impl Session {
    /// Starts a desktop without panel and without keychain. No service starts by itself on its bus.
    pub async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("bus.conf");
        let socket = home.path().join("bus");
        std::fs::write(&config, BUS.replace("SOCKET", socket.to_str().unwrap())).unwrap();
        let spawn = |command: &mut Command| {
            let program = format!("{command:?}");
            let child = command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
            child.unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask test` installs it"))
        };
        let mut bus_daemon = spawn(
            Command::new("dbus-daemon")
                .args(["--nofork", "--print-address", "--config-file"])
                .arg(&config)
                .stdout(Stdio::piped()),
        );
        let bus = first_line(&mut bus_daemon, "the bus").await;
        let mut server = spawn(
            Command::new("Xvfb")
                .args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"])
                .stdout(Stdio::piped()),
        );
        let display = format!(":{}", first_line(&mut server, "the display").await);
        let mut session = Self { home, display, bus, _children: vec![bus_daemon, server] };
        let manager = session.command("openbox").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        session._children.push(manager.expect("openbox is installed by `cargo xtask test`"));
        session
    }

    /// The user's home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where autostart entries and the like are.
    pub fn config_home(&self) -> PathBuf {
        self.home.path().join("config")
    }

    /// The address of the session bus.
    pub fn bus(&self) -> &str {
        &self.bus
    }

    /// A program in this session.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, value) in self.env() {
            command.env(name, value);
        }
        for name in [
            "WAYLAND_DISPLAY",
            "PETIT_CONFIG",
            "XDG_ACTIVATION_TOKEN",
            "DESKTOP_STARTUP_ID",
            "LANG",
            "LC_ALL",
        ] {
            command.env_remove(name);
        }
        command.kill_on_drop(true).stdin(Stdio::null());
        command
    }

    /// What a program in this session has in its environment.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let home = self.home().display().to_string();
        let config = self.config_home().display().to_string();
        vec![
            ("HOME", home.clone()),
            ("XDG_RUNTIME_DIR", home),
            ("XDG_CONFIG_HOME", config),
            ("DISPLAY", self.display.clone()),
            ("DBUS_SESSION_BUS_ADDRESS", self.bus.clone()),
            ("LIBGL_ALWAYS_SOFTWARE", "1".to_owned()),
            ("WEBKIT_DISABLE_DMABUF_RENDERER", "1".to_owned()),
            ("NO_AT_BRIDGE", "1".to_owned()),
        ]
    }

    /// Runs a program to its end and returns what it said; fails with it.
    pub async fn said(&self, program: &str, arguments: &[&str]) -> String {
        let output = soon(program, self.command(program).args(arguments).output()).await.unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The windows of Petit that can be seen.
    pub async fn windows(&self) -> Vec<String> {
        let said = self.said("xdotool", &["search", "--onlyvisible", "--name", "^Petit"]).await;
        said.lines().map(str::to_owned).collect()
    }

    /// Waits until a window of Petit can be seen, or none.
    pub async fn until_window(&self, there: bool) {
        let what = if there { "a window" } else { "no window" };
        soon(what, async {
            while self.windows().await.is_empty() == there {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Closes the window as its user does.
    pub async fn close_window(&self) {
        self.said("wmctrl", &["-c", "Petit"]).await;
        self.until_window(false).await;
    }

    /// Keeps a picture of the screen when PETIT_PICTURES names a folder.
    pub async fn picture(&self, name: &str) {
        if let Some(dir) = std::env::var_os("PETIT_PICTURES") {
            let path = Path::new(&dir).join(format!("{name}.png"));
            self.said("import", &["-window", "root", path.to_str().unwrap()]).await;
        }
    }

    /// A keychain with an unlocked keyring; it ends with the value.
    pub async fn keychain(&self) -> Child {
        let mut daemon = self
            .command("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            // Without a display it cannot ask anybody.
            .env_remove("DISPLAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon is installed by `cargo xtask test`");
        daemon.stdin.take().unwrap().write_all(b"bed\n").await.unwrap();
        let method = ["org.freedesktop.DBus.Properties.Get", "org.freedesktop.Secret.Service", "Collections"];
        soon("the keyring", async {
            while !self.secrets(&method).await.contains("/collection/login") {
                tokio::task::yield_now().await;
            }
        })
        .await;
        daemon
    }

    /// Locks the keychain.
    pub async fn lock_keychain(&self) {
        let path = "['/org/freedesktop/secrets/collection/login']";
        self.secrets(&["org.freedesktop.Secret.Service.Lock", path]).await;
    }

    async fn secrets(&self, method: &[&str]) -> String {
        let mut arguments = vec![
            "call",
            "--session",
            "--dest",
            "org.freedesktop.secrets",
            "--object-path",
            "/org/freedesktop/secrets",
        ];
        arguments.push("--method");
        arguments.extend(method);
        self.said("gdbus", &arguments).await
    }
}
