//! The commands of the window: each hands its request on and returns the answer.

use std::sync::Arc;

use petit_app::bundle as bundles;
use petit_app::contract::{
    Applied, Boot, Bundle, Check, Diff, Form, FormService, Invite, Listening, LogLine, PauseFor, Prefs,
    Refused, RegisteredService, ServiceKind, Settings, Tried, Words,
};
use petit_client::config::KeyStore;
use petit_client::enrol::Existing;
use petit_host::files;
use petit_host::logs::Level;
use secrecy::SecretString;
use tauri::State;

use crate::window_state::WindowState;

/// The program's version, as people see it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

type CommandResult<T> = Result<T, Refused>;
type Given<'a> = State<'a, Arc<WindowState>>;

fn failed(why: String) -> Refused {
    Refused::new("failed", Words { what: why, todo: String::new() })
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn boot(state: Given<'_>) -> CommandResult<Boot> {
    let boot = state.app.boot(VERSION, state.take_opening());
    state.boots.send_modify(|count| *count += 1);
    Ok(boot)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn start(state: Given<'_>) -> CommandResult<()> {
    state.app.start().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn stop(state: Given<'_>) -> CommandResult<()> {
    state.app.stop().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn pause(state: Given<'_>, r#for: PauseFor) -> CommandResult<()> {
    state.app.pause(r#for).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn unlock(state: Given<'_>) -> CommandResult<()> {
    state.app.unlock().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn install_update(state: Given<'_>) -> CommandResult<()> {
    state.app.install_update().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn quit(state: Given<'_>) -> CommandResult<()> {
    state.shell.quit();
    Ok(())
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn read_invite(state: Given<'_>, text: String) -> CommandResult<Invite> {
    state.app.read_invite(&SecretString::from(text))
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn register(
    state: Given<'_>,
    text: String,
    key_store: KeyStore,
    replace: bool,
) -> CommandResult<RegisteredService> {
    let existing = if replace { Existing::Replace } else { Existing::Keep };
    state.app.register(SecretString::from(text), key_store, existing).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn choose(
    state: Given<'_>,
    share: Vec<String>,
    service: Option<FormService>,
) -> CommandResult<()> {
    state.app.choose(share, service).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn share(state: Given<'_>, name: String) -> CommandResult<()> {
    state.app.choose(vec![name], None).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn forget(state: Given<'_>, local: Option<bool>) -> CommandResult<()> {
    state.app.forget(local.unwrap_or(false)).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn listening(state: Given<'_>) -> CommandResult<Vec<Listening>> {
    Ok(state.app.listening().await)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn try_target(state: Given<'_>, target: String, kind: ServiceKind) -> CommandResult<Tried> {
    state.app.try_target(&target, kind).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn set_service(
    state: Given<'_>,
    before: Option<String>,
    service: FormService,
) -> CommandResult<()> {
    state.app.set_service(before.as_deref(), service).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn remove_service(state: Given<'_>, name: String, give_back: bool) -> CommandResult<()> {
    state.app.remove_service(&name, give_back).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn ping(state: Given<'_>, name: String) -> CommandResult<()> {
    state.app.ping(&name).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn settings(state: Given<'_>) -> CommandResult<Settings> {
    state.app.settings()
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn fill_settings(
    state: Given<'_>,
    text: String,
    form: Option<Form>,
) -> CommandResult<Settings> {
    state.app.fill_settings(&text, form.as_ref())
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn diff_settings(state: Given<'_>, text: String) -> CommandResult<Diff> {
    state.app.diff_settings(&text)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn apply_settings(state: Given<'_>, text: String) -> CommandResult<Applied> {
    state.app.apply_settings(&text).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn logs(state: Given<'_>, follow: bool) -> CommandResult<Vec<LogLine>> {
    state.app.logs(follow.then(|| state.lines.clone()))
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn log_level(state: Given<'_>, level: Level) -> CommandResult<()> {
    state.app.log_level(level).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn doctor(state: Given<'_>) -> CommandResult<Vec<Check>> {
    Ok(state.app.doctor().await)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn bundle(state: Given<'_>) -> CommandResult<Bundle> {
    Ok(state.app.bundle(VERSION).await)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn save_bundle(state: Given<'_>) -> CommandResult<Option<String>> {
    let bundle = state.app.bundle(VERSION).await;
    let Some(path) = state.shell.ask_where(bundle.name.clone()).await else { return Ok(None) };
    let written = files::write_private(&path, &bundles::zip(&bundle));
    written.map_err(|error| failed(petit_host::cli::chain(&error)))?;
    Ok(Some(path.display().to_string()))
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn set_prefs(state: Given<'_>, prefs: Prefs) -> CommandResult<Boot> {
    state.app.set_prefs(prefs).await?;
    Ok(state.app.boot(VERSION, petit_app::contract::Opening::default()))
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn copy(state: Given<'_>, text: String) -> CommandResult<()> {
    state.shell.copy(text);
    Ok(())
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn show(state: Given<'_>, what: String, name: Option<String>) -> CommandResult<()> {
    let place = state.app.place(&what, name.as_deref())?;
    state.shell.open(&place).map_err(failed)
}

/// Every command, for the builder. Keep in step with `command_names.rs`; a test compares both with the contract.
pub(crate) fn all<R: tauri::Runtime>() -> impl Fn(tauri::ipc::Invoke<R>) -> bool + Send + Sync + 'static {
    tauri::generate_handler![
        apply_settings,
        boot,
        bundle,
        choose,
        copy,
        diff_settings,
        doctor,
        fill_settings,
        forget,
        install_update,
        listening,
        log_level,
        logs,
        pause,
        ping,
        quit,
        read_invite,
        register,
        remove_service,
        save_bundle,
        set_prefs,
        set_service,
        settings,
        share,
        show,
        start,
        stop,
        try_target,
        unlock
    ]
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
