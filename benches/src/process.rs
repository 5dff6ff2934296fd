//! Processes that are measured: started, watched through `/proc`, ended.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a program gets to come up, or to leave.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The processes of one system. Ended, last started first, when dropped.
#[derive(Debug, Default)]
pub(crate) struct Processes(Vec<Child>);

impl Processes {
    /// Starts a program; what it says goes into `log`.
    pub(crate) fn start(&mut self, command: &mut Command, log: &Path) -> Result<u32> {
        let said = format!("{command:?}");
        let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let err = out.try_clone().context("cannot write the log")?;
        let child = group(command).stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.with_context(|| format!("cannot run {said}"))?;
        let id = child.id();
        self.0.push(child);
        Ok(id)
    }

    /// Starts one of Petit's programs and waits until it says that it is up.
    pub(crate) fn start_ready(&mut self, command: &mut Command) -> Result<u32> {
        let said = format!("{command:?}");
        let mut child = group(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {said}"))?;
        let id = child.id();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        self.0.push(child);
        if line.trim_end() == "ready" { Ok(id) } else { bail!("{said} did not start; look into its log") }
    }

    /// All processes and their children.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let mut ids = Vec::new();
        for child in &self.0 {
            add_family(child.id(), &mut ids);
        }
        ids
    }

    /// True when one that was started has ended.
    pub(crate) fn any_ended(&mut self) -> bool {
        self.0.iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Waits until all have ended by themselves.
    pub(crate) fn wait(mut self) -> Result<()> {
        for mut child in self.0.drain(..) {
            child.wait().context("cannot wait for a process")?;
        }
        Ok(())
    }

    /// Ends the process that was started last.
    pub(crate) fn stop_last(&mut self) {
        if let Some(child) = self.0.pop() {
            stop(child);
        }
    }

    /// Kills the process that was started last.
    pub(crate) fn kill_last(&mut self) {
        if let Some(mut child) = self.0.pop() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        while let Some(child) = self.0.pop() {
            stop(child);
        }
    }
}

/// Of its own, so that Ctrl-C reaches the bench alone, which then ends the others in order.
fn group(command: &mut Command) -> &mut Command {
    std::os::unix::process::CommandExt::process_group(command, 0)
}

fn stop(mut child: Child) {
    let mut ids = Vec::new();
    add_family(child.id(), &mut ids);
    for id in ids.iter().rev() {
        signal(*id, rustix::process::Signal::TERM);
    }
    let asked = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if asked.elapsed() > Duration::from_secs(2) {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // Children that were given a process of their own, such as those of sshd.
    for id in ids.iter().skip(1) {
        signal(*id, rustix::process::Signal::KILL);
    }
}

fn signal(id: u32, signal: rustix::process::Signal) {
    let id = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        let _ = rustix::process::kill_process(id, signal);
    }
}

fn add_family(id: u32, ids: &mut Vec<u32>) {
    ids.push(id);
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        add_family(child, ids);
    }
}

/// CPU time that processes have used so far, user and system.
pub(crate) fn cpu(ids: &[u32]) -> Duration {
    let tick = Duration::from_secs(1) / rustix::param::clock_ticks_per_second().max(1) as u32;
    let of = |id: &u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name, in brackets, may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(11);
        let user: u32 = fields.next()?.parse().ok()?;
        let system: u32 = fields.next()?.parse().ok()?;
        Some(user + system)
    };
    tick * ids.iter().filter_map(of).sum::<u32>()
}

/// As [`cpu`], to the nanosecond, for processes whose threads all live on.
pub(crate) fn cpu_exact(id: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let of = |task: fs::DirEntry| -> Option<u64> {
        let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(of).sum())
}

/// Memory of processes in MB, shared pages divided among those who share them (PSS). Where the system does not
/// tell (Petit's programs hide from other users), resident pages count in full.
pub(crate) fn memory(ids: &[u32]) -> f64 {
    let of = |id: &u32| proportional(*id).or_else(|| resident(*id)).unwrap_or_default();
    ids.iter().map(of).sum::<f64>()
}

fn proportional(id: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let kib: f64 =
        text.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// Resident memory of a process in MB.
pub(crate) fn resident(id: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
    let pages: f64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as f64 / 1e6)
}

/// A port that nobody uses at the moment.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(listener.local_addr().context("no port is free")?.port())
}

/// Looks again and again until something is there.
pub(crate) fn until(what: &str, mut is_there: impl FnMut() -> bool) -> Result<()> {
    let begin = Instant::now();
    while !is_there() {
        if begin.elapsed() > PATIENCE {
            bail!("waited in vain for {what}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Runs a command to its end and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let said = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {said}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{said}: {}; {text} {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}
