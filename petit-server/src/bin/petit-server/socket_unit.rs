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
/// What makes it open what the config asks for.
const DROP_IN: &str = "/etc/systemd/system/petit-server.socket.d/petit.conf";

/// What a config asks for.
fn wanted(config: &Config) -> BTreeSet<SocketAddr> {
    let plain = SocketAddr::new(config.proxy_bind, config.proxy_port);
    [plain, SocketAddr::new(config.secure_bind, config.secure_proxy_port)].into()
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
        format!(
            "{UNIT} opens {}, and the config asks for {}: what is only opened is answered by nobody, and a port below \
             1024 that is not opened cannot be had. Have it open those of the config: petit-server init, then \
             petit-server stop and petit-server start",
            joined(&opened),
            joined(&wanted)
        )
    })
}

/// Has the unit open what the config asks for, where it does not; returns the file that says so.
///
/// # Errors
/// [`Failure`] when that cannot be written.
pub(crate) fn agree(config: &Config) -> Result<Option<PathBuf>, Failure> {
    let (Some(opened), wanted) = (opened(), wanted(config)) else { return Ok(None) };
    if opened == wanted {
        return Ok(None);
    }
    let path = Path::new(DROP_IN);
    let cannot =
        |error: io::Error| Failure::new(petit_host::exit::ExitCode::Failed, format!("{DROP_IN}: {error}"));
    std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(cannot)?;
    files::write_public(path, drop_in(&wanted).as_bytes()).map_err(|error| Failure::of(&error))?;
    service::systemctl("daemon-reload", &[]).map_err(cannot)?;
    Ok(Some(path.to_owned()))
}

fn drop_in(wanted: &BTreeSet<SocketAddr>) -> String {
    let lines: String = wanted.iter().map(|address| format!("ListenStream={address}\n")).collect();
    format!("# Made by petit-server init, of what the config says.\n[Socket]\nListenStream=\n{lines}")
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
