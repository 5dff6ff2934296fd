//! `petit smoke-test`: everything once, on a real desktop. The only test that a runner without the tools of the
//! others needs. It works on the config that it is given and leaves the settings as they were.

use std::sync::Arc;
use std::time::Duration;

use petit_client::app::contract::Opening;
use petit_client::bundle;
use petit_host::exit::ExitCode;

use crate::commands::VERSION;
use crate::desk::Desk;
use crate::front::{Front, Message};

/// How long the page may take to begin; the first start of a web view on a slow machine takes seconds.
const PAGE_LIMIT: Duration = Duration::from_secs(40);

pub(crate) async fn run(desk: Arc<Desk>, front: Front) -> ExitCode {
    match steps(&desk, &front).await {
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

async fn steps(desk: &Arc<Desk>, front: &Front) -> Result<(), String> {
    let say = |step: &str| petit_host::cli::print(&format!("smoke test: {step}\n"));
    let mut boots = desk.boots.subscribe();
    for step in ["the window opens and its page begins", "and again after it was closed"] {
        boots.mark_unchanged();
        front.send(Message::Show(Opening::default(), None));
        let begun = tokio::time::timeout(PAGE_LIMIT, boots.changed()).await;
        begun.map_err(|_| "the page did not begin".to_owned())?.map_err(|error| error.to_string())?;
        say(step);
        front.send(Message::Close);
    }
    let made = desk.app.bundle(VERSION).await;
    if made.files.is_empty() || bundle::zip(&made).is_empty() {
        return Err("the diagnostics are empty".to_owned());
    }
    say("the diagnostics can be exported");
    let settings = desk.app.settings().map_err(|refused| refused.words.what)?;
    let changed = format!("{}\n# smoke test\n", settings.text.trim_end());
    for text in [&changed, &settings.text] {
        let applied = desk.app.apply_settings(text).await.map_err(|refused| refused.words.what)?;
        if !applied.done {
            return Err(applied.words.what);
        }
    }
    say("settings are applied, and put back");
    Ok(())
}
