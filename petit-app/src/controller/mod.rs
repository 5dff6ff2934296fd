//! The one task that owns the app's state.
//!
//! It waits for intents, statuses and moments, one at a time; what takes long runs in tasks of its own and comes
//! back as an intent. What is shown is published at most five times a second, and only when it has changed.

mod pause;
mod show;
mod time;

use std::sync::Arc;
use std::time::Duration;

use petit_client::config::{self, Config};
use petit_client::folder::Folder;
use petit_client::registration::{self, Registration};
use petit_client::status::{Connection, KeyTrouble, Status};
use petit_host::watch::FileWatch;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::contract::{PauseFor, Prefs, Problem, Refused, ServiceKind, StateKind};
use super::facts::{Owner, Trouble, TroubleKind};
use super::link::{Link, Links, Opened, SocketCommand};
use super::notes::{Note, Watcher};
use super::prefs::{DesiredState, Remembered};
use super::refusal::refused;
use super::shown::{LoginItem, Shown, WallClock};
use super::texts::Texts;
use super::traffic::Collector;
use super::words;

/// Shortest time between two values that are shown.
pub(super) const PUBLISH_EVERY: Duration = Duration::from_millis(200);
/// How long a client gets to say goodbye when the app ends. A desktop that shuts down waits no longer either.
const END_LIMIT: Duration = Duration::from_secs(2);
/// A pause is looked at this often: the runtime's clock may stand still while the computer sleeps.
const LOOK_AT_WALL: Duration = Duration::from_secs(30);
/// A keychain that is not there, or locked without asking, is asked again after this long; then after twice that.
const KEY_AGAIN: Duration = Duration::from_secs(5);
/// The longest time between two attempts.
const KEY_AGAIN_MOST: Duration = Duration::from_secs(60);
/// Trouble that nothing announces the end of (a full disk) is looked at this often.
const TROUBLE_AGAIN: Duration = Duration::from_secs(30);

/// What the controller is asked to do.
pub(super) enum Intent {
    Start(oneshot::Sender<Result<(), Refused>>),
    Stop(oneshot::Sender<Result<(), Refused>>),
    Pause(PauseFor, oneshot::Sender<Result<(), Refused>>),
    Unlock(oneshot::Sender<Result<(), Refused>>),
    /// A person wants the version that is there.
    InstallUpdate(oneshot::Sender<Result<(), Refused>>),
    /// A registration that cannot be read makes room for another one.
    SetAside(oneshot::Sender<Result<(), Refused>>),
    SetPrefs(Prefs, oneshot::Sender<Result<(), Refused>>),
    /// The window was opened, or closed with a size.
    Window(bool, Option<(u32, u32)>),
    /// The desktop has a tray, or has none.
    Tray(bool),
    /// The config file or the registration has changed.
    FilesChanged,
    /// Counters, read because the window is open.
    Sampled(Box<Status>),
    End(oneshot::Sender<()>),
}

/// What a controller is started with.
pub struct Inputs {
    /// What the client keeps beside its config file.
    pub folder: Folder,
    /// Where clients come from.
    pub links: Arc<dyn Links>,
    /// What comes in over the control socket of a client in this process.
    pub asked: mpsc::Receiver<SocketCommand>,
    /// Starting on login.
    pub login: Arc<dyn LoginItem>,
    /// The clock on the wall.
    pub clock: WallClock,
    /// The process runs as root.
    pub is_root: bool,
}

/// A controller that runs: the ends of its channels, and its task.
pub(super) struct Running {
    pub(super) intents: mpsc::Sender<Intent>,
    pub(super) shown: watch::Receiver<Arc<Shown>>,
    pub(super) links: watch::Receiver<SharedLink>,
    pub(super) notes: mpsc::Receiver<Note>,
    pub(super) task: JoinHandle<()>,
}

