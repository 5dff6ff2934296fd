//! The main thread, which the desktop demands for windows: what others ask of it, and how it waits.

use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use petit_app::Place;
use petit_app::contract::Opening;
use petit_host::BoxFuture;
use petit_host::exit::ExitCode;
use tauri::{AppHandle, RunEvent};
use tokio::sync::{mpsc, oneshot};

use crate::window_state::{Shell, WindowState};
use crate::{commands, system, window};

/// What is asked of the main thread.
pub(crate) enum Message {
    /// Show the window, with a token that lets it come to the front.
    Show(Opening, Option<String>),
    /// Put a text on the clipboard.
    Copy(String),
    /// Ask where a file is to be saved.
    AskWhere(String, oneshot::Sender<Option<PathBuf>>),
    /// Close the window.
    Close,
    /// End.
    End(ExitCode),
}

/// Where messages go: into a queue while nothing of the desktop has been loaded, to its event loop afterwards.
enum Target {
    Queue(std_mpsc::Sender<Message>),
    App(AppHandle, Arc<WindowState>),
}

/// The handle of the main thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct UiThread {
    target: Arc<Mutex<Target>>,
    quit: mpsc::Sender<()>,
    quitting: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
}

impl UiThread {
    pub(crate) fn new() -> (Self, std_mpsc::Receiver<Message>) {
        let (queue, messages) = std_mpsc::channel();
        let (quit, quitting) = mpsc::channel(1);
        let ui_thread = Self {
            target: Arc::new(Mutex::new(Target::Queue(queue))),
            quit,
            quitting: Arc::new(Mutex::new(Some(quitting))),
        };
        (ui_thread, messages)
    }

    /// Rings when somebody wants the app to end. For the engine, once.
    pub(crate) fn quitting(&self) -> Option<mpsc::Receiver<()>> {
        self.quitting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn send(&self, message: Message) {
        match &*self.target.lock().unwrap_or_else(PoisonError::into_inner) {
            Target::Queue(queue) => drop(queue.send(message)),
            Target::App(app, state) => {
                let (handle, state) = (app.clone(), Arc::clone(state));
                if app.run_on_main_thread(move || act(&handle, &state, message)).is_err() {
                    tracing::warn!("the desktop's event loop has ended");
                }
            }
        }
    }

    /// Tells the page something, when there is one.
    pub(crate) fn tell<T: serde::Serialize + Clone>(&self, event: &str, value: &T) {
        if let Target::App(app, _) = &*self.target.lock().unwrap_or_else(PoisonError::into_inner) {
            window::tell(app, event, value);
        }
    }
}

impl Shell for UiThread {
    fn copy(&self, text: String) {
        self.send(Message::Copy(text));
    }

    fn open(&self, place: &Place) -> Result<(), String> {
        system::open(place)
    }

    fn ask_where(&self, name: String) -> BoxFuture<'_, Option<PathBuf>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.send(Message::AskWhere(name, answer));
            answered.await.ok().flatten()
        })
    }

    fn quit(&self) {
        let _ = self.quit.try_send(()); // one that waits already says the same
    }
}

fn act(app: &AppHandle, state: &Arc<WindowState>, message: Message) {
    match message {
        Message::Show(opening, token) => window::show(app, state, opening, token.as_deref()),
        Message::Copy(text) => system::copy(&text),
        Message::AskWhere(name, answer) => system::ask_where(app, &name, answer),
        Message::Close => window::close(app, state),
        Message::End(code) => {
            // It would wait until the tray's menu is closed.
            #[cfg(windows)]
            petit_windows::menu::close();
            app.exit(i32::from(code as u8));
        }
    }
}

/// Runs the main thread until the app ends.
pub(crate) fn run(
    ui_thread: &UiThread,
    messages: std_mpsc::Receiver<Message>,
    state: Arc<WindowState>,
) -> ExitCode {
    // On Linux the tray needs nothing of this thread: it sleeps until there is something to show.
    let first = if cfg!(target_os = "linux") {
        match wait(&messages) {
            Ok(message) => Some(message),
            Err(code) => return code,
        }
    } else {
        None
    };
    let built = build(&state);
    let app = match built {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(%error, "the window cannot be shown; the tray goes on without it");
            return without_window(&messages);
        }
    };
    let handle = app.handle().clone();
    let (ui_thread, messages) = (ui_thread.clone(), Mutex::new(Some((first, messages))));
    let code = app.run_return(move |app, event| match event {
        RunEvent::Ready => {
            *ui_thread.target.lock().unwrap_or_else(PoisonError::into_inner) =
                Target::App(handle.clone(), Arc::clone(&state));
            let waiting = messages.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some((first, messages)) = waiting {
                // What came before the loop ran; nothing comes this way any more.
                for message in first.into_iter().chain(messages.try_iter()) {
                    act(app, &state, message);
                }
            }
            #[cfg(not(target_os = "linux"))]
            crate::tray::native::start(app);
        }
        // Closing the window is not the end.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        RunEvent::WindowEvent { event, .. } => window::on_event(app, &state, &event),
        // There a link is no argument, and a second start is none.
        #[cfg(target_os = "macos")]
        RunEvent::Opened { urls } => {
            let link = urls.first().map(|url| petit_app::deeplink::opening(url.as_str()));
            window::show(app, &state, link.unwrap_or_default(), None);
        }
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => window::show(app, &state, Opening::default(), None),
        _ => {}
    });
    if code == 0 { ExitCode::Ok } else { ExitCode::Failed }
}

/// Waits until something has to be shown.
fn wait(messages: &std_mpsc::Receiver<Message>) -> Result<Message, ExitCode> {
    loop {
        match messages.recv() {
            Ok(Message::End(code)) => return Err(code),
            Ok(Message::Close) => {}
            Ok(message) => return Ok(message),
            Err(_) => return Err(ExitCode::Failed),
        }
    }
}

/// Goes on without a window, until the end.
fn without_window(messages: &std_mpsc::Receiver<Message>) -> ExitCode {
    loop {
        match wait(messages) {
            Ok(_) => tracing::error!("there is no window to show"),
            Err(code) => return code,
        }
    }
}

fn build(state: &Arc<WindowState>) -> Result<tauri::App, String> {
    system::prepare()?;
    let builder = tauri::Builder::default().manage(Arc::clone(state)).invoke_handler(commands::all());
    builder.build(context()).map_err(|error| error.to_string())
}

/// The app's config, assets and permissions, as they were at build time.
pub(crate) fn context<R: tauri::Runtime>() -> tauri::Context<R> {
    tauri::generate_context!()
}
