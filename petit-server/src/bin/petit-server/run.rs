//! The running server: start, watch the config, take signals and commands, drain, give its place to another process.

use std::ffi::OsString;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use petit_host::background::{self, BackgroundError};
use petit_host::cli::{self, Failure};
use petit_host::control::server::Listener;
use petit_host::exit::ExitCode;
use petit_host::service;
use petit_host::shutdown::{self, Asked, Finished, ProcessSignal, StopCause, Urgency};
use petit_host::watch::FileWatch;
use petit_server::admin::Command;
use petit_server::api::{GetStatus, ServerStarted};
use petit_server::config;
use petit_server::folder::Folder;
use petit_server::metrics;
use petit_server::server::{Inherited, Reloaded, left};

use super::common::{PROGRAM, load, start_failure};
use super::main_loop::{Beginning, How, Main, Turn, invite_terms, socket_failure};
use super::restart::{self, Handover, Predecessors};
use super::{ask, fronts};

/// Runs until a signal or `stop`, or until another process has taken this one's place.
pub(crate) async fn run(folder: &Folder, how: How) -> Result<ExitCode, Failure> {
    // Before anything can put another file in its place.
    let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
    let beginning = if how.takeover {
        restart::succeed(folder, how).await?
    } else {
        let (beginning, prepared) = Beginning::new(folder, how, Inherited::from_service_manager()).await?;
        let ready = prepared
            .open(left::take(folder, SystemTime::now()))
            .await
            .map_err(|error| start_failure(&error))?;
        let listener = Listener::bind(&folder.socket()).map_err(|error| socket_failure(folder, &error))?;
        // Last: see there.
        let server = ready.serve().await.map_err(|error| start_failure(&error))?;
        beginning.with(server, listener, Predecessors::default())
    };
    if how.background {
        background::leave_terminal();
    }
    if how.background && !how.takeover {
        background::ready();
    }
    let main = Main::new(folder, how, program, beginning, Handover::new)?;
    let server = Arc::downgrade(&main.server);
    if let Some((visits, address)) = main.server.visits() {
        tokio::spawn(metrics::serve(server.clone(), visits, address));
    }
    service::serve(move || server.upgrade()?.in_a_line());
    main.run().await
}

/// Why the main loop has ended.
enum End {
    /// Somebody wants the server to end.
    Stop(StopCause),
    /// Another process serves.
    Replaced,
}

impl Main<'_, Handover> {
    async fn run(mut self) -> Result<ExitCode, Failure> {
        // They keep what they know, should this process serve again after another has taken its place.
        let watched = Arc::clone(&self.server);
        let watching = async {
            let (memory, certificate) = (watched.watch_memory(), watched.watch_certificate());
            tokio::join!(
                memory,
                certificate,
                watched.releases.watch(),
                watched.rollouts.watch(|| watched.relay.connected()),
                watched.watch_registry(),
                watched.watch_changes()
            );
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
                command = self.inbox.next() => match command {
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
        service::stopping(server.settings().in_force.drain);
        let next = async || {
            tokio::select! {
                asked = self.signals.next() => match asked {
                    ProcessSignal::End { interrupted } => Asked::Stop(StopCause::Signal { interrupted }),
                    ProcessSignal::Reload => Asked::Other,
                },
                command = self.inbox.next() => match command {
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
            self.server.cut().await;
        }
    }

    async fn end(self, exit: ExitCode) -> ExitCode {
        self.control.finish().await;
        tracing::info!("stopped");
        self.handover.end(exit).await;
        exit
    }

    /// Applies what can be applied; a file with a mistake changes nothing.
    fn reload(&self) -> Result<Reloaded, String> {
        let server = &self.server;
        let config =
            config::load(&self.folder.config).map(|(config, _)| config).map_err(|error| cli::chain(&error));
        let reloaded = config.and_then(|config| {
            let new_terms = invite_terms(server, &config).map_err(|error| error.to_string())?;
            let reloaded = server.reload(&config).map_err(|error| cli::chain(&error))?;
            self.level.set(config.log_level);
            if let Some(log) = &self.log {
                log.set_size(config.log_size);
            }
            self.terms.send_replace(new_terms);
            Ok(reloaded)
        });
        if let Ok(Reloaded { certificate_problem: Some(problem), .. }) = &reloaded {
            tracing::error!(
                problem,
                "not all certificates can be used; everything else of the config is in force"
            );
        }
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

async fn changed(watch: &mut Option<FileWatch>) {
    match watch {
        Some(watch) => drop(watch.changed().await),
        None => std::future::pending().await,
    }
}

/// Starts the server in the background.
pub(crate) async fn start(json: bool, folder: &Folder) -> Result<(), Failure> {
    let pid = start_in_background(&folder.config)?;
    let mut text = format!("The server is running (process {pid}).\n");
    // It serves its clients all the same, so this is no reason not to start.
    let status = ask::Running::new(folder).ask(&GetStatus).await.ok();
    let certificate_problem = status.as_ref().and_then(|status| status.certificate_problem.clone());
    if let Some(problem) = &certificate_problem {
        text.push_str(&format!("HTTPS visitors are not served as they should be: {problem}\n"));
    }
    let has_certificate = status.is_some_and(|status| !status.certificates.is_empty());
    if let Some(note) = petit_server::fronts::notes(&load(&folder.config)?, has_certificate) {
        text.push_str(&format!("note: {}\n", fronts::note(&note)));
    }
    text.push_str("Invite a client with: petit-server invite");
    cli::say(json, &text, &ServerStarted { certificate_problem, pid });
    Ok(())
}

/// Says what a server that has been started does not show to HTTPS visitors: it serves its clients all the same.
pub(crate) async fn say_certificate_problem(json: bool, folder: &Folder) {
    let status = ask::Running::new(folder).ask(&GetStatus).await.ok().filter(|_| !json);
    if let Some(problem) = status.and_then(|status| status.certificate_problem) {
        cli::print(&format!("HTTPS visitors are not served as they should be: {problem}\n"));
    }
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
