//! The running server: start, watch the config, take signals and commands, drain, give its place to another process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use petit_engine::name::InvalidName;
use petit_host::background::{self, BackgroundError};
use petit_host::cli::{self, Failure};
use petit_host::control::server::{Control, Listener};
use petit_host::exit::ExitCode;
use petit_host::logs::{self, FileHandle, LevelHandle, RotatingFile};
use petit_host::shutdown::{self, Asked, Finished, ProcessSignal, Signals, StopCause, Urgency};
use petit_host::watch::FileWatch;
use petit_server::admin::{Admin, Command, InviteTerms, Running};
use petit_server::config::{self, Config};
use petit_server::folder::Folder;
use petit_server::server::{Inherited, Prepared, Reloaded, Server, ServerStartError, tunnel_address};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::common::{PROGRAM, load, start_failure};
use super::restart::{self, Handover, Predecessors};
use super::{ask, fronts, show};

/// How the server is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct How {
    /// By `start`: it belongs to no terminal.
    pub(crate) background: bool,
    /// By a server whose place it is to take.
    pub(crate) takeover: bool,
}

/// Runs until a signal or `stop`, or until another process has taken this one's place.
pub(crate) async fn run(folder: &Folder, how: How) -> Result<ExitCode, Failure> {
    // Before anything can put another file in its place.
    let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
    let beginning = if how.takeover {
        restart::succeed(folder, how).await?
    } else {
        let (beginning, prepared) = Beginning::new(folder, how, Inherited::default()).await?;
        let server = prepared.serve(Vec::new()).await.map_err(|error| start_failure(&error))?;
        let listener = Listener::bind(&folder.socket()).map_err(|error| socket_failure(folder, &error))?;
        beginning.with(server, listener, Predecessors::default())
    };
    if how.background {
        background::leave_terminal();
    }
    if how.background && !how.takeover {
        background::ready();
    }
    Main::new(folder, how, program, beginning)?.run().await
}

/// What is there before the server serves.
pub(crate) struct Beginning<S = ()> {
    level: LevelHandle,
    log: FileHandle,
    signals: Signals,
    serving: S,
}

/// What is there when it serves.
pub(crate) struct Serving {
    server: Arc<Server>,
    listener: Listener,
    predecessors: Predecessors,
}

impl Beginning {
    pub(crate) async fn new(
        folder: &Folder,
        how: How,
        inherited: Inherited,
    ) -> Result<(Self, Prepared), Failure> {
        let config = load(&folder.config)?;
        folder.make().map_err(|error| Failure::of(&error))?;
        folder.read_key().map_err(|error| start_failure(&ServerStartError::Key(error)))?;
        let (level, log) = log(folder, !how.background, &config).map_err(|error| {
            let path = folder.log();
            Failure::new(ExitCode::Failed, format!("cannot write the log {}: {error}", path.display()))
        })?;
        let open_files = petit_host::harden::raise_open_files();
        tracing::debug!(open_files, "limit of open files");
        let signals = Signals::new().map_err(|error| Failure::of(&error))?;
        let prepared = Prepared::new(config, folder.clone(), inherited).await;
        Ok((Self { level, log, signals, serving: () }, prepared.map_err(|error| start_failure(&error))?))
    }

    pub(crate) fn with(
        self,
        server: Server,
        listener: Listener,
        predecessors: Predecessors,
    ) -> Beginning<Serving> {
        let serving = Serving { server: Arc::new(server), listener, predecessors };
        Beginning { level: self.level, log: self.log, signals: self.signals, serving }
    }
}

/// Starts the log.
fn log(folder: &Folder, terminal: bool, config: &Config) -> std::io::Result<(LevelHandle, FileHandle)> {
    let log = FileHandle::new(RotatingFile::open(&folder.log())?);
    log.set_size(config.log_size);
    Ok((logs::start_to(Some(&log), terminal, config.log_level)?, log))
}

pub(crate) fn socket_failure(folder: &Folder, error: &std::io::Error) -> Failure {
    let path = folder.socket();
    Failure::new(ExitCode::Failed, format!("cannot open the control socket {}: {error}", path.display()))
}

/// The running server's main loop: one thing after the other.
pub(crate) struct Main<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) how: How,
    pub(crate) program: PathBuf,
    pub(crate) server: Arc<Server>,
    pub(crate) control: Control,
    pub(crate) signals: Signals,
    level: LevelHandle,
    log: FileHandle,
    terms: watch::Sender<InviteTerms>,
    pub(crate) inbox: mpsc::Receiver<Command>,
    watch: Option<FileWatch>,
    pub(crate) handover: Handover,
}

