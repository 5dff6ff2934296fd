//! The handle of the app: every command of the contract, one method each.
//!
//! What has an owner goes to the controller; what only reads, or asks the client, is done here.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use petit_client::config::KeyStore;
use petit_client::enrol::Existing;
use petit_client::folder::Folder;
use petit_client::registering::{Outcome, Prospect, Terms};
use petit_client::registration::Known;
use petit_client::{doctor, enrol, registration};
use petit_engine::name::ServiceName;
use petit_engine::proto::control::PROTOCOL;
use petit_host::brand;
use petit_host::cli::chain;
use petit_host::logs::{self as log_files, Follow, Level};
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::contract::{
    About, Boot, Bundle, Check, FormService, Invite, Listening, LogLine, Opening, PauseFor, Prefs, Refused,
    RegisteredService, ServiceKind, StateKind, Tried,
};
use super::controller::{self, Inputs, Intent, Running, SharedLink};
use super::link::{ByLink, Link};
use super::logs::Numbers;
use super::notes::Note;
use super::refusal::refused;
use super::shown::Shown;
use super::{checks, form, found, told, words};
use crate::{bundle, listening};

/// Lines of the log that are shown at first.
const LOG_LINES: usize = 500;
/// How often the log is looked at while its page is open; nothing tells when a line was added.
const LOG_EVERY: Duration = Duration::from_millis(250);
/// How long a client may take to be there once what was in its way is gone.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// How long a server is waited for that is to be told of a goodbye.
const GOODBYE: Duration = Duration::from_secs(15);

/// Something outside the app that can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file or folder.
    Path(PathBuf),
    /// A public address.
    Url(String),
}

/// The app. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) folder: Folder,
    intents: mpsc::Sender<Intent>,
    shown: watch::Receiver<Arc<Shown>>,
    links: watch::Receiver<SharedLink>,
    log: Arc<Log>,
    running: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Starts the app on the present runtime, with what is worth a notification. It ends with [`App::end`], or with its
/// last handle.
pub fn start(inputs: Inputs) -> (App, mpsc::Receiver<Note>) {
    let folder = inputs.folder.clone();
    App::new(folder, controller::start(inputs))
}

#[derive(Default)]
struct Log {
    numbers: Numbers,
    following: Mutex<Option<JoinHandle<()>>>,
}

impl App {
    fn new(folder: Folder, running: Running) -> (Self, mpsc::Receiver<Note>) {
        let Running { intents, shown, links, notes, task } = running;
        let running = Arc::new(Mutex::new(Some(task)));
        (Self { folder, intents, shown, links, log: Arc::default(), running }, notes)
    }

    /// What is shown, now and from now on.
    pub fn shown(&self) -> watch::Receiver<Arc<Shown>> {
        self.shown.clone()
    }

    pub(crate) fn now(&self) -> Arc<Shown> {
        Arc::clone(&self.shown.borrow())
    }

    /// The client that holds the connection.
    pub(crate) fn link(&self) -> Result<Arc<dyn Link>, Refused> {
        let link = self.links.borrow().clone();
        link.ok_or_else(|| words::refused(&self.now().texts, "offline", &[]))
    }

    async fn request(
        &self,
        intent: impl FnOnce(oneshot::Sender<Result<(), Refused>>) -> Intent,
    ) -> Result<(), Refused> {
        let (answer, answered) = oneshot::channel();
        let _ = self.intents.send(intent(answer)).await;
        answered.await.unwrap_or_else(|_| Err(words::refused(&self.now().texts, "ending", &[])))
    }

    pub(crate) async fn tell(&self, intent: Intent) {
        let _ = self.intents.send(intent).await;
    }

    pub(crate) fn refused(&self, code: &str) -> Refused {
        words::refused(&self.now().texts, code, &[])
    }

    // ---- what is shown --------------------------------------------------------------------------

