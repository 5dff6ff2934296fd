//! The real programs, as processes.

use std::ffi::OsStr;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::bed::server_config;
use crate::netns::Netns;
use crate::visitor::Visitor;
use crate::{soon, trace};

/// The folder of the built programs. `cargo xtask test` has built them; otherwise they are built now.
pub fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        if let Some(dir) = std::env::var_os("PETIT_PROGRAMS") {
            return PathBuf::from(dir);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = std::process::Command::new(cargo)
            .args(["build", "--quiet", "-p", "petit-client", "-p", "petit-server"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.is_ok_and(|status| status.success()), "the programs could not be built");
        // The test stands in target/<profile>/deps.
        std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
    })
}

/// Resident memory of a process.
pub fn resident_bytes(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// What runs programs for Windows.
const WINE: &str = "wine";

/// How a command ended, and what it said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code; 128 and more for a signal, as shells have it.
    pub exit: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            exit: output.status.code().unwrap_or(128),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output without the space around it.
    pub fn text(&self) -> &str {
        self.out.trim()
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The same, after a check that it went well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.exit, 0, "{self:?}");
        self
    }
}

/// One of the programs in a folder of its own. What it leaves running is killed with it.
pub struct Program {
    name: &'static str,
    /// The home of its user.
    home: TempDir,
    /// What it finds there when nobody names another place.
    dir: PathBuf,
    env: Vec<(String, String)>,
    /// Words before the command, such as those that put it on a host of its own.
    prefix: Vec<String>,
    /// A program file of its own.
    installed: Option<PathBuf>,
    /// The folder of its program.
    version: PathBuf,
}

impl Program {
    /// `petit-server`, initialised, on ports that the system chooses.
    pub async fn server() -> Self {
        Self::server_with(&server_config("")).await
    }

    /// As [`Program::server`], with a config of the test's own.
    pub async fn server_with(config: &str) -> Self {
        let this = Self::new("petit-server");
        std::fs::write(this.config(), config).unwrap();
        this.run(["init", "--open"]).await.ok();
        this
    }

    /// `petit-server` as a stranger finds it: without a config, keys and registry.
    pub fn uninitialised_server() -> Self {
        Self::new("petit-server")
    }

    /// `petit-client`, without a config.
    pub fn client() -> Self {
        Self::new("petit-client")
    }

    /// The same for Windows, under Wine: `cargo xtask test windows` builds it and says where it is.
    pub fn windows_client() -> Self {
        Self::new("petit-client.exe").under_wine()
    }

    /// `petit-server` for Windows, initialised.
    pub async fn windows_server() -> Self {
        let this = Self::new("petit-server.exe").under_wine();
        std::fs::write(this.config(), server_config("")).unwrap();
        this.run(["init", "--open"]).await.ok();
        this
    }

    fn under_wine(mut self) -> Self {
        let programs =
            std::env::var_os("PETIT_WINDOWS_PROGRAMS").expect("run this by `cargo xtask test windows`");
        self.version = PathBuf::from(programs);
        assert!(self.version.join(self.name).is_file(), "{} is in {}", self.name, self.version.display());
        self.prefix = vec![WINE.to_owned()];
        // There it is no variable that says where a user's home is.
        let config = self.config().to_str().unwrap().to_owned();
        self.env.push(("PETIT_CONFIG".to_owned(), config));
        self
    }

    fn new(name: &'static str) -> Self {
        let home = tempfile::tempdir().unwrap();
        // Tests let other users look into the folder.
        std::fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let dir = home.path().join(".petit");
        DirBuilder::new().mode(0o700).create(&dir).unwrap();
        Self {
            name,
            home,
            dir,
            env: Vec::new(),
            prefix: Vec::new(),
            installed: None,
            version: programs().to_owned(),
        }
    }

    /// Runs the program in another folder from here on: another version of it, with the files of the one before.
    pub fn switch_to(&mut self, version: &Path) {
        version.clone_into(&mut self.version);
    }

    /// Sets an environment variable for all that is run from here on.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs on another host from here on.
    #[must_use]
    pub fn on(mut self, net: &Netns) -> Self {
        self.prefix = net.prefix();
        self
    }

