//! The real tray app as a process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::time::{Duration, Instant};

use petit_tests::process::{Program, programs};
use petit_tests::soon;
use tokio::io::AsyncReadExt;
use tokio::process::Child;

use crate::session::Session;

/// The built tray app. `cargo xtask test` has built it; otherwise it is built now.
pub fn petit() -> PathBuf {
    static BUILT: Once = Once::new();
    let path = programs().join("petit");
    BUILT.call_once(|| {
        if std::env::var_os("PETIT_PROGRAMS").is_none() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let built = std::process::Command::new(cargo)
                .args(["build", "--quiet", "-p", "petit-desktop"])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(built.is_ok_and(|status| status.success()), "the tray app could not be built");
        }
    });
    path
}

/// How a start ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; 128 and more for a signal.
    pub exit: i32,
    /// Standard output and standard error.
    pub said: String,
}

/// A running app. Killed when dropped.
pub struct App {
    child: Child,
}

impl App {
    /// Starts the app for the config of a client.
    pub fn start(session: &Session, client: &Program, arguments: &[&str]) -> Self {
        Self::start_as(session, &petit(), &client.config(), arguments)
    }

    /// Starts a copy of the app that is elsewhere.
    pub fn start_as(session: &Session, program: &Path, config: &Path, arguments: &[&str]) -> Self {
        let mut command = session.command(program);
        command.arg("--config").arg(config).args(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child }
    }

    /// Its process, which stays the same when `petit` becomes `petit-desktop`.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends a signal, by its name for kill(1).
    pub async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let status = tokio::process::Command::new("kill").args(["-s", name, &id]).status().await.unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ended {
        let (mut out, mut err) = (String::new(), String::new());
        let (mut stdout, mut stderr) = (self.child.stdout.take().unwrap(), self.child.stderr.take().unwrap());
        let status = soon("the app to end", async {
            let _ = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err));
            self.child.wait().await.unwrap()
        })
        .await;
        Ended { exit: status.code().unwrap_or(128), said: out + &err }
    }

    /// Resident memory in kilobytes: of the app, and of the processes that it has started for its window.
    pub fn memory(&self) -> (u64, u64) {
        let own = resident(self.id());
        (own, descendants(self.id()).into_iter().map(resident).sum())
    }

    /// The names of the processes that it has started.
    pub fn children(&self) -> Vec<String> {
        let name = |id: u32| std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        descendants(self.id()).into_iter().map(|id| name(id).trim().to_owned()).collect()
    }

    /// The part of one processor's time that it uses, measured over a while.
    pub async fn processor(&self, over: Duration) -> f64 {
        let (before, begin) = (nanoseconds(self.id()), Instant::now());
        // The thing that is measured is a while in which nothing happens.
        tokio::time::sleep(over).await;
        (nanoseconds(self.id()) - before) as f64 / 1e9 / begin.elapsed().as_secs_f64()
    }
}

/// The processor's time that all threads of a process have had. Finer than the ticks in its `stat`.
fn nanoseconds(id: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let texts = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    texts.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}

fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn descendants(id: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}
