//! `register`: from an invite to a registration, with everything that the customer should see and decide.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use petit_client::config::edit::{self, NewService};
use petit_client::config::{Config, KeyStore};
use petit_client::consent::{self, ChosenFor, KeptService};
use petit_client::control::CONSENT;
use petit_client::enrol::{self, Done, Existing, FormerEnd, RegisterError, Request};
use petit_client::messages::{self, Words};
use petit_client::registration::{self, Known, Registration};
use petit_client::vault::{Vault, VaultError};
use petit_engine::agent::{EnrolError, ServiceSpec, connect};
use petit_engine::invite::{InvalidInvite, Invite};
use petit_engine::name::{ServerAddr, ServiceName};
use petit_engine::proto::control::ServiceKind;
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::lock::{Lock, LockError};
use petit_host::shutdown::Signals;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::asking::{Answer, ask_place, ask_share, ask_yes, confirm, interrupted, show_invite};
use super::{Context, configure};

/// What `register` was asked.
pub(crate) struct Wish<'a> {
    pub(crate) invite_file: Option<&'a Path>,
    pub(crate) service: Option<&'a ServerAddr>,
    pub(crate) tcp: bool,
    pub(crate) key_store: Option<KeyStore>,
    /// Services of the config that the vendor may reach; `None`: not said.
    pub(crate) share: Option<BTreeSet<ServiceName>>,
    pub(crate) replace: bool,
}

/// Whether somebody can be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Talk {
    /// There is a person at a terminal.
    Person,
    /// There is a script.
    Nobody,
}

/// From an invite to a registration.
pub(crate) async fn register(context: &Context, wish: &Wish<'_>) -> Result<(), Failure> {
    let folder = &context.folder;
    folder.make().map_err(|error| Failure::of(&error))?;
    let is_person = io::stdin().is_terminal() && !context.json && wish.invite_file.is_none();
    let talk = if is_person { Talk::Person } else { Talk::Nobody };
    if talk == Talk::Nobody && !wish.replace {
        let in_force = registration::load(folder).map_err(|error| Failure::of(&error))?;
        if let Some(registration) = in_force {
            return Err(register_failure(&RegisterError::Registered(Box::new(registration))));
        }
    }
    let own = own_lock(context).await?;
    let config = configure::load_or_make(context)?;
    let mut key_store = wish.key_store.unwrap_or(config.key_store);
    // A person is not asked for an invite that cannot be used. A client that runs keeps the key itself.
    if own.is_some() && talk == Talk::Person {
        key_store = usable(context, key_store, talk).await?;
    }
    let text = read_invite(wish.invite_file)?;
    let invite = Invite::parse(&text).map_err(|error| invite_failure(&error))?;
    if own.is_some() && talk == Talk::Nobody {
        key_store = usable(context, key_store, talk).await?;
    }
    let known = Known::load(folder).map_err(|error| Failure::of(&error))?;
    if talk == Talk::Person {
        show_invite(&invite);
        confirm(&invite, known.in_force.as_ref().filter(|_| !wish.replace))?;
    }
    let kept = consent::kept(&config, &invite.pins, &known);
    let share = match talk {
        Talk::Person if wish.share.is_none() => ask_share(&invite, &kept),
        Talk::Person | Talk::Nobody => share(wish, &kept)?,
    };
    let mut signals = Signals::new().map_err(|error| Failure::of(&error))?;
    let registering = async {
        match &own {
            Some(_) => {
                let existing = if known.in_force.is_some() { Existing::Replace } else { Existing::Keep };
                let request = Request { invite: &invite, key_store, share, existing };
                here(context, &config, &request).await
            }
            None => elsewhere(context, &text, key_store, &share, known.in_force.is_some()).await,
        }
    };
    let done = tokio::select! {
        done = registering => done?,
        () = interrupted(&mut signals) => {
            let problem = "stopped; it is not known whether the server has registered this computer already";
            return Err(Failure::new(ExitCode::Interrupted, problem)
                .hint("the same invite can be used again here: petit-client register"));
        }
    };
    if key_store != config.key_store {
        configure::change(context, |text| edit::set(text, "key_store", &key_store.to_string())).await?;
    }
    let target = match place(context, wish, &config, &done)? {
        Place::Known => None,
        Place::Said(target) => Some(target),
        Place::Unknown if talk == Talk::Person => ask_place(&done, &mut signals).await?,
        Place::Unknown => None,
    };
    if let Some(target) = &target {
        set_up(context, &done, target, wish.tcp, talk).await?;
    }
    let is_set_up = target.is_some() || !matches!(place(context, wish, &config, &done), Ok(Place::Unknown));
    let known = known.in_force.as_ref();
    let mut text = summary(&done, known, is_set_up);
    text.push_str(match &own {
        Some(_) => "Next: petit-client start",
        None => "The client is running; see it with: petit-client status",
    });
    context.say(&text, &json!(done));
    Ok(())
}

