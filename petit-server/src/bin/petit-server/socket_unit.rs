//! What `petit-server.socket` opens, and what the config asks for: systemd reads no config of ours.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use petit_host::cli::Failure;
use petit_host::files;
use petit_host::service;
use petit_server::config::Config;
use petit_server::folder::Folder;

/// The unit.
const UNIT: &str = "petit-server.socket";
/// What makes it open what the config asks for. An administrator's own (`systemctl edit` writes `override.conf`) comes behind
/// it, and counts.
const DROP_IN: &str = "/etc/systemd/system/petit-server.socket.d/00-petit.conf";

/// What has become of the unit.
pub(crate) enum Agreed {
    /// It opens what the config asks for, or nobody knows.
    Already,
    /// It does now, because of this file.
    Now(PathBuf),
    /// It does not, for this reason.
    Not(String),
}

impl Agreed {
    /// What has to be known of it.
    pub(crate) fn said(self) -> Option<String> {
        match self {
            Self::Already => None,
            Self::Now(path) => Some(format!(
                "petit-server.socket opens the ports of the config now ({}); one that runs, after: petit-server stop",
                path.display()
            )),
            Self::Not(note) => Some(format!("note: {note}")),
        }
    }
}

/// What a config asks for.
fn wanted(config: &Config) -> BTreeSet<SocketAddr> {
    let plain = SocketAddr::new(config.proxy_bind, config.proxy_port);
    let all = [plain, SocketAddr::new(config.secure_bind, config.secure_proxy_port)];
    // Port 0 is any, which no unit can open.
    all.into_iter().filter(|address| address.port() != 0).collect()
}

/// What the unit opens, or would; `None` where nobody knows, such as where no systemd runs.
fn opened() -> Option<BTreeSet<SocketAddr>> {
    let mut command = Command::new("systemctl");
    command.args(["show", "--property=Listen", "--property=LoadState", UNIT]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    read(&String::from_utf8(output.stdout).ok()?)
}

/// From lines as `Listen=0.0.0.0:443 (Stream)`.
fn read(shown: &str) -> Option<BTreeSet<SocketAddr>> {
    if !shown.lines().any(|line| line == "LoadState=loaded") {
        return None;
    }
    let addresses = shown.lines().filter_map(|line| line.strip_prefix("Listen=")?.split(' ').next());
    Some(addresses.filter_map(|address| address.parse().ok()).collect())
}

fn joined(addresses: &BTreeSet<SocketAddr>) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// Where the two do not agree: what that means, and what to type.
pub(crate) fn disagreement(folder: &Folder, config: &Config) -> Option<String> {
    if !folder.is_of_systemd() {
        return None;
    }
    let (opened, wanted) = (opened()?, wanted(config));
    (opened != wanted).then(|| {
        let remedy = match administrators() {
            Some(file) => format!("{} says so, so it is mended there", file.display()),
            None => "Have it open those of the config: petit-server init, then petit-server stop and petit-server start"
                .to_owned(),
        };
        format!("{}. {remedy}", said(&opened, &wanted))
    })
}

fn said(opened: &BTreeSet<SocketAddr>, wanted: &BTreeSet<SocketAddr>) -> String {
    format!(
        "{UNIT} opens {}, and the config asks for {}: what is only opened is answered by nobody, and a port below 1024 \
         that is not opened cannot be had",
        joined(opened),
        joined(wanted)
    )
}

/// The file of an administrator's that says what the unit opens, where one does.
fn administrators() -> Option<PathBuf> {
    let mut command = Command::new("systemctl");
    command.args(["show", "--property=DropInPaths", "--value", UNIT]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let paths = String::from_utf8(output.stdout).ok()?;
    let says_so = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| line.trim_start().starts_with("ListenStream="))
    };
    let mut others = paths.split_whitespace().map(PathBuf::from).filter(|path| path != Path::new(DROP_IN));
    others.rfind(says_so)
}

/// Has the unit open what the config asks for, where it does not and nobody else has said what it opens.
///
/// # Errors
/// [`Failure`] when that cannot be written.
pub(crate) fn agree(config: &Config) -> Result<Agreed, Failure> {
    let (Some(before), wanted) = (opened(), wanted(config)) else { return Ok(Agreed::Already) };
    if before == wanted {
        return Ok(Agreed::Already);
    }
    if let Some(file) = administrators() {
        return Ok(Agreed::Not(format!(
            "{}. {} says so, so it is mended there",
            said(&before, &wanted),
            file.display()
        )));
    }
    let path = Path::new(DROP_IN);
    let cannot =
        |error: io::Error| Failure::new(petit_host::exit::ExitCode::Failed, format!("{DROP_IN}: {error}"));
    std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(cannot)?;
    files::write_public(path, drop_in(&wanted).as_bytes()).map_err(|error| Failure::of(&error))?;
    service::systemctl("daemon-reload", &[]).map_err(cannot)?;
    match opened() {
        Some(now) if now != wanted => Ok(Agreed::Not(said(&now, &wanted))),
        _ => Ok(Agreed::Now(path.to_owned())),
    }
}

/// Takes away what [`agree`] has made; returns where it was.
#[cfg(target_os = "linux")]
pub(crate) fn forget() -> Option<PathBuf> {
    let path = Path::new(DROP_IN);
    std::fs::remove_file(path).ok()?;
    if let Some(folder) = path.parent() {
        // Where something else is in it, it stays.
        let _ = std::fs::remove_dir(folder);
    }
    let _ = service::systemctl("daemon-reload", &[]);
    Some(path.to_owned())
}

fn drop_in(wanted: &BTreeSet<SocketAddr>) -> String {
    let lines: String = wanted.iter().map(|address| format!("ListenStream={address}\n")).collect();
    format!(
        "# Made by petit-server init or restore, of what the config says.\n[Socket]\nListenStream=\n{lines}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_of_its_sockets_is_read() {
        let shown = "Listen=127.0.0.1:8090 (Stream)\nListen=[::]:443 (Stream)\nLoadState=loaded\n";
        let found = read(shown).unwrap();
        assert_eq!(joined(&found), "127.0.0.1:8090 and [::]:443");
        assert_eq!(read("LoadState=not-found\n"), None);
        let said = drop_in(&found);
        assert!(
            said.contains("ListenStream=\nListenStream=127.0.0.1:8090\nListenStream=[::]:443\n"),
            "{said}"
        );
    }
}
