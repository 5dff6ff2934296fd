//! The client in this process, which serves the same control socket as `petit-client run` does.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use petit_client::api::{Restarted, Stopped, Switched};
use petit_client::client::{Client, ClientStartError, UnregisterError};
use petit_client::config::{self, ConfigError};
use petit_client::control::{Control, Lifecycle};
use petit_client::enrol::Done;
use petit_client::folder::Folder;
use petit_client::registering::{Order, Registrar};
use petit_client::registration::RegistrationError;
use petit_client::status::Status;
use petit_client::updates::{Begun, Means, Updates, installer};
use petit_engine::name::ServiceName;
use petit_engine::proto::control::ProbeResult;
use petit_host::BoxFuture;
use petit_host::brand;
use petit_host::cli::chain;
use petit_host::control::ApiProblem;
use petit_host::control::server::Listener;
use petit_host::files;
use petit_host::lock::{Lock, LockError};
use petit_host::logs::{FileHandle, Level, LevelHandle};
use petit_host::update::{Start, Target};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::other::Other;
use super::{Link, LinkError, Links, Opened};
use crate::facts::{Owner, Trouble, TroubleKind};
use crate::mistakes;
use crate::texts::Texts;
use crate::words;

/// What somebody asks of the client in this process through its socket, and the controller decides.
#[derive(Debug)]
pub enum SocketCommand {
    /// Go online.
    Start,
    /// Go offline; rings when it is.
    Stop(oneshot::Sender<()>),
}

/// The real clients of a folder.
pub struct RealLinks {
    folder: Folder,
    level: Option<LevelHandle>,
    log: Option<FileHandle>,
    asked: mpsc::Sender<SocketCommand>,
    installed: Option<Installed>,
    /// How this process came to run, until its client has begun for the first time.
    start: Mutex<Option<Start>>,
    /// When there was no client the last time that this counted.
    excused: Mutex<Option<Instant>>,
}

/// Between two times without a client that count as two. It is tried again sooner where somebody changes the config: a
/// person who saves it five times says nothing of a version on trial.
const EXCUSES_APART: Duration = Duration::from_secs(30);

/// This program's file, by its path from before anybody could have put another one there, and how another version gets there.
#[derive(Clone)]
struct Installed {
    program: PathBuf,
    means: Means,
}

impl Installed {
    fn here() -> Option<Self> {
        let program = std::env::current_exe().ok()?;
        // What our installer leaves beside it.
        let is_by_installer = cfg!(windows) && program.with_file_name("uninstall.exe").exists();
        let means = if is_by_installer { Means::Installer } else { Means::Told };
        Some(Self { program, means })
    }
}

impl RealLinks {
    /// For a folder. What comes in over the socket and is the controller's to decide is sent to `asked`.
    pub fn new(
        folder: Folder,
        level: Option<LevelHandle>,
        log: Option<FileHandle>,
        asked: mpsc::Sender<SocketCommand>,
    ) -> Self {
        let start = Mutex::new(Some(Start::Fresh));
        Self { folder, level, log, asked, installed: Installed::here(), start, excused: Mutex::default() }
    }

    /// How this process came to run, where that is not as usual.
    #[must_use]
    pub fn begun_by(self, start: Start) -> Self {
        Self { start: Mutex::new(Some(start)), ..self }
    }

    /// With the file of another program in the place of this one's.
    #[must_use]
    pub fn of_program(self, program: &Path, means: Means) -> Self {
        Self { installed: Some(Installed { program: program.to_owned(), means }), ..self }
    }

    async fn try_open(&self, texts: &Texts) -> Opened {
        if let Err(error) = self.folder.make() {
            tracing::error!(error = %chain(&error), "the folder cannot be used");
            self.opens_in_vain(self.begin().await.map(|(updates, _)| updates)).await;
            return no_folder(texts);
        }
        let lock = match Lock::take(&self.folder.lock()) {
            Ok(lock) => lock,
            Err(LockError::Held { pid, .. }) => return Opened::Link(Other::connect(&self.folder, pid)),
            Err(error @ (LockError::Io { .. } | LockError::OfService { .. })) => {
                tracing::error!(error = %chain(&error), "the lock cannot be taken");
                self.opens_in_vain(self.begin().await.map(|(updates, _)| updates)).await;
                return no_folder(texts);
            }
        };
        files::sweep(self.folder.path());
        let updates = self.begin().await.map(|(updates, _)| updates);
        let opened = self.open_client(texts, lock, updates.clone());
        match (updates, &opened) {
            (Some(updates), Opened::Link(_)) => updates.serves().await,
            (updates, _) => self.opens_in_vain(updates).await,
        }
        opened
    }

