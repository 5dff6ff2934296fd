//! `run`, `start`, `stop`, `restart`.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use petit_client::api::{Restarted, Stopped};
use petit_client::status::Connection;
use petit_client::{config, folder, messages};
use petit_host::background::{self, BackgroundError};
use petit_host::brand;
use petit_host::cli::{self, Failure};
use petit_host::exit::ExitCode;
use petit_host::service::{self, ManagerVerb};
use petit_host::shutdown::{self, Asked, Finished, ProcessSignal, StopCause, Urgency};
use petit_host::update::Target;
use serde_json::json;

use super::beginning::{How, config_failure};
use super::context::{Context, PROGRAM};
use super::handover::Handover;
use super::restart;
use super::serving::{Ended, Main, Serving, Turn};

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
    let main = Main::new(context, how, program, serving);
    if how.takeover {
        main.updates.serves().await;
    }
    let (statuses, replaced) = (main.client.statuses(), Arc::clone(&main.replaced));
    let serves = move || !replaced.load(Ordering::Relaxed);
    service::serve(move || serves().then(|| messages::in_a_line(&statuses.borrow())));
    main.run().await
}

impl Main<'_> {
    async fn run(mut self) -> Result<ExitCode, Failure> {
        loop {
            match self.serve().await {
                Ended::Stopped(cause) => {
                    self.stop(cause).await;
                    self.updates.stopped().await;
                    self.control.finish().await;
                    tracing::info!("stopped");
                    self.handover.end(cause.exit()).await;
                    return Ok(cause.exit());
                }
                // It comes back only when its successor is dead.
                Ended::Left => {
                    if let Some(exit) = restart::leave(&mut self).await {
                        return Ok(exit);
                    }
                }
                Ended::Failed => return Err(self.fail().await),
            }
        }
    }

    /// Ends as what has failed, so that whoever has started the program starts it again. A version on trial is not excused.
    async fn fail(self) -> Failure {
        tracing::error!("the client has failed within, and ends so that it can be started again");
        self.control.finish().await;
        self.handover.end(ExitCode::Failed).await;
        let hint = self.context.hint("cli.failed_within.hint");
        self.context.failed(ExitCode::Failed, "cli.failed_within", &[]).hint(hint)
    }

    /// Serves until there is a reason to end.
    async fn serve(&mut self) -> Ended {
        let client = self.client.clone();
        let (updates, restart) = (self.updates.clone(), self.restart.clone());
        let target = Target::of(PROGRAM, brand::here());
        let watching = async {
            let trial = updates.watch(client.statuses(), &restart);
            let available = client.watch_available(&updates, &target);
            let (config, network) = (client.watch_config(), client.watch_network());
            let place = updates.watch_place();
            tokio::join!(client.finish_former(), config, network, trial, available, place);
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
                () = client.failed() => Turn::Fail,
            };
            match turn {
                Turn::Stop(cause) => {
                    restart::stop(self).await;
                    return Ended::Stopped(cause);
                }
                Turn::Leave => return Ended::Left,
                Turn::Fail => {
                    restart::stop(self).await;
                    return Ended::Failed;
                }
                Turn::Reload => drop(self.client.reload().await), // said in the log and in the status
                Turn::Nothing => {}
            }
        }
    }

    /// Finishes what is under way, unless somebody insists on an end at once.
    async fn stop(&mut self, cause: StopCause) {
        tracing::info!("stopping; requests in flight get 30 seconds");
        self.handover.stopping(Urgency::Orderly);
        service::stopping(petit_engine::limits::DRAIN);
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

/// Has the service manager start or stop the client, which is a service of the system.
pub(crate) fn by_manager(context: &Context, verb: ManagerVerb) -> Result<ExitCode, Failure> {
    cli::by_service_manager(context.json, verb, &[], &service::unit(folder::NAME)).map(|()| ExitCode::Ok)
}

/// Has the user's own service manager start or stop what it runs: what is started beside it would be nobody's.
pub(crate) fn by_users_manager(context: &Context, verb: ManagerVerb) -> Result<ExitCode, Failure> {
    let unit = service::unit(folder::NAME);
    cli::by_service_manager(context.json, verb, &["--user"], &unit).map(|()| ExitCode::Ok)
}

/// Refuses to run as root what is a service of the system.
pub(crate) fn not_by_root(context: &Context) -> Failure {
    let problem = if cfg!(windows) { "cli.service_admin" } else { "cli.service_root" };
    let failure = context.failed(ExitCode::Failed, problem, &[("unit", &service::unit(folder::NAME))]);
    failure.hint(context.hint("cli.not_running.hint"))
}

/// Starts the client in the background, or has one that is there and switched off (the tray app's) go online.
pub(crate) async fn start(context: &Context) -> Result<(), Failure> {
    if let Ok(status) = context.client().status().await
        && status.connection == Connection::Off
    {
        context.client().start().await.map_err(|error| context.failure(error))?;
        context.say(&context.texts.get("cli.start.switched_on"), &json!({ "pid": status.pid }));
        return Ok(());
    }
    let pid = start_in_background(context)?;
    // Another one than the one that was started, where that has put the version before it back.
    let pid = context.client().status().await.map_or(pid, |status| status.pid);
    let text = context.texts.format("cli.start.done", &[("pid", &pid)]);
    context.say(&text, &json!({ "pid": pid }));
    Ok(())
}

/// Runs the client in the background, and returns its process when it is up.
fn start_in_background(context: &Context) -> Result<u32, Failure> {
    let config = context.folder.config.clone();
    let words = ["run", "--background", "--lang", context.texts.lang(), "--config"];
    let arguments: Vec<OsString> = words.into_iter().map(OsString::from).chain([config.into()]).collect();
    let label = format!("{}: ", context.texts.get("cli.error"));
    match background::start(&arguments) {
        Ok(pid) => Ok(pid),
        // What the child said is what happened.
        Err(BackgroundError::Ended { output, status }) if !output.trim().is_empty() => {
            let exit = match status.and_then(|status| status.code()) {
                Some(4) => ExitCode::NotRegistered,
                _ => ExitCode::Failed,
            };
            let mut lines = output.lines().map(|line| line.trim().trim_start_matches(label.as_str()));
            let mut failure = Failure::new(exit, lines.next().unwrap_or_default());
            failure.hint = lines.next().map(str::to_owned);
            Err(failure)
        }
        Err(error) => Err(Failure::of(&error).hint(context.hint("cli.start.see"))),
    }
}

/// Stops the client and waits until it is gone.
pub(crate) async fn stop(context: &Context) -> Result<(), Failure> {
    let stopped = context.client().stop().await.map_err(|error| context.failure(error))?;
    if stopped.stays {
        context.say(&context.texts.get("cli.stop.stays"), &stopped);
        return Ok(());
    }
    until_stopped(context, &stopped).await?;
    context.say(&context.texts.get("cli.stop.done"), &stopped);
    Ok(())
}

/// Waits until the client has let go of its lock: the kernel does that when the process has ended.
async fn until_stopped(context: &Context, stopped: &Stopped) -> Result<(), Failure> {
    let limit = petit_engine::limits::DRAIN + Duration::from_secs(10);
    let texts = &context.texts;
    let under_way = under_way(context, stopped.streams.unwrap_or_default());
    let under_way = under_way.unwrap_or_else(|| texts.get("cli.under_way"));
    let waiting = texts.format("cli.stop.waiting", &[("what", &under_way)]);
    if cli::until_free(context.json, &context.folder.lock(), limit, &waiting).await {
        return Ok(());
    }
    Err(context
        .failed(ExitCode::Failed, "cli.stop.still_there", &[])
        .hint(context.hint("cli.stop.still_there.hint")))
}

/// How much was under way when the client was asked.
fn under_way(context: &Context, streams: usize) -> Option<String> {
    match streams {
        0 => None,
        1 => Some(context.texts.get("cli.under_way.one")),
        count => Some(context.texts.format("cli.under_way.many", &[("n", &count)])),
    }
}

/// Has a new process take the running one's place.
pub(crate) async fn restart(context: &Context) -> Result<(), Failure> {
    // What is wrong with the file is said here as well as anywhere, and sooner.
    config::load(&context.folder.config).map_err(|error| config_failure(context, &error))?;
    let failed = |failure: Failure| match failure.hint {
        None => failure.hint(context.hint("cli.restart.goes_on")),
        Some(_) => failure,
    };
    let restarted = context.client().restart().await.map_err(|error| failed(context.failure(error)))?;
    let Restarted { pid, replaced: old, streams } = restarted;
    let texts = &context.texts;
    let mut text = texts.format("cli.restart.done", &[("pid", &pid)]);
    if let Some(under_way) = under_way(context, streams) {
        let finishes = texts.format("cli.restart.finishes", &[("pid", &old), ("what", &under_way)]);
        text.push_str(&format!("\n{finishes}"));
    }
    context.say(&text, &restarted);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use petit_client::client::Client;
    use petit_client::config::{Config, KeyStore};
    use petit_client::folder::Folder;
    use petit_client::registration::{self, Registration};
    use petit_client::texts::Texts;
    use petit_client::vault::Vault;
    use petit_engine::name::{DeviceId, ServiceName};
    use petit_engine::secret::PrivateKey;
    use petit_host::config::{FoundBy, Place};
    use petit_host::control::server::Listener;
    use petit_host::shutdown::Signals;

    use super::*;
    use crate::handover::Predecessors;

    /// A folder whose client is registered with a server that is not there.
    async fn registered(config: &Path) -> Folder {
        let folder = Folder::of(config);
        folder.make().unwrap();
        let key = PrivateKey::generate().unwrap();
        let registration = Registration {
            server: "127.0.0.1:1".parse().unwrap(),
            pins: vec![key.public().fingerprint()],
            device: DeviceId::random().unwrap(),
            key: key.public().fingerprint(),
            key_store: KeyStore::File,
            service: ServiceName::first(),
            vendor: None,
            invite: None,
            since: None,
            withheld: BTreeSet::new(),
        };
        Vault::of(KeyStore::File, &folder).store(&key, None).await.unwrap();
        registration::save(&folder, &registration).unwrap();
        folder
    }

    /// A client whose tasks have ended as those do that panic: what ran them has gone down in a panic.
    fn failed(folder: &Folder) -> Client {
        let (sender, made) = std::sync::mpsc::channel();
        let folder = folder.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let lock = folder.take_lock().unwrap();
            let client = runtime.block_on(Client::start(folder, Config::default(), lock, None)).unwrap();
            // Until the client's tasks have begun.
            runtime.block_on(async { client.statuses().changed().await.unwrap() });
            sender.send(client).unwrap();
            panic!("a fault of ours");
        });
        thread.join().unwrap_err();
        made.recv().unwrap()
    }

    #[tokio::test]
    async fn a_client_that_has_failed_within_ends_the_program_with_failure_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let folder = registered(&path).await;
        let context = Context {
            json: false,
            texts: Texts::of("en"),
            folder: folder.clone(),
            place: Place { path, found_by: FoundBy::Option },
        };
        let serving = Serving {
            client: failed(&folder),
            listener: Listener::bind(&folder.socket()).unwrap(),
            signals: Signals::new().unwrap(),
            predecessors: Predecessors::default(),
        };
        let how = How { background: false, takeover: false };
        let main = Main::new(&context, how, dir.path().join("petit-client"), serving);
        let ended = tokio::time::timeout(Duration::from_mins(1), Box::pin(main.run())).await.unwrap();
        let failure = ended.unwrap_err();
        assert_eq!(failure.exit, ExitCode::Failed);
        assert!(failure.message.contains("failed within"), "{}", failure.message);
    }
}
