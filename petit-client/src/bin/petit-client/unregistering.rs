//! `unregister`, `evict`: what gives a registration, or a public address, up for good.

use std::fmt::Display;
use std::time::Duration;

use petit_client::api::{LocalError, Removed, UnregisterRequest, Unregistered};
use petit_client::client::{Client, UnregisterError};
use petit_client::enrol;
use petit_client::messages;
use petit_client::status::Connection;
use petit_client::{config, registration};
use petit_engine::cause::Cause;
use petit_engine::name::{RegisteredId, ServiceName};
use petit_host::cli::{self, Failure};
use petit_host::control::client::CallError;
use petit_host::exit::ExitCode;
use petit_host::terminal::Ask;
use serde_json::json;

use super::asking::ask;
use super::beginning::{config_failure, lock, not_registered, start_failure};
use super::configure;
use super::context::Context;
use super::registering::register_failure;

/// How long a client that has nothing to do any more may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);
/// What is gone for good is asked about first; where nobody can be asked, it has to be said beforehand.
fn confirm(context: &Context, yes: bool, what: &str) -> Result<(), Failure> {
    ask(context, Ask::Always.unless(yes), what)
}

/// Gives the whole registration back.
pub(crate) async fn unregister(context: &Context, local: bool, yes: bool) -> Result<(), Failure> {
    let folder = &context.folder;
    let known = registration::load(folder).map_err(|error| Failure::of(&error))?;
    let pending = registration::load_pending(folder).map_err(|error| Failure::of(&error))?;
    let Some(server) = known
        .as_ref()
        .map(|known| known.server.to_string())
        .or(pending.map(|_| context.texts.get("cli.a_server")))
    else {
        return Err(not_registered(context));
    };
    let what = context.texts.format("cli.unregister.question", &[("server", &server)]);
    confirm(context, yes, &what)?;
    if known.is_none() && !local {
        return Err(context
            .failed(ExitCode::NotRegistered, "cli.unregister.begun", &[])
            .hint(context.hint("cli.unregister.begun.hint")));
    }
    let server_told = match context.client().unregister(UnregisterRequest { local }).await {
        Ok(done) => {
            // A client without a registration has nothing to do; it is ended with it.
            let stopped = context.client().stop().await.ok();
            if stopped.is_none_or(|stopped| !stopped.stays) {
                cli::until_free(context.json, &folder.lock(), END_LIMIT, "").await;
            }
            done.server_told
        }
        Err(LocalError::Call(CallError::NotRunning)) if local => {
            let _lock = lock(context)?;
            enrol::forget(folder).await.map_err(|error| register_failure(context, &error))?;
            false
        }
        Err(LocalError::Call(CallError::NotRunning)) => without_running(context).await?,
        Err(LocalError::Call(error)) => {
            return Err(context.call_failure(error).hint(context.hint("cli.locally")));
        }
        Err(error) => return Err(context.failure(error)),
    };
    let key = match (server_told, local) {
        (true, _) => "cli.unregister.told",
        (false, true) => "cli.unregister.local",
        (false, false) => "cli.unregister.unknown",
    };
    let text = context.texts.format(key, &[("server", &server)]);
    context.say(&text, &Unregistered { unregistered: true, server_told });
    Ok(())
}

/// Goes online for as long as it takes to give the registration back. False when the server does not know this
/// computer any more.
async fn without_running(context: &Context) -> Result<bool, Failure> {
    let (client, is_known) = online(context).await?;
    let result = client.unregister().await;
    client.stop().await;
    result.map(|()| is_known).map_err(|error| match error {
        UnregisterError::NotRegistered => not_registered(context),
        UnregisterError::Ask(error) => {
            let why = messages::asked(error).what(&context.texts);
            context
                .failed(ExitCode::Failed, "cli.unregister.not_told", &[("why", &why)])
                .hint(context.hint("cli.locally"))
        }
        other @ UnregisterError::Forget(_) => Failure::of(&other).hint(context.hint("cli.locally")),
    })
}