/// Starts a controller on the present runtime. It ends with [`Intent::End`], with the last sender of intents, or with the
/// client in this process where that does not stay.
pub(super) fn start(inputs: Inputs) -> Running {
    let (intents, inbox) = mpsc::channel(32);
    let (noted, notes) = mpsc::channel(16);
    let memory = Remembered::load(&inputs.folder);
    let texts = Texts::chosen(&memory.lang);
    let mut controller = Controller {
        start_on_login: inputs.login.is_on(),
        memory,
        texts,
        link: None,
        statuses: None,
        status: None,
        status_at: Instant::now(),
        trouble: None,
        problem: None,
        told_problem: None,
        registration: None,
        configured: Vec::new(),
        config: Config::default(),
        collector: Collector::new(Instant::now().into_std()),
        watcher: Watcher::default(),
        since: None,
        window: false,
        no_tray: false,
        dirty: false,
        published_at: None,
        sample_at: Instant::now(),
        key_at: None,
        key_wait: KEY_AGAIN,
        trouble_at: None,
        notes: noted,
        again: intents.downgrade(),
        folder: inputs.folder,
        links: inputs.links,
        login: inputs.login,
        clock: inputs.clock,
        is_root: inputs.is_root,
    };
    controller.read_files();
    let (shown, shows) = watch::channel(Arc::new(controller.shown()));
    let (linked, links) = watch::channel(None);
    let task = tokio::spawn(run(controller, inbox, inputs.asked, shown, linked));
    Running { intents, shown: shows, links, notes, task }
}

pub(super) type SharedLink = Option<Arc<dyn Link>>;

struct Controller {
    folder: Folder,
    links: Arc<dyn Links>,
    login: Arc<dyn LoginItem>,
    clock: WallClock,
    is_root: bool,
    memory: Remembered,
    texts: Texts,
    start_on_login: bool,
    link: SharedLink,
    statuses: Option<watch::Receiver<Option<Status>>>,
    status: Option<Status>,
    status_at: Instant,
    trouble: Option<Trouble>,
    problem: Option<Problem>,
    /// What the client said of the config file, in which language it was worded, and how.
    told_problem: Option<(String, &'static str, Problem)>,
    registration: Option<Registration>,
    configured: Vec<(String, ServiceKind, String)>,
    /// The settings of the config file, as far as it can be read.
    config: Config,
    collector: Collector,
    watcher: Watcher,
    since: Option<(StateKind, u64)>,
    window: bool,
    no_tray: bool,
    dirty: bool,
    published_at: Option<Instant>,
    sample_at: Instant,
    key_at: Option<Instant>,
    key_wait: Duration,
    trouble_at: Option<Instant>,
    notes: mpsc::Sender<Note>,
    /// For what comes back from tasks. Weak, so that it does not keep the controller.
    again: mpsc::WeakSender<Intent>,
}

async fn run(
    mut this: Controller,
    mut inbox: mpsc::Receiver<Intent>,
    mut asked: mpsc::Receiver<SocketCommand>,
    shown: watch::Sender<Arc<Shown>>,
    linked: watch::Sender<SharedLink>,
) {
    let watching = tokio::spawn(watch_files(this.folder.clone(), this.again.clone()));
    this.open().await;
    loop {
        linked.send_if_modified(|before| {
            let same = match (&*before, &this.link) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                (None, None) => true,
                _ => false,
            };
            before.clone_from(&this.link);
            !same
        });
        let moment = this.next_moment();
        tokio::select! {
            intent = inbox.recv() => match intent {
                Some(Intent::End(done)) => {
                    this.end().await;
                    let _ = done.send(());
                    break;
                }
                Some(intent) => this.on_intent(intent).await,
                None => break this.end().await,
            },
            Some(asked) = asked.recv() => this.on_asked(asked).await,
            status = next_status(&mut this.statuses) => {
                if status.is_none() && this.owner() == Owner::Ours {
                    // Nobody has ended it, so it is a fault of ours, which whoever watches over this version is to see.
                    tracing::error!("the client in this process has ended by itself");
                    break;
                }
                this.on_status(status).await;
            }
            () = at(moment) => {}
        }
        this.on_time().await;
        this.publish(&shown);
    }
    watching.abort();
}

