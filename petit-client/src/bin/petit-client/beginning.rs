//! What a client begins with, however it is started: the lock, the config, the log.

use std::fmt::Display;
use std::path::Path;

use petit_client::client::ClientStartError;
use petit_client::config::Config;
use petit_client::messages;
use petit_client::updates::{Begun, Updates};
use petit_client::{config, registration};
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::lock::{Lock, LockError};
use petit_host::logs::{self, LevelHandle};
use petit_host::shutdown::Signals;
use petit_host::update::{Start, Version};

use super::context::Context;

/// Takes the client's lock.
pub(crate) fn lock(context: &Context) -> Result<Lock, Failure> {
    context.folder.take_lock().map_err(|error| match error {
        LockError::Held { pid, .. } => {
            let key = if pid.is_some() { "cli.running_already.pid" } else { "cli.running_already" };
            context
                .failed(ExitCode::Failed, key, &[("pid", &pid.unwrap_or_default())])
                .hint(context.hint("cli.running_already.hint"))
        }
        LockError::OfService { unit } => of_service(context, &unit),
        LockError::Io { .. } => Failure::of(&error),
    })
}

/// A service of the system does not run, and root touches none of its files.
pub(crate) fn of_service(context: &Context, unit: &str) -> Failure {
    let hint = context.hint("cli.not_running.hint");
    context.failed(ExitCode::NotRunning, "cli.service_stopped", &[("unit", &unit)]).hint(hint)
}

/// How the client is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct How {
    /// By `start`: it belongs to no terminal.
    pub(crate) background: bool,
    /// By a client whose place it is to take.
    pub(crate) takeover: bool,
}

impl How {
    fn start(self) -> Start {
        if self.takeover { Start::Takeover } else { Start::Fresh }
    }
}

/// What is there before the client is.
pub(crate) struct Beginning {
    pub(crate) config: Config,
    pub(crate) lock: Lock,
    pub(crate) level: LevelHandle,
    pub(crate) signals: Signals,
}

impl Beginning {
    /// With the lock that another process has handed over, or with one that is taken.
    pub(crate) async fn new(context: &Context, how: How, inherited: Option<Lock>) -> Result<Self, Failure> {
        let folder = &context.folder;
        let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
        let updates = Updates::of(folder, &program);
        let mut held = inherited;
        let mut begun = Begun::Usual;
        // Before all that a new version could fail in.
        if updates.is_trial_on() {
            if held.is_none() {
                folder.make().map_err(|error| Failure::of(&error))?;
                held = Some(lock(context)?);
            }
            begun = updates.begin(how.start()).await;
            if matches!(begun, Begun::PutBack) {
                drop(held);
                return Err(previous(context, how, &program));
            }
        }
        // Registering makes a config file too, so what is missing first is asked for first. A service of the system runs
        // without a registration, too: it is the one that registers.
        let is_registered = registration::load(folder).map_err(|error| Failure::of(&error))?.is_some();
        if !is_registered && !folder.is_of_service() {
            excuse(&updates, how).await;
            return Err(not_registered(context));
        }
        let config = match config::load(&folder.config) {
            Ok((config, _)) => config,
            // The new version has read it, in its test before it was put in its place.
            Err(error) => {
                excuse(&updates, how).await;
                return Err(config_failure(context, &error));
            }
        };
        folder.make().map_err(|error| Failure::of(&error))?;
        let lock = match held {
            Some(lock) => lock,
            None => lock(context)?,
        };
        if !how.takeover {
            // What another process is just writing must not be taken for left over.
            files::sweep(folder.path());
        }
        // The journal keeps the log of a service.
        let log = (!folder.is_of_systemd()).then(|| folder.log());
        let level = match logs::start(log.as_deref(), !how.background, config.log_level) {
            Ok(level) => level,
            Err(error) => {
                excuse(&updates, how).await;
                let path = folder.log();
                let values: [(&str, &dyn Display); 2] = [("path", &path.display()), ("why", &error)];
                return Err(context.failed(ExitCode::Failed, "cli.no_log", &values));
            }
        };
        begun.log();
        let signals = Signals::new().map_err(|error| Failure::of(&error))?;
        Ok(Self { config, lock, level, signals })
    }
}

/// What is not there to begin with is not held against a version on trial.
async fn excuse(updates: &Updates, how: How) {
    if !how.takeover {
        updates.excused().await;
    }
}

/// Goes on as the version before this one, which is in its place again. Returns only when that cannot be done from here.
fn previous(context: &Context, how: How, program: &Path) -> Failure {
    if !how.takeover {
        // Versions know each other's words: those of `run` are only ever added to.
        let mut command = std::process::Command::new(program);
        command.args(std::env::args_os().skip(1));
        return Failure::of(&goes_on_as(command, how));
    }
    // Whoever has handed over goes on.
    context.failed(ExitCode::Failed, "cli.upgrade.put_back", &[("version", &Version::of_this_program())])
}

/// Makes this process another program. Returns only when that cannot be run.
#[cfg(unix)]
fn goes_on_as(mut command: std::process::Command, _: How) -> std::io::Error {
    use std::os::unix::process::CommandExt;

    command.exec()
}

/// Runs another program with the streams of this process, whose end is that of the other where somebody waits for it.
#[cfg(windows)]
fn goes_on_as(mut command: std::process::Command, how: How) -> std::io::Error {
    use std::os::windows::process::CommandExt;

    if how.background {
        const DETACHED_PROCESS: u32 = 0x0000_0008;
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
        command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
    }
    let ended = command.spawn().and_then(|mut other| {
        if how.background { Ok(0) } else { other.wait().map(|it| it.code().unwrap_or(1)) }
    });
    match ended {
        Ok(code) => std::process::exit(code),
        Err(error) => error,
    }
}

/// What is wrong with the config file.
pub(crate) fn config_failure(context: &Context, error: &config::ConfigError) -> Failure {
    let todo = messages::config(error).to_type(&context.texts);
    let failure = Failure::of(error);
    if todo.is_empty() { failure } else { failure.hint(todo) }
}

pub(crate) fn not_registered(context: &Context) -> Failure {
    context
        .failed(ExitCode::NotRegistered, "cli.not_registered", &[])
        .hint(context.hint("cli.not_registered.hint"))
}

pub(crate) fn start_failure(context: &Context, error: &ClientStartError) -> Failure {
    context.said(ExitCode::Failed, &messages::start(error))
}

pub(crate) fn socket_failure(context: &Context, error: &std::io::Error) -> Failure {
    let path = context.folder.socket();
    context.failed(ExitCode::Failed, "cli.no_socket", &[("path", &path.display()), ("why", error)])
}
