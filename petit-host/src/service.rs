//! A program as a service of the system: where its files are then, and what it and its service manager tell each other.
//!
//! The service manager is systemd (sd_notify(3), sd_listen_fds(3)), the service control manager of Windows, or launchd,
//! which is told nothing. A program that none has started says all the same; nobody hears it.

#[cfg(any(target_os = "linux", target_os = "macos", windows))]
pub mod install;
#[cfg(windows)]
pub mod manager;

use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often a service says that it is alive, and how it is. Its unit allows for three times as long (`WatchdogSec`).
#[cfg(unix)]
const TELL_EVERY: Duration = Duration::from_secs(10);
/// The first descriptor that a service manager hands in.
const FIRST_SOCKET: i32 = 3;

/// The config file of a program that is a service of the system. `name`: what the program's files are called.
pub fn config_file(name: &str) -> PathBuf {
    configs().join(format!("{name}.toml"))
}

/// The folder of such files.
fn configs() -> PathBuf {
    #[cfg(not(windows))]
    {
        PathBuf::from("/etc/petit")
    }
    #[cfg(windows)]
    {
        // Where it nearly always is, should the system not say.
        petit_windows::folders::data().unwrap_or_else(|_| PathBuf::from(r"C:\ProgramData")).join("Petit")
    }
}

/// The folder that such a program keeps everything else in.
pub fn state_folder(name: &str) -> PathBuf {
    if cfg!(windows) {
        return configs().join(name);
    }
    let all = if cfg!(target_os = "macos") { "/var/db" } else { "/var/lib" };
    Path::new(all).join(format!("petit-{name}"))
}

/// True for what lies in the state folder of one of the services.
pub fn is_in_state_folder(path: &Path) -> bool {
    of_state_folder(path).is_some()
}

/// The service in whose state folder something is: `client` or `server`.
pub fn of_state_folder(path: &Path) -> Option<&'static str> {
    ["client", "server"].into_iter().find(|name| is_below(path, &state_folder(name)))
}

/// Whether a path is that of a service's config file. Names have no case on Windows.
pub fn is_config_file(path: &Path, name: &str) -> bool {
    is_same(path, &config_file(name))
}

/// Whether two paths are of one name.
fn is_same(one: &Path, other: &Path) -> bool {
    if cfg!(windows) { one.as_os_str().eq_ignore_ascii_case(other) } else { one == other }
}

fn is_below(path: &Path, folder: &Path) -> bool {
    if cfg!(windows) {
        let lower = |path: &Path| PathBuf::from(path.as_os_str().to_ascii_lowercase());
        lower(path).starts_with(lower(folder))
    } else {
        path.starts_with(folder)
    }
}

/// Where an administrator's units of systemd are.
#[cfg(target_os = "linux")]
const UNITS: &str = "/etc/systemd/system";
/// Where those of packages are.
#[cfg(target_os = "linux")]
const PACKAGED: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

/// True where it is installed as a service of the system.
#[cfg(target_os = "linux")]
pub fn is_installed(name: &str) -> bool {
    Path::new(UNITS).join(unit(name)).exists() || packaged(name).is_some()
}

/// The unit of a package.
#[cfg(target_os = "linux")]
fn packaged(name: &str) -> Option<PathBuf> {
    PACKAGED.iter().map(|folder| Path::new(folder).join(unit(name))).find(|path| path.exists())
}

/// As on Linux.
#[cfg(target_os = "macos")]
pub fn is_installed(name: &str) -> bool {
    install::description(name).exists()
}

/// As on Linux, where it can be told by a file.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn is_installed(_: &str) -> bool {
    false
}

/// True where this user's own service manager is to run it, by the unit that a package has for users.
///
/// It asks that manager.
#[cfg(target_os = "linux")]
pub fn is_enabled_by_user(name: &str) -> bool {
    let enabled = Command::new("systemctl").args(["--user", "--quiet", "is-enabled", &unit(name)]).output();
    enabled.is_ok_and(|asked| asked.status.success())
}

/// Users have no such manager elsewhere.
#[cfg(not(target_os = "linux"))]
pub fn is_enabled_by_user(_: &str) -> bool {
    false
}

