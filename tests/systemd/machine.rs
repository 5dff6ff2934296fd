//! A machine of a test's own: a small Debian that systemd has booted, with a network that nothing leaves.
//!
//! All machines share the files of one base, which nobody writes; what a test changes lies in a layer of its own.

use std::fs;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use petit_tests::process::Said;
use petit_tests::{program, soon};
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::process::Child;
use tokio::runtime::Builder;

/// How long something is waited for that a shell can see. Services are started anew within a few seconds.
const LIMIT: Duration = Duration::from_secs(40);

/// A machine, on or off.
pub(crate) struct Machine {
    /// On the disk of the base, where a layer can lie.
    dir: TempDir,
    on: Option<On>,
}

/// What runs while it is on.
struct On {
    nspawn: Child,
    /// The machine's first process, as this system counts.
    first: String,
}

/// Runs a test beside a machine that is on: in a thread that is in the machine's network.
pub(crate) fn on_a_machine(test: impl AsyncFnOnce(Machine) + Send) {
    petit_tests::show_logs();
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut machine = Machine::new();
                machine.boot().await;
                test(machine).await;
            });
        });
        if let Err(panic) = inside.join() {
            resume_unwind(panic);
        }
    });
}

/// A folder that `cargo xtask test systemd` has made.
pub(crate) fn made(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(name).expect("run this by `cargo xtask test systemd`"))
}

impl Machine {
    fn new() -> Self {
        let base = made("PETIT_MACHINE");
        let dir = tempfile::Builder::new().prefix("machine-").tempdir_in(base.parent().unwrap()).unwrap();
        for name in ["changes", "work", "root"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let at = |name: &str| dir.path().join(name).display().to_string();
        let layers = format!("lowerdir={},upperdir={},workdir={}", base.display(), at("changes"), at("work"));
        done(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &layers, &at("root")]));
        Self { dir, on: None }
    }

    /// A file on it.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join("root").join(inside.trim_start_matches('/'))
    }

    /// Puts a file there, under its own name in `/root`; returns where it is.
    pub(crate) fn bring(&self, file: &Path) -> String {
        let inside = format!("/root/{}", file.file_name().unwrap().to_str().unwrap());
        fs::copy(file, self.path(&inside)).unwrap();
        inside
    }

    /// Switches it on, and waits until everything that starts with it has.
    pub(crate) async fn boot(&mut self) {
        let socket = self.dir.path().join("ready");
        let _ = fs::remove_file(&socket);
        let listening = UnixDatagram::bind(&socket).unwrap();
        let name = self.dir.path().file_name().unwrap().to_str().unwrap();
        let mut command = tokio::process::Command::new("systemd-nspawn");
        command.arg("--directory").arg(self.path("/")).arg(format!("--machine={}", name.replace('.', "")));
        command.args(["--quiet", "--boot", "--notify-ready=yes", "--private-network"]);
        command.args(["--register=no", "--keep-unit", "--private-users=no", "--link-journal=no"]);
        let log = fs::File::create(self.dir.path().join("console")).unwrap();
        command.args(["--console=pipe"]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // One that does not boot goes with its test.
        let nspawn = command.kill_on_drop(true).env("NOTIFY_SOCKET", &socket).spawn().unwrap();
        // What nspawn says to whoever manages it (sd_notify).
        let mut first = String::new();
        soon("a machine to boot", async {
            let mut bytes = [0; 4096];
            loop {
                let length = listening.recv(&mut bytes).await.unwrap();
                let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
                if let Some(id) = said.lines().find_map(|line| line.strip_prefix("X_NSPAWN_LEADER_PID=")) {
                    id.clone_into(&mut first);
                }
                if said.lines().any(|line| line == "READY=1") {
                    return;
                }
            }
        })
        .await;
        let network = fs::File::open(format!("/proc/{first}/ns/net")).unwrap();
        setns(network.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
        self.on = Some(On { nspawn, first });
    }

    /// Switches it off as its power button does, and waits until it is.
    pub(crate) async fn power_off(&mut self) {
        self.run("systemctl poweroff").await.ok();
        let mut on = self.on.take().unwrap();
        let status = soon("a machine to go off", on.nspawn.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }

    /// Types a line at root's shell there.
    pub(crate) async fn run(&self, line: &str) -> Said {
        self.run_with(line, "").await
    }

    /// The same, with something to read.
    async fn run_with(&self, line: &str, input: &str) -> Said {
        let mut command = tokio::process::Command::new("nsenter");
        let first = &self.on.as_ref().unwrap().first;
        command.args(["-t", first, "-m", "-u", "-i", "-p", "-C", "-n", "env", "-i"]);
        command.args([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "LANG=C.UTF-8",
            "sh",
            "-c",
        ]);
        command.arg(format!("cd\n{line}")).current_dir("/");
        program::run_with(command, input).await
    }

    /// The same, of what goes well; returns what it says.
    pub(crate) async fn says(&self, line: &str) -> String {
        let said = self.run(line).await;
        assert_eq!(said.exit, 0, "{line}: {said:?}\n{}", self.journal().await);
        said.out.trim().to_owned()
    }

    /// Types a block of lines, each of which must go well; returns what they say.
    pub(crate) async fn types(&self, block: &str) -> String {
        self.types_with(block, "").await
    }

    /// The same, with an answer to what is asked.
    pub(crate) async fn types_with(&self, block: &str, answer: &str) -> String {
        let said = self.run_with(&format!("set -e\n{block}"), answer).await;
        assert_eq!(said.exit, 0, "{block}: {said:?}\n{}", self.journal().await);
        said.out.trim().to_owned()
    }

    /// Waits until a line that is typed again and again goes well.
    pub(crate) async fn until(&self, line: &str) -> Said {
        self.until_within(LIMIT, line).await
    }

    /// The same, of what may take longer.
    pub(crate) async fn until_within(&self, limit: Duration, line: &str) -> Said {
        let begin = Instant::now();
        loop {
            let said = self.run(line).await;
            if said.exit == 0 {
                return said;
            }
            assert!(begin.elapsed() < limit, "waited in vain for {line}: {said:?}\n{}", self.journal().await);
            // Nobody tells of what a shell can see.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The end of what the services have said, for a test that fails.
    async fn journal(&self) -> String {
        self.run("journalctl --no-pager -n 60 -u 'petit*' -o cat").await.out
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(on) = self.on.take() {
            // With its first process all others end.
            let _ = Command::new("kill").args(["-KILL", &on.first]).status();
        }
        let _ = Command::new("umount").args(["--lazy"]).arg(self.path("/")).status();
    }
}

/// Runs a command that must go well.
pub(crate) fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
