//! What root does for a server that is a service of the system: its config and its keys are root's, everything else is
//! the service's own.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use petit_engine::secret::PrivateKey;
use petit_host::cli::{self, Failure};
use petit_host::config::Place;
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::service::{self, ManagerVerb};
use petit_server::api::{CertificatePut, ClientList, ConfigChecked, ConfigNote, Initialised};
use petit_server::backup::BackupError;
use petit_server::certificate::keep::{CHAIN, KEY};
use petit_server::config::{self, Config, ConfigError, NoServer};
use petit_server::folder::{Folder, KeyError, Pinned};
use petit_server::server::{LostRegistry, ServerStartError};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::as_service::{AsService, Given};
use super::common::{PROGRAM, config_failure, load, start_failure};
use super::init_order::{FirstVisitors, InitArgs, InitDone, NewConfig};
use super::setup::{self, backup_failure};
use super::socket_unit;

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
        // What is there of a server's was pinned by somebody, perhaps.
        let others = [config.registry_file.clone(), folder.backup_key(), folder.backup_pin()];
        if others.iter().any(|path| path.exists()) {
            return Err(key(KeyError::Lost { path: folder.key() }));
        }
        make_store(&folder.key())?;
        folder.make_keys(Pinned::Never).map_err(key)?;
    }
    let before = std::fs::read(&folder.config).ok();
    let made = match new.map_or(Ok(()), |new| new.put(&folder.config)) {
        Ok(()) => registry(if keys { LostRegistry::NeverWas } else { args.lost }, args.visitors),
        Err(error) => Err(Failure::of(&error)),
    };
    match made {
        Ok(Initialised { stale_logs, visitor_key, .. }) => {
            let visitor_key = visitor_key.map(Into::into);
            Ok(InitDone { keys, stale_logs, visitor_key })
        }
        Err(failure) => {
            if new.is_some() {
                put_back(folder, before.as_deref());
            }
            for path in [folder.key(), folder.backup_key(), folder.backup_pin()].iter().filter(|_| keys) {
                let _ = files::remove(path);
            }
            Err(failure)
        }
    }
}

/// Puts the config file back as it was.
fn put_back(folder: &Folder, before: Option<&[u8]>) {
    let _ = match before {
        Some(before) => files::write_keeping_rights(&folder.config, before),
        None => files::remove(&folder.config),
    };
}

/// The folder that systemd looks for secrets in.
fn make_store(key: &Path) -> Result<(), Failure> {
    let Some(store) = key.parent() else { return Ok(()) };
    files::make_private_dir(store).map_err(|error| Failure::of(&error))
}

/// Has the service's own user make the registry, and what a new server asks of visitors.
fn registry(lost: LostRegistry, visitors: FirstVisitors) -> Result<Initialised, Failure> {
    let mut arguments = vec!["init", "--json"];
    arguments.extend(match lost {
        LostRegistry::NeverWas => Some("--first"),
        LostRegistry::MadeAnew => Some("--new-registry"),
        LostRegistry::Refused => None,
    });
    // Whether the key is shown is decided here.
    arguments.extend((visitors == FirstVisitors::Open).then_some("--open"));
    answer(AsService::new(arguments)?, "the registry could not be made")
}

/// All clients that have ever registered, as the service's own user finds them in its registry.
pub(crate) fn clients() -> Result<ClientList, Failure> {
    answer(AsService::new(["--json", "clients", "list", "--all"])?, "the registry could not be looked at")
}

/// Has the service's own user copy a certificate, whose files systemd hands in; returns where the copy is.
pub(crate) fn keep_certificate(name: &str, certificate: &Path, key: &Path) -> Result<PathBuf, Failure> {
    let arguments = ["--json", "certificate", "put", "--handed-in", "--name", name];
    let command = AsService::with_credentials(arguments, &[(CHAIN, certificate), (KEY, key)])?;
    answer::<CertificatePut>(command, "the certificate could not be copied").map(|put| put.path)
}

/// What a command says that the service's own user has run.
fn answer<A: DeserializeOwned>(command: AsService, failed: &str) -> Result<A, Failure> {
    let output = command.output()?;
    match serde_json::from_slice(&output.stdout) {
        Ok(Printed::Answer(answer)) => Ok(answer),
        Ok(Printed::Failed { .. }) | Err(_) => Err(failure_in(&output.stdout, output.status, failed)),
    }
}

/// Why such a command has no answer, in what it has printed. `failed`: what is said where it does not say so.
pub(crate) fn failure_in(out: &[u8], status: ExitStatus, failed: &str) -> Failure {
    match serde_json::from_slice::<Printed<IgnoredAny>>(out) {
        Ok(Printed::Failed { error: FailedAs { message, hint } }) => {
            Failure { hint, ..Failure::new(ExitCode::Failed, message) }
        }
        Ok(Printed::Answer(_)) | Err(_) => {
            let problem = format!("{failed} by {} ({status})", unit());
            Failure::new(ExitCode::Failed, problem).hint("see what happened with: journalctl -e")
        }
    }
}

/// Says that the system has a server of its own, where it is easily that one which was meant.
pub(crate) fn say_if_passed_by(json: bool, place: &Place) {
    cli::passed_by(json, place, petit_server::folder::NAME, |config| {
        let config = config.display();
        format!("note: {config} belongs to the service of this system; for that one: sudo {PROGRAM} …")
    });
}

/// True for a service of the system that root asks for, when it has its key.
pub(crate) fn is_set_up(folder: &Folder) -> bool {
    folder.is_out_of_bounds() && folder.has_key().unwrap_or_default()
}

