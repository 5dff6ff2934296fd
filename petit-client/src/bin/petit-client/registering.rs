//! `register`, `unregister`, `evict`: what changes who this computer is.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use petit_client::client::{Client, UnregisterError};
use petit_client::config::edit::{self, NewService};
use petit_client::config::{self, Config, KeyStore};
use petit_client::doctor;
use petit_client::enrol::{self, RegisterError};
use petit_client::messages::{self, Words};
use petit_client::registration::{self, Registration};
use petit_client::status::{Connection, Status};
use petit_engine::agent::{ServiceSpec, connect};
use petit_engine::invite::Invite;
use petit_engine::name::{RegisteredId, ServerAddr, ServiceName};
use petit_engine::proto::control::ServiceKind;
use petit_host::cli::{Failure, ago};
use petit_host::control::client::Client as Caller;
use petit_host::control::percent_encode;
use petit_host::exit::ExitCode;
use secrecy::SecretString;
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use super::configure;
use super::life::{config_failure, lock};

/// What `register` was asked.
pub(crate) struct Wish<'a> {
    pub(crate) invite_file: Option<&'a Path>,
    pub(crate) service: Option<&'a ServerAddr>,
    pub(crate) tcp: bool,
    pub(crate) key_store: Option<KeyStore>,
}

/// From an invite to a registration, with everything that the customer should see before.
pub(crate) async fn register(context: &Context, wish: &Wish<'_>) -> Result<(), Failure> {
    let folder = &context.folder;
    folder.make().map_err(|error| Failure::of(&error))?;
    if is_unregistered(context).await {
        return through_running(context, wish).await;
    }
    let _lock = lock(folder)?;
    let config = configure::load_or_make(context)?;
    if let Some(registration) = registration::load(folder).map_err(|error| Failure::of(&error))? {
        return Err(register_failure(&RegisterError::Registered(Box::new(registration))));
    }
    let invite = read_invite(wish.invite_file)?;
    let invite = Invite::parse(&invite).map_err(|error| {
        Failure::new(ExitCode::Failed, error.to_string())
            .hint("copy the whole link, from https to its last character")
    })?;
    let talk = io::stdin().is_terminal() && !context.json && wish.invite_file.is_none();
    if talk {
        let mut out = io::stdout();
        let left = invite.not_after.duration_since(SystemTime::now()).map(ago);
        let _ = writeln!(out, "Server     {}", invite.server);
        for pin in invite.pins.iter().take(1) {
            let _ = writeln!(out, "Its key    {pin}");
        }
        let _ = writeln!(
            out,
            "Valid      {}",
            left.map_or_else(
                |_| "no longer, by this computer's clock".to_owned(),
                |left| format!("for another {left}")
            )
        );
    }
    let key_store = wish.key_store.unwrap_or(config.key_store);
    let (registration, registered) = enrol::register(folder, &config, &invite, key_store)
        .await
        .map_err(|error| register_failure(&error))?;
    if key_store != config.key_store {
        configure::change(context, |text| edit::set(text, "key_store", &key_store.to_string())).await?;
    }
    let target = service_target(context, wish, &config, &registration, talk)?;
    if let Some(target) = &target {
        let new = NewService::plain(&registration.service, target, if wish.tcp { "tcp" } else { "http" });
        configure::change(context, |text| edit::add_service(text, &new)).await?;
        let spec = ServiceSpec::plain(registration.service.clone(), ServiceKind::Tcp, target.clone());
        if talk && let Err(cause) = connect(&spec).await {
            println!(
                "Note: {target}: {} at the moment; Petit will find it when it is there.",
                messages::service(cause).what
            );
        }
    }
    let mut text = format!(
        "Registered with {} as {}.\nService {:?} will be reachable at {}\n",
        registration.server,
        registration.device,
        registration.service.as_str(),
        registered.url
    );
    let configured = config.specs(&registration.service).iter().any(|spec| spec.name == registration.service);
    if target.is_none() && !configured {
        text.push_str(&format!(
            "Say where it is with: petit-client service add {} HOST:PORT\n",
            registration.service
        ));
    }
    text.push_str("Next: petit-client start");
    let value = json!({
        "server": registration.server,
        "device": registration.device,
        "service": registration.service,
        "id": registered.id,
        "url": registered.url,
        "key_store": registration.key_store,
    });
    context.say(&text, &value);
    Ok(())
}

/// True when a client runs that is not registered: the tray app, which then registers itself.
async fn is_unregistered(context: &Context) -> bool {
    let status = context.call("GET", "/status", None).await.ok();
    let state = status.as_ref().and_then(|status| status.pointer("/connection/state"));
    state.and_then(serde_json::Value::as_str) == Some("unregistered")
}