/// The client's lock; `None` when a client runs, which then registers itself: the tray app's does without a
/// registration too.
async fn own_lock(context: &Context) -> Result<Option<Lock>, Failure> {
    let pid = match Lock::take(&context.folder.lock()) {
        Ok(lock) => return Ok(Some(lock)),
        Err(LockError::Held { pid, .. }) => pid,
        Err(error @ LockError::Io { .. }) => return Err(Failure::of(&error)),
    };
    let Ok(version) = context.call("GET", "/version", None).await else {
        let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
        let problem = format!("another petit-client command is under way in this folder{who}");
        return Err(Failure::new(ExitCode::Failed, problem).hint("try again when it has ended"));
    };
    let features = version.get("features").and_then(Value::as_array).into_iter().flatten();
    if features.filter_map(Value::as_str).any(|feature| feature == CONSENT) {
        return Ok(None);
    }
    let problem =
        "the client that runs is of an older version, which would offer the vendor all services at once";
    Err(Failure::new(ExitCode::Failed, problem).hint("restart it: petit-client stop, petit-client start"))
}

/// Where the key goes: where it is wanted, or, when there is no keychain and a person says so, into a file.
async fn usable(context: &Context, wanted: KeyStore, talk: Talk) -> Result<KeyStore, Failure> {
    match Vault::of(wanted, &context.folder).check().await {
        Ok(()) => Ok(wanted),
        Err(error @ VaultError::NoKeychain) => {
            let question =
                format!("{}.\nKeep the key in a file that only you can read?", capital(&error.to_string()));
            match talk {
                Talk::Person if ask_yes(&question, Answer::No) => Ok(KeyStore::File),
                Talk::Person | Talk::Nobody => Err(register_failure(&error.into())),
            }
        }
        Err(error) => Err(register_failure(&error.into())),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn invite_failure(error: &InvalidInvite) -> Failure {
    Failure::new(ExitCode::Failed, error.to_string()).hint(match error {
        InvalidInvite::Version { .. } => "install the newest Petit",
        InvalidInvite::NotAnInvite | InvalidInvite::Damaged { .. } => {
            "copy the whole link, from https to its last character"
        }
    })
}

/// The services that a script shares: those it names, or, as long as none was chosen for another vendor, all.
fn share(wish: &Wish<'_>, kept: &[KeptService]) -> Result<BTreeSet<ServiceName>, Failure> {
    let list = |kept: &[&KeptService]| {
        let entries: Vec<String> =
            kept.iter().map(|kept| format!("{} ({})", kept.name, kept.target)).collect();
        entries.join(", ")
    };
    if let Some(share) = &wish.share {
        return match share.iter().find(|name| !kept.iter().any(|kept| kept.name == **name)) {
            None => Ok(share.clone()),
            Some(unknown) => {
                let problem = format!("the config file has no service {:?}", unknown.as_str());
                let all: Vec<&KeptService> = kept.iter().collect();
                let known =
                    if all.is_empty() { "it has none".to_owned() } else { format!("it has {}", list(&all)) };
                Err(Failure::new(ExitCode::Usage, problem).hint(known))
            }
        };
    }
    let other: Vec<&KeptService> = kept.iter().filter(|kept| kept.chosen_for == ChosenFor::Another).collect();
    if other.is_empty() {
        return Ok(kept.iter().map(|kept| kept.name.clone()).collect());
    }
    let problem =
        format!("the config file holds services that were not chosen for this vendor: {}", list(&other));
    Err(Failure::new(ExitCode::Usage, problem)
        .hint("say which of all services the vendor may reach: --share NAME, once for each; or --share-none"))
}

/// Registers with this process holding the client's lock.
async fn here(context: &Context, config: &Config, request: &Request<'_>) -> Result<Done, Failure> {
    let folder = &context.folder;
    let failure = |error: RegisterError| register_failure(&error);
    let enrolled = enrol::register(folder, config, request).await.map_err(failure)?;
    let former = enrol::tell_former(folder, config).await.map_err(failure)?;
    Ok(Done::of(enrolled, former))
}

/// Has the client that runs register itself.
async fn elsewhere(
    context: &Context,
    invite: &SecretString,
    key_store: KeyStore,
    share: &BTreeSet<ServiceName>,
    replace: bool,
) -> Result<Done, Failure> {
    let body = json!({
        "invite": invite.expose_secret(),
        "key_store": key_store,
        "share": share,
        "replace": replace,
    });
    let value = context.call("POST", "/register", Some(body)).await?;
    serde_json::from_value(value).map_err(|error| Failure::of(&error))
}

/// Where the invite's service is.
enum Place {
    /// Where the config says.
    Known,
    /// Where the command line says.
    Said(ServerAddr),
    /// Nobody has said it.
    Unknown,
}

fn place(context: &Context, wish: &Wish<'_>, config: &Config, done: &Done) -> Result<Place, Failure> {
    let known = config.specs(&done.service).into_iter().find(|spec| spec.name == done.service);
    match (wish.service, known) {
        // Asked for what is there already, by whoever registers anew.
        (Some(target), Some(known))
            if known.target == *target && (known.kind == ServiceKind::Tcp) == wish.tcp =>
        {
            Ok(Place::Known)
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
        (Some(target), None) => Ok(Place::Said(target.clone())),
        (None, Some(_)) => Ok(Place::Known),
        (None, None) => Ok(Place::Unknown),
    }
}

/// Writes the invite's service down, and says when nothing is there yet.
async fn set_up(
    context: &Context,
    done: &Done,
    target: &ServerAddr,
    tcp: bool,
    talk: Talk,
) -> Result<(), Failure> {
    let new = NewService::plain(&done.service, target, if tcp { "tcp" } else { "http" });
    configure::change(context, |text| edit::add_service(text, &new)).await?;
    let spec = ServiceSpec::plain(done.service.clone(), ServiceKind::Tcp, target.clone());
    if talk == Talk::Person
        && let Err(cause) = connect(&spec).await
    {
        println!(
            "Note: {target}: {} at the moment; Petit will find it when it is there.",
            messages::service(cause).what
        );
    }
    Ok(())
}

/// What the registration came to.
fn summary(done: &Done, former: Option<&Registration>, is_set_up: bool) -> String {
    let service = &done.service;
    let server = match &done.vendor {
        Some(vendor) => format!("{vendor} ({})", done.server),
        None => done.server.to_string(),
    };
    let mut text = format!(
        "Registered with {server} as {}.\nService {:?} will be reachable at {}\n",
        done.device,
        service.as_str(),
        done.url
    );
    if let (Some(former), Some(end)) = (former, done.former) {
        text.push_str(&format!("{}\n", former_text(former, end)));
    }
    if !is_set_up {
        text.push_str(&format!("Say where it is with: {}\n", messages::add_service(Some(service))));
    }
    for name in &done.withheld {
        text.push_str(&format!("Not shared: {name}. To share it: petit-client service share {name}\n"));
    }
    text
}

fn former_text(former: &Registration, end: FormerEnd) -> String {
    let server = &former.server;
    match end {
        FormerEnd::Told => format!("The registration with {server} was given back."),
        FormerEnd::Unknown => format!("{server} did not know this computer any more."),
        FormerEnd::Unreachable { cause } => format!(
            "{server} could not be told that the registration with it is over: {}. Its operator can revoke it.",
            messages::cause(cause).what
        ),
        FormerEnd::NoKey => format!(
            "{server} could not be told that the registration with it is over, because its key is out of reach. \
             Its operator can revoke it."
        ),
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