    /// There is no client this time. Nobody else would begin it anew; this is asked again and again.
    async fn opens_in_vain(&self, updates: Option<Updates>) {
        let Some(updates) = updates else { return };
        let counts = {
            let (mut last, now) =
                (self.excused.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
            let counts = last.is_none_or(|last| now >= last + EXCUSES_APART);
            *last = if counts { Some(now) } else { *last };
            counts
        };
        if counts { updates.excused().await } else { updates.stopped().await }
    }

    fn open_client(&self, texts: &Texts, lock: Lock, updates: Option<Updates>) -> Opened {
        let config = match config::load(&self.folder.config) {
            Err(ConfigError::Missing { .. }) => self.first_config(),
            loaded => loaded.map(|(config, _)| config),
        };
        let config = match config {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(error = %chain(&error), "the config file cannot be used");
                let problem = mistakes::problem(texts, &error);
                let kind = match error {
                    ConfigError::Unreadable { .. } | ConfigError::Unsafe(_) => TroubleKind::Folder,
                    _ => TroubleKind::Config,
                };
                let trouble = Trouble { kind, words: words::config(texts, &error) };
                return Opened::Trouble { trouble, problem: Some(problem) };
            }
        };
        // What is logged from here on belongs to the client, so it goes where the client's log is.
        if let Some(log) = &self.log
            && let Err(error) = log.reopen(&self.folder.log())
        {
            tracing::warn!(%error, "the log cannot be written");
        }
        if let Some(level) = &self.level {
            level.set(config.log_level);
        }
        let client = match Client::open(self.folder.clone(), config, lock, self.level.clone()) {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(error = %chain(&error), "the client cannot run");
                return match error {
                    ClientStartError::Registration(RegistrationError::Damaged { .. }) => {
                        trouble(texts, TroubleKind::Damaged, "problem.registration.damaged")
                    }
                    _ => no_folder(texts),
                };
            }
        };
        match Own::start(client, self.asked.clone(), updates) {
            Ok(own) => Opened::Link(own),
            Err(error) => {
                tracing::error!(%error, "the control socket cannot be opened");
                no_folder(texts)
            }
        }
    }

    /// What becomes of updates, before the client runs.
    async fn begin(&self) -> Option<(Updates, Begun)> {
        let Installed { program, means } = self.installed.clone()?;
        let updates = Updates::of(&self.folder, &program).by(means);
        if means != Means::Installer {
            return Some((updates, Begun::Usual));
        }
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A client that was closed and is opened again is of the same process.
        let begun = updates.begin(start.unwrap_or(Start::Takeover)).await;
        begun.log();
        Some((updates, begun))
    }

    /// The same, where there will be no client this time because of this computer, which is not held against a version on
    /// trial. True where that was so too often, and the version before is being put back.
    pub async fn begins_in_vain(&self) -> bool {
        let Some((updates, begun)) = self.begin().await else { return false };
        updates.excused().await;
        matches!(begun, Begun::PutBack)
    }

    /// The file that `init` would make.
    fn first_config(&self) -> Result<config::Config, ConfigError> {
        files::write_private(&self.folder.config, config::template().as_bytes())?;
        config::load(&self.folder.config).map(|(config, _)| config)
    }
}

fn trouble(texts: &Texts, kind: TroubleKind, key: &str) -> Opened {
    Opened::Trouble { trouble: Trouble { kind, words: words::words(texts, key, &[]) }, problem: None }
}

fn no_folder(texts: &Texts) -> Opened {
    trouble(texts, TroubleKind::Folder, "problem.folder")
}

impl Links for RealLinks {
    fn open(&self, texts: Texts) -> BoxFuture<'_, Opened> {
        Box::pin(async move { self.try_open(&texts).await })
    }
}