/// Has the service's own user check the config, and all that it names. What systemd opens root asks it: the other user
/// may have no name, and the bus does not talk to such.
pub(crate) fn check_config(json: bool, folder: &Folder) -> Result<ExitCode, Failure> {
    let config = config::load(&folder.config).ok();
    let note = config.and_then(|(config, _)| socket_unit::disagreement(folder, &config));
    let Some(message) = note else {
        return AsService::new(json.then_some("--json").into_iter().chain(["config", "check"]))?.run();
    };
    let command = AsService::new(["--json", "config", "check"])?;
    let checked = answer(command, "the config could not be checked");
    let mut checked: ConfigChecked = checked.map_err(|failure| {
        let hint = failure.hint.as_ref().map(|hint| format!("{hint}; and: ")).unwrap_or_default();
        Failure { hint: Some(format!("{hint}{message}")), ..failure }
    })?;
    checked.notes.push(ConfigNote { line: None, message });
    setup::say_checked(json, &checked);
    Ok(ExitCode::Ok)
}

/// Refuses what is of no use before the service is set up.
pub(crate) fn check_set_up(folder: &Folder) -> Result<(), Failure> {
    if folder.has_key().map_err(|error| Failure::of(&error))? {
        return Ok(());
    }
    let problem = format!("{} is not set up: there is no {}", unit(), folder.key().display());
    let hint = "set it up with: petit-server init --endpoint https://REGID.example.com --port 443";
    Err(Failure::new(ExitCode::Failed, problem).hint(hint))
}

/// Starts the service, once it is set up: systemd takes one that is not for one that need not run.
pub(crate) fn start(json: bool, folder: &Folder) -> Result<(), Failure> {
    check_set_up(folder)?;
    cli::by_service_manager(json, ManagerVerb::Start, &[], &unit())
}

/// What is root's is put back only out of what is root's: refuses a backup in the service's own folder while config or key
/// are not there.
fn refuse_from_itself(folder: &Folder, from: &Path) -> Result<(), Failure> {
    let needs_config = matches!(
        config::load(&folder.config),
        Err(ConfigError::Missing { .. } | ConfigError::Part { misfit: NoServer, .. })
    );
    let needs_key = !folder.has_key().map_err(|error| Failure::of(&error))?;
    let state = std::fs::canonicalize(folder.path());
    if !(needs_config || needs_key) || !state.is_ok_and(|state| from.starts_with(state)) {
        return Ok(());
    }
    let from = from.display();
    let problem = format!("config and key are root's, one of them is not there, and {from} is the service's");
    let hint = format!(
        "copy it to root first: cp -rT {from} /root/petit-backup; then: {PROGRAM} restore /root/petit-backup"
    );
    Err(Failure::new(ExitCode::Failed, problem).hint(hint))
}

/// Has the socket unit open the ports of a config that was put back, as `init` has it for a new one.
fn open_its_ports(json: bool, folder: &Folder) -> Result<(), Failure> {
    let config = load(&folder.config)?;
    let agreed = socket_unit::agree(&config).map_err(|failure| {
        failure.hint("everything else was put back; petit-server init tries this again")
    })?;
    if let Some(said) = agreed.said().filter(|_| !json) {
        cli::say(false, &said, &());
    }
    Ok(())
}

/// Puts a backup back: what is root's, where it is not there, here; everything else is put back by the service's own
/// user. Where that does not come to its end, what is root's is as it was.
pub(crate) fn restore(json: bool, folder: &Folder, from: &Path) -> Result<ExitCode, Failure> {
    let from = std::fs::canonicalize(from).unwrap_or_else(|_| from.to_owned());
    refuse_from_itself(folder, &from)?;
    let config = match config::load(&folder.config) {
        Ok(_) => None,
        Err(ConfigError::Missing { .. } | ConfigError::Part { misfit: NoServer, .. }) => {
            Some(setup::config_in(&from, folder)?.0)
        }
        Err(error) => return Err(config_failure(&error)),
    };
    let keys = if folder.has_key().map_err(|error| Failure::of(&error))? {
        None
    } else {
        let secret = |name: &'static str| {
            let secret = files::read_secret(&from.join(name)).map_err(|error| Failure::of(&error))?;
            let missing = || backup_failure(&BackupError::NoBackup { folder: from.clone(), missing: name });
            secret.map(zeroize::Zeroizing::new).ok_or_else(missing)
        };
        let key = secret("server.key")?;
        PrivateKey::from_text(&key)
            .map_err(|_| backup_failure(&BackupError::Damaged(from.join("server.key"))))?;
        Some((key, secret("backup.pin")?))
    };
    let before = std::fs::read(&folder.config).ok();
    let put = || {
        if let Some((key, pin)) = &keys {
            make_store(&folder.key())?;
            let write =
                |to: &Path, text: &[u8]| files::write_private(to, text).map_err(|error| Failure::of(&error));
            write(&folder.backup_pin(), pin)?;
            write(&folder.key(), key)?;
        }
        if let Some(text) = &config {
            let write = if before.is_some() { files::write_keeping_rights } else { files::write_public };
            write(&folder.config, text.as_bytes()).map_err(|error| Failure::of(&error))?;
        }
        AsService::of_folder(&["restore"], (&from, Given::All), json, folder)?.run()
    };
    let done = put();
    if matches!(done, Ok(ExitCode::Ok)) {
        if config.is_none() && !json {
            cli::say(false, &setup::config_stays(folder, &from), &());
        }
        open_its_ports(json, folder)?;
    } else {
        if config.is_some() {
            put_back(folder, before.as_deref());
        }
        for path in [folder.key(), folder.backup_pin()].iter().filter(|_| keys.is_some()) {
            let _ = files::remove(path);
        }
    }
    done
}
