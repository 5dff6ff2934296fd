//! Programs that are not Petit's: services and visitors as they are in the world.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getuid, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::process::Said;
use crate::soon;

/// The folder of what cargo builds; what the tests find and leave lies there too.
pub(crate) fn target() -> PathBuf {
    // The test stands in target/<profile>/deps.
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// A program of the Python environment that `cargo xtask setup` has made.
pub fn python(program: &str) -> Command {
    let path = target().join("python/bin").join(program);
    assert!(path.exists(), "{} is missing: cargo xtask setup makes it", path.display());
    Command::new(path)
}

/// A script of `tests/foreign`, to be run by that Python.
pub fn script(name: &str) -> Command {
    let mut command = python("python");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(name));
    command
}

/// A command as a user without rights, to whom `folder` is given: some programs refuse to run as root.
pub fn unprivileged(program: impl AsRef<Path>, folder: &Path) -> Command {
    const NOBODY: u32 = 65534;
    if !getuid().is_root() {
        return Command::new(program.as_ref());
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    let mut command = Command::new("setpriv");
    command.args([&user, &group, "--clear-groups"]).arg(program.as_ref()).env("HOME", folder);
    command
}

/// `curl`, which finds every host at one address.
pub fn curl(front: SocketAddr) -> Command {
    let mut command = Command::new("curl");
    // Without the settings of whoever runs the tests.
    command.args(["-q", "--noproxy", "*", "--silent", "--show-error", "--max-time", "50"]);
    command.arg("--connect-to").arg(format!("::{front}"));
    command
}

/// A port for a program that cannot be told to let the system choose. Outside the range from which the system
/// does, so that nobody gets it by chance in the meantime.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16;
    for _ in 0..20_000 {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = 11_000 + number;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// Runs a program to its end.
pub async fn run(command: Command) -> Said {
    run_with(command, "").await
}

/// Runs a program to its end, with a text on its standard input.
pub async fn run_with(mut command: Command, input: &str) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let what = format!("{:?} to end", command.as_std());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
    Said::new(&soon(&what, child.wait_with_output()).await.unwrap())
}

/// A program that goes on. Ends, with all its processes, when dropped.
pub struct Running {
    child: Child,
    farewell: Signal,
    lines: mpsc::UnboundedReceiver<String>,
    seen: VecDeque<String>,
}

impl Running {
    /// Starts a program in a process group of its own.
    pub fn start(mut command: Command) -> Self {
        let what = format!("{:?}", command.as_std());
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let (sender, lines) = mpsc::unbounded_channel();
        tokio::spawn(pass_on(child.stdout.take().unwrap(), sender.clone()));
        tokio::spawn(pass_on(child.stderr.take().unwrap(), sender));
        Self { child, farewell: Signal::KILL, lines, seen: VecDeque::new() }
    }

    /// Ends with another signal than SIGKILL: for programs that leave things behind otherwise.
    #[must_use]
    pub fn ending_with(mut self, signal: Signal) -> Self {
        self.farewell = signal;
        self
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.child.id().and_then(|id| Pid::from_raw(id as i32)) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Does what Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// The next line that it says, on whichever channel.
    pub async fn line(&mut self) -> Option<String> {
        let line = soon("a line", self.lines.recv()).await?;
        self.seen.push_back(line.clone());
        if self.seen.len() > 40 {
            self.seen.pop_front();
        }
        Some(line)
    }

    /// Waits until it says something.
    pub async fn until(&mut self, text: &str) -> String {
        loop {
            match self.line().await {
                Some(line) if line.contains(text) => return line,
                Some(_) => {}
                None => panic!("it ended without saying {text:?}: {:#?}", self.seen),
            }
        }
    }

    /// Waits for its end; returns its exit code and what it said and nobody has read.
    pub async fn exit(mut self) -> (i32, Vec<String>) {
        let mut rest = Vec::new();
        while let Some(line) = self.line().await {
            rest.push(line);
        }
        let status = soon("the program to end", self.child.wait()).await.unwrap();
        (status.code().unwrap_or(128), rest)
    }
}

async fn pass_on(output: impl AsyncRead + Unpin, lines: mpsc::UnboundedSender<String>) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        if lines.send(line).is_err() {
            return;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(self.farewell);
        // Its folder is removed next; it should not be writing there any more.
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.signal(Signal::KILL);
    }
}