/// The client in this process.
struct Own {
    client: Mutex<Option<Client>>,
    statuses: watch::Receiver<Option<Status>>,
    updates: Option<Updates>,
    /// Ends with the link: socket, config watch, statuses.
    tasks: JoinHandle<()>,
}

impl Own {
    fn start(
        client: Client,
        asked: mpsc::Sender<SocketCommand>,
        updates: Option<Updates>,
    ) -> std::io::Result<Arc<Self>> {
        let listener = Listener::bind(&client.folder().socket())?;
        let (statuses, receiver) = watch::channel(None);
        let control =
            Control { client: client.clone(), lifecycle: InApp { asked }, replaced: Arc::default() };
        let watching = client.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.serve(Arc::new(control)));
        tasks.spawn(async move {
            tokio::join!(watching.watch_config(), watching.watch_network());
        });
        tasks.spawn(pass_on(client.clone(), statuses));
        tasks.spawn({
            let client = client.clone();
            async move { client.finish_former().await }
        });
        tasks.spawn(watch_updates(client.clone(), updates.clone()));
        let (client, tasks) = (Mutex::new(Some(client)), tokio::spawn(run_together(tasks)));
        Ok(Arc::new(Self { client, statuses: receiver, updates, tasks }))
    }

    fn client(&self) -> Result<Client, LinkError> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(LinkError::Gone)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

/// Watches over the trial of this version, and looks whether there is another one. What our installer has put here is
/// brought to it by that version's own, which is a target of its own. Anything else is only told of: the release names the
/// same version of `petit-client`, which comes in one package with the tray app.
async fn watch_updates(client: Client, updates: Option<Updates>) {
    let Some(updates) = updates else { return };
    let released = match updates.means() {
        Means::Installer => installer::PROGRAM,
        Means::Told | Means::Upgrade => "petit-client",
    };
    let target = Target::of(released, brand::here());
    let watch_trials = async {
        if updates.means() == Means::Installer {
            // Nothing restarts here but an installer.
            let (restart, _) = mpsc::channel(1);
            updates.watch(client.statuses(), &restart).await;
        }
    };
    tokio::join!(client.watch_available(&updates, &target), watch_trials);
}

/// Runs tasks none of which panics, unless by a fault of ours: then all of them end, and whoever follows the statuses hears
/// that there is no client any more.
async fn run_together(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a part of the client has failed within");
            return;
        }
    }
}

/// Statuses as they are told to whoever watches the link, for as long as they are those of a client that works.
async fn pass_on(client: Client, to: watch::Sender<Option<Status>>) {
    let mut from = client.statuses();
    loop {
        let status = from.borrow_and_update().clone();
        to.send_replace(Some(status));
        tokio::select! {
            changed = from.changed() => if changed.is_err() { return },
            () = client.failed() => return,
        }
    }
}

impl Link for Own {
    fn owner(&self) -> Owner {
        Owner::Ours
    }

    fn statuses(&self) -> watch::Receiver<Option<Status>> {
        self.statuses.clone()
    }

    fn status(&self) -> BoxFuture<'_, Option<Status>> {
        Box::pin(async { Some(self.client().ok()?.status().await) })
    }

    fn switch(&self, on: bool) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move {
            let client = self.client()?;
            client.switch(on).await;
            if on {
                client.reconnect_now().await;
            }
            Ok(())
        })
    }

    fn unlock(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async { Ok(self.client()?.unlock().await?) })
    }

    fn install_update(&self) -> Result<(), LinkError> {
        self.client()?.install_update();
        Ok(())
    }

    fn register(&self, order: Order) -> BoxFuture<'_, Result<Done, LinkError>> {
        Box::pin(async move { Ok(Registrar::register(&self.client()?, &order).await?) })
    }

    fn share(&self, names: Vec<ServiceName>) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move { Ok(self.client()?.share(&names).await?) })
    }

    fn unregister(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async {
            self.client()?.unregister().await.map_err(|error| match error {
                UnregisterError::NotRegistered => LinkError::NotRegistered,
                UnregisterError::Ask(error) => LinkError::Ask(error),
                UnregisterError::Forget(error) => LinkError::Register(error),
            })
        })
    }

    fn forget(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async { Ok(self.client()?.forget().await?) })
    }

    fn probe(&self, service: ServiceName) -> BoxFuture<'_, Result<Option<ProbeResult>, LinkError>> {
        Box::pin(async move { Ok(Some(self.client()?.probe(&service).await?)) })
    }

    fn remove(&self, service: ServiceName) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move { Ok(self.client()?.remove(&service).await?) })
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async { self.client()?.reload().await.map_err(|error| LinkError::Config(chain(&error))) })
    }

    fn log(&self, level: Level) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move {
            self.client()?.log(level);
            Ok(())
        })
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).take();
            // First: what ends is cut off when it takes too long.
            if let Some(updates) = self.updates.as_ref().filter(|it| it.means() == Means::Installer) {
                updates.stopped().await;
            }
            if let Some(client) = client {
                client.stop().await;
            }
            self.tasks.abort();
        })
    }
}

