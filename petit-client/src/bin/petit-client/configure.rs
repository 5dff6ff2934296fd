//! `init`, `config`, `service`: the config file and what stands in it. What `config show` says is in `settings`.

use std::fmt::Display;
use std::process::Command;
use std::time::Duration;

use petit_client::api::{Listed, LocalError, Removed, Shared};
use petit_client::config::change::{self, ChangeError};
use petit_client::config::edit::{self, EditError, NewService};
use petit_client::config::proxy::ProxySetting;
use petit_client::config::{self, Config, ConfigError};
use petit_client::consent::Withheld;
use petit_client::messages::{self, Advice};
use petit_client::registration;
use petit_client::status::{Broken, BrokenAt, Connection, ServiceStatus, Status};
use petit_engine::name::ServiceName;
use petit_engine::proto::control::Kept;
use petit_host::cli::{Failure, table};
use petit_host::config::Mistakes;
use petit_host::control::client::CallError;
use petit_host::exit::ExitCode;
use petit_host::files;
use serde_json::{Value, json};

use super::beginning::{config_failure, lock, not_registered};
use super::context::Context;
use super::inspect;

/// How long the server may take to say what it makes of a change.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Makes a config file, or adds the client's part to one that has none.
pub(crate) fn init(context: &Context) -> Result<(), Failure> {
    let path = &context.folder.config;
    let before = std::fs::read_to_string(path).ok();
    make(context)?;
    let after = std::fs::read_to_string(path).ok();
    let made = before != after;
    let text = if made {
        context.texts.format("cli.init.made", &[("path", &path.display())])
    } else {
        context.texts.format("cli.init.there", &[("path", &path.display())])
    };
    context.say(&text, &json!({ "config": path, "made": made }));
    Ok(())
}

fn make(context: &Context) -> Result<(), Failure> {
    let path = &context.folder.config;
    context.folder.make().map_err(|error| Failure::of(&error))?;
    let text = match std::fs::read_to_string(path) {
        Ok(text) if text.contains("[client") => return Ok(()),
        // The server's part stays as it is.
        Ok(text) => petit_host::config::with_part(&text, &config::template()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => config::template(),
        Err(error) => return Err(Failure::of(&error)),
    };
    files::write_keeping_rights(path, text.as_bytes()).map_err(|error| Failure::of(&error))
}

/// The config, made first when there is none.
pub(crate) fn load_or_make(context: &Context) -> Result<Config, Failure> {
    make(context)?;
    load(context)
}

pub(crate) fn load(context: &Context) -> Result<Config, Failure> {
    config::load(&context.folder.config)
        .map(|(config, _)| config)
        .map_err(|error| config_failure(context, &error))
}

pub(crate) fn check(context: &Context) -> Result<(), Failure> {
    let path = &context.folder.config;
    let (config, notes) = config::load(path).map_err(|error| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        all_mistakes(context, &text, &error)
    })?;
    context.folder.check_readable().map_err(|error| Failure::of(&error))?;
    let texts = &context.texts;
    let mut text = texts.format("cli.config.fine", &[("path", &path.display())]);
    for note in &notes {
        let values: [(&str, &dyn Display); 2] = [("line", &note.line), ("text", &note.message)];
        text.push_str(&format!("\n{}", texts.format("cli.note.line", &values)));
    }
    let known = registration::load(&context.folder).ok().flatten();
    if config.services.is_empty() {
        let add = messages::add_service(known.as_ref().map(|known| &known.service));
        text.push_str(&format!("\n{}", texts.format("cli.config.no_service", &[("command", &add)])));
    }
    let mut notes: Vec<Value> =
        notes.iter().map(|note| json!({ "line": note.line, "message": note.message })).collect();
    let told = known.map(|known| registration::notes(&config, &known)).into_iter().flatten();
    let has_password = matches!(&config.proxy, ProxySetting::Use(proxy) if proxy.has_login());
    let everybody_reads = has_password && context.folder.is_of_service() && cfg!(unix);
    for note in told.chain(everybody_reads.then(|| texts.get("cli.config.proxy_password"))) {
        text.push_str(&format!("\n{}", texts.format("cli.note", &[("text", &note)])));
        notes.push(json!({ "message": note }));
    }
    context.say(&text, &json!({ "path": path, "fine": true, "notes": notes }));
    Ok(())
}

