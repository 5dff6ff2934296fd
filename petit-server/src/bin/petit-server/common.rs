//! What all commands need: the program's name, its config, and what to say when there is no server to be had.

use std::path::{Path, PathBuf};

use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::lock::LockError;
use petit_host::service::RunBy;
use petit_server::config::{self, Config, ConfigError};
use petit_server::folder::KeyError;
use petit_server::registry::{StoreErrorKind, is_disk_full};
use petit_server::server::ServerStartError;

/// Name of this program in hints.
pub(crate) const PROGRAM: &str = "petit-server";

/// Reads the config, with its path in every complaint.
pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
    config::load(path).map(|(config, _)| config).map_err(|error| config_failure(&error))
}

/// Why there is no config, and what to do about it.
pub(crate) fn config_failure(error: &ConfigError) -> Failure {
    let failure = Failure::of(error);
    match error {
        ConfigError::Missing { .. } => {
            failure.hint("make one with: petit-server init --endpoint https://REGID.example.com --port 443")
        }
        ConfigError::Unreadable { .. }
        | ConfigError::Invalid(_)
        | ConfigError::Part { .. }
        | ConfigError::Unsafe(_) => failure,
    }
}

/// What is wrong, and what to do next.
pub(crate) fn start_failure(error: &ServerStartError) -> Failure {
    let failure = Failure::of(error);
    if is_disk_full(error) {
        let problem = format!("the disk is full: {}", failure.message);
        return Failure::new(ExitCode::Failed, problem).hint("nothing was changed; make room and try again");
    }
    match error {
        ServerStartError::Running { .. } => failure.hint("see it with: petit-server status"),
        ServerStartError::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            failure.hint("another program has this port; choose another one in the config file")
        }
        ServerStartError::Lock(LockError::OfService { .. }) => {
            let failure = Failure::new(ExitCode::NotRunning, failure.message);
            failure.hint(format!("start it with: {PROGRAM} start"))
        }
        ServerStartError::LostHttps(_) => failure.hint(
            "the running server serves on; see with petit-server config check what is wrong, or give HTTPS up: petit-server stop, then petit-server start",
        ),
        ServerStartError::Held { .. } => failure.hint(
            "petit-server stop, then petit-server start: meanwhile connections are refused; or choose another port as well",
        ),
        ServerStartError::Bind { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            match RunBy::of_this_process() {
                Some(_) => failure.hint(
                    "petit-server.socket opens ports below 1024 for the service: petit-server init has it open those of the config, then petit-server stop and petit-server start",
                ),
                None => failure.hint(
                    "ports below 1024 need rights: setcap cap_net_bind_service=+ep on the program; or choose a higher port",
                ),
            }
        }
        ServerStartError::Key(KeyError::Missing { .. }) => failure.hint("make it with: petit-server init"),
        ServerStartError::Key(KeyError::Lost { path }) => failure.hint(format!(
            "put it back from a copy; or use the backup key, which clients accept too: mv {} {}",
            backup_of(path).display(),
            path.display()
        )),
        ServerStartError::Store(error) if *error.kind() == StoreErrorKind::Missing => failure.hint(
            "put it back with: petit-server restore FOLDER; to begin anew without clients: petit-server init --new-registry",
        ),
        ServerStartError::Store(error) if *error.kind() == StoreErrorKind::NotARegistry => failure.hint("put a backup back with: petit-server restore FOLDER"),
        _ => failure,
    }
}

/// Where the backup key is as long as nobody has moved it, by where the key should be.
fn backup_of(key: &Path) -> PathBuf {
    let name = key.file_name().unwrap_or_default().to_string_lossy().replace("server.key", "backup.key");
    key.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backup_key_is_named_by_where_it_lies() {
        for (key, backup) in [
            ("/etc/credstore/petit-server.key", "/etc/credstore/petit-backup.key"),
            ("/root/.petit/server.key", "/root/.petit/backup.key"),
        ] {
            let said = start_failure(&ServerStartError::Key(KeyError::Lost { path: key.into() }));
            assert!(said.hint.unwrap().ends_with(&format!(": mv {backup} {key}")));
        }
    }
}
