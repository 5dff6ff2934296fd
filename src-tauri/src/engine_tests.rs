//! How the engine ends where it fails within, and how it waits where the computer keeps it from starting.

use petit_app::link::{Links, Opened};
use petit_app::texts::Texts;
use petit_client::updates::Means;
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

/// A version on trial whose app folder cannot be made at first, because there is a file in its place.
struct Kept {
    dir: tempfile::TempDir,
    folder: Folder,
    links: RealLinks,
}

impl Kept {
    fn new() -> Self {
        // It is this process's own program that is on trial, by another name on the same disk.
        let own = std::env::current_exe().unwrap();
        let dir = tempfile::tempdir_in(own.parent().unwrap()).unwrap();
        let program = dir.path().join("petit");
        std::fs::hard_link(own, &program).unwrap();
        std::fs::write(dir.path().join("app"), "").unwrap();
        let folder = Folder::of(&dir.path().join("app").join("config.toml"));
        let trial = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"), "before": "0.0.1", "config": folder.config, "worked": [],
            "within_seconds": 120, "step": "trying",
        });
        std::fs::write(dir.path().join(".petit.trial"), trial.to_string()).unwrap();
        let (asked, _) = mpsc::channel(1);
        let links = RealLinks::new(folder.clone(), None, None, asked).of_program(&program, Means::Installer);
        Self { dir, folder, links }
    }

    /// As far as this test can go: that what would be taken over is there.
    fn start(&self) -> Result<Started, AppStartError> {
        self.folder.make()?;
        Err(AppStartError::Ended)
    }

    fn trial(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.dir.path().join(".petit.trial")).unwrap()).unwrap()
    }
}

#[test]
fn an_app_that_starts_by_itself_waits_for_its_folder_and_no_version_on_trial_is_blamed_for_that() {
    let kept = Kept::new();
    let started = start_patiently(
        || kept.start(),
        &kept.links,
        || std::fs::remove_file(kept.dir.path().join("app")).unwrap(),
    );
    assert!(matches!(started, Err(AppStartError::Ended)), "it was tried again");
    let trial = kept.trial();
    assert_eq!((&trial["excuses"], &trial["is_running"]), (&1.into(), &false.into()), "{trial}");
}

#[cfg(unix)]
#[test]
fn a_version_on_trial_that_always_blames_the_computer_has_the_one_before_put_back() {
    use std::os::unix::fs::PermissionsExt;
    let kept = Kept::new();
    let before = kept.dir.path().join("before.exe");
    std::fs::write(&before, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&before, PermissionsExt::from_mode(0o700)).unwrap();
    let mut rests = 0;
    let started = start_patiently(|| kept.start(), &kept.links, || rests += 1);
    assert!(matches!(started, Ok(Started::HandedOver)), "the installer goes on");
    let trial = kept.trial();
    assert_eq!((rests, &trial["step"], &trial["verdict"]), (5, &"going_back".into(), &"unknown".into()));
}

#[test]
fn what_no_waiting_helps_is_said_at_once() {
    let kept = Kept::new();
    let started = start_patiently(|| Err(AppStartError::NotRunning), &kept.links, || panic!("it waits"));
    assert!(matches!(started, Err(AppStartError::NotRunning)));
    assert!(kept.trial()["excuses"].is_null());
}
