//! Notifications as toasts of Windows, by the AppUserModelID that the installer writes down.
//!
//! What Windows is asked may take its time, so it is asked on a thread of its own, with a limit. A Windows that shows none
//! (a server's, or one whose user has switched them off) is no fault: icon and tooltip say the same.

use std::time::Duration;

use ::windows::Data::Xml::Dom::XmlDocument;
use ::windows::Foundation::TypedEventHandler;
use ::windows::UI::Notifications::{ToastNotification, ToastNotificationManager};
use ::windows::core::{Error, HSTRING};
use petit_app::contract::Opening;
use petit_app::notes::Note;
use tokio::sync::mpsc;

use super::toast;
use crate::ui_thread::{Message, UiThread};

/// A Windows that takes longer is not asked again.
const LIMIT: Duration = Duration::from_secs(5);
/// A later toast of this name takes the place of the one before: what counts is how it stands now.
const TAG: &str = "state";

pub(super) async fn run(mut notes: mpsc::Receiver<Note>, ui_thread: UiThread) {
    // Its click reaches us for as long as it is kept.
    let mut last = None;
    let mut is_told = false;
    while let Some(note) = notes.recv().await {
        let ui_thread = ui_thread.clone();
        let showing = tokio::task::spawn_blocking(move || show(&note, ui_thread));
        let why = match tokio::time::timeout(LIMIT, showing).await {
            Ok(Ok(Ok(shown))) => {
                last = Some(shown);
                is_told = false;
                continue;
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                tracing::info!(
                    "Windows did not answer whether it shows a notification, and is not asked again"
                );
                break;
            }
        };
        if !std::mem::replace(&mut is_told, true) {
            tracing::info!(error = why, "this Windows shows no notifications");
        }
    }
    while notes.recv().await.is_some() {}
    drop(last);
}

fn show(note: &Note, ui_thread: UiThread) -> Result<ToastNotification, Error> {
    let content = XmlDocument::new()?;
    content.LoadXml(&HSTRING::from(toast::xml(note)))?;
    let toast = ToastNotification::CreateToastNotification(&content)?;
    toast.SetTag(&HSTRING::from(TAG))?;
    let page = note.page;
    toast.Activated(&TypedEventHandler::new(move |_, _| {
        ui_thread.send(Message::Show(Opening { page, invite: None }, None));
        Ok(())
    }))?;
    let app = HSTRING::from(petit_host::brand::here().app_id());
    ToastNotificationManager::CreateToastNotifierWithId(&app)?.Show(&toast)?;
    Ok(toast)
}
