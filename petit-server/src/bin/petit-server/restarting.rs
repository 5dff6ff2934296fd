//! `restart`, `stop`, `reload`: what changes the running server as a whole, and what it waits for meanwhile.

use std::time::Duration;

use petit_host::cli::{self, Failure};
use petit_host::exit::ExitCode;
use petit_server::folder::Folder;
use serde_json::{Value, json};

use super::ask::Running;
use super::common::{PROGRAM, load};
use super::show;

/// After this whoever waits is told what for.
const SILENT: Duration = Duration::from_secs(1);
/// How much longer than it has said a server may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// Has a new process take the running one's place.
#[cfg(unix)]
pub(crate) async fn restart(json: bool, folder: &Folder, within: Option<Duration>) -> Result<(), Failure> {
    // What is wrong with the file is said here as well as anywhere, and sooner.
    load(&folder.config)?;
    let body = json!({ "within_seconds": within.map(|within| within.as_secs()) });
    let failed = |failure: Failure| match failure.hint {
        None => failure.hint(format!("the old one goes on as before; see its log with: {PROGRAM} logs")),
        Some(_) => failure,
    };
    let value = Running::new(folder).call("POST", "/restart", Some(body)).await.map_err(failed)?;
    let (new, old) = (show::text(&value, "/pid"), show::text(&value, "/replaced"));
    let mut text = format!("The server was restarted: process {new} serves.");
    if let Some(waits) = value.pointer("/waits_for").and_then(show::waits_for) {
        text.push_str(&format!("\nThe old process ({old}) finishes what is under way: {waits}."));
    }
    cli::say(json, &text, &value);
    Ok(())
}

/// Windows gives no sockets to another process in safe code, so the server stops and starts.
#[cfg(not(unix))]
pub(crate) async fn restart(json: bool, folder: &Folder, _: Option<Duration>) -> Result<(), Failure> {
    load(&folder.config)?;
    let running = Running::new(folder);
    let value = running.call("POST", "/stop", None).await?;
    until_stopped(json, folder, &running, &value).await?;
    let pid = super::run::start_in_background(&folder.config)?;
    let text = format!(
        "The server was stopped and started again: process {pid} serves. On this system sockets cannot be handed \
         over, so connections were refused meanwhile."
    );
    cli::say(json, &text, &json!({ "pid": pid, "refused_meanwhile": true }));
    Ok(())
}

/// Stops the running server, and says what it waits for.
pub(crate) async fn stop(json: bool, folder: &Folder) -> Result<(), Failure> {
    let running = Running::new(folder);
    let value = running.call("POST", "/stop", None).await?;
    until_stopped(json, folder, &running, &value).await?;
    cli::say(json, "The server has stopped.", &value);
    Ok(())
}

/// Waits until the server has let go of its lock: the kernel does that when the process has ended.
async fn until_stopped(json: bool, folder: &Folder, running: &Running, value: &Value) -> Result<(), Failure> {
    if cli::until_free(json, &folder.lock(), SILENT, "").await {
        return Ok(());
    }
    if let Ok(status) = running.call("GET", "/status", None).await
        && let Some(waits) = status.pointer("/waits_for").and_then(show::waits_for)
        && !json
    {
        cli::say(false, &format!("Waiting for {waits}. To end at once: {PROGRAM} stop"), &Value::Null);
    }
    let left = value.pointer("/waits_for/seconds_left").and_then(Value::as_u64).unwrap_or_default();
    if cli::until_free(json, &folder.lock(), Duration::from_secs(left) + GRACE, "").await {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Failed, "the server has been asked to stop but is still there")
        .hint("look into its log, or end it with kill"))
}

/// Has the config file read again, and says what of it needs a restart.
pub(crate) async fn reload(json: bool, folder: &Folder) -> Result<ExitCode, Failure> {
    let value = Running::new(folder).call("POST", "/reload", None).await?;
    cli::say(json, &show::reloaded(&value), &value);
    Ok(if show::is_restart_due(&value) { ExitCode::RestartDue } else { ExitCode::Ok })
}
