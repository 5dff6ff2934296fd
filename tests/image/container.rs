//! A container: an image unpacked, and run by runc as a cluster runs it. Its root is read-only, it has no capabilities
//! and may get none, and its volume belongs to root, with the program's group.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::Stdio;

use petit_tests::process::Said;
use petit_tests::soon;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// Where a program keeps what outlives its container.
const VOLUME: &str = "/var/lib/petit";
/// Where a secret with a certificate is.
const CERTIFICATES: &str = "/certificates";
/// The user that both images name.
const PETIT: u32 = 65532;

/// The layout that `cargo xtask test image` has made.
pub(crate) fn layout() -> PathBuf {
    images().join("layout")
}

/// The folder that it is in.
pub(crate) fn images() -> PathBuf {
    PathBuf::from(std::env::var_os("PETIT_IMAGES").expect("run this by `cargo xtask test image`"))
}

/// The name of an image in it.
pub(crate) fn image(program: &str) -> String {
    let variable = if program == "petit-server" { "PETIT_SERVER_IMAGE" } else { "PETIT_CLIENT_IMAGE" };
    std::env::var(variable).expect("run this by `cargo xtask test image`")
}

/// Runs a command to its end, with something to read.
pub(crate) async fn run(command: &mut Command, input: &str) -> Said {
    end(begin(command), input).await
}

fn begin(command: &mut Command) -> Child {
    command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits for the end of a command, and says how it was.
async fn end(mut child: Child, input: &str) -> Said {
    let mut stdin = child.stdin.take().unwrap();
    // One that does not read is no reason to fail here.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = soon("a command", child.wait_with_output()).await.unwrap();
    Said {
        exit: output.status.code().unwrap_or(128),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// An image, unpacked, with a volume.
pub(crate) struct Bundle {
    program: &'static str,
    folder: TempDir,
    started: usize,
}

impl Bundle {
    pub(crate) async fn of(program: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut unpack = Command::new("umoci");
        unpack.args(["unpack", "--image"]).arg(format!("{}:{}", layout().display(), image(program)));
        run(unpack.arg(folder.path().join("bundle")), "").await.ok();
        let volume = folder.path().join("volume");
        std::fs::create_dir(&volume).unwrap();
        chown(&volume, Some(0), Some(PETIT)).unwrap();
        std::fs::set_permissions(&volume, std::fs::Permissions::from_mode(0o2775)).unwrap();
        std::fs::create_dir(folder.path().join("certificates")).unwrap();
        let this = Self { program, folder, started: 0 };
        this.confine();
        this
    }

    /// What the image says stays as it is; what is taken away is what a cluster takes away.
    fn confine(&self) {
        let mut spec = self.spec();
        spec["root"]["readonly"] = json!(true);
        let process = &mut spec["process"];
        process["terminal"] = json!(false);
        process["noNewPrivileges"] = json!(true);
        process["capabilities"] = json!({});
        // Limits of this machine's own stay in force.
        process["rlimits"] = json!([]);
        let mount = |at: &str, source: PathBuf, how: &str| json!({ "destination": at, "source": source, "type": "bind", "options": ["rbind", how] });
        spec["mounts"]
            .as_array_mut()
            .unwrap()
            .extend([mount(VOLUME, self.volume(), "rw"), mount(CERTIFICATES, self.certificates(), "ro")]);
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        // The host's network, to reach it and be reached.
        namespaces.retain(|namespace| namespace["type"] != "network" && namespace["type"] != "user");
        self.write_spec(&spec);
    }

    pub(crate) fn spec(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.spec_path()).unwrap()).unwrap()
    }

    fn write_spec(&self, spec: &Value) {
        std::fs::write(self.spec_path(), spec.to_string()).unwrap();
    }

    fn spec_path(&self) -> PathBuf {
        self.folder.path().join("bundle/config.json")
    }

    /// The file system of the image.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("bundle/rootfs")
    }

    /// The volume, from outside.
    pub(crate) fn volume(&self) -> PathBuf {
        self.folder.path().join("volume")
    }

    fn certificates(&self) -> PathBuf {
        self.folder.path().join("certificates")
    }

    /// Puts a certificate and its key where a cluster has a secret: behind links, of which one is put into the place of
    /// another when the secret is changed, readable for root and the program's group.
    fn put_certificate(&self, version: &str, certificate: &str, key: &str) {
        let folder = self.certificates();
        let data = folder.join(format!("..{version}"));
        std::fs::create_dir(&data).unwrap();
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = data.join(name);
            std::fs::write(&path, text).unwrap();
            chown(&path, Some(0), Some(PETIT)).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
            // There already, when it is changed.
            let _ = symlink(format!("..data/{name}"), folder.join(name));
        }
        symlink(format!("..{version}"), folder.join("..next")).unwrap();
        std::fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    }

    fn runc(&self) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.folder.path().join("state"));
        command
    }

    /// Starts a container that runs a command of the program, in the place of what the image says.
    pub(crate) fn start(&mut self, arguments: &[&str]) -> Container<'_> {
        let mut spec = self.spec();
        let program = format!("/usr/bin/{}", self.program);
        let all: Vec<&str> = std::iter::once(program.as_str()).chain(arguments.iter().copied()).collect();
        spec["process"]["args"] = json!(all);
        self.write_spec(&spec);
        self.started += 1;
        let id = format!("petit-{}-{}-{}", std::process::id(), self.name(), self.started);
        let mut run = self.runc();
        run.args(["run", "--bundle"]).arg(self.folder.path().join("bundle")).arg(&id);
        let child = begin(&mut run);
        Container { bundle: self, id, child: Some(child) }
    }

    /// Runs a command in a container of its own, with something to read.
    pub(crate) async fn once(&mut self, arguments: &[&str], input: &str) -> Said {
        let child = self.start(arguments).child.take().unwrap();
        end(child, input).await
    }

    /// Something that no other bundle of this process has.
    fn name(&self) -> String {
        let folder = self.folder.path().file_name().unwrap().to_string_lossy().into_owned();
        folder.trim_start_matches('.').to_owned()
    }
}