    /// Everything that the page needs to begin.
    pub fn boot(&self, version: &str, open: Opening) -> Boot {
        let shown = self.now();
        let path = |path: &std::path::Path| path.display().to_string();
        Boot {
            lang: shown.texts.lang().to_owned(),
            texts: shown.texts.all(),
            about: About {
                version: version.to_owned(),
                protocol: PROTOCOL,
                config_path: path(&self.folder.config),
                log_path: path(&self.folder.log()),
                data_path: path(self.folder.path()),
                licence: env!("CARGO_PKG_LICENSE").to_owned(),
            },
            prefs: shown.prefs.clone(),
            view: shown.view.clone(),
            open,
            colour: brand::here().colour().map(str::to_owned),
        }
    }

    /// The window was opened, or closed with a size: counters are read more often while it is open.
    pub async fn window(&self, open: bool, size: Option<(u32, u32)>) {
        self.tell(Intent::Window(open, size)).await;
    }

    /// The window's size when it was last closed.
    pub fn window_size(&self) -> Option<(u32, u32)> {
        super::prefs::Remembered::load(&self.folder).window
    }

    /// The desktop has a tray, or has none.
    pub async fn tray(&self, there: bool) {
        self.tell(Intent::Tray(there)).await;
    }

    /// Ends the client in this process in an orderly way, within two seconds.
    pub async fn end(&self) {
        let (done, is_done) = oneshot::channel();
        self.tell(Intent::End(done)).await;
        let _ = is_done.await;
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            let _ = running.await;
        }
    }

    /// Waits until what decides everything has ended, and with it the app: after [`App::end`], or by a fault of ours.
    pub async fn ended(&self) {
        let mut shown = self.shown();
        while shown.changed().await.is_ok() {}
    }

    // ---- online and offline ---------------------------------------------------------------------

    /// Goes online.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn start(&self) -> Result<(), Refused> {
        self.request(Intent::Start).await
    }

    /// Goes offline.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn stop(&self) -> Result<(), Refused> {
        self.request(Intent::Stop).await
    }

    /// Goes offline for a while.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn pause(&self, length: PauseFor) -> Result<(), Refused> {
        self.request(|answer| Intent::Pause(length, answer)).await
    }

    /// Asks the keychain again.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn unlock(&self) -> Result<(), Refused> {
        self.request(Intent::Unlock).await
    }

    /// Has the version installed that is there. What becomes of it is shown.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn install_update(&self) -> Result<(), Refused> {
        self.request(Intent::InstallUpdate).await
    }

    /// Takes over preferences.
    ///
    /// # Errors
    /// [`Refused`] when starting on login cannot be set up; the rest is in force then.
    pub async fn set_prefs(&self, prefs: Prefs) -> Result<(), Refused> {
        let before = self.shown.borrow().prefs.clone();
        let mut shown = self.shown.clone();
        self.request(|answer| Intent::SetPrefs(prefs.clone(), answer)).await?;
        if prefs != before {
            // The answer to the page holds what it asked for; it comes with the next value that is shown.
            let limit = Duration::from_secs(2);
            let _ = tokio::time::timeout(limit, shown.wait_for(|shown| shown.prefs == prefs)).await;
        }
        Ok(())
    }

    // ---- who this computer is -------------------------------------------------------------------

    /// What an invite says. Nothing is done with it.
    ///
    /// # Errors
    /// [`Refused`] when it is none.
    pub fn read_invite(&self, text: &SecretString) -> Result<Invite, Refused> {
        let texts = self.now().texts.clone();
        let prospect = self.prospect(text.clone())?;
        Ok(told::invite(&texts, &prospect, SystemTime::now()))
    }

    /// An invite, with what it would change here.
    fn prospect(&self, text: SecretString) -> Result<Prospect, Refused> {
        let texts = &self.now().texts;
        let invite = petit_engine::invite::Invite::parse(&text);
        let invite = invite.map_err(|error| words::invite(texts, &error))?;
        let config =
            petit_client::config::load(&self.folder.config).map(|(config, _)| config).unwrap_or_default();
        let known = Known::load(&self.folder).map_err(|error| words::register(texts, &error.into()))?;
        Ok(Prospect::new(text, invite, config, known))
    }

    /// Registers this computer and goes online. Nothing that is set up already can be reached before
    /// [`App::choose`].
    ///
    /// # Errors
    /// [`Refused`]; a registration that was in force still is, and trying again is safe.
    pub async fn register(
        &self,
        text: SecretString,
        key_store: KeyStore,
        existing: Existing,
    ) -> Result<RegisteredService, Refused> {
        let texts = self.now().texts.clone();
        let prospect = self.prospect(text)?;
        let link = self.link_for_registration().await?;
        let terms = Terms { key_store, share: BTreeSet::new(), existing };
        let outcome = prospect.register(&self.folder, terms, &ByLink(link.as_ref())).await;
        let Outcome { done, former, kept } = outcome.map_err(|error| refused(&texts, error))?;
        self.tell(Intent::FilesChanged).await;
        self.start().await?;
        if let Err(error) = kept {
            // It is registered all the same; the next registration asks where the key goes once more.
            tracing::warn!(error = %chain(&error), "the config file does not say where the key is");
        }
        let former = former.zip(done.former).and_then(|(known, end)| {
            let vendor = told::whom(known.vendor.as_ref(), &known.server);
            words::former(&texts, end, &vendor)
        });
        Ok(RegisteredService { service: done.service.to_string(), url: done.url, former })
    }

    /// The client that is to be registered. A registration that cannot be read is set aside for it: whoever comes this
    /// far has been told that it cannot.
    async fn link_for_registration(&self) -> Result<Arc<dyn Link>, Refused> {
        if let Ok(link) = self.link() {
            return Ok(link);
        }
        self.request(Intent::SetAside).await?;
        let mut links = self.links.clone();
        let opened = tokio::time::timeout(OPEN_LIMIT, links.wait_for(Option::is_some)).await;
        let link = opened.ok().and_then(Result::ok).and_then(|link| link.clone());
        link.ok_or_else(|| self.refused("offline"))
    }

    /// What the vendor may reach from now on: services that were set up before it came, and one that is new, or is set
    /// up anew.
    ///
    /// # Errors
    /// [`Refused`], with the field that is wrong; nothing was shared then.
    pub async fn choose(&self, share: Vec<String>, service: Option<FormService>) -> Result<(), Refused> {
        let texts = self.now().texts.clone();
        let no_service = || words::refused(&texts, "no_service", &[]);
        let mut names = Vec::new();
        for name in &share {
            names.push(name.parse::<ServiceName>().map_err(|_| no_service())?);
        }
        if let Some(service) = service {
            let known = self.settings()?.form.unwrap_or_default().services;
            let before = known.iter().any(|known| known.name == service.name).then(|| service.name.clone());
            names.extend(service.name.parse::<ServiceName>());
            self.set_service(before.as_deref(), service).await?;
        }
        self.share(names).await
    }

    /// Lets the vendor reach services that were withheld from it.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn share(&self, names: Vec<ServiceName>) -> Result<(), Refused> {
        if names.is_empty() {
            return Ok(());
        }
        let texts = self.now().texts.clone();
        self.link()?.share(names).await.map_err(|error| refused(&texts, error))
    }

    /// Gives the registration back to the server and forgets it. With `local` the server is not told; where it does
    /// not know this computer any more, there is nobody to tell.
    ///
    /// # Errors
    /// [`Refused`]; with code `offline` the server was not reached and nothing has changed.
    pub async fn forget(&self, local: bool) -> Result<(), Refused> {
        let shown = self.now();
        let link = self.link()?;
        let done = if local || shown.view.state.kind == StateKind::Stopped {
            link.forget().await
        } else {
            if shown.view.state.kind != StateKind::Online {
                self.start().await?;
                let mut views = self.shown.clone();
                let online = views.wait_for(|shown| shown.view.state.kind == StateKind::Online);
                if tokio::time::timeout(GOODBYE, online).await.is_err() {
                    return Err(self.refused("offline"));
                }
            }
            link.unregister().await
        };
        done.map_err(|error| refused(&shown.texts, error))?;
        self.tell(Intent::FilesChanged).await;
        Ok(())
    }

    // ---- services -------------------------------------------------------------------------------

    /// Who listens on this computer, each tried once.
    pub async fn listening(&self) -> Vec<Listening> {
        let texts = self.now().texts.clone();
        listening::scan().await.into_iter().map(|found| found::listening(&texts, found)).collect()
    }

    /// Tries a target.
    ///
    /// # Errors
    /// [`Refused`] when it is none.
    pub async fn try_target(&self, target: &str, kind: ServiceKind) -> Result<Tried, Refused> {
        let texts = self.now().texts.clone();
        // What speaks TLS is only looked at from outside.
        let kind = if form::is_tls(target) { ServiceKind::Tcp } else { kind };
        let target = form::target(target).map_err(|why| words::invalid(&texts, "target", &why))?;
        let found = listening::try_target(&target, kind).await;
        Ok(found::tried(&texts, &target, kind, found))
    }

    /// Has a service probed end to end; the result is in the next view.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn ping(&self, name: &str) -> Result<(), Refused> {
        let texts = self.now().texts.clone();
        let name: ServiceName = name.parse().map_err(|_| words::refused(&texts, "no_service", &[]))?;
        let link = self.link()?;
        link.probe(name).await.map(drop).map_err(|error| refused(&texts, error))
    }

    // ---- looking --------------------------------------------------------------------------------

    /// The last lines of the log. With `follow` later ones are sent to `lines` until the next call.
    ///
    /// # Errors
    /// [`Refused`] when the log cannot be read.
    pub fn logs(&self, follow: Option<mpsc::Sender<Vec<LogLine>>>) -> Result<Vec<LogLine>, Refused> {
        let path = self.folder.log();
        let mut following = self.log.following.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = following.take() {
            before.abort();
        }
        let mut tail = Follow::from_end(&path);
        let lines = log_files::tail(&path, LOG_LINES)
            .map_err(|error| words::refused(&self.now().texts, "failed", &[("why", &error.to_string())]))?;
        let log = Arc::clone(&self.log);
        *following = follow.map(|out| {
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(LOG_EVERY).await;
                    let new = tail.next_lines().unwrap_or_default();
                    let new: Vec<LogLine> = new.iter().map(|line| log.numbers.line(line)).collect();
                    if !new.is_empty() && out.send(new).await.is_err() {
                        return;
                    }
                }
            })
        });
        Ok(lines.iter().map(|line| self.log.numbers.line(line)).collect())
    }

    /// Changes how much is logged, until the config changes it again.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn log_level(&self, level: Level) -> Result<(), Refused> {
        let link = self.link()?;
        link.log(level).await.map_err(|error| refused(&self.now().texts, error))
    }

    /// Looks at everything that has to be right.
    pub async fn doctor(&self) -> Vec<Check> {
        let texts = self.now().texts.clone();
        doctor::findings(&self.folder).await.iter().map(|finding| checks::check(&texts, finding)).collect()
    }

    /// Everything that the vendor's support may want to see, with nothing in it that it must not.
    pub async fn bundle(&self, version: &str) -> Bundle {
        let status = match self.link() {
            Ok(link) => link.status().await,
            Err(_) => None,
        };
        bundle::make(&self.folder, version, status.as_ref()).await
    }

    /// What is to be opened outside: the log's folder, the config file, a service's public address.
    ///
    /// # Errors
    /// [`Refused`] when there is no such thing.
    pub fn place(&self, what: &str, name: Option<&str>) -> Result<Place, Refused> {
        let logs = self.folder.log().parent().map(PathBuf::from);
        let place = match what {
            "logs" => logs.map(Place::Path),
            "config" => Some(Place::Path(self.folder.config.clone())),
            "url" => {
                let shown = self.now();
                let service = shown.view.services.iter().find(|service| Some(service.name.as_str()) == name);
                let url = service.and_then(|service| service.url.clone());
                url.filter(|url| url.starts_with("https://") || url.starts_with("http://")).map(Place::Url)
            }
            _ => None,
        };
        place.ok_or_else(|| self.refused("nothing_to_open"))
    }

    /// What this computer is registered as, read anew.
    pub(crate) fn first_service(&self) -> ServiceName {
        let known = registration::load(&self.folder).unwrap_or_else(|error| {
            tracing::warn!(error = %chain(&error), "the registration cannot be read");
            None
        });
        controller::first_service(known.as_ref())
    }

    /// What the vendor sees as the name of this computer, when the config says nothing else.
    pub fn host_name() -> String {
        enrol::host_name()
    }
}