    /// Runs behind these words from here on, which end in running what follows them.
    #[must_use]
    pub fn behind(mut self, words: &[&str]) -> Self {
        self.prefix = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Runs from a copy of the program file, which a test may replace; returns where that is.
    pub fn install(&mut self) -> PathBuf {
        let path = self.home.path().join("bin").join(self.name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // By another process: a child that some other test starts meanwhile would have this copy open for writing until
        // it runs its own program, and nobody could run the copy ("Text file busy").
        let copied = std::process::Command::new("cp").arg(self.version.join(self.name)).arg(&path).status();
        assert!(copied.is_ok_and(|status| status.success()), "{} could not be copied", self.name);
        self.installed = Some(path.clone());
        path
    }

    /// Which program it is.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its config file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.command_behind(&self.prefix, arguments)
    }

    /// A command behind words that say how or where it runs.
    fn command_behind<S: AsRef<OsStr>>(
        &self,
        prefix: &[String],
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let arguments: Vec<S> = arguments.into_iter().collect();
        // What runs on is the copy; whoever asks it may be any.
        let is_started = arguments
            .first()
            .is_some_and(|verb| ["start", "run", "upgrade"].map(OsStr::new).contains(&verb.as_ref()));
        let program = match &self.installed {
            Some(installed) if is_started => installed.clone(),
            _ => self.version.join(self.name),
        };
        self.command_of(&program, prefix, arguments)
    }

    fn command_of<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        prefix: &[String],
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = match prefix.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
            .env_remove("PETIT_CONFIG")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .env("HOME", self.home.path())
            // Tests read English, whatever the computer speaks that they run on.
            .env("LC_ALL", "C.UTF-8");
        for (name, value) in &self.env {
            command.env(name, value);
        }
        command
    }

    /// Runs a command to its end.
    pub async fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Said {
        self.run_with(arguments, "").await
    }

    /// Runs a command of another copy of the program to its end, for the client that there is.
    pub async fn run_copy<S: AsRef<OsStr>>(
        &self,
        copy: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Said {
        said(self.command_of(copy, &[], arguments), "").await
    }

    /// Runs a command to its end, with a text on its standard input.
    pub async fn run_with<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> Said {
        said(self.command(arguments), input).await
    }

    /// As [`Program::run_with`], with what it asks of the disk written down in `trace`.
    pub async fn run_traced(&self, arguments: &[&str], input: &str, trace: &Path) -> Said {
        said(self.command_behind(&strace(trace), arguments), input).await
    }

    /// Starts a command whose input is the caller's.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        self.command(arguments).stdin(Stdio::piped()).spawn().unwrap()
    }

    /// Starts a command that goes on.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        Running::of(self.command(arguments))
    }

    /// Starts a command that goes on; its lines are those of standard error.
    pub fn foreground<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Running<ChildStderr> {
        let mut child = self.command(arguments).stdout(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { child, lines }
    }

    /// Runs a command on a terminal of its own.
    pub fn on_a_terminal<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Terminal {
        let command = self.command(arguments);
        let command = command.as_std();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        Terminal::open(&line.join(" "), |script| {
            script.env("HOME", self.home.path()).env_remove("PETIT_CONFIG");
            script.envs(self.env.iter().map(|(name, value)| (name, value)));
        })
    }

    /// Starts `run` in the foreground and waits until it can be asked.
    pub async fn up(&self) -> Running {
        self.until_up(self.spawn(["run", "--background"])).await
    }

    /// As [`Program::up`], with what it asks of the disk written down in `trace`. It goes on when the process that
    /// writes that down is killed, and ends by its `stop`.
    pub async fn up_traced(&self, trace: &Path) -> Running {
        self.until_up(Running::of(self.command_behind(&strace(trace), ["run", "--background"]))).await
    }

    async fn until_up(&self, mut running: Running) -> Running {
        assert_eq!(running.line().await.as_deref(), Some("ready"), "{} is up", self.name);
        running
    }

    /// What a program that runs answers to `status --json`. A client need not be registered.
    pub async fn status(&self) -> Value {
        let said = self.run(["status", "--json"]).await;
        if said.exit == 4 { said.json() } else { said.ok().json() }
    }

    /// A visitor of the server's public front.
    pub async fn visitor(&self) -> Visitor {
        Visitor::new(self.status().await["http"].as_str().unwrap().parse().unwrap())
    }

    /// An invite's link.
    pub async fn invite<S: AsRef<OsStr>>(&self, more: impl IntoIterator<Item = S>) -> String {
        let mut arguments: Vec<std::ffi::OsString> = vec!["invite".into(), "--json".into()];
        arguments.extend(more.into_iter().map(|argument| argument.as_ref().to_owned()));
        self.run(arguments).await.ok().json()["link"].as_str().unwrap().to_owned()
    }

    /// Waits until the running client's status is as wanted.
    pub async fn until(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut watching = self.spawn(["status", "--watch", "--json"]);
        soon(what, async {
            loop {
                let line = watching.line().await.expect("the client goes on");
                let status: Value = serde_json::from_str(&line).unwrap();
                if is_it(&status) {
                    return status;
                }
            }
        })
        .await
    }

    /// Waits until the client's first service works end to end.
    pub async fn until_green(&self) -> Value {
        self.until("a green light", |status| status["services"][0]["light"] == "green").await
    }

    /// Everything in its folder that is text: logs, files, sockets left out.
    pub fn texts(&self) -> Vec<(PathBuf, String)> {
        let mut texts = Vec::new();
        let mut folders = vec![self.home.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if let Ok(bytes) = std::fs::read(&entry) {
                    texts.push((entry, String::from_utf8_lossy(&bytes).into_owned()));
                }
            }
        }
        texts
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A program started in the background by `start` belongs to nobody; its socket tells it to stop.
        let program = self.version.join(self.name);
        let mut command = if self.prefix.first().is_some_and(|word| word == WINE) {
            let mut wine = std::process::Command::new(WINE);
            wine.arg(program);
            wine
        } else {
            std::process::Command::new(program)
        };
        let stopped = command.arg("stop").arg("--config").arg(self.config());
        let _ = stopped.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Words that put a command under strace(1).
fn strace(trace: &Path) -> Vec<String> {
    let output = format!("--output={}", trace.display());
    trace::STRACE.iter().map(|&word| word.to_owned()).chain([output]).collect()
}

/// Runs a command to its end, with a text on its standard input.
async fn said(mut command: Command, input: &str) -> Said {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    Said::new(&soon("the command to end", child.wait_with_output()).await.unwrap())
}

/// A process that goes on. Killed when dropped.
pub struct Running<O = ChildStdout> {
    child: Child,
    lines: Lines<BufReader<O>>,
}

impl Running {
    fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }
}