/// What the service is called.
pub fn unit(name: &str) -> String {
    if cfg!(target_os = "macos") {
        return format!("{LABEL}{name}-service");
    }
    let kind = if cfg!(windows) { "" } else { ".service" };
    format!("petit-{name}{kind}")
}

/// What the names of services begin with on a Mac, where they are domains the other way round.
const LABEL: &str = "dev.petit.";

/// Where root keeps a secret of a service, from where the service manager hands it in (systemd.exec(5), `LoadCredential`).
pub fn credential_store(credential: &str) -> PathBuf {
    Path::new("/etc/credstore").join(credential)
}

/// A secret that the service manager has handed in to this process; `None` where there is no such folder.
pub fn credential(credential: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    folder.filter(|folder| folder.is_absolute()).map(|folder| folder.join(credential))
}

/// What a service manager is asked to do with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagerVerb {
    Start,
    Stop,
    /// Stopped, and started.
    Restart,
}

impl ManagerVerb {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// Has systemd do something, such as `start` units, and waits for it. What it says goes to where
/// this program writes.
///
/// # Errors
/// Where there is no service manager.
pub fn systemctl(verb: &str, more: &[&str]) -> io::Result<ExitStatus> {
    Command::new("systemctl").arg(verb).args(more).status()
}

/// Has launchd do something. What it says goes to where this program writes.
///
/// # Errors
/// Where there is no launchd.
pub fn launchctl(words: &[&str]) -> io::Result<ExitStatus> {
    Command::new("/bin/launchctl").args(words).status()
}

/// How the log of a service is read, which the journal keeps.
pub fn journal(unit: &str, lines: usize) -> Command {
    let mut command = Command::new("journalctl");
    command.args(["--unit", unit, "--lines", &lines.to_string(), "--no-hostname", "--quiet"]);
    command
}

/// Who runs a program, and sees to it that it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBy {
    /// The service manager, such as `systemd`.
    pub manager: String,
    /// What it calls the service.
    pub unit: String,
    /// The user that the service is run as.
    pub user: String,
}

impl RunBy {
    /// Of this process; `None` where no service manager has started it.
    pub fn of_this_process() -> Option<Self> {
        static FOUND: OnceLock<Option<RunBy>> = OnceLock::new();
        FOUND.get_or_init(Self::find).clone()
    }

    fn find() -> Option<Self> {
        #[cfg(target_os = "linux")]
        {
            // systemd's mark on all that it starts, and the group that it keeps the service's processes in.
            std::env::var_os("INVOCATION_ID")?;
            let unit = unit_of(&std::fs::read_to_string("/proc/self/cgroup").ok()?)?;
            let uid = rustix::process::geteuid().as_raw();
            let user = std::env::var("USER").unwrap_or_else(|_| uid.to_string());
            Some(Self { manager: "systemd".to_owned(), unit, user })
        }
        #[cfg(windows)]
        {
            let unit = petit_windows::service::name()?.to_owned();
            let user = petit_windows::security::account().unwrap_or_default();
            Some(Self { manager: "Windows".to_owned(), unit, user })
        }
        #[cfg(target_os = "macos")]
        {
            // launchd's name of what it has started, which is `0` or an app's for what people have.
            let unit = std::env::var("XPC_SERVICE_NAME").ok()?;
            let name = unit.strip_prefix(LABEL)?.strip_suffix("-service")?;
            let user = std::env::var("USER").unwrap_or_else(|_| format!("_petit-{name}"));
            Some(Self { manager: "launchd".to_owned(), unit, user })
        }
        #[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
        None
    }
}

/// The unit that a process belongs to, from `/proc/PID/cgroup`.
#[cfg(target_os = "linux")]
fn unit_of(groups: &str) -> Option<String> {
    let systemds = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        (controllers.is_empty() || controllers == "name=systemd").then_some(path)
    });
    let units = systemds.filter_map(|path| path.rsplit('/').find(|part| part.ends_with(".service")));
    // A user's session is a service too, but none of ours.
    units.filter(|unit| !unit.starts_with("user@")).map(str::to_owned).next()
}

/// True when a service manager wants to hear of this process.
pub fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