/// Has the running client register, and adds the service to its config.
async fn through_running(context: &Context, wish: &Wish<'_>) -> Result<(), Failure> {
    let config = configure::load_or_make(context)?;
    let invite = read_invite(wish.invite_file)?;
    let key_store = wish.key_store.unwrap_or(config.key_store);
    let body = json!({ "invite": secrecy::ExposeSecret::expose_secret(&invite), "key_store": key_store });
    let value = context.call("POST", "/register", Some(body)).await?;
    let text = |name: &str| value.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    if key_store != config.key_store {
        configure::change(context, |text| edit::set(text, "key_store", &key_store.to_string())).await?;
    }
    let name: Option<ServiceName> = text("service").parse().ok();
    if let (Some(target), Some(name)) = (wish.service, name)
        && !config.specs(&name).iter().any(|spec| spec.name == name)
    {
        let new = NewService::plain(&name, target, if wish.tcp { "tcp" } else { "http" });
        configure::change(context, |text| edit::add_service(text, &new)).await?;
        configure::tell_running(context).await;
    }
    let said = format!(
        "Registered with {} as {}, by the tray app that runs.\nService {:?} is reachable at {}",
        text("server"),
        text("device"),
        text("service"),
        text("url")
    );
    context.say(&said, &value);
    Ok(())
}

/// Where the invite's service is, when that has to be written down: said on the command line, or asked for.
fn service_target(
    context: &Context,
    wish: &Wish<'_>,
    config: &Config,
    registration: &Registration,
    talk: bool,
) -> Result<Option<ServerAddr>, Failure> {
    let known =
        config.specs(&registration.service).into_iter().find(|spec| spec.name == registration.service);
    match (wish.service, known) {
        (Some(_), Some(known)) => Err(Failure::new(
            ExitCode::Failed,
            format!(
                "registered, but {} has a service {:?} at {} already; it was left as it is",
                context.folder.config.display(),
                known.name.as_str(),
                known.target
            ),
        )
        .hint("change it with: petit-client config edit")),
        (Some(target), None) => Ok(Some(target.clone())),
        (None, Some(_)) => Ok(None),
        (None, None) if talk => {
            loop {
                print!(
                    "Where is the service {:?} (host:port, such as localhost:3000)? ",
                    registration.service.as_str()
                );
                let _ = io::stdout().flush();
                let mut line = String::new();
                if io::stdin().read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    return Ok(None);
                }
                let text = line.trim();
                // A port alone is a service on this computer.
                let text =
                    if text.parse::<u16>().is_ok() { format!("localhost:{text}") } else { text.to_owned() };
                match config::target(&text) {
                    Ok(target) => return Ok(Some(target)),
                    Err(error) => println!("{error}"),
                }
            }
        }
        (None, None) => Ok(None),
    }
}

fn read_invite(file: Option<&Path>) -> Result<SecretString, Failure> {
    const MOST: u64 = 16 * 1024;
    let cannot =
        |error: io::Error| Failure::new(ExitCode::Failed, format!("cannot read the invite: {error}"));
    let mut text = Zeroizing::new(String::new());
    match file {
        Some(path) if path != Path::new("-") => {
            let file = std::fs::File::open(path).map_err(|error| {
                Failure::new(
                    ExitCode::Failed,
                    format!("cannot read the invite from {}: {error}", path.display()),
                )
            })?;
            file.take(MOST).read_to_string(&mut text).map_err(cannot)?;
        }
        None if io::stdin().is_terminal() => {
            let typed = rpassword::prompt_password("Paste the invite (it is not shown): ").map_err(cannot)?;
            text = Zeroizing::new(typed);
        }
        _ => {
            io::stdin().take(MOST).read_to_string(&mut text).map_err(cannot)?;
        }
    }
    Ok(SecretString::from(std::mem::take(&mut *text)))
}

fn register_failure(error: &RegisterError) -> Failure {
    let Words { what, todo } = messages::register(error);
    let exit = match error {
        RegisterError::Enrol(petit_engine::agent::EnrolError::Refused { .. }) => ExitCode::Refused,
        _ => ExitCode::Failed,
    };
    let failure = Failure::new(exit, what);
    if todo.is_empty() { failure } else { failure.hint(todo) }
}

/// Gives the whole registration back.
pub(crate) async fn unregister(context: &Context, local: bool, yes: bool) -> Result<(), Failure> {
    let folder = &context.folder;
    let known = registration::load(folder).map_err(|error| Failure::of(&error))?;
    let pending = registration::load_pending(folder).map_err(|error| Failure::of(&error))?;
    let Some(server) =
        known.as_ref().map(|known| known.server.to_string()).or(pending.map(|_| "a server".to_owned()))
    else {
        return Err(not_registered());
    };
    if !yes && io::stdin().is_terminal() && !context.json {
        print!(
            "This gives up the registration with {server} and its public addresses for good. Type yes to go on: "
        );
        let _ = io::stdout().flush();
        let mut line = String::new();
        let _ = io::stdin().read_line(&mut line);
        if line.trim() != "yes" {
            return Err(Failure::new(ExitCode::Failed, "nothing was changed"));
        }
    }
    if local {
        let _lock = lock(folder)?;
        enrol::forget(folder).await.map_err(|error| register_failure(&error))?;
        let text = format!(
            "This computer has forgotten its registration. {server} was not told; its operator can revoke it."
        );
        context.say(&text, &json!({ "unregistered": true, "server_told": false }));
        return Ok(());
    }
    if known.is_none() {
        return Err(Failure::new(ExitCode::NotRegistered, "the registration was begun but not finished")
            .hint(
                "finish it with: petit-client register; or forget it with: petit-client unregister --local",
            ));
    }
    match Caller::new(&folder.socket()).call("POST", "/unregister", None).await {
        Ok(_) => {
            // A client without a registration has nothing to do; it is ended with it.
            let _ = context.call("POST", "/stop", None).await;
        }
        Err(petit_host::control::client::CallError::NotRunning) => without_running(context).await?,
        Err(error) => {
            return Err(Failure::of_call(error, super::PROGRAM)
                .hint("to forget it here all the same: petit-client unregister --local"));
        }
    }
    context.say(
        &format!("The registration with {server} was given back."),
        &json!({ "unregistered": true, "server_told": true }),
    );
    Ok(())
}

