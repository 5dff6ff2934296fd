//! `unregister`, `evict`: what gives a registration, or a public address, up for good.

use std::time::Duration;

use petit_client::api::{LocalError, Removed, UnregisterRequest, Unregistered};
use petit_client::client::{Client, UnregisterError};
use petit_client::enrol;
use petit_client::messages::{self, Advice};
use petit_client::status::Connection;
use petit_client::{config, registration};
use petit_engine::cause::Cause;
use petit_engine::name::{RegisteredId, ServiceName};
use petit_host::cli::{self, Failure};
use petit_host::control::client::CallError;
use petit_host::exit::ExitCode;
use petit_host::terminal::{self, Ask};
use serde_json::json;

use super::lifecycle::{config_failure, lock, not_registered};
use super::registering::register_failure;
use super::{Context, configure};

/// How long a client that has nothing to do any more may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);
/// What works when the server cannot be told.
const LOCALLY: &str = "to forget it here all the same: petit-client unregister --local";

/// What is gone for good is asked about first; where nobody can be asked, it has to be said beforehand.
fn confirm(context: &Context, yes: bool, what: &str) -> Result<(), Failure> {
    terminal::confirm(Ask::Always.unless(yes), context.json, what)
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
    let what = format!("this gives up the registration with {server} and its public addresses for good");
    confirm(context, yes, &what)?;
    if known.is_none() && !local {
        return Err(Failure::new(ExitCode::NotRegistered, "the registration was begun but not finished")
            .hint(
                "finish it with: petit-client register; or forget it with: petit-client unregister --local",
            ));
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
            let _lock = lock(folder)?;
            enrol::forget(folder).await.map_err(|error| register_failure(&error))?;
            false
        }
        Err(LocalError::Call(CallError::NotRunning)) => without_running(context).await?,
        Err(LocalError::Call(error)) => return Err(Failure::of_call(error, super::PROGRAM).hint(LOCALLY)),
        Err(error) => return Err(context.failure(error)),
    };
    let text = match (server_told, local) {
        (true, _) => format!("The registration with {server} was given back."),
        (false, true) => format!(
            "This computer has forgotten its registration. {server} was not told; its operator can revoke it."
        ),
        (false, false) => format!(
            "{server} does not know this computer any more, so there was nothing to give back. This computer has forgotten its registration."
        ),
    };
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
        UnregisterError::NotRegistered => not_registered(),
        other => Failure::of(&other).hint(LOCALLY),
    })
}

/// A client in this process, once it is connected or has been told that nobody knows it.
async fn online(context: &Context) -> Result<(Client, bool), Failure> {
    let folder = context.folder.clone();
    let lock = lock(&folder)?;
    let (config, _) = config::load(&folder.config).map_err(|error| config_failure(&error))?;
    let client = Client::start(folder, config, lock, None).await.map_err(|error| {
        let Advice { what, todo } = messages::start(&error);
        Failure::new(ExitCode::Failed, what).hint(todo)
    })?;
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
    Err(Failure::new(exit, format!("the server was not reached: {}", messages::connection(&last)))
        .hint(format!("look with: petit-client doctor; {LOCALLY}")))
}

/// Gives one service's public address back, and takes the service out of the config, where it would get a new one.
pub(crate) async fn give_back(
    context: &Context,
    name: Option<&ServiceName>,
    id: Option<&RegisteredId>,
    yes: bool,
) -> Result<(), Failure> {
    let found = find(context, name, id).await?;
    let name = found.name.as_str();
    let what = if found.is_set_up {
        format!(
            "this takes {name:?} out of the config file and gives up the public address of {name:?} for good"
        )
    } else {
        format!("this gives up the public address of {name:?} for good")
    };
    confirm(context, yes, &what)?;
    if found.is_set_up {
        give_up(context, &found).await?;
    } else {
        free_address(context, &found.name).await?;
    }
    let also = if found.is_set_up { " It is no longer offered." } else { "" };
    let text = format!("The public address of {name:?} was given back.{also}");
    context.say(&text, &Removed { removed: found.name });
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
    found.check_online()?;
    let what = format!("this removes {:?} and gives up its public address for good", name.as_str());
    terminal::confirm(Ask::OnTerminal.unless(yes), context.json, &what)?;
    give_up(context, &found).await?;
    let text = format!("{:?} is no longer offered, and its public address was given back.", name.as_str());
    context.say(&text, &json!({ "evicted": name }));
    Ok(())
}

/// Takes a service out of the config, where it is set up, and gives its address back.
async fn give_up(context: &Context, found: &Found) -> Result<(), Failure> {
    let name = &found.name;
    found.check_online()?;
    if found.is_set_up {
        configure::take_out(context, name).await?;
        configure::tell_running(context).await;
    }
    // A service that the server has refused has no address to give back.
    if found.has_address
        && let Err(failure) = free_address(context, name).await
    {
        let problem = format!(
            "{:?} is no longer offered, but its public address is still registered: {}",
            name.as_str(),
            failure.message
        );
        return Err(Failure::new(failure.exit, problem)
            .hint(format!("give it back with: petit-client unregister --service {name}")));
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
    fn check_online(&self) -> Result<(), Failure> {
        if self.is_online {
            return Ok(());
        }
        let problem = "the client is not connected to the server, which has to be told; nothing was changed";
        Err(Failure::new(ExitCode::Failed, problem).hint("see why with: petit-client status"))
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
    let problem = match (name, id) {
        (None, Some(id)) => format!("no service of this computer has the registered ID {id}"),
        _ => "no such service is set up, and the server keeps no address for one".to_owned(),
    };
    Err(Failure::new(ExitCode::Failed, problem).hint("see them with: petit-client service list"))
}