/// What the app decides when its client is asked over its socket: going online and offline is the controller's,
/// because the desired state is kept there, and the program stays, because its user sees it.
struct InApp {
    asked: mpsc::Sender<SocketCommand>,
}

impl Lifecycle for InApp {
    fn start(&self) -> BoxFuture<'_, Result<Switched, ApiProblem>> {
        Box::pin(async {
            let _ = self.asked.send(SocketCommand::Start).await;
            Ok(Switched { on: true })
        })
    }

    fn stop(&self) -> BoxFuture<'_, Result<Stopped, ApiProblem>> {
        Box::pin(async {
            let (done, is_done) = oneshot::channel();
            let _ = self.asked.send(SocketCommand::Stop(done)).await;
            let _ = is_done.await;
            Ok(Stopped { pid: std::process::id(), streams: None, stays: true })
        })
    }

    fn restart(&self) -> BoxFuture<'_, Result<Restarted, ApiProblem>> {
        Box::pin(async {
            let message = "the tray app runs the client, and keeps it; end the app and start it again";
            Err(ApiProblem::new(409, "not_here", message))
        })
    }

    fn registered(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { drop(self.asked.send(SocketCommand::Start).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_config_that_is_saved_again_and_again_is_one_excuse_of_a_version_on_trial() {
        // It is this process's own program that is on trial, by another name on the same disk.
        let own = std::env::current_exe().unwrap();
        let dir = tempfile::tempdir_in(own.parent().unwrap()).unwrap();
        let program = dir.path().join("petit");
        std::fs::hard_link(own, &program).unwrap();
        let folder = Folder::of(&dir.path().join("kept/config.toml"));
        folder.make().unwrap();
        std::fs::write(&folder.config, "[client]\nnonsense = 1\n").unwrap();
        let trial = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"), "before": "0.0.1", "config": folder.config, "worked": [],
            "within_seconds": 120, "step": "trying",
        });
        let kept = dir.path().join(".petit.trial");
        std::fs::write(&kept, trial.to_string()).unwrap();
        let said = |key: &str| {
            let trial: serde_json::Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
            trial[key].clone()
        };
        let (asked, _) = mpsc::channel(1);
        let links = RealLinks::new(folder, None, None, asked).of_program(&program, Means::Installer);
        for excuses in 1..=2 {
            for _ in 0..6 {
                let opened = links.open(Texts::of("en")).await;
                assert!(matches!(opened, Opened::Trouble { .. }));
                assert_eq!((said("excuses"), said("is_running")), (excuses.into(), false.into()));
            }
            tokio::time::advance(EXCUSES_APART).await;
        }
    }

    #[tokio::test]
    async fn where_a_part_of_a_client_fails_its_statuses_end() {
        let (sender, mut statuses) = watch::channel(None::<Status>);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _sender = sender;
            std::future::pending::<()>().await;
        });
        tasks.spawn(async {});
        tasks.spawn(async { panic!("a fault of ours") });
        let together = tokio::spawn(run_together(tasks));
        let ended = tokio::time::timeout(Duration::from_mins(1), statuses.changed()).await;
        assert!(ended.unwrap().is_err());
        together.await.unwrap();
    }
}