/// Tells when the config file has changed, whoever changed it.
async fn watch_files(folder: Folder, intents: mpsc::WeakSender<Intent>) {
    // The folder has to be there to be watched.
    let made = folder.make();
    let watch = made.ok().and_then(|()| FileWatch::new(&folder.config).ok());
    let Some(mut watch) = watch else { return };
    loop {
        watch.changed().await;
        let Some(intents) = intents.upgrade() else { return };
        let _ = intents.send(Intent::FilesChanged).await;
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The next status; the outer `None` when the client has ended.
async fn next_status(statuses: &mut Option<watch::Receiver<Option<Status>>>) -> Option<Option<Status>> {
    match statuses {
        Some(statuses) => {
            statuses.changed().await.ok()?;
            Some(statuses.borrow_and_update().clone())
        }
        None => std::future::pending().await,
    }
}

impl Controller {
    // ---- the client -----------------------------------------------------------------------------

    /// Gets a client: ours, when nobody else holds the connection.
    async fn open(&mut self) {
        self.trouble_at = None;
        match self.links.open(self.texts.clone()).await {
            Opened::Link(link) => {
                let mut statuses = link.statuses();
                self.status = statuses.borrow_and_update().clone();
                self.status_at = Instant::now();
                self.statuses = Some(statuses);
                self.trouble = None;
                self.problem = None;
                self.link = Some(Arc::clone(&link));
                if link.owner() == Owner::Ours {
                    let on = self.desired().is_on();
                    if let Err(error) = link.switch(on).await {
                        tracing::error!(%error, "the client cannot be switched");
                    }
                    self.unlock();
                }
            }
            Opened::Trouble { trouble, problem } => {
                self.trouble = Some(trouble);
                self.problem = problem;
                self.trouble_at = Some(Instant::now() + TROUBLE_AGAIN);
            }
        }
        self.read_files();
        self.dirty = true;
    }

    fn owner(&self) -> Owner {
        self.link.as_ref().map(|link| link.owner()).unwrap_or_default()
    }

    /// Has our own client ask for its key. Another process is asked only when its user wants that.
    fn unlock_ours(&mut self) {
        self.key_at = None;
        if self.owner() == Owner::Ours {
            self.unlock();
        }
    }

    /// Asks for the key without waiting for it; the answer is in the status.
    fn unlock(&mut self) {
        self.key_at = None;
        if let Some(link) = self.link.clone() {
            tokio::spawn(async move {
                if let Err(error) = link.unlock().await {
                    tracing::warn!(error = %petit_host::cli::chain(&error), "no key");
                }
            });
        }
    }

    async fn on_status(&mut self, status: Option<Option<Status>>) {
        let Some(status) = status else {
            // It has ended; whatever it was, the next one is asked for.
            self.link = None;
            self.statuses = None;
            self.status = None;
            self.collector.forget();
            return self.open().await;
        };
        if let Some(status) = &status {
            self.take(status);
        }
        self.status = status;
        self.status_at = Instant::now();
        self.dirty = true;
    }

    fn take(&mut self, status: &Status) {
        self.collector.read(status, Instant::now().into_std());
        let known = self.registration.as_ref().map(|known| known.device);
        if status.registered.as_ref().map(|at| at.device) != known {
            self.read_files();
        }
        let again = matches!(
            status.connection,
            Connection::NoKey { trouble: KeyTrouble::Missing | KeyTrouble::Locked }
        );
        match status.connection {
            // Nobody was asked anything, so nobody is bothered when it is tried again.
            Connection::NoKey { .. } if again && self.key_at.is_none() => {
                self.key_at = Some(Instant::now() + self.key_wait);
                self.key_wait = (self.key_wait * 2).min(KEY_AGAIN_MOST);
            }
            Connection::NoKey { trouble: KeyTrouble::Asked } => {}
            Connection::NoKey { .. } if again => {}
            _ => {
                self.key_at = None;
                if !matches!(status.connection, Connection::NoKey { .. }) {
                    self.key_wait = KEY_AGAIN;
                }
            }
        }
    }

    fn read_files(&mut self) {
        self.registration = registration::load(&self.folder).unwrap_or_else(|error| {
            tracing::error!(error = %petit_host::cli::chain(&error), "the registration cannot be read");
            None
        });
        if let Ok((config, _)) = config::load(&self.folder.config) {
            let first = first_service(self.registration.as_ref());
            let service = |spec: petit_engine::agent::ServiceSpec| {
                (spec.name.to_string(), spec.kind, spec.target.to_string())
            };
            self.configured = config.specs(&first).into_iter().map(service).collect();
            self.config = config;
        }
    }

    // ---- intents ---------------------------------------------------------------------------------

    fn desired(&self) -> DesiredState {
        self.memory.desired.at((self.clock)())
    }

    async fn set_desired(&mut self, desired: DesiredState) -> Result<(), Refused> {
        self.memory.desired = desired;
        self.remember();
        self.dirty = true;
        if self.link.is_none() {
            self.open().await;
        }
        match self.link.clone() {
            Some(link) => link.switch(desired.is_on()).await.map_err(|error| refused(&self.texts, error)),
            None => Ok(()), // why there is none is shown
        }
    }

    fn remember(&self) {
        if let Err(error) = self.memory.save(&self.folder) {
            tracing::warn!(error = %petit_host::cli::chain(&error), "preferences were not written down");
        }
    }

    async fn on_intent(&mut self, intent: Intent) {
        match intent {
            Intent::Start(answer) => {
                let result = self.set_desired(DesiredState::On).await;
                if self.status.as_ref().is_some_and(|it| matches!(it.connection, Connection::NoKey { .. })) {
                    self.unlock_ours();
                }
                let _ = answer.send(result);
            }
            Intent::Stop(answer) => drop(answer.send(self.set_desired(DesiredState::Off).await)),
            Intent::Pause(length, answer) => {
                let result = match self.owner() {
                    Owner::Another { .. } => Err(words::refused(&self.texts, "not_with_other", &[])),
                    Owner::Ours | Owner::Nobody => {
                        let until = pause::end(length, (self.clock)());
                        self.set_desired(DesiredState::Paused { until }).await
                    }
                };
                let _ = answer.send(result);
            }
            Intent::Unlock(answer) => {
                self.key_wait = KEY_AGAIN;
                self.unlock();
                let _ = answer.send(Ok(()));
            }
            Intent::InstallUpdate(answer) => {
                let asked = self.link.as_ref().map_or(Ok(()), |link| link.install_update());
                let _ = answer.send(asked.map_err(|error| refused(&self.texts, error)));
            }
            Intent::SetAside(answer) => {
                let _ = answer.send(self.set_aside().await);
            }
            Intent::SetPrefs(prefs, answer) => drop(answer.send(self.set_prefs(&prefs))),
            Intent::Window(open, size) => {
                self.window = open;
                if size.is_some() && size != self.memory.window {
                    self.memory.window = size;
                    self.remember();
                }
                self.sample_at = Instant::now();
                self.dirty = true;
            }
            Intent::Tray(there) => {
                self.dirty |= self.no_tray == there;
                self.no_tray = !there;
            }
            Intent::FilesChanged => {
                self.read_files();
                self.dirty = true;
                if self.trouble.is_some() {
                    self.open().await;
                }
            }
            Intent::Sampled(status) => {
                self.take(&status);
                self.status = Some(*status);
                self.status_at = Instant::now();
                self.dirty = true;
            }
            Intent::End(_) => {} // taken care of in the loop
        }
    }

    async fn set_aside(&mut self) -> Result<(), Refused> {
        let is_damaged = self.trouble.as_ref().is_some_and(|trouble| trouble.kind == TroubleKind::Damaged);
        if !is_damaged {
            return Err(words::refused(&self.texts, "offline", &[]));
        }
        registration::set_aside(&self.folder).map_err(|error| words::register(&self.texts, &error.into()))?;
        self.open().await;
        Ok(())
    }

    async fn on_asked(&mut self, asked: SocketCommand) {
        let result = match asked {
            SocketCommand::Start => self.set_desired(DesiredState::On).await,
            SocketCommand::Stop(done) => {
                let result = self.set_desired(DesiredState::Off).await;
                let _ = done.send(());
                result
            }
        };
        if let Err(refused) = result {
            tracing::warn!(code = refused.code, "what was asked over the socket was not done");
        }
    }

    fn set_prefs(&mut self, prefs: &Prefs) -> Result<(), Refused> {
        self.dirty = true;
        if prefs.start_on_login != self.start_on_login {
            let set = self.login.set(prefs.start_on_login);
            self.start_on_login = self.login.is_on();
            set.map_err(|why| words::refused(&self.texts, "autostart", &[("why", &why)]))?;
        }
        self.memory.take(prefs);
        self.remember();
        self.texts = Texts::chosen(&self.memory.lang);
        Ok(())
    }

    async fn end(&mut self) {
        if let Some(link) = self.link.take() {
            let ended = tokio::time::timeout(END_LIMIT, link.end()).await;
            if ended.is_err() {
                tracing::info!("requests under way were cut off");
            }
        }
    }
}

/// What the original's `[client.local]` is called.
pub(super) fn first_service(known: Option<&Registration>) -> petit_engine::name::ServiceName {
    known.map_or_else(petit_engine::name::ServiceName::first, |known| known.service.clone())
}

#[cfg(test)]
mod tests;