/// What is wrong with a text for the config file: everything, where it can be read at all. `first`: what stands in the
/// way.
fn all_mistakes(context: &Context, text: &str, first: &ConfigError) -> Failure {
    let path = &context.folder.config;
    let Some(Mistakes { found, syntax }) = Mistakes::of::<Config>(path, text, first) else {
        return config_failure(context, first);
    };
    let text = match found.as_slice() {
        [one] => one.clone(),
        many => {
            let values: [(&str, &dyn Display); 2] = [("path", &path.display()), ("n", &many.len())];
            format!("{}\n  {}", context.texts.format("cli.config.mistakes", &values), many.join("\n  "))
        }
    };
    let hint = if syntax { "cli.config.syntax.hint" } else { "problem.config.broken.cli" };
    Failure::new(ExitCode::Failed, text).hint(context.hint(hint))
}

pub(crate) fn path(context: &Context) {
    let (text, value) = context.place.shown();
    context.say(&text, &value);
}

/// Edits a copy, and puts it in place when it is right.
pub(crate) async fn edit(context: &Context) -> Result<(), Failure> {
    make(context)?;
    let path = &context.folder.config;
    let draft = path.with_extension("draft.toml");
    let before = std::fs::read(path).map_err(|error| Failure::of(&error))?;
    files::write_private(&draft, &before).map_err(|error| Failure::of(&error))?;
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|editor| !editor.is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // $EDITOR may hold options; a shell reads it as its user wrote it.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&draft).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => {
            return Err(context.failed(ExitCode::Failed, "cli.edit.editor_failed", &[("editor", &editor)]));
        }
        Err(error) => {
            let values: [(&str, &dyn Display); 2] = [("editor", &editor), ("why", &error)];
            return Err(context
                .failed(ExitCode::Failed, "cli.edit.no_editor", &values)
                .hint(context.hint("cli.edit.no_editor.hint")));
        }
    }
    let text = std::fs::read_to_string(&draft).map_err(|error| Failure::of(&error))?;
    if let Err(error) = config::parse(path, &text) {
        return Err(all_mistakes(context, &text, &error)
            .hint(context.texts.format("cli.edit.draft_kept", &[("path", &draft.display())])));
    }
    let changed = text.as_bytes() != before;
    if changed {
        let _alone = change::alone(&context.folder).await.map_err(|error| Failure::of(&error))?;
        if std::fs::read(path).map_err(|error| Failure::of(&error))? != before {
            let written = context.texts.format("cli.edit.written", &[("path", &draft.display())]);
            return Err(context.failed(ExitCode::Failed, "cli.edit.changed_meanwhile", &[]).hint(written));
        }
        change::put(&context.folder, &text).map_err(|error| Failure::of(&error))?;
    }
    files::remove(&draft).map_err(|error| Failure::of(&error))?;
    let text = context.texts.get(if changed { "cli.edit.done" } else { "cli.edit.same" });
    context.say(&text, &json!({ "changed": changed }));
    Ok(())
}

/// Changes the config file, keeping comments and order. What comes out is checked before it is in place.
pub(crate) async fn change(
    context: &Context,
    edit: impl FnOnce(&str) -> Result<String, EditError>,
) -> Result<(), Failure> {
    change::change(&context.folder, edit).await.map_err(|error| change_failure(context, &error))
}

/// Why the config file was not changed.
pub(crate) fn change_failure(context: &Context, error: &ChangeError) -> Failure {
    match error {
        ChangeError::Config(error) => config_failure(context, error),
        ChangeError::Edit(EditError::Missing(_)) => Failure::of(error).hint(context.hint("cli.see_services")),
        ChangeError::Edit(EditError::Exists(_) | EditError::Form)
        | ChangeError::Busy(_)
        | ChangeError::Write(_) => Failure::of(error),
    }
}

/// What the original's `[client.local]` is called.
pub(crate) fn first_service(context: &Context) -> ServiceName {
    let known = registration::load(&context.folder).ok().flatten();
    known.map_or_else(ServiceName::first, |known| known.service)
}