impl<O: AsyncRead + Unpin> Running<O> {
    /// The next line of its output.
    pub async fn line(&mut self) -> Option<String> {
        soon("a line", self.lines.next_line()).await.unwrap()
    }

    /// Reads lines until one contains a text.
    pub async fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("it ended without saying {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends a signal, by its name for kill(1).
    pub async fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().await.unwrap();
        assert!(status.success());
    }

    /// Kills it with SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for its end and returns its exit code.
    pub async fn exit(mut self) -> i32 {
        soon("the process to end", self.child.wait()).await.unwrap().code().unwrap_or(128)
    }
}

/// A command on a terminal, with somebody who reads and types.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    shown: String,
    seen: usize,
}

impl Terminal {
    /// Types a line for a shell; `set_up` sees to its environment.
    pub(crate) fn open(line: &str, set_up: impl FnOnce(&mut Command)) -> Self {
        // script(1) is in every Debian.
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--echo", "never", "--command", line, "/dev/null"]);
        set_up(&mut script);
        let mut child =
            script.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, keys, screen, shown: String::new(), seen: 0 }
    }

    /// Waits until a text has appeared behind what was seen before.
    pub async fn until(&mut self, text: &str) {
        soon(&format!("{text:?} on the terminal"), async {
            loop {
                if let Some(at) = self.shown[self.seen..].find(text) {
                    self.seen += at + text.len();
                    return;
                }
                let mut bytes = [0; 4096];
                let count = self.screen.read(&mut bytes).await.unwrap();
                assert!(count > 0, "the terminal closed; it showed {:?}", self.shown);
                self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        })
        .await;
    }

    /// Types a line.
    pub async fn type_line(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Presses Ctrl-C.
    pub async fn interrupt(&mut self) {
        self.keys.write_all(b"\x03").await.unwrap();
    }

    /// Presses Ctrl-D: at the begin of a line it ends the input.
    pub async fn end_input(&mut self) {
        self.keys.write_all(b"\x04").await.unwrap();
    }

    /// Waits for the end; returns the exit code and all that was shown.
    pub async fn end(mut self) -> (i32, String) {
        let mut rest = Vec::new();
        soon("the end of the terminal", self.screen.read_to_end(&mut rest)).await.unwrap();
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        let status = soon("the command to end", self.child.wait()).await.unwrap();
        (status.code().unwrap_or(128), self.shown)
    }
}
