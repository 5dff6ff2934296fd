//! `run`, `start`, `stop`.

use std::ffi::OsString;
use std::time::Duration;

use petit_client::client::{Client, StartError};
use petit_client::control::Control;
use petit_client::folder::Folder;
use petit_client::messages::{self, Words};
use petit_client::{config, registration};
use petit_host::background::{self, StartError as BackgroundError};
use petit_host::cli::{self, Failure};
use petit_host::control::server::Listener;
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::lock::{Lock, LockError};
use petit_host::logs;
use petit_host::shutdown::{Asked, Signals};
use serde_json::json;
use tokio::sync::mpsc;

use super::{Context, PROGRAM};

/// Takes the client's lock.
pub(crate) fn lock(folder: &Folder) -> Result<Lock, Failure> {
    Lock::take(&folder.lock()).map_err(|error| match error {
        LockError::Held { pid, .. } => {
            let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            Failure::new(ExitCode::Failed, format!("the client is running already{who}"))
                .hint("see it with: petit-client status; end it with: petit-client stop")
        }
        LockError::Io { .. } => Failure::of(&error),
    })
}

/// Runs until a signal or `stop`. The first one drains, the second one ends at once.
pub(crate) async fn run(context: &Context, in_background: bool) -> Result<ExitCode, Failure> {
    let folder = &context.folder;
    // Registering makes a config file too, so what is missing first is asked for first.
    if registration::load(folder).map_err(|error| Failure::of(&error))?.is_none() {
        return Err(not_registered());
    }
    let (config, _) = config::load(&folder.config).map_err(|error| config_failure(&error))?;
    folder.make().map_err(|error| Failure::of(&error))?;
    let lock = lock(folder)?;
    files::sweep(folder.path());
    let level = logs::start(Some(&folder.log()), !in_background, config.log_level).map_err(|error| {
        Failure::new(ExitCode::Failed, format!("cannot write the log {}: {error}", folder.log().display()))
    })?;
    let mut signals = Signals::new().map_err(|error| Failure::of(&error))?;
    let client = Client::start(folder.clone(), config, lock, Some(level)).await;
    let client = client.map_err(|error| start_failure(&error))?;
    let (stop, mut stopped) = mpsc::channel(1);
    let listener = Listener::bind(&folder.socket()).map_err(|error| {
        let path = folder.socket();
        Failure::new(ExitCode::Failed, format!("cannot open the control socket {}: {error}", path.display()))
    })?;
    let control = Control { client: client.clone(), stop };
    let control = tokio::spawn(listener.serve(std::sync::Arc::new(control)));
    if in_background {
        background::leave_terminal();
        background::ready();
    }

    let watching = async {
        tokio::join!(client.finish_former(), client.watch_config(), client.watch_network());
    };
    tokio::pin!(watching);
    let interrupted = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::End { interrupted } => break interrupted,
                Asked::Reload => drop(client.reload().await), // said in the log and in the status
            },
            _ = stopped.recv() => break false,
            () = &mut watching => {}
        }
    };
    tracing::info!("stopping; requests in flight get 30 seconds");
    tokio::select! {
        () = client.stop() => {}
        _ = signals.next() => tracing::info!("stopping at once"),
        _ = stopped.recv() => tracing::info!("stopping at once"),
    }
    control.abort();
    let _ = control.await;
    tracing::info!("stopped");
    Ok(if interrupted { ExitCode::Interrupted } else { ExitCode::Ok })
}

/// Starts the client in the background, or has one that is there and switched off (the tray app's) go online.
pub(crate) async fn start(context: &Context) -> Result<(), Failure> {
    if let Ok(value) = context.call("GET", "/status", None).await
        && value.pointer("/connection/state").and_then(serde_json::Value::as_str) == Some("off")
    {
        context.call("POST", "/start", None).await?;
        let pid = value.get("pid").cloned().unwrap_or_default();
        context.say("The client was switched off and goes online.", &json!({ "pid": pid }));
        return Ok(());
    }
    let config = &context.folder.config;
    let arguments: Vec<OsString> =
        ["run", "--background", "--config"].into_iter().map(OsString::from).chain([config.into()]).collect();
    match background::start(&arguments) {
        Ok(pid) => {
            let text = format!("The client is running (process {pid}).\nSee it with: petit-client status");
            context.say(&text, &json!({ "pid": pid }));
            Ok(())
        }
        // What the child said is what happened.
        Err(BackgroundError::Ended { output, status }) if !output.trim().is_empty() => {
            let exit = match status.and_then(|status| status.code()) {
                Some(4) => ExitCode::NotRegistered,
                _ => ExitCode::Failed,
            };
            let mut lines = output.lines().map(|line| line.trim().trim_start_matches("error: "));
            let mut failure = Failure::new(exit, lines.next().unwrap_or_default());
            failure.hint = lines.next().map(str::to_owned);
            Err(failure)
        }
        Err(error) => Err(Failure::of(&error).hint(format!("see what happens with: {PROGRAM} run"))),
    }
}

/// Stops the client and waits until it is gone.
pub(crate) async fn stop(context: &Context) -> Result<(), Failure> {
    let value = context.call("POST", "/stop", None).await?;
    if value.get("stays").and_then(serde_json::Value::as_bool) == Some(true) {
        context.say("The client has stopped; the tray app that runs it is still there.", &value);
        return Ok(());
    }
    let limit = petit_engine::limits::DRAIN + Duration::from_secs(10);
    let waiting = "Requests are under way; they get 30 seconds. To end at once: petit-client stop";
    if !cli::until_free(context.json, &context.folder.lock(), limit, waiting).await {
        let problem = "the client has been asked to stop but is still there";
        return Err(Failure::new(ExitCode::Failed, problem).hint("look into its log, or end it with kill"));
    }
    context.say("The client has stopped.", &value);
    Ok(())
}

/// What is wrong with the config file.
pub(crate) fn config_failure(error: &config::ConfigError) -> Failure {
    let failure = Failure::of(error);
    match error {
        config::ConfigError::Missing { .. } => failure.hint("make one with: petit-client init"),
        config::ConfigError::Invalid(_) | config::ConfigError::Services { .. } => {
            failure.hint("correct it with: petit-client config edit")
        }
        config::ConfigError::Unreadable { .. } | config::ConfigError::Unsafe(_) => failure,
    }
}

pub(crate) fn not_registered() -> Failure {
    Failure::new(ExitCode::NotRegistered, "this computer is not registered")
        .hint("register it with: petit-client register")
}

fn start_failure(error: &StartError) -> Failure {
    let Words { what, todo } = messages::start(error);
    let failure = Failure::new(ExitCode::Failed, cli::chain(error));
    let failure =
        if failure.message.contains(&what) { failure } else { Failure::new(ExitCode::Failed, what) };
    if todo.is_empty() { failure } else { failure.hint(todo) }
}