/// Why the main loop has ended.
pub(crate) enum End {
    /// Somebody wants the server to end.
    Stop(StopCause),
    /// Another process serves.
    Replaced,
}

impl<'a> Main<'a> {
    fn new(
        folder: &'a Folder,
        how: How,
        program: PathBuf,
        beginning: Beginning<Serving>,
    ) -> Result<Self, Failure> {
        let Beginning { level, log, signals, serving: Serving { server, listener, predecessors } } =
            beginning;
        let has_certificate = !server.https().certificates.is_empty();
        if let Some(note) = petit_server::fronts::notes(&server.config, has_certificate) {
            tracing::warn!(?note, "visitors will not get in by the public addresses");
        }
        let (commands, inbox) = mpsc::channel(4);
        let terms = invite_terms(&server, &server.config).map_err(|error| Failure::of(&error))?;
        let terms = watch::Sender::new(terms);
        let admin = Arc::new(Admin {
            directory: server.directory.clone(),
            endpoint: server.endpoint().clone(),
            invites: terms.subscribe(),
            running: Some(Running { server: Arc::clone(&server), commands, level: level.clone() }),
            offline: None,
        });
        let control = listener.spawn(admin);
        let watch = FileWatch::new(&folder.config)
            .inspect_err(
                |error| tracing::warn!(%error, "changes of the config file are not noticed; use reload"),
            )
            .ok();
        let handover = Handover::new(&server, predecessors);
        Ok(Self { folder, how, program, server, control, signals, level, log, terms, inbox, watch, handover })
    }

    async fn run(mut self) -> Result<ExitCode, Failure> {
        // They keep what they know, should this process serve again after another has taken its place.
        let watched = Arc::clone(&self.server);
        let watching = async {
            let (memory, certificate) = (watched.watch_memory(), watched.watch_certificate());
            tokio::join!(memory, certificate, watched.watch_registry(), watched.watch_changes());
        };
        tokio::pin!(watching);
        loop {
            match self.serve(watching.as_mut()).await {
                End::Stop(cause) => {
                    self.stop(cause).await;
                    return Ok(self.end(cause.exit()).await);
                }
                // It comes back only when its successor is dead.
                End::Replaced => {
                    if let Some(exit) = restart::leave(&mut self).await {
                        return Ok(exit);
                    }
                }
            }
        }
    }

    /// Serves until it is to end.
    async fn serve(&mut self, mut watching: Pin<&mut impl Future<Output = ()>>) -> End {
        loop {
            let turn = tokio::select! {
                asked = self.signals.next() => match asked {
                    ProcessSignal::End { interrupted } => Turn::Stop(StopCause::Signal { interrupted }),
                    ProcessSignal::Reload => Turn::Reload,
                },
                Some(command) = self.inbox.recv() => match command {
                    Command::Stop => Turn::Stop(StopCause::Command),
                    Command::Reload(answer) => {
                        let _ = answer.send(self.reload());
                        Turn::Nothing
                    }
                    Command::Restart { within, answer } => {
                        restart::begin(self, within, answer).await;
                        Turn::Nothing
                    }
                },
                heard = self.handover.next() => restart::take(self, heard).await,
                () = changed(&mut self.watch) => Turn::Reload,
                () = &mut watching => Turn::Nothing,
            };
            match turn {
                Turn::Stop(cause) => {
                    restart::stop(self).await;
                    return End::Stop(cause);
                }
                Turn::Leave => return End::Replaced,
                Turn::Reload => drop(self.reload()), // said in the log
                Turn::Nothing => {}
            }
        }
    }

    /// Finishes what is under way, unless somebody insists on an end at once.
    async fn stop(&mut self, cause: StopCause) {
        tracing::info!("stopping; what is under way is finished first");
        self.handover.stopping(Urgency::Orderly);
        let server = Arc::clone(&self.server);
        let next = async || {
            tokio::select! {
                asked = self.signals.next() => match asked {
                    ProcessSignal::End { interrupted } => Asked::Stop(StopCause::Signal { interrupted }),
                    ProcessSignal::Reload => Asked::Other,
                },
                Some(command) = self.inbox.recv() => match command {
                    Command::Stop => Asked::Stop(StopCause::Command),
                    Command::Reload(_) | Command::Restart { .. } => Asked::Other,
                },
                heard = self.handover.next() => {
                    self.handover.pass_on(&heard);
                    Handover::stop_request(&heard).map_or(Asked::Other, Asked::Judged)
                }
            }
        };
        if shutdown::finish(cause, server.drain(), next).await == Finished::CutShort {
            self.handover.stopping(Urgency::AtOnce);
        }
    }

