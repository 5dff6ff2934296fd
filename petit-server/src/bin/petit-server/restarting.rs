//! `restart`, `stop`, `reload`: what changes the running server as a whole, and what it waits for meanwhile.

use std::time::Duration;

use petit_host::cli::{self, Failure};
use petit_host::exit::ExitCode;
#[cfg(unix)]
use petit_server::api::RestartServer;
use petit_server::api::{ConfigReloaded, GetStatus, ReloadConfig, ServerStopped, StopServer};
use petit_server::folder::Folder;

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
    let failed = |failure: Failure| match failure.hint {
        None => failure.hint(format!("the old one goes on as before; see its log with: {PROGRAM} logs")),
        Some(_) => failure,
    };
    let wanted = RestartServer { within_seconds: within.map(|within| within.as_secs()) };
    let restarted = Running::new(folder).ask(&wanted).await.map_err(failed)?;
    let mut text = format!("The server was restarted: process {} serves.", restarted.pid);
    if let Some(waits) = show::waits_for(&restarted.waits_for) {
        let old = restarted.replaced;
        text.push_str(&format!("\nThe old process ({old}) finishes what is under way: {waits}."));
    }
    cli::say(json, &text, &restarted);
    Ok(())
}

/// `restart`, where the server was stopped and started.
#[cfg(not(unix))]
#[derive(serde::Serialize)]
struct StoppedAndStarted {
    pid: u32,
    /// Nobody served in between.
    refused_meanwhile: bool,
}

/// Windows gives no sockets to another process in safe code, so the server stops and starts.
#[cfg(not(unix))]
pub(crate) async fn restart(json: bool, folder: &Folder, _: Option<Duration>) -> Result<(), Failure> {
    load(&folder.config)?;
    let running = Running::new(folder);
    let stopped = running.ask(&StopServer).await?;
    until_stopped(json, folder, &running, &stopped).await?;
    let pid = super::run::start_in_background(&folder.config)?;
    let text = format!(
        "The server was stopped and started again: process {pid} serves. On this system sockets cannot be handed \
         over, so connections were refused meanwhile."
    );
    cli::say(json, &text, &StoppedAndStarted { pid, refused_meanwhile: true });
    Ok(())
}

/// How long an older server waits for what is under way, which it does not say by itself.
const USUAL_DRAIN: Duration = Duration::from_secs(30);

/// Stops the running server, and says what it waits for.
pub(crate) async fn stop(json: bool, folder: &Folder) -> Result<(), Failure> {
    let running = Running::new(folder);
    let stopped = running.ask(&StopServer).await?;
    until_stopped(json, folder, &running, &stopped).await?;
    cli::say(json, "The server has stopped.", &stopped);
    Ok(())
}

/// Waits until the server has let go of its lock: the kernel does that when the process has ended.
async fn until_stopped(
    json: bool,
    folder: &Folder,
    running: &Running,
    stopped: &ServerStopped,
) -> Result<(), Failure> {
    if cli::until_free(json, &folder.lock(), SILENT, "").await {
        return Ok(());
    }
    if let Ok(status) = running.ask(&GetStatus).await
        && let Some(waits) = status.waits_for.as_ref().and_then(show::waits_for)
        && !json
    {
        cli::say(false, &format!("Waiting for {waits}. To end at once: {PROGRAM} stop"), &());
    }
    let left =
        stopped.waits_for.as_ref().map_or(USUAL_DRAIN, |waits| Duration::from_secs(waits.seconds_left));
    if cli::until_free(json, &folder.lock(), left + GRACE, "").await {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Failed, "the server has been asked to stop but is still there")
        .hint("look into its log, or end it with kill"))
}

/// Has the config file read again, and says what of it needs a restart.
pub(crate) async fn reload(json: bool, folder: &Folder) -> Result<ExitCode, Failure> {
    let reloaded = Running::new(folder).ask(&ReloadConfig).await?;
    cli::say(json, &show::reloaded(&reloaded, &folder.config), &reloaded);
    exit(json, &reloaded)
}

/// How a command ends that has brought a reload about.
///
/// # Errors
/// A certificate that cannot be used, though all else is in force.
pub(crate) fn exit(json: bool, reloaded: &ConfigReloaded) -> Result<ExitCode, Failure> {
    match &reloaded.certificate_problem {
        // Programs have read it in the answer.
        Some(_) if json => Ok(ExitCode::Failed),
        Some(problem) => Err(Failure::new(ExitCode::Failed, problem.as_str())),
        None if reloaded.needs_restart.is_empty() => Ok(ExitCode::Ok),
        None => Ok(ExitCode::RestartDue),
    }
}
