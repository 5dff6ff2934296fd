//! The commands of the window: each hands its request on and returns the answer.

use std::sync::Arc;

use petit_client::app::contract::{
    Applied, Boot, Bundle, Check, Diff, Form, FormService, Invite, Listening, LogLine, PauseFor, Prefs,
    Refused, RegisteredService, ServiceKind, Settings, Tried, Words,
};
use petit_client::bundle as bundles;
use petit_client::config::KeyStore;
use petit_client::enrol::Existing;
use petit_host::files;
use petit_host::logs::Level;
use secrecy::SecretString;
use tauri::State;

use crate::desk::Desk;

/// The program's version, as people see it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

type CommandResult<T> = Result<T, Refused>;
type Given<'a> = State<'a, Arc<Desk>>;

fn failed(why: String) -> Refused {
    Refused::new("failed", Words { what: why, todo: String::new() })
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn boot(desk: Given<'_>) -> CommandResult<Boot> {
    let boot = desk.app.boot(VERSION, desk.take_opening());
    desk.boots.send_modify(|count| *count += 1);
    Ok(boot)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn start(desk: Given<'_>) -> CommandResult<()> {
    desk.app.start().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn stop(desk: Given<'_>) -> CommandResult<()> {
    desk.app.stop().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn pause(desk: Given<'_>, r#for: PauseFor) -> CommandResult<()> {
    desk.app.pause(r#for).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn unlock(desk: Given<'_>) -> CommandResult<()> {
    desk.app.unlock().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn quit(desk: Given<'_>) -> CommandResult<()> {
    desk.shell.quit();
    Ok(())
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn read_invite(desk: Given<'_>, text: String) -> CommandResult<Invite> {
    desk.app.read_invite(&SecretString::from(text))
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn register(
    desk: Given<'_>,
    text: String,
    key_store: KeyStore,
    replace: bool,
) -> CommandResult<RegisteredService> {
    let existing = if replace { Existing::Replace } else { Existing::Keep };
    desk.app.register(SecretString::from(text), key_store, existing).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn choose(
    desk: Given<'_>,
    share: Vec<String>,
    service: Option<FormService>,
) -> CommandResult<()> {
    desk.app.choose(share, service).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn share(desk: Given<'_>, name: String) -> CommandResult<()> {
    desk.app.choose(vec![name], None).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn forget(desk: Given<'_>, local: Option<bool>) -> CommandResult<()> {
    desk.app.forget(local.unwrap_or(false)).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn listening(desk: Given<'_>) -> CommandResult<Vec<Listening>> {
    Ok(desk.app.listening().await)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn try_target(desk: Given<'_>, target: String, kind: ServiceKind) -> CommandResult<Tried> {
    desk.app.try_target(&target, kind).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn set_service(
    desk: Given<'_>,
    before: Option<String>,
    service: FormService,
) -> CommandResult<()> {
    desk.app.set_service(before.as_deref(), service).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn remove_service(desk: Given<'_>, name: String, give_back: bool) -> CommandResult<()> {
    desk.app.remove_service(&name, give_back).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn ping(desk: Given<'_>, name: String) -> CommandResult<()> {
    desk.app.ping(&name).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn settings(desk: Given<'_>) -> CommandResult<Settings> {
    desk.app.settings()
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn fill_settings(
    desk: Given<'_>,
    text: String,
    form: Option<Form>,
) -> CommandResult<Settings> {
    desk.app.fill_settings(&text, form.as_ref())
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn diff_settings(desk: Given<'_>, text: String) -> CommandResult<Diff> {
    desk.app.diff_settings(&text)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn apply_settings(desk: Given<'_>, text: String) -> CommandResult<Applied> {
    desk.app.apply_settings(&text).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn logs(desk: Given<'_>, follow: bool) -> CommandResult<Vec<LogLine>> {
    desk.app.logs(follow.then(|| desk.lines.clone()))
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn log_level(desk: Given<'_>, level: Level) -> CommandResult<()> {
    desk.app.log_level(level).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn doctor(desk: Given<'_>) -> CommandResult<Vec<Check>> {
    Ok(desk.app.doctor().await)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn bundle(desk: Given<'_>) -> CommandResult<Bundle> {
    Ok(desk.app.bundle(VERSION).await)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn save_bundle(desk: Given<'_>) -> CommandResult<Option<String>> {
    let bundle = desk.app.bundle(VERSION).await;
    let Some(path) = desk.shell.ask_where(bundle.name.clone()).await else { return Ok(None) };
    let written = files::write_private(&path, &bundles::zip(&bundle));
    written.map_err(|error| failed(petit_host::cli::chain(&error)))?;
    Ok(Some(path.display().to_string()))
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn set_prefs(desk: Given<'_>, prefs: Prefs) -> CommandResult<Boot> {
    desk.app.set_prefs(prefs).await?;
    Ok(desk.app.boot(VERSION, petit_client::app::contract::Opening::default()))
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn copy(desk: Given<'_>, text: String) -> CommandResult<()> {
    desk.shell.copy(text);
    Ok(())
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn show(desk: Given<'_>, what: String, name: Option<String>) -> CommandResult<()> {
    let place = desk.app.place(&what, name.as_deref())?;
    desk.shell.open(&place).map_err(failed)
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