/// The services, with where they stand when the client runs.
pub(crate) async fn list_services(context: &Context) -> Result<(), Failure> {
    let texts = &context.texts;
    if let Some(listed) = context.if_running(context.client().services().await)? {
        let Listed { services, withheld, kept } = &listed;
        let heading = ["cli.list.service", "cli.list.target", "cli.list.address", "cli.list.state"];
        let mut rows = vec![heading.map(|key| texts.get(key)).to_vec()];
        for service in services {
            rows.push(vec![
                service.name.to_string(),
                service.target.to_string(),
                service.url.as_deref().map(|url| messages::address(texts, url)).unwrap_or_default(),
                inspect::service_state(context, service),
            ]);
        }
        for Withheld { name, target, .. } in withheld {
            rows.push(vec![
                name.to_string(),
                target.to_string(),
                String::new(),
                inspect::withheld_text(context, name),
            ]);
        }
        // A service that is not shared has its row, whether an address is kept for it or not.
        let is_withheld = |name: &ServiceName| withheld.iter().any(|service| service.name == *name);
        for Kept { name, id } in kept.iter().filter(|kept| !is_withheld(&kept.name)) {
            let state = texts.format("cli.list.kept", &[("id", id)]);
            rows.push(vec![name.to_string(), "–".to_owned(), String::new(), state]);
        }
        context.say(&if rows.len() == 1 { none(context) } else { table(&rows) }, &listed);
        return Ok(());
    }
    let specs = load(context)?.specs(&first_service(context));
    let known = registration::load(&context.folder).ok().flatten();
    let is_withheld = |name: &ServiceName| known.as_ref().is_some_and(|known| known.withheld.contains(name));
    let mut rows = vec![vec![texts.get("cli.list.service"), texts.get("cli.list.target"), String::new()]];
    let state = |name: &ServiceName| {
        if is_withheld(name) { inspect::withheld_text(context, name) } else { String::new() }
    };
    rows.extend(
        specs.iter().map(|spec| vec![spec.name.to_string(), spec.target.to_string(), state(&spec.name)]),
    );
    let value: Vec<Value> = specs
        .iter()
        .map(|spec| {
            let withheld = is_withheld(&spec.name);
            json!({ "name": spec.name, "target": spec.target, "kind": spec.kind, "withheld": withheld })
        })
        .collect();
    context.say(&if specs.is_empty() { none(context) } else { table(&rows) }, &json!({ "services": value }));
    Ok(())
}

/// Lets the vendor reach a service that was withheld from it.
pub(crate) async fn share_service(context: &Context, name: &ServiceName) -> Result<(), Failure> {
    let folder = &context.folder;
    let Some(known) = registration::load(folder).map_err(|error| Failure::of(&error))? else {
        return Err(not_registered(context));
    };
    let is_there = load(context)?.specs(&known.service).iter().any(|spec| spec.name == *name);
    if !is_there {
        return Err(context
            .failed(ExitCode::Failed, "cli.share.unknown", &[("name", name)])
            .hint(context.hint("cli.see_services")));
    }
    share(context, name).await?;
    let whom = known.vendor.as_ref().map_or_else(|| known.server.to_string(), ToString::to_string);
    let text = context.texts.format("cli.share.done", &[("vendor", &whom), ("name", name)]);
    context.say(&text, &Shared { shared: name.clone() });
    Ok(())
}

/// The client that runs shares it, or the registration is changed while none does.
async fn share(context: &Context, name: &ServiceName) -> Result<(), Failure> {
    match context.client().share(name).await {
        Ok(_) => Ok(()),
        Err(LocalError::Call(CallError::NotRunning)) => {
            let _lock = lock(context)?;
            let known = registration::load(&context.folder).map_err(|error| Failure::of(&error))?;
            let Some(mut known) = known.filter(|known| known.withheld.contains(name)) else { return Ok(()) };
            known.withheld.remove(name);
            registration::save(&context.folder, &known).map_err(|error| Failure::of(&error))
        }
        Err(error) => Err(context.failure(error)),
    }
}

fn none(context: &Context) -> String {
    let known = registration::load(&context.folder).ok().flatten();
    let add = messages::add_service(known.as_ref().map(|known| &known.service));
    context.texts.format("cli.no_service", &[("command", &add)])
}

/// The service that the invite was made for, as long as none has its name and its address is not given up. `kept`: what
/// the server keeps addresses for, when it has said so.
fn left_out(context: &Context, kept: Option<&[Kept]>) -> Option<ServiceName> {
    let known = registration::load(&context.folder).ok().flatten()?;
    let invited = known.not_set_up(&load(context).ok()?)?;
    let is_given_up = kept.is_some_and(|kept| kept.iter().all(|kept| kept.name != *invited));
    (!is_given_up).then(|| invited.clone())
}

