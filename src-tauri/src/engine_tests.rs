//! An engine that fails within ends its process with failure.

use petit_app::link::{Links, Opened};
use petit_app::texts::Texts;
use petit_host::BoxFuture;

use super::*;

/// The app's own task panics with it.
struct Faulty;

impl Links for Faulty {
    fn open(&self, _: Texts) -> BoxFuture<'_, Opened> {
        Box::pin(async { panic!("a fault of ours") })
    }
}

#[test]
fn an_engine_that_panics_ends_the_process_with_failure() {
    let (ui_thread, messages) = UiThread::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    run_to_end(runtime, &ui_thread, async { panic!("a fault of ours") });
    assert!(matches!(messages.try_recv(), Ok(Message::End(ExitCode::Failed))));
}

#[tokio::test]
async fn an_app_whose_own_task_panics_ends_with_failure() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::of(&dir.path().join("config.toml"));
    folder.make().unwrap();
    let (_asked, asks) = mpsc::channel(1);
    let (app, _notes) = petit_app::start(Inputs {
        folder: folder.clone(),
        links: Arc::new(Faulty),
        asked: asks,
        login: Arc::new(NoLogin),
        clock: Arc::new(SystemTime::now),
        is_root: false,
    });
    let (ui_thread, _messages) = UiThread::new();
    let (lines, _new_lines) = mpsc::channel(1);
    let state = Arc::new(WindowState::new(app, Arc::new(ui_thread.clone()), lines));
    let (_listening, requests, signals) = open_sources(&folder).unwrap();
    let (_clicks, clicked) = mpsc::channel(1);
    let (_hosts, host) = mpsc::channel(1);
    let ending = Ending { requests, signals, clicked, host, autostart: false };
    let ended = tokio::time::timeout(Duration::from_mins(1), ending.wait(&state, &ui_thread, None)).await;
    assert_eq!(ended, Ok(ExitCode::Failed));
    // As it does next: there is nobody left to wait for.
    state.app.end().await;
}