/// A client in this process, once it is connected or has been told that nobody knows it.
async fn online(context: &Context) -> Result<(Client, bool), Failure> {
    let folder = context.folder.clone();
    let lock = lock(context)?;
    let (config, _) = config::load(&folder.config).map_err(|error| config_failure(context, &error))?;
    let client =
        Client::start(folder, config, lock, None).await.map_err(|error| start_failure(context, &error))?;
    let mut statuses = client.statuses();
    let mut last = Connection::Connecting;
    let arrived = async {
        loop {
            last.clone_from(&statuses.borrow_and_update().connection);
            if matches!(last, Connection::Online { .. } | Connection::Stopped { .. })
                || statuses.changed().await.is_err()
            {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(15), arrived).await;
    let exit = match last {
        Connection::Online { .. } => return Ok((client, true)),
        Connection::Stopped { cause: Cause::Unknown } => return Ok((client, false)),
        Connection::Stopped { .. } => ExitCode::Refused,
        _ => ExitCode::Failed,
    };
    client.stop().await;
    let why = messages::connection(&context.texts, &last);
    let hint = format!("{}; {}", context.hint("cli.unregister.look"), context.hint("cli.locally"));
    Err(context.failed(exit, "cli.unregister.unreached", &[("why", &why)]).hint(hint))
}

/// Gives one service's public address back, and takes the service out of the config, where it would get a new one.
pub(crate) async fn give_back(
    context: &Context,
    name: Option<&ServiceName>,
    id: Option<&RegisteredId>,
    yes: bool,
) -> Result<(), Failure> {
    let found = find(context, name, id).await?;
    let name = &found.name;
    let key = if found.is_set_up { "cli.give_back.question.set_up" } else { "cli.give_back.question" };
    let what = context.texts.format(key, &[("name", name)]);
    confirm(context, yes, &what)?;
    if found.is_set_up {
        give_up(context, &found).await?;
    } else {
        free_address(context, &found.name).await?;
    }
    let key = if found.is_set_up { "cli.give_back.done.set_up" } else { "cli.give_back.done" };
    let text = context.texts.format(key, &[("name", name)]);
    context.say(&text, &Removed { removed: found.name.clone() });
    Ok(())
}

async fn free_address(context: &Context, name: &ServiceName) -> Result<(), Failure> {
    context.client().remove(name).await.map(drop).map_err(|error| context.failure(error))
}

/// Removes a service and gives its address back. As the original does, it asks on a terminal only.
pub(crate) async fn evict(
    context: &Context,
    name: Option<&ServiceName>,
    id: Option<&RegisteredId>,
    yes: bool,
) -> Result<(), Failure> {
    let found = find(context, name, id).await?;
    let name = &found.name;
    found.check_online(context)?;
    let what = context.texts.format("cli.evict.question", &[("name", name)]);
    ask(context, Ask::OnTerminal.unless(yes), &what)?;
    give_up(context, &found).await?;
    let text = context.texts.format("cli.evict.done", &[("name", name)]);
    context.say(&text, &json!({ "evicted": name }));
    Ok(())
}

/// Takes a service out of the config, where it is set up, and gives its address back.
async fn give_up(context: &Context, found: &Found) -> Result<(), Failure> {
    let name = &found.name;
    found.check_online(context)?;
    if found.is_set_up {
        configure::take_out(context, name).await?;
        configure::tell_running(context).await;
    }
    // A service that the server has refused has no address to give back.
    if found.has_address
        && let Err(failure) = free_address(context, name).await
    {
        let values: [(&str, &dyn Display); 2] = [("name", name), ("why", &failure.message)];
        let hint = context.texts.format("cli.give_up.still.hint", &[("name", name)]);
        return Err(context.failed(failure.exit, "cli.give_up.still", &values).hint(hint));
    }
    Ok(())
}

/// A service that is set up here, or that the server keeps an address for.
struct Found {
    name: ServiceName,
    is_set_up: bool,
    has_address: bool,
    is_online: bool,
}

impl Found {
    /// Looked at first, so that nothing is half done.
    fn check_online(&self, context: &Context) -> Result<(), Failure> {
        if self.is_online {
            return Ok(());
        }
        Err(context
            .failed(ExitCode::Failed, "cli.give_up.offline", &[])
            .hint(context.hint("problem.offline.cli")))
    }
}

async fn find(
    context: &Context,
    name: Option<&ServiceName>,
    id: Option<&RegisteredId>,
) -> Result<Found, Failure> {
    let status = context.client().status().await.map_err(|error| context.failure(error))?;
    let is_it = |known: &ServiceName, its: Option<&RegisteredId>| match (name, id) {
        (Some(name), _) => known == name,
        (None, id) => id.is_some() && its == id,
    };
    let is_online = matches!(status.connection, Connection::Online { .. });
    let set_up = status.services.into_iter().find(|service| is_it(&service.name, service.id.as_ref()));
    if let Some(service) = set_up {
        let has_address = service.id.is_some();
        return Ok(Found { name: service.name, is_set_up: true, has_address, is_online });
    }
    if let Some(kept) = status.kept.into_iter().find(|kept| is_it(&kept.name, Some(&kept.id))) {
        return Ok(Found { name: kept.name, is_set_up: false, has_address: true, is_online });
    }
    let failure = match (name, id) {
        (None, Some(id)) => context.failed(ExitCode::Failed, "cli.find.no_id", &[("id", id)]),
        _ => context.failed(ExitCode::Failed, "cli.find.no_name", &[]),
    };
    Err(failure.hint(context.hint("problem.no_service.cli")))
}