#[cfg(unix)]
fn tell(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager does not hear");
    }
}

/// Says that the program serves, and from then on that it is alive and how it is. That is told by a task on the caller's
/// runtime, so that it is silent when that one hangs. `how`: in a few words; `None` while another process serves, which
/// tells it then. Its first process stays as the anchor: systemd takes a process that is not its own child for none that
/// could be stopped in an orderly way, and kills it (seen with 252), so it is never told of another main process.
#[cfg(unix)]
pub fn serve(how: impl Fn() -> Option<String> + Send + 'static) {
    use sd_notify::NotifyState;

    if !is_supervised() {
        return;
    }
    tell(&[NotifyState::Ready]);
    tokio::spawn(async move {
        let mut due = tokio::time::interval(TELL_EVERY);
        loop {
            due.tick().await;
            if let Some(how) = how() {
                tell(&[NotifyState::Watchdog, NotifyState::Status(&how)]);
            }
        }
    });
}

/// Says that the program ends, and how long that may take.
#[cfg(unix)]
pub fn stopping(within: Duration) {
    use sd_notify::NotifyState;

    let limit = u32::try_from((within + TELL_EVERY).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
}

/// Says that the program serves. The service control manager asks nothing more.
#[cfg(windows)]
pub fn serve(_: impl Fn() -> Option<String> + Send + 'static) {
    use petit_windows::event_log::Event;

    if let Some(unit) = petit_windows::service::name() {
        petit_windows::service::serves();
        log_event(unit, Event::Started, concat!("It serves. Version ", env!("CARGO_PKG_VERSION")));
    }
}

/// Says that the program ends, and how long that may take.
#[cfg(windows)]
pub fn stopping(within: Duration) {
    const MARGIN: Duration = Duration::from_secs(10);

    petit_windows::service::stopping(within + MARGIN);
}

/// Writes into the event log what an administrator has to know. The rest is in the program's own log.
#[cfg(windows)]
pub(crate) fn log_event(unit: &str, event: petit_windows::event_log::Event, text: &str) {
    if let Err(error) = petit_windows::event_log::report(unit, event, text) {
        tracing::debug!(%error, "the event log takes no entry");
    }
}

/// The descriptors of the sockets that a service manager has opened for this very process.
pub fn socket_numbers() -> Range<i32> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<i64>().ok();
    let count = match number("LISTEN_PID") {
        Some(process) if process == i64::from(std::process::id()) => number("LISTEN_FDS"),
        _ => None,
    };
    let count = count.and_then(|count| i32::try_from(count).ok()).unwrap_or_default().clamp(0, 1024);
    FIRST_SOCKET..FIRST_SOCKET + count
}

/// The sockets for TCP connections that a service manager has opened for this process: they outlive it, so that nobody is
/// refused while it is started anew. To be called once, before there are other threads: it takes what says so out of the
/// environment.
#[cfg(unix)]
pub fn sockets() -> Vec<TcpListener> {
    let count = socket_numbers().len();
    if count == 0 {
        return Vec::new(); // whatever the environment says of others
    }
    let mut given = listenfd::ListenFd::from_env();
    let one = |index| match given.take_tcp_listener(index) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, "a socket of the service manager's is none for TCP connections");
            None
        }
    };
    (0..count).filter_map(one).collect()
}

/// There is none that opens sockets.
#[cfg(not(unix))]
pub fn sockets() -> Vec<TcpListener> {
    Vec::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_known_by_its_group_in_either_version() {
        for (groups, unit) in [
            ("0::/system.slice/petit-server.service\n", Some("petit-server.service")),
            ("12:cpu:/\n1:name=systemd:/system.slice/petit-client.service\n", Some("petit-client.service")),
            (
                "0::/user.slice/user-1.slice/user@1.service/app.slice/petit-client.service",
                Some("petit-client.service"),
            ),
            ("0::/user.slice/user-1.slice/user@1.service/app.slice/run-1.scope", None),
            ("0::/user.slice/user-0.slice/session-3.scope", None),
            ("5:memory:/system.slice/other.service\n0::/", None),
            ("", None),
        ] {
            assert_eq!(unit_of(groups).as_deref(), unit, "{groups}");
        }
    }
}
