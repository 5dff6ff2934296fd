//! `petit smoke-test`: everything once, on a real desktop. The only test that a runner without the tools of the
//! others needs. It works on the config that it is given and leaves the settings as they were.

use std::sync::Arc;
use std::time::Duration;

use petit_app::bundle;
use petit_app::contract::Opening;
use petit_host::exit::ExitCode;

use crate::commands::VERSION;
use crate::ui_thread::{Message, UiThread};
use crate::window_state::WindowState;

/// How long the page may take to begin; the first start of a web view on a slow machine takes seconds.
const PAGE_LIMIT: Duration = Duration::from_secs(40);

pub(crate) async fn run(state: Arc<WindowState>, ui_thread: UiThread) -> ExitCode {
    match steps(&state, &ui_thread).await {
        Ok(()) => {
            petit_host::cli::print("smoke test: all is well\n");
            ExitCode::Ok
        }
        Err(problem) => {
            petit_host::cli::print(&format!("smoke test: {problem}\n"));
            ExitCode::Failed
        }
    }
}

async fn steps(state: &Arc<WindowState>, ui_thread: &UiThread) -> Result<(), String> {
    let say = |step: &str| petit_host::cli::print(&format!("smoke test: {step}\n"));
    let mut boots = state.boots.subscribe();
    for step in ["the window opens and its page begins", "and again after it was closed"] {
        boots.mark_unchanged();
        ui_thread.send(Message::Show(Opening::default(), None));
        let begun = tokio::time::timeout(PAGE_LIMIT, boots.changed()).await;
        begun.map_err(|_| "the page did not begin".to_owned())?.map_err(|error| error.to_string())?;
        say(step);
        ui_thread.send(Message::Close);
    }
    let made = state.app.bundle(VERSION).await;
    if made.files.is_empty() || bundle::zip(&made).is_empty() {
        return Err("the diagnostics are empty".to_owned());
    }
    say("the diagnostics can be exported");
    let settings = state.app.settings().map_err(|refused| refused.words.what)?;
    let changed = format!("{}\n# smoke test\n", settings.text.trim_end());
    for text in [&changed, &settings.text] {
        let applied = state.app.apply_settings(text).await.map_err(|refused| refused.words.what)?;
        if !applied.done {
            return Err(applied.words.what);
        }
    }
    say("settings are applied, and put back");
    Ok(())
}