/// A container that runs. What is left of it when a test fails is removed.
pub(crate) struct Container<'a> {
    bundle: &'a Bundle,
    id: String,
    child: Option<Child>,
}

impl Container<'_> {
    /// Runs a command of the program in the container, as health checks and operators do.
    pub(crate) async fn exec(&self, arguments: &[&str]) -> Said {
        self.exec_with(arguments, "").await
    }

    /// The same, with something to read.
    pub(crate) async fn exec_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = self.bundle.runc();
        command.arg("exec").arg(&self.id).arg(format!("/usr/bin/{}", self.bundle.program)).args(arguments);
        run(&mut command, input).await
    }

    /// Waits until a health check passes.
    pub(crate) async fn until(&self, check: &str) {
        soon(check, async { while self.exec(&["check", check]).await.exit != 0 {} }).await;
    }

    /// Sends a signal to the program, which is process 1 in there.
    pub(crate) async fn signal(&self, name: &str) {
        let mut command = self.bundle.runc();
        run(command.args(["kill", &self.id, name]), "").await.ok();
    }

    /// Where its certificates are, from outside.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.bundle.certificates()
    }

    pub(crate) fn put_certificate(&self, version: &str, certificate: &str, key: &str) {
        self.bundle.put_certificate(version, certificate, key);
    }

    /// Waits for its end, and says how it was.
    pub(crate) async fn end(mut self) -> Said {
        end(self.child.take().unwrap(), "").await
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if self.child.is_some() {
            let state = self.bundle.folder.path().join("state");
            let _ = std::process::Command::new("runc")
                .arg("--root")
                .arg(state)
                .args(["delete", "--force", &self.id])
                .status();
        }
    }
}
