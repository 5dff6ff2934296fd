//! `run`, `start`, `stop`, `restart`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

#[cfg(unix)]
use petit_client::api::Restarted;
use petit_client::api::Stopped;
use petit_client::client::{Client, ClientStartError};
use petit_client::config::Config;
use petit_client::control::Control;
use petit_client::daemon::{Daemon, Restart};
use petit_client::folder::Folder;
use petit_client::messages::{self, Advice};
use petit_client::status::Connection;
use petit_client::{config, registration};
use petit_host::background::{self, BackgroundError};
use petit_host::cli::{self, Failure};
use petit_host::control::server::{Control as ServedControl, Listener};
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::lock::{Lock, LockError};
use petit_host::logs::{self, LevelHandle};
use petit_host::shutdown::{self, Asked, Finished, ProcessSignal, Signals, StopCause, Urgency};
use serde_json::json;
use tokio::sync::mpsc;

use super::restart::{self, Handover, Predecessors};
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

/// How the client is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct How {
    /// By `start`: it belongs to no terminal.
    pub(crate) background: bool,
    /// By a client whose place it is to take.
    pub(crate) takeover: bool,
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
    pub(crate) fn new(context: &Context, how: How, inherited: Option<Lock>) -> Result<Self, Failure> {
        let folder = &context.folder;
        // Registering makes a config file too, so what is missing first is asked for first.
        if registration::load(folder).map_err(|error| Failure::of(&error))?.is_none() {
            return Err(not_registered());
        }
        let (config, _) = config::load(&folder.config).map_err(|error| config_failure(&error))?;
        folder.make().map_err(|error| Failure::of(&error))?;
        let lock = match inherited {
            Some(lock) => lock,
            None => {
                let lock = lock(folder)?;
                // What another process is just writing must not be taken for left over.
                files::sweep(folder.path());
                lock
            }
        };
        let level = logs::start(Some(&folder.log()), !how.background, config.log_level);
        let level = level.map_err(|error| {
            let path = folder.log();
            Failure::new(ExitCode::Failed, format!("cannot write the log {}: {error}", path.display()))
        })?;
        let signals = Signals::new().map_err(|error| Failure::of(&error))?;
        Ok(Self { config, lock, level, signals })
    }
}

/// A client that is there, and whoever was there before it.
pub(crate) struct Serving {
    pub(crate) client: Client,
    pub(crate) listener: Listener,
    pub(crate) signals: Signals,
    pub(crate) predecessors: Predecessors,
}

impl Serving {
    async fn new(context: &Context, how: How) -> Result<Self, Failure> {
        let folder = &context.folder;
        let Beginning { config, lock, level, signals } = Beginning::new(context, how, None)?;
        let client = Client::start(folder.clone(), config, lock, Some(level)).await;
        let client = client.map_err(|error| start_failure(&error))?;
        let listener = Listener::bind(&folder.socket()).map_err(|error| socket_failure(context, &error))?;
        Ok(Self { client, listener, signals, predecessors: Predecessors::default() })
    }
}

pub(crate) fn socket_failure(context: &Context, error: &std::io::Error) -> Failure {
    let path = context.folder.socket();
    Failure::new(ExitCode::Failed, format!("cannot open the control socket {}: {error}", path.display()))
}

/// Runs until a signal or `stop`, or until another process has taken this one's place.
pub(crate) async fn run(context: &Context, how: How) -> Result<ExitCode, Failure> {
    // Before anything can put another file in its place.
    let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
    let serving =
        if how.takeover { restart::succeed(context, how).await? } else { Serving::new(context, how).await? };
    if how.background {
        background::leave_terminal();
    }
    if how.background && !how.takeover {
        background::ready();
    }
    Ok(Main::new(context, how, program, serving).run().await)
}

/// The running client's main loop: one thing after the other.
pub(crate) struct Main<'a> {
    pub(crate) context: &'a Context,
    pub(crate) how: How,
    pub(crate) program: PathBuf,
    pub(crate) client: Client,
    pub(crate) control: ServedControl,
    pub(crate) signals: Signals,
    pub(crate) replaced: Arc<AtomicBool>,
    pub(crate) handover: Handover,
    stopped: mpsc::Receiver<()>,
    restarts: mpsc::Receiver<Restart>,
}

