//! `register`: from an invite to a registration.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use petit_client::config::edit::{self, NewService};
use petit_client::config::{self, Config, KeyStore};
use petit_client::enrol::{self, RegisterError};
use petit_client::messages::{self, Words};
use petit_client::registration;
use petit_engine::agent::{EnrolError, ServiceSpec, connect};
use petit_engine::invite::{InvalidInvite, Invite};
use petit_engine::name::{DeviceId, RegisteredId, ServerAddr, ServiceName};
use petit_engine::proto::control::ServiceKind;
use petit_host::cli::{Failure, ago};
use petit_host::exit::ExitCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use super::configure;
use super::life::lock;

/// What `register` was asked.
pub(crate) struct Wish<'a> {
    pub(crate) invite_file: Option<&'a Path>,
    pub(crate) service: Option<&'a ServerAddr>,
    pub(crate) tcp: bool,
    pub(crate) key_store: Option<KeyStore>,
}

/// What an enrolment came to, whoever made it.
#[derive(Deserialize)]
struct Done {
    server: ServerAddr,
    device: DeviceId,
    service: ServiceName,
    id: RegisteredId,
    url: String,
    key_store: KeyStore,
}

/// From an invite to a registration, with everything that the customer should see before.
pub(crate) async fn register(context: &Context, wish: &Wish<'_>) -> Result<(), Failure> {
    let folder = &context.folder;
    folder.make().map_err(|error| Failure::of(&error))?;
    if let Some(registration) = registration::load(folder).map_err(|error| Failure::of(&error))? {
        return Err(register_failure(&RegisterError::Registered(Box::new(registration))));
    }
    // A client that runs without a registration, such as the tray app's, holds the lock and does it itself.
    let own = match lock(folder) {
        Ok(lock) => Some(lock),
        Err(_) if context.call("GET", "/version", None).await.is_ok() => None,
        Err(failure) => return Err(failure),
    };
    let config = configure::load_or_make(context)?;
    let text = read_invite(wish.invite_file)?;
    let invite = Invite::parse(&text).map_err(|error| {
        Failure::new(ExitCode::Failed, error.to_string()).hint(match error {
            InvalidInvite::Version { .. } => "install the newest Petit",
            InvalidInvite::NotAnInvite | InvalidInvite::Damaged { .. } => {
                "copy the whole link, from https to its last character"
            }
        })
    })?;
    let talk = io::stdin().is_terminal() && !context.json && wish.invite_file.is_none();
    if talk {
        show_invite(&invite);
    }
    let key_store = wish.key_store.unwrap_or(config.key_store);
    let registration = match &own {
        Some(_) => {
            let (registration, registered) = enrol::register(folder, &config, &invite, key_store)
                .await
                .map_err(|error| register_failure(&error))?;
            Done {
                server: registration.server,
                device: registration.device,
                service: registration.service,
                id: registered.id,
                url: registered.url,
                key_store,
            }
        }
        None => {
            let body = json!({ "invite": text.expose_secret(), "key_store": key_store });
            let value = context.call("POST", "/register", Some(body)).await?;
            serde_json::from_value(value).map_err(|error| Failure::of(&error))?
        }
    };
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
        registration.url
    );
    let configured = config.specs(&registration.service).iter().any(|spec| spec.name == registration.service);
    if target.is_none() && !configured {
        text.push_str(&format!(
            "Say where it is with: petit-client service add {} HOST:PORT\n",
            registration.service
        ));
    }
    text.push_str(match &own {
        Some(_) => "Next: petit-client start",
        None => "The client is running; see it with: petit-client status",
    });
    let value = json!({
        "server": registration.server,
        "device": registration.device,
        "service": registration.service,
        "id": registration.id,
        "url": registration.url,
        "key_store": registration.key_store,
    });
    context.say(&text, &value);
    Ok(())
}

/// What an invite says before anything is dialled.
fn show_invite(invite: &Invite) {
    let mut out = io::stdout();
    let left = invite.not_after.duration_since(SystemTime::now()).map(ago);
    let _ = writeln!(out, "Server     {}", invite.server);
    for pin in invite.pins.iter().take(1) {
        let _ = writeln!(out, "Its key    {pin}");
    }
    let left = left.map_or_else(
        |_| "no longer, by this computer's clock".to_owned(),
        |left| format!("for another {left}"),
    );
    let _ = writeln!(out, "Valid      {left}");
}

/// Where the invite's service is, when that has to be written down: said on the command line, or asked for.
fn service_target(
    context: &Context,
    wish: &Wish<'_>,
    config: &Config,
    registration: &Done,
    talk: bool,
) -> Result<Option<ServerAddr>, Failure> {
    let known =
        config.specs(&registration.service).into_iter().find(|spec| spec.name == registration.service);
    match (wish.service, known) {
        // Asked for what is there already, by whoever registers anew.
        (Some(target), Some(known))
            if known.target == *target && (known.kind == ServiceKind::Tcp) == wish.tcp =>
        {
            Ok(None)
        }
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

pub(crate) fn register_failure(error: &RegisterError) -> Failure {
    let Words { what, todo } = messages::register(error);
    let exit = match error {
        RegisterError::Enrol(EnrolError::Refused { .. }) => ExitCode::Refused,
        _ => ExitCode::Failed,
    };
    let failure = Failure::new(exit, what);
    if todo.is_empty() { failure } else { failure.hint(todo) }
}
