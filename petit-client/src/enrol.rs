//! From an invite to a registration, step by step. Each step can be repeated: whatever ends the program in
//! between, trying again with the same invite ends registered, once, with a key that works.
//!
//! 1. A key is made and put into the vault.
//! 2. That it is the one to go on with is written down.
//! 3. The server registers it.
//! 4. What is to be remembered of the registration that there was is written down.
//! 5. The registration is written down, in one piece, in place of the one that there was: this is the switch.
//! 6. The server of the former registration is told that it is over, and the former key is forgotten.
//!
//! A second try begins where the first one ended. Up to the switch the former registration is in force, from it on
//! the new one; step 6 is done when the client starts, should the program have ended before it. Behind the switch
//! nothing is made any more: [`resume`] gets the server's answer again.

#![warn(clippy::wildcard_enum_match_arm, reason = "what follows from each case is decided here, one by one")]

use std::collections::BTreeSet;
use std::time::Duration;

use petit_engine::agent::{self, Agent, AgentConfig, AgentState, Direct, EnrolError, Registered};
use petit_engine::cause::Cause;
use petit_engine::invite::Invite;
use petit_engine::name::{DeviceId, RegisteredId, ServerAddr, ServiceName, VendorName};
use petit_engine::proto::control::{EnrolRefusal, Text, Vitae};
use petit_engine::secret::{Fingerprint, InvalidKey, PrivateKey};
use petit_host::cli::chain;
use petit_host::files;
use serde::{Deserialize, Serialize};

use crate::SOFTWARE;
use crate::config::{self, Config, KeyStore};
use crate::consent;
use crate::dial_route;
use crate::folder::Folder;
use crate::registration::{self, Chosen, Known, Pending, Registration, RegistrationError};
use crate::vault::{Vault, VaultError};

/// How long the server of a former registration is tried to be told that it is over. Its user is waiting.
const TELL_LIMIT: Duration = Duration::from_secs(5);

/// Why this device was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It is registered already.
    #[error("this computer is registered with {} already", .0.server)]
    Registered(Box<Registration>),
    /// The config names another server than the invite.
    #[error("the invite is for {invite}, but the config file accepts only {config}")]
    OtherServer {
        /// The invite's.
        invite: String,
        /// The config's.
        config: String,
    },
    /// The server was not reached, or refused.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The key cannot be kept.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The key of the registration in force is not where it was put.
    #[error("the key of this computer is gone from the {0}; without it the registration cannot be used")]
    KeyGone(KeyStore),
    /// The registration cannot be written down.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
}

/// What a registration is asked for with.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub invite: &'a Invite,
    /// Where the new key goes.
    pub key_store: KeyStore,
    /// The services of the config, by the names that [`consent::kept`] tells, that the vendor may reach. All others
    /// are withheld.
    pub share: BTreeSet<ServiceName>,
    /// What becomes of a registration that is in force.
    pub existing: Existing,
}

/// What becomes of a registration that is in force when another one is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the request is refused.
    #[default]
    Keep,
    /// It ends once the new one stands.
    Replace,
}

/// What a registration came to.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The registration that is in force now.
    pub registration: Registration,
    /// What the server said of it.
    pub registered: Registered,
    /// It took the place of another one, whose server is still to be told: see [`tell_former`].
    pub replaced: bool,
}

/// What a registration came to in the end, for whoever wanted it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Where this computer is registered.
    pub server: ServerAddr,
    /// What the vendor calls itself.
    #[serde(default)]
    pub vendor: Option<VendorName>,
    /// The server's name for this computer.
    pub device: DeviceId,
    /// What the invite calls the service that it was made for.
    pub service: ServiceName,
    /// That service's registered ID.
    pub id: RegisteredId,
    /// That service's public address.
    pub url: String,
    /// Where the key is kept.
    pub key_store: KeyStore,
    /// Services of the config that the vendor does not reach.
    #[serde(default)]
    pub withheld: BTreeSet<ServiceName>,
    /// What became of the registration that this one took the place of; `None` when there was none.
    #[serde(default)]
    pub former: Option<FormerEnd>,
}

impl Done {
    /// From what the steps came to.
    pub fn of(enrolled: Enrolled, former: Option<FormerEnd>) -> Self {
        let Enrolled { registration, registered, replaced: _ } = enrolled;
        Self {
            server: registration.server,
            vendor: registration.vendor,
            device: registration.device,
            service: registration.service,
            id: registered.id,
            url: registered.url,
            key_store: registration.key_store,
            withheld: registration.withheld,
            former,
        }
    }
}

/// What became of the attempt to tell a server that a registration with it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum FormerEnd {
    /// It knows.
    Told,
    /// It did not know this computer any more.
    Unknown,
    /// It was not reached.
    Unreachable { cause: Cause },
    /// The former key cannot be had, so that nobody would have believed it.
    NoKey,
}