/// Goes online for as long as it takes to give the registration back.
async fn without_running(context: &Context) -> Result<(), Failure> {
    let client = online(context).await?;
    let result = client.unregister().await;
    client.stop().await;
    result.map_err(|error| match error {
        UnregisterError::NotRegistered => not_registered(),
        other => Failure::of(&other).hint("to forget it here all the same: petit-client unregister --local"),
    })
}

/// A client in this process, once it is connected.
async fn online(context: &Context) -> Result<Client, Failure> {
    let folder = context.folder.clone();
    let lock = lock(&folder)?;
    let (config, _) = config::load(&folder.config).map_err(|error| config_failure(&error))?;
    let client = Client::start(folder, config, lock, None).await.map_err(|error| {
        let Words { what, todo } = messages::start(&error);
        Failure::new(ExitCode::Failed, what).hint(todo)
    })?;
    let mut statuses = client.statuses();
    let mut last = Connection::Connecting;
    let arrived = async {
        loop {
            let status: Option<Status> = serde_json::from_value(statuses.borrow_and_update().clone()).ok();
            match status.map(|status| status.connection) {
                Some(Connection::Online { .. }) => return true,
                Some(stopped @ Connection::Stopped { .. }) => {
                    last = stopped;
                    return false;
                }
                Some(other) => last = other,
                None => {}
            }
            if statuses.changed().await.is_err() {
                return false;
            }
        }
    };
    let arrived = tokio::time::timeout(Duration::from_secs(15), arrived).await;
    if arrived == Ok(true) {
        return Ok(client);
    }
    client.stop().await;
    let exit = if matches!(last, Connection::Stopped { .. }) { ExitCode::Refused } else { ExitCode::Failed };
    Err(Failure::new(exit, format!("the server was not reached: {}", messages::connection(&last)))
        .hint("look with: petit-client doctor; to forget the registration here all the same: petit-client unregister --local"))
}

/// Gives one service's public address back. While it is in the config it gets a new one.
pub(crate) async fn give_back(
    context: &Context,
    name: Option<&ServiceName>,
    id: Option<&RegisteredId>,
) -> Result<(), Failure> {
    let name = service_named(context, name, id).await?;
    free_address(context, &name).await?;
    let text = format!(
        "The public address of {:?} was given back. If it is still offered, it has a new one: petit-client status",
        name.as_str()
    );
    context.say(&text, &json!({ "removed": name }));
    Ok(())
}

async fn free_address(context: &Context, name: &ServiceName) -> Result<(), Failure> {
    let target = format!("/services/{}/remove", percent_encode(name.as_str()));
    context.call("POST", &target, None).await.map(drop)
}

/// Removes a service and gives its address back.
pub(crate) async fn evict(
    context: &Context,
    name: Option<&ServiceName>,
    id: Option<&RegisteredId>,
) -> Result<(), Failure> {
    let name = service_named(context, name, id).await?;
    // Asked for first, so that nothing is half done when the client does not run.
    context.call("GET", "/status", None).await?;
    configure::take_out(context, &name).await?;
    configure::tell_running(context).await;
    free_address(context, &name).await?;
    let text = format!("{:?} is no longer offered, and its public address was given back.", name.as_str());
    context.say(&text, &json!({ "evicted": name }));
    Ok(())
}

async fn service_named(
    context: &Context,
    name: Option<&ServiceName>,
    id: Option<&RegisteredId>,
) -> Result<ServiceName, Failure> {
    if let Some(name) = name {
        return Ok(name.clone());
    }
    let value = context.call("GET", "/status", None).await?;
    let status: Status = serde_json::from_value(value).map_err(|error| Failure::of(&error))?;
    let found = status.services.into_iter().find(|service| service.id.as_ref() == id);
    found.map(|service| service.name).ok_or_else(|| {
        Failure::new(ExitCode::Failed, "no service of this computer has that registered ID")
            .hint("see them with: petit-client service list")
    })
}

fn not_registered() -> Failure {
    Failure::new(ExitCode::NotRegistered, "this computer is not registered")
        .hint("register it with: petit-client register")
}

/// The checks, for callers that have them already.
pub(crate) fn all_good(checks: &[doctor::Check]) -> bool {
    checks.iter().all(|check| check.result == doctor::CheckResult::Good)
}