pub(crate) async fn add_service(
    context: &Context,
    name: &ServiceName,
    new: &NewService,
) -> Result<(), Failure> {
    make(context)?;
    let taken = load(context)?.specs(&first_service(context)).iter().any(|known| known.name == *name);
    if taken {
        return Err(context
            .failed(ExitCode::Failed, "cli.add.taken", &[("name", name)])
            .hint(context.hint("cli.add.taken.hint")));
    }
    change(context, |text| edit::add_service(text, new)).await?;
    // One of this name may have been withheld and taken out while no client ran: this one is meant for the vendor.
    let withheld = registration::load(&context.folder).ok().flatten().map(|known| known.withheld);
    if withheld.is_some_and(|withheld| withheld.contains(name)) {
        share(context, name).await?;
    }
    let became = match tell_running(context).await {
        true => granted(context, name).await,
        false => None,
    };
    let texts = &context.texts;
    let added = texts.format("cli.add.done", &[("name", name), ("target", &new.target)]);
    let (url, next) = match &became {
        None => (None, texts.get("cli.add.later")),
        Some((ServiceStatus { broken: Some(Broken { at: at @ BrokenAt::Server(_), .. }), .. }, kept)) => {
            let Advice { what, todo } = messages::broken(*at, &new.target).advice(texts);
            let hint = if kept.is_empty() {
                todo
            } else {
                format!("{todo}\n  {}", inspect::kept_text(context, kept))
            };
            let values: [(&str, &dyn Display); 2] = [("name", name), ("why", &what)];
            return Err(context.failed(ExitCode::Refused, "cli.add.refused", &values).hint(hint));
        }
        Some((service, _)) => {
            let url = service.url.clone();
            let said = match &url {
                Some(url) => texts.format("cli.add.now.at", &[("url", &messages::address(texts, url))]),
                None => texts.get("cli.add.now"),
            };
            (url, said)
        }
    };
    let left_out = left_out(context, became.as_ref().map(|(_, kept)| kept.as_slice()));
    let value = json!({
        "name": name,
        "target": new.target,
        "kind": new.kind,
        "url": url,
        "not_set_up": left_out,
    });
    let note = left_out.map_or_else(String::new, |invited| {
        let add = messages::add_service(Some(&invited));
        let values: [(&str, &dyn Display); 2] = [("name", &invited), ("command", &add)];
        format!("\n{}", texts.format("cli.add.left_out", &values))
    });
    context.say(&format!("{added} {next}{note}"), &value);
    Ok(())
}

/// What the server has made of a service, with what else it keeps; `None` when that does not turn out soon.
async fn granted(context: &Context, name: &ServiceName) -> Option<(ServiceStatus, Vec<Kept>)> {
    let is_settled = |service: &ServiceStatus| {
        let at = service.broken.as_ref().map(|broken| broken.at);
        service.name == *name && (service.url.is_some() || matches!(at, Some(BrokenAt::Server(_))))
    };
    let status = until(context, |status| status.services.iter().any(is_settled)).await?;
    let service = status.services.into_iter().find(is_settled)?;
    Some((service, status.kept))
}

/// The status of the running client once it is as wanted; `None` when it is not connected, or that takes too long.
async fn until(context: &Context, is_it: impl Fn(&Status) -> bool) -> Option<Status> {
    let mut statuses = context.client().statuses().await.ok()?;
    let found = async {
        loop {
            let status = statuses.next().await.ok()??;
            if !matches!(status.connection, Connection::Online { .. }) {
                return None;
            }
            if is_it(&status) {
                return Some(status);
            }
        }
    };
    tokio::time::timeout(ANSWER_LIMIT, found).await.ok().flatten()
}

pub(crate) async fn remove_service(context: &Context, name: &ServiceName) -> Result<(), Failure> {
    let has_address = listed(context).await.is_some_and(|listed| {
        listed.services.iter().any(|service| service.name == *name && service.id.is_some())
    });
    if let Err(failure) = take_out(context, name).await {
        return Err(if is_kept(context, name).await {
            let give_up = context.texts.format("cli.remove.kept.hint", &[("name", name)]);
            context.failed(ExitCode::Failed, "cli.remove.kept", &[("name", name)]).hint(give_up)
        } else {
            failure
        });
    }
    if tell_running(context).await && has_address {
        // Whoever asks next finds the server's answer.
        let is_kept = |status: &Status| status.kept.iter().any(|kept| kept.name == *name);
        until(context, is_kept).await;
    }
    let mut text = context.texts.format("cli.remove.done", &[("name", name)]);
    if registration::load(&context.folder).is_ok_and(|known| known.is_some()) {
        text.push_str(&context.texts.format("cli.remove.address", &[("name", name)]));
    }
    context.say(&text, &Removed { removed: name.clone() });
    Ok(())
}

/// True when the server keeps an address for a service that is not offered.
async fn is_kept(context: &Context, name: &ServiceName) -> bool {
    listed(context).await.is_some_and(|listed| listed.kept.iter().any(|kept| kept.name == *name))
}

/// What the running client lists; `None` when none runs.
async fn listed(context: &Context) -> Option<Listed> {
    context.client().services().await.ok()
}

/// Takes a service out of the config file.
pub(crate) async fn take_out(context: &Context, name: &ServiceName) -> Result<(), Failure> {
    let first = first_service(context);
    change(context, |text| edit::remove_service(text, name, &first)).await
}

/// Has a running client read the config at once. True when one runs.
pub(crate) async fn tell_running(context: &Context) -> bool {
    context.client().reload().await.is_ok()
}
