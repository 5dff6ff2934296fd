//! What root does for a server that is a service of the system: its config and its keys are root's, everything else is
//! the service's own.

use std::path::Path;

use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::service;
use petit_server::api::Initialised;
use petit_server::config::{self, Config, ConfigError, NoServer};
use petit_server::folder::{Folder, KeyError, Pinned};
use petit_server::server::{LostRegistry, ServerStartError};
use serde::Deserialize;

use super::as_service::AsService;
use super::common::{config_failure, start_failure};
use super::init_order::{FirstVisitors, InitArgs, InitDone, NewConfig};

/// What systemd calls the server.
pub(crate) fn unit() -> String {
    service::unit(petit_server::folder::NAME)
}

/// What a command of this program prints with `--json`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Printed<A> {
    Failed { error: FailedAs },
    Answer(A),
}

#[derive(Deserialize)]
struct FailedAs {
    message: String,
    #[serde(default)]
    hint: Option<String>,
}

/// Makes what is missing: the keys and the config here, the registry by the service's own user. Where one of them cannot
/// be made, none is.
pub(crate) fn make(
    folder: &Folder,
    args: &InitArgs<'_>,
    config: &Config,
    new: Option<&NewConfig>,
) -> Result<InitDone, Failure> {
    let key = |error: KeyError| start_failure(&ServerStartError::Key(error));
    let keys = !folder.has_key().map_err(key)?;
    if keys {
        if config.registry_file.exists() {
            return Err(key(KeyError::Lost { path: folder.key() }));
        }
        make_store(&folder.key())?;
        folder.make_keys(Pinned::Never).map_err(key)?;
    }
    let before = std::fs::read(&folder.config).unwrap_or_default();
    let made = match new.map_or(Ok(()), |new| new.put(&folder.config)) {
        Ok(()) => registry(args, keys),
        Err(error) => Err(Failure::of(&error)),
    };
    match made {
        Ok(Initialised { stale_logs, visitor_key, .. }) => {
            let visitor_key = visitor_key.map(Into::into);
            Ok(InitDone { config: new.is_some(), keys, stale_logs, visitor_key })
        }
        Err(failure) => {
            if new.is_some() {
                let _ = files::write_keeping_rights(&folder.config, &before);
            }
            for path in [folder.key(), folder.backup_key(), folder.backup_pin()].iter().filter(|_| keys) {
                let _ = files::remove(path);
            }
            Err(failure)
        }
    }
}

/// The folder that systemd looks for secrets in.
fn make_store(key: &Path) -> Result<(), Failure> {
    let Some(store) = key.parent() else { return Ok(()) };
    files::make_private_dir(store).map_err(|error| Failure::of(&error))
}

/// Has the service's own user make the registry, and what a new server asks of visitors.
fn registry(args: &InitArgs<'_>, is_first: bool) -> Result<Initialised, Failure> {
    let mut arguments = vec!["init", "--json"];
    arguments.extend(is_first.then_some("--first"));
    arguments.extend((args.lost == LostRegistry::MadeAnew).then_some("--new-registry"));
    // Whether the key is shown is decided here.
    arguments.extend((args.visitors == FirstVisitors::Open).then_some("--open"));
    let output = AsService::new(arguments)?.output()?;
    match serde_json::from_slice(&output.stdout) {
        Ok(Printed::Answer(made)) => Ok(made),
        Ok(Printed::Failed { error: FailedAs { message, hint } }) => {
            let failure = Failure::new(ExitCode::Failed, message);
            Err(match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            })
        }
        Err(_) => {
            let problem = format!("the registry could not be made by {} ({})", unit(), output.status);
            Err(Failure::new(ExitCode::Failed, problem).hint("see what happened with: journalctl -e"))
        }
    }
}

/// Puts a backup back: what is root's, where it is not there, here; everything else is put back by the service's own
/// user.
pub(crate) fn restore(json: bool, folder: &Folder, from: &Path) -> Result<ExitCode, Failure> {
    let from = std::path::absolute(from).unwrap_or_else(|_| from.to_owned());
    let config = match config::load(&folder.config) {
        Ok(_) => None,
        Err(ConfigError::Missing { .. } | ConfigError::Part { misfit: NoServer, .. }) => {
            let text = std::fs::read_to_string(from.join("config.toml")).map_err(|error| {
                let problem = format!("cannot read the config of {}: {error}", from.display());
                Failure::new(ExitCode::Failed, problem)
            })?;
            config::parse(&folder.config, &text).map_err(|error| config_failure(&error))?;
            Some(text)
        }
        Err(error) => return Err(config_failure(&error)),
    };
    let has_key = folder.has_key().map_err(|error| Failure::of(&error))?;
    if !has_key {
        make_store(&folder.key())?;
        for (name, to) in [("backup.pin", folder.backup_pin()), ("server.key", folder.key())] {
            let secret = files::read_secret(&from.join(name)).map_err(|error| Failure::of(&error))?;
            let secret = zeroize::Zeroizing::new(secret.unwrap_or_default());
            files::write_private(&to, &secret).map_err(|error| Failure::of(&error))?;
        }
    }
    if let Some(text) = &config {
        files::write_keeping_rights(&folder.config, text.as_bytes()).map_err(|error| Failure::of(&error))?;
    }
    AsService::of_folder("restore", &from, json)?.run()
}