/// What the main loop does next.
pub(crate) enum Turn {
    Stop(StopCause),
    Leave,
    Reload,
    Nothing,
}

impl<'a> Main<'a> {
    fn new(context: &'a Context, how: How, program: PathBuf, serving: Serving) -> Self {
        let Serving { client, listener, signals, predecessors } = serving;
        let (stop, stopped) = mpsc::channel(1);
        let (restart, restarts) = mpsc::channel(1);
        let replaced = Arc::new(AtomicBool::new(false));
        let control = Control {
            client: client.clone(),
            lifecycle: Daemon { client: client.clone(), stop, restart },
            replaced: Arc::clone(&replaced),
        };
        let control = listener.spawn(Arc::new(control));
        let handover = Handover::new(predecessors);
        Self { context, how, program, client, control, signals, replaced, handover, stopped, restarts }
    }

    async fn run(mut self) -> ExitCode {
        loop {
            match self.serve().await {
                Some(cause) => {
                    self.stop(cause).await;
                    self.control.finish().await;
                    tracing::info!("stopped");
                    self.handover.end(cause.exit()).await;
                    return cause.exit();
                }
                // It comes back only when its successor is dead.
                None => {
                    if let Some(exit) = restart::leave(&mut self).await {
                        return exit;
                    }
                }
            }
        }
    }

    /// Serves until it is to end (`Some`: by what) or another process is there.
    async fn serve(&mut self) -> Option<StopCause> {
        let client = self.client.clone();
        let watching = async {
            tokio::join!(client.finish_former(), client.watch_config(), client.watch_network());
        };
        tokio::pin!(watching);
        loop {
            let turn = tokio::select! {
                asked = self.signals.next() => match asked {
                    ProcessSignal::End { interrupted } => Turn::Stop(StopCause::Signal { interrupted }),
                    ProcessSignal::Reload => Turn::Reload,
                },
                Some(()) = self.stopped.recv() => Turn::Stop(StopCause::Command),
                Some(answer) = self.restarts.recv() => {
                    restart::begin(self, answer).await;
                    Turn::Nothing
                }
                heard = self.handover.next() => restart::take(self, heard).await,
                () = &mut watching => Turn::Nothing,
            };
            match turn {
                Turn::Stop(cause) => {
                    restart::stop(self).await;
                    return Some(cause);
                }
                Turn::Leave => return None,
                Turn::Reload => drop(self.client.reload().await), // said in the log and in the status
                Turn::Nothing => {}
            }
        }
    }

    /// Finishes what is under way, unless somebody insists on an end at once.
    async fn stop(&mut self, cause: StopCause) {
        tracing::info!("stopping; requests in flight get 30 seconds");
        self.handover.stopping(Urgency::Orderly);
        let client = self.client.clone();
        let next = async || {
            tokio::select! {
                asked = self.signals.next() => match asked {
                    ProcessSignal::End { interrupted } => Asked::Stop(StopCause::Signal { interrupted }),
                    ProcessSignal::Reload => Asked::Other,
                },
                Some(()) = self.stopped.recv() => Asked::Stop(StopCause::Command),
                heard = self.handover.next() => Handover::stop_request(&heard).map_or(Asked::Other, Asked::Judged),
            }
        };
        if shutdown::finish(cause, client.stop(), next).await == Finished::CutShort {
            self.handover.stopping(Urgency::AtOnce);
        }
    }
}

/// Starts the client in the background, or has one that is there and switched off (the tray app's) go online.
pub(crate) async fn start(context: &Context) -> Result<(), Failure> {
    if let Ok(status) = context.client().status().await
        && status.connection == Connection::Off
    {
        context.client().start().await.map_err(|error| context.failure(error))?;
        context.say("The client was switched off and goes online.", &json!({ "pid": status.pid }));
        return Ok(());
    }
    let pid = start_in_background(&context.folder.config)?;
    let text = format!("The client is running (process {pid}).\nSee it with: petit-client status");
    context.say(&text, &json!({ "pid": pid }));
    Ok(())
}

