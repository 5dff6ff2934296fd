//! The engine thread: client, controller, tray and notifications on one current-thread runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use petit_app::args::Args;
use petit_app::autostart::Autostart;
use petit_app::contract::{Opening, Page};
use petit_app::link::RealLinks;
use petit_app::single::{self, First, Received, SingleError, StartRequest};
use petit_app::{App, Inputs, LoginItem};
use petit_client::folder::Folder;
use petit_host::brand;
use petit_host::config::Place;
use petit_host::exit::ExitCode;
use petit_host::files::FileError;
use petit_host::lock::Lock;
use petit_host::logs::{self, FileHandle, Level, RotatingFile};
use petit_host::shutdown::{ProcessSignal, Signals};
use petit_host::update::Start;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::ui_thread::{Message, UiThread};
use crate::window_state::WindowState;
use crate::{notify, smoke, system, tray};

/// A panel that starts after us gets this long before the window stands in for it.
const PANEL_LIMIT: Duration = Duration::from_secs(10);
/// How often an app that starts by itself is tried to be started, where the computer keeps it from that: for longer than a
/// version on trial has excuses.
const STARTS: u32 = 10;
/// How long until it is tried again.
const START_AGAIN: Duration = Duration::from_secs(30);

/// Why there is no app.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppStartError {
    #[error("this user has no home folder; name a config file with --config")]
    NoHome,
    #[error(transparent)]
    Folder(#[from] FileError),
    #[error(transparent)]
    Single(#[from] SingleError),
    #[error("the app cannot be started")]
    Io(#[from] std::io::Error),
    #[error("the app ended while it was starting")]
    Ended,
    #[error("Petit is not running")]
    NotRunning,
}

impl AppStartError {
    /// True for what the computer is to blame for, and what may pass.
    fn is_of_computer(&self) -> bool {
        match self {
            Self::Folder(_) | Self::Single(SingleError::Lock(_)) | Self::Io(_) => true,
            Self::NoHome | Self::Single(SingleError::Silent { .. }) | Self::Ended | Self::NotRunning => false,
        }
    }
}

/// What a start came to.
pub(crate) enum Started {
    /// Another Petit runs, and has taken what was wanted; or the version before this one is about to.
    HandedOver,
    Running(Running),
}

/// An engine that is up, with the lock that makes it the only one.
pub(crate) struct Running {
    pub(crate) state: Arc<WindowState>,
    pub(crate) thread: JoinHandle<()>,
    pub(crate) lock: Lock,
}

/// Starts the engine thread and waits until it is up. It asks the front to end when it has ended. An app that starts by itself
/// is tried again for a while.
pub(crate) fn start(args: &Args, ui_thread: &UiThread) -> Result<Started, AppStartError> {
    let place = Place::find(args.config.as_deref(), brand::here()).ok_or(AppStartError::NoHome)?;
    let folder = Folder::of(&place.path);
    let start_once = || start_once(args, &folder, ui_thread.clone());
    if !args.autostart {
        return start_once();
    }
    let (asked, _) = mpsc::channel(1);
    let links = RealLinks::new(folder.clone(), None, None, asked).begun_by(start_of(args));
    start_patiently(start_once, &links, || std::thread::sleep(START_AGAIN))
}

/// Tries again where the computer keeps the app from starting, and says so to the trial of a version that is on one: it would
/// be blamed for ending.
fn start_patiently(
    mut start_once: impl FnMut() -> Result<Started, AppStartError>,
    links: &RealLinks,
    mut rest: impl FnMut(),
) -> Result<Started, AppStartError> {
    for _ in 1..STARTS {
        match start_once() {
            Err(error) if error.is_of_computer() => {}
            started => return started,
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if runtime.is_ok_and(|runtime| runtime.block_on(links.begins_in_vain())) {
            return Ok(Started::HandedOver);
        }
        rest();
    }
    start_once()
}

fn start_of(args: &Args) -> Start {
    if args.put_back { Start::PutBack } else { Start::Fresh }
}

fn start_once(args: &Args, folder: &Folder, ui_thread: UiThread) -> Result<Started, AppStartError> {
    folder.make()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lock = match runtime.block_on(single::first(folder, &args.wanted, None))? {
        First::Yes(_) if matches!(args.wanted, StartRequest::Stop | StartRequest::Quit) => {
            return Err(AppStartError::NotRunning);
        }
        First::Yes(lock) => lock,
        First::No => return Ok(Started::HandedOver),
    };
    let handle = runtime.handle().clone();
    let (up, is_up) = std::sync::mpsc::channel();
    let (args, folder) = (args.clone(), folder.clone());
    let run = move || run_to_end(runtime, &ui_thread, serve(&args, folder, ui_thread.clone(), up));
    let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(run)?;
    let state = is_up.recv().map_err(|_| AppStartError::Ended)??;
    // Commands of the window run where the client does. Once only: this process may have tried before.
    tauri::async_runtime::set(handle);
    Ok(Started::Running(Running { state, thread, lock }))
}

/// Runs the engine to its end. One that panics ends the process with failure: nobody would see that only the icon is left,
/// neither its user nor whoever watches over a version on trial.
fn run_to_end(runtime: Runtime, ui_thread: &UiThread, engine: impl Future<Output = ()>) {
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(engine)));
    // What blocks (a keychain that asks its user) is not waited for.
    runtime.shutdown_background();
    if ended.is_err() {
        ui_thread.send(Message::End(ExitCode::Failed));
    }
}

type Up = std::sync::mpsc::Sender<Result<Arc<WindowState>, AppStartError>>;

async fn serve(args: &Args, folder: Folder, ui_thread: UiThread, up: Up) {
    let (listening, requests, signals) = match open_sources(&folder) {
        Ok(sources) => sources,
        Err(error) => return drop(up.send(Err(error.into()))),
    };
    let (app, notes) = start_app(&folder, start_of(args));
    let (lines, mut new_lines) = mpsc::channel(16);
    let state = Arc::new(WindowState::new(app.clone(), Arc::new(ui_thread.clone()), lines));
    if up.send(Ok(Arc::clone(&state))).is_err() {
        return;
    }
    let (clicks, clicked) = mpsc::channel(16);
    let (hosts, host) = mpsc::channel(4);
    let tray = tokio::spawn(tray::run(app.shown(), clicks, hosts));
    let notify = tokio::spawn(notify::run(notes, ui_thread.clone()));
    let telling = tokio::spawn(tell(app.clone(), ui_thread.clone()));
    let log = tokio::spawn({
        let ui_thread = ui_thread.clone();
        async move {
            while let Some(lines) = new_lines.recv().await {
                ui_thread.tell("log", &lines);
            }
        }
    });
    if let StartRequest::Show(opening) = &args.wanted
        && !args.smoke_test
    {
        ui_thread.send(Message::Show(opening.clone(), system::activation_token()));
    }
    if args.wanted == StartRequest::Start {
        start_now(&app).await;
    }
    let smoke = args.smoke_test.then(|| tokio::spawn(smoke::run(Arc::clone(&state), ui_thread.clone())));
    let ending = Ending { requests, signals, clicked, host, autostart: args.autostart };
    let asked = ending.wait(&state, &ui_thread, smoke).await;
    tracing::info!("ending");
    // Nothing new comes in; the icon goes at once, the client says goodbye.
    drop(listening);
    ui_thread.send(Message::Close);
    tray.abort();
    notify.abort();
    telling.abort();
    log.abort();
    app.end().await;
    tracing::info!("ended");
    ui_thread.send(Message::End(asked));
}

type Sources = (single::Listening, mpsc::Receiver<Received>, Signals);

fn open_sources(folder: &Folder) -> std::io::Result<Sources> {
    let (listening, requests) = single::listen(folder)?;
    Ok((listening, requests, Signals::new()?))
}

fn start_app(folder: &Folder, start: Start) -> (App, mpsc::Receiver<petit_app::notes::Note>) {
    // To a log of its own until the client's is ours: another process may be writing to that one.
    let own = folder.log().with_file_name("app.log");
    let file = RotatingFile::open(&own).map(FileHandle::new).ok();
    let level = logs::start_to(file.as_ref(), false, Level::default()).ok();
    let program = system::program();
    let login: Arc<dyn LoginItem> = match program.as_deref().and_then(Autostart::of) {
        Some(autostart) => {
            autostart.repair();
            Arc::new(autostart)
        }
        None => Arc::new(NoLogin),
    };
    let (asked, asks) = mpsc::channel(4);
    petit_app::start(Inputs {
        folder: folder.clone(),
        links: Arc::new(RealLinks::new(folder.clone(), level, file, asked).begun_by(start)),
        asked: asks,
        login,
        clock: Arc::new(SystemTime::now),
        is_root: system::is_root(),
    })
}

/// For a user who has no place for an autostart entry.
struct NoLogin;

impl LoginItem for NoLogin {
    fn is_on(&self) -> bool {
        false
    }

    fn set(&self, _: bool) -> Result<(), String> {
        Err("this user has no home folder".to_owned())
    }
}

/// Tells the page of every change.
async fn tell(app: App, ui_thread: UiThread) {
    let mut shown = app.shown();
    loop {
        let view = shown.borrow_and_update().view.clone();
        ui_thread.tell("view", &view);
        if shown.changed().await.is_err() {
            return;
        }
    }
}

async fn start_now(app: &App) {
    if let Err(refused) = app.start().await {
        tracing::warn!(code = refused.code, "not started");
    }
}

/// Everything that asks for something until the end.
struct Ending {
    requests: mpsc::Receiver<Received>,
    signals: Signals,
    clicked: mpsc::Receiver<tray::Click>,
    host: mpsc::Receiver<bool>,
    autostart: bool,
}

impl Ending {
    /// Serves requests until the app has to end; returns how.
    async fn wait(
        mut self,
        state: &Arc<WindowState>,
        ui_thread: &UiThread,
        smoke: Option<tokio::task::JoinHandle<ExitCode>>,
    ) -> ExitCode {
        let mut quitting = ui_thread.quitting();
        let mut smoke = smoke;
        // A window that nobody asked for is shown only when there is no other way to the app.
        let panel = tokio::time::sleep(PANEL_LIMIT);
        tokio::pin!(panel);
        let mut no_panel = false;
        let mut stands_in = self.autostart;
        loop {
            tokio::select! {
                Some(received) = self.requests.recv() => {
                    if on_wish(received, state, ui_thread).await { return ExitCode::Ok; }
                }
                Some(click) = self.clicked.recv() => {
                    if on_click(click, state, ui_thread).await { return ExitCode::Ok; }
                }
                Some(there) = self.host.recv() => {
                    no_panel = !there;
                    state.app.tray(there).await;
                }
                () = &mut panel, if stands_in => {
                    stands_in = false;
                    if no_panel {
                        ui_thread.send(Message::Show(Opening::default(), None));
                    }
                }
                asked = self.signals.next() => match asked {
                    ProcessSignal::End { interrupted } => {
                        return if interrupted { ExitCode::Interrupted } else { ExitCode::Ok };
                    }
                    ProcessSignal::Reload => {}
                },
                () = rung(&mut quitting) => return ExitCode::Ok,
                code = finished(&mut smoke) => return code,
                () = state.app.ended() => {
                    tracing::error!("nothing works without what has ended by a fault; ending");
                    return ExitCode::Failed;
                }
            }
        }
    }
}

async fn rung(bell: &mut Option<mpsc::Receiver<()>>) {
    match bell {
        Some(bell) => drop(bell.recv().await),
        None => std::future::pending().await,
    }
}

async fn finished(task: &mut Option<tokio::task::JoinHandle<ExitCode>>) -> ExitCode {
    match task {
        Some(task) => task.await.unwrap_or(ExitCode::Failed),
        None => std::future::pending().await,
    }
}

/// What another start wants; true when that is the end.
async fn on_wish(received: Received, state: &Arc<WindowState>, ui_thread: &UiThread) -> bool {
    match received.wanted {
        StartRequest::Nothing => {}
        StartRequest::Show(opening) => ui_thread.send(Message::Show(opening, received.token)),
        StartRequest::Start => start_now(&state.app).await,
        StartRequest::Stop => {
            if let Err(refused) = state.app.stop().await {
                tracing::warn!(code = refused.code, "not stopped");
            }
        }
        StartRequest::Quit => return true,
    }
    false
}

/// What a click in the tray wants; true when that is the end.
async fn on_click(click: tray::Click, state: &Arc<WindowState>, ui_thread: &UiThread) -> bool {
    use petit_app::tray::Action;
    let show =
        |page: Page| ui_thread.send(Message::Show(Opening { page, invite: None }, click.token.clone()));
    let done = match click.action {
        Action::Start => state.app.start().await,
        Action::Stop => state.app.stop().await,
        Action::Pause(length) => state.app.pause(length).await,
        Action::Unlock => state.app.unlock().await,
        Action::StartOnLogin(on) => {
            let prefs = state.app.shown().borrow().prefs.clone();
            state.app.set_prefs(petit_app::contract::Prefs { start_on_login: on, ..prefs }).await
        }
        Action::Copy(text) => {
            state.shell.copy(text);
            Ok(())
        }
        Action::Open(page) => {
            show(page);
            Ok(())
        }
        Action::Quit => return true,
    };
    if let Err(refused) = done {
        let why = refused.words.what;
        tracing::warn!(code = refused.code, why, "what was clicked was not done");
        // The window has room for the reason.
        show(Page::Overview);
    }
    false
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