/// Goes on with a registration that an invite has led to already: its server is asked again with the key in force, and
/// answers as it did the first time. Nothing is replaced, and nothing is written down. `None` when what is in force, if
/// anything, was not made with this invite. Call with the client's lock held.
///
/// # Errors
/// [`RegisterError`]; the registration is in force all the same.
///
/// # Cancel safety
/// Cancel safe.
pub async fn resume(
    folder: &Folder,
    config: &Config,
    invite: &Invite,
) -> Result<Option<Enrolled>, RegisterError> {
    let in_force = Known::load(folder)?.in_force;
    let Some(registration) = in_force.filter(|in_force| in_force.is_of(invite)) else { return Ok(None) };
    let key = Vault::of(registration.key_store, folder).load(&registration.key).await?;
    let key = key.ok_or(RegisterError::KeyGone(registration.key_store))?;
    let route = dial_route::choose(config, &invite.server);
    let registered = agent::enrol(invite, &route, &key, &device_name(config), &Text::lossy(SOFTWARE)).await?;
    tracing::info!(server = %registration.server, device = %registration.device, "registered already");
    Ok(Some(Enrolled { registration, registered, replaced: false }))
}

/// Registers this device. Call with the client's lock held.
///
/// # Errors
/// [`RegisterError`]; a registration that was in force still is, and trying again is safe.
///
/// # Cancel safety
/// Cancelling leaves it open whether the server has registered the device; try again with the same invite.
pub async fn register(
    folder: &Folder,
    config: &Config,
    request: &Request<'_>,
) -> Result<Enrolled, RegisterError> {
    let Request { invite, key_store, share, existing } = request;
    let known = Known::load(folder)?;
    if *existing == Existing::Keep {
        registration::load(folder)?; // what is damaged is not overwritten unasked
    }
    // There is nothing left to do with the invite that the one in force was made with: see [`resume`].
    let is_refused = |it: &Registration| *existing == Existing::Keep || it.is_of(invite);
    if let Some(in_force) = known.in_force.as_ref().filter(|it| is_refused(it)) {
        return Err(RegisterError::Registered(Box::new(in_force.clone())));
    }
    if let Some(host) = &config.host
        && !host.eq_ignore_ascii_case(invite.server.host())
    {
        return Err(RegisterError::OtherServer {
            invite: invite.server.host().to_owned(),
            config: host.clone(),
        });
    }
    let name = device_name(config);
    let used = known.in_force.as_ref().map(|known| known.key);
    let (mut pending, mut key) = begin(folder, *key_store, used.as_ref()).await?;
    let route = dial_route::choose(config, &invite.server);
    let mut result = agent::enrol(invite, &route, &key, &name, &Text::lossy(SOFTWARE)).await;
    if let Err(EnrolError::Refused { refusal: EnrolRefusal::Revoked, .. }) = &result {
        // This key was registered once and revoked. The invite is for a new one.
        registration::remove_pending(folder)?;
        Vault::of(pending.key_store, folder).remove(&pending.key).await?;
        (pending, key) = begin(folder, *key_store, used.as_ref()).await?;
        result = agent::enrol(invite, &route, &key, &name, &Text::lossy(SOFTWARE)).await;
    }
    let registered = result?;
    let mut registration = Registration::new(invite, registered.device, registered.service.clone(), &pending);
    registration.withheld = consent::withheld(config, share, &known, &registration.service);
    let replaced = known.in_force.is_some();
    if let Some(in_force) = known.in_force {
        // One that was never told is told no more: there is room for one.
        if let Some(older) = registration::load_former(folder)?.filter(|older| older.key != in_force.key) {
            Vault::of(older.key_store, folder).remove(&older.key).await?;
        }
        registration::save_former(folder, &in_force)?;
    }
    // Before the switch: whoever ends the program here must not have the next vendor hear it.
    if let Err(error) = registration::forget_update_report(folder) {
        // Another program has it open. The server has taken the invite, which that is no reason to lose.
        tracing::warn!(error = %chain(&error), "what was known of the former vendor's release was not forgotten");
    }
    registration::save(folder, &registration)?;
    if replaced {
        remove_addresses(folder)?;
    }
    tracing::info!(server = %registration.server, device = %registration.device, replaced, "registered");
    Ok(Enrolled { registration, registered, replaced })
}

/// The key to register with: the one of an earlier try, or a new one. Never the one that is `used` by a registration
/// in force: two vendors would see that they have the same customer.
async fn begin(
    folder: &Folder,
    key_store: KeyStore,
    used: Option<&Fingerprint>,
) -> Result<(Pending, PrivateKey), RegisterError> {
    if let Some(pending) = registration::load_pending(folder)?
        && pending.key_store == key_store
        && Some(&pending.key) != used
        && let Some(key) = Vault::of(key_store, folder).load(&pending.key).await?
    {
        return Ok((pending, key));
    }
    let key = PrivateKey::generate()?;
    let pending = Pending { key: key.public().fingerprint(), key_store };
    Vault::of(key_store, folder).store(&key, used).await?;
    registration::save_pending(folder, &pending)?;
    Ok((pending, key))
}