/// Runs the client in the background, and returns its process when it is up.
fn start_in_background(config: &Path) -> Result<u32, Failure> {
    let arguments: Vec<OsString> =
        ["run", "--background", "--config"].into_iter().map(OsString::from).chain([config.into()]).collect();
    match background::start(&arguments) {
        Ok(pid) => Ok(pid),
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
    let stopped = context.client().stop().await.map_err(|error| context.failure(error))?;
    if stopped.stays {
        context.say("The client has stopped; the tray app that runs it is still there.", &stopped);
        return Ok(());
    }
    until_stopped(context, &stopped).await?;
    context.say("The client has stopped.", &stopped);
    Ok(())
}

/// Waits until the client has let go of its lock: the kernel does that when the process has ended.
async fn until_stopped(context: &Context, stopped: &Stopped) -> Result<(), Failure> {
    let limit = petit_engine::limits::DRAIN + Duration::from_secs(10);
    let under_way =
        under_way(stopped.streams.unwrap_or_default()).unwrap_or_else(|| "what is under way".to_owned());
    let waiting = format!("Waiting for {under_way}, for 30 s at most. To end at once: petit-client stop");
    if cli::until_free(context.json, &context.folder.lock(), limit, &waiting).await {
        return Ok(());
    }
    let problem = "the client has been asked to stop but is still there";
    Err(Failure::new(ExitCode::Failed, problem).hint("look into its log, or end it with kill"))
}

/// How much was under way when the client was asked.
fn under_way(streams: usize) -> Option<String> {
    match streams {
        0 => None,
        1 => Some("1 request or connection".to_owned()),
        count => Some(format!("{count} requests and connections")),
    }
}

/// Has a new process take the running one's place.
#[cfg(unix)]
pub(crate) async fn restart(context: &Context) -> Result<(), Failure> {
    // What is wrong with the file is said here as well as anywhere, and sooner.
    config::load(&context.folder.config).map_err(|error| config_failure(&error))?;
    let failed = |failure: Failure| match failure.hint {
        None => failure.hint(format!("the old one goes on as before; see its log with: {PROGRAM} logs")),
        Some(_) => failure,
    };
    let restarted = context.client().restart().await.map_err(|error| failed(context.failure(error)))?;
    let Restarted { pid, replaced: old, streams } = restarted;
    let mut text = format!("The client was restarted: process {pid} serves.");
    if let Some(under_way) = under_way(streams) {
        text.push_str(&format!("\nThe old process ({old}) finishes {under_way}, for 30 s at most."));
    }
    context.say(&text, &restarted);
    Ok(())
}

/// Windows gives no lock and no socket to another process in safe code, so the client finishes what is under way,
/// stops and starts.
#[cfg(not(unix))]
pub(crate) async fn restart(context: &Context) -> Result<(), Failure> {
    config::load(&context.folder.config).map_err(|error| config_failure(&error))?;
    let failed = |error| context.failure(error);
    let stopped = context.client().stop().await.map_err(failed)?;
    if stopped.stays {
        context.client().start().await.map_err(failed)?;
        context.say("The tray app that runs the client has connected anew.", &stopped);
        return Ok(());
    }
    until_stopped(context, &stopped).await?;
    let pid = start_in_background(&context.folder.config)?;
    let text = format!(
        "The client was stopped and started again: process {pid} serves. On this system its place cannot be handed \
         over, so visitors were told meanwhile that it was away."
    );
    context.say(&text, &json!({ "pid": pid, "away_meanwhile": true }));
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

pub(crate) fn start_failure(error: &ClientStartError) -> Failure {
    let Advice { what, todo } = messages::start(error);
    let failure = Failure::new(ExitCode::Failed, cli::chain(error));
    let failure =
        if failure.message.contains(&what) { failure } else { Failure::new(ExitCode::Failed, what) };
    if todo.is_empty() { failure } else { failure.hint(todo) }
}