    async fn end(self, exit: ExitCode) -> ExitCode {
        self.control.finish().await;
        tracing::info!("stopped");
        self.handover.end(exit).await;
        exit
    }

    /// Applies what can be applied; a file with a mistake, or a certificate that cannot be used, changes nothing.
    fn reload(&self) -> Result<Reloaded, String> {
        let server = &self.server;
        let config =
            config::load(&self.folder.config).map(|(config, _)| config).map_err(|error| cli::chain(&error));
        let reloaded = config.and_then(|config| {
            let new_terms = invite_terms(server, &config).map_err(|error| error.to_string())?;
            let reloaded = server.reload(&config).map_err(|error| cli::chain(&error))?;
            self.level.set(config.log_level);
            self.log.set_size(config.log_size);
            self.terms.send_replace(new_terms);
            Ok(reloaded)
        });
        match &reloaded {
            Err(problem) => {
                tracing::error!(problem, "the config cannot be put in force; nothing was changed");
                server.refuse(problem.clone());
            }
            Ok(Reloaded { needs_restart, .. }) if needs_restart.is_empty() => {
                tracing::info!("config applied");
            }
            Ok(Reloaded { needs_restart, .. }) => {
                let settings = needs_restart.join(", ");
                tracing::warn!(settings, "config applied, but these settings need a restart");
            }
        }
        reloaded
    }
}

/// What the main loop does next.
pub(crate) enum Turn {
    Stop(StopCause),
    Leave,
    Reload,
    Nothing,
}

async fn changed(watch: &mut Option<FileWatch>) {
    match watch {
        Some(watch) => drop(watch.changed().await),
        None => std::future::pending().await,
    }
}

fn invite_terms(server: &Server, config: &Config) -> Result<InviteTerms, InvalidName> {
    Ok(InviteTerms {
        server: tunnel_address(config, server.endpoint(), server.tls.port())?,
        page: server.endpoint().enroll_page(server.tls.port()),
        pins: server.pins().to_vec(),
        lifetime: config.invite_lifetime,
        vendor: config.name.clone(),
    })
}

/// Starts the server in the background.
pub(crate) async fn start(json: bool, folder: &Folder) -> Result<(), Failure> {
    let pid = start_in_background(&folder.config)?;
    let mut text = format!("The server is running (process {pid}).\n");
    // It serves its clients all the same, so this is no reason not to start.
    let status = ask::Running::new(folder).call("GET", "/status", None).await.unwrap_or_default();
    let problem = show::text(&status, "/certificate_problem");
    if !problem.is_empty() {
        text.push_str(&format!("HTTPS visitors are not served as they should be: {problem}\n"));
    }
    let has_certificate =
        status.get("certificates").and_then(Value::as_array).is_some_and(|shown| !shown.is_empty());
    if let Some(note) = petit_server::fronts::notes(&load(&folder.config)?, has_certificate) {
        text.push_str(&format!("note: {}\n", fronts::note(&note)));
    }
    text.push_str("Invite a client with: petit-server invite");
    let problem = (!problem.is_empty()).then_some(problem);
    cli::say(json, &text, &json!({ "pid": pid, "certificate_problem": problem }));
    Ok(())
}

/// Runs the server in the background, and returns its process when it is up.
pub(crate) fn start_in_background(config: &Path) -> Result<u32, Failure> {
    let arguments: Vec<OsString> =
        ["run", "--background", "--config"].into_iter().map(OsString::from).chain([config.into()]).collect();
    match background::start(&arguments) {
        Ok(pid) => Ok(pid),
        // What the child said is what happened.
        Err(BackgroundError::Ended { output, .. }) if !output.trim().is_empty() => {
            let mut lines = output.lines().map(|line| line.trim().trim_start_matches("error: "));
            let mut failure = Failure::new(ExitCode::Failed, lines.next().unwrap_or_default());
            failure.hint = lines.next().map(str::to_owned);
            Err(failure)
        }
        Err(error) => Err(Failure::of(&error).hint(format!("see what happens with: {PROGRAM} run"))),
    }
}