/// Tells the server of a former registration that it is over, when that is still to be done, and forgets its key. The
/// attempt is the only one: a server that is not reached is left to its operator. `None` when there was nothing to do.
///
/// # Errors
/// [`RegisterError`] when something cannot be written down or forgotten here.
///
/// # Cancel safety
/// Cancelling leaves it to be done at the next call.
pub async fn tell_former(folder: &Folder, config: &Config) -> Result<Option<FormerEnd>, RegisterError> {
    let Some(known) = registration::load_former(folder)? else { return Ok(None) };
    if Known::load(folder)?.in_force.is_some_and(|in_force| in_force.key == known.key) {
        // The program ended before the switch: it is not over.
        registration::remove_former(folder)?;
        return Ok(None);
    }
    let vault = Vault::of(known.key_store, folder);
    let end = match vault.load(&known.key).await {
        Ok(Some(key)) => say_goodbye(config, &known, key).await,
        Ok(None) => FormerEnd::NoKey,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the former key cannot be read");
            FormerEnd::NoKey
        }
    };
    tracing::info!(server = %known.server, device = %known.device, ?end, "the former registration is over");
    if let Err(error) = vault.remove(&known.key).await {
        tracing::warn!(error = %chain(&error), "the former key was not forgotten");
    }
    registration::remove_former(folder)?;
    Ok(Some(end))
}

/// Connects with a former registration, offering nothing, for as long as it takes to give it back.
async fn say_goodbye(config: &Config, known: &Registration, key: PrivateKey) -> FormerEnd {
    let agent = AgentConfig {
        server: known.server.clone(),
        route: dial_route::choose(config, &known.server),
        pins: known.pins.clone(),
        key,
        software: Text::lossy(SOFTWARE),
        device_name: Text::lossy(&device_name(config)),
        vitae: vitae(config),
        services: Vec::new(),
        connections: 1,
    };
    let Ok(agent) = Agent::start(agent, std::sync::Arc::new(Direct)) else { return FormerEnd::NoKey };
    agent.switch(true).await;
    let mut view = agent.view();
    let mut last = Cause::Unanswered;
    let told = async {
        loop {
            match view.borrow_and_update().state {
                AgentState::Online { .. } => break,
                AgentState::Stopped { cause: Cause::Unknown } => return Some(FormerEnd::Unknown),
                AgentState::Waiting { cause, .. } | AgentState::Stopped { cause } => last = cause,
                AgentState::Idle | AgentState::Connecting => {}
            }
            view.changed().await.ok()?;
        }
        agent.asker().unregister().await.ok().map(|()| FormerEnd::Told)
    };
    let told = tokio::time::timeout(TELL_LIMIT, told).await.ok().flatten();
    told.unwrap_or(FormerEnd::Unreachable { cause: last })
}

/// Forgets the registration and its key on this computer, but not what its vendor reached. Call with the client's
/// lock held.
///
/// # Errors
/// [`RegisterError`].
pub async fn forget(folder: &Folder) -> Result<(), RegisterError> {
    let Known { in_force, is_damaged, chosen: _ } = Known::load(folder)?;
    let former = registration::load_former(folder)?;
    let known = [in_force.as_ref(), former.as_ref()];
    let known = known.map(|known| known.map(|known| (known.key, known.key_store)));
    let pending = registration::load_pending(folder)?.map(|pending| (pending.key, pending.key_store));
    // Before the registration goes: what was chosen for its vendor was not chosen for the next one.
    match in_force {
        Some(in_force) => {
            let config = config::load(&folder.config).ok().map(|(config, _)| config);
            registration::save_chosen(folder, &Chosen::of(&in_force, config.as_ref()))?;
        }
        None if is_damaged && folder.registration().exists() => registration::set_aside(folder)?,
        None => {}
    }
    registration::remove(folder)?;
    registration::remove_former(folder)?;
    remove_addresses(folder)?;
    for (key, key_store) in known.into_iter().chain([pending]).flatten() {
        Vault::of(key_store, folder).remove(&key).await?;
    }
    Ok(())
}

/// Removes the files with public addresses: they lead nowhere any more.
fn remove_addresses(folder: &Folder) -> Result<(), RegistrationError> {
    for entry in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name == "endpoint" || name.to_string_lossy().starts_with("endpoint-") {
            files::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// What the vendor sees as the name of this computer: what the config calls it, else its host name.
pub fn device_name(config: &Config) -> String {
    config.device_name.as_ref().map_or_else(host_name, |name| name.as_str().to_owned())
}

/// What this computer is called in its network.
pub fn host_name() -> String {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
    #[cfg(not(unix))]
    {
        std::env::var("COMPUTERNAME").unwrap_or_default()
    }
}

/// What the vendor's operator is told of this installation, beside its name.
pub fn vitae(config: &Config) -> Vitae {
    let mut vitae = config.vitae.clone();
    let mut add = |name: &str, fact: &str| {
        vitae.entry(Text::lossy(name)).or_insert_with(|| Text::lossy(fact));
    };
    add("hostname", &host_name());
    add("platform", std::env::consts::OS);
    add("arch", std::env::consts::ARCH);
    vitae.into_iter().take(32).collect()
}
