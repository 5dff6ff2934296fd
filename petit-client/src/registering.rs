//! Registering this computer: one use case for the command line, the control socket and the tray app.
//!
//! 1. A [`Prospect`] says what the invite says and what there is here already. Nothing is done.
//! 2. Whoever asks shows that, and hears how it is to be done: [`Terms`].
//! 3. [`Prospect::register`] has it done by a [`Registrar`], which goes online where it can, and writes into the config
//!    where the key went.
//!
//! What differs between the three is who registers: this process while it holds the lock ([`Here`]), the client in it
//! ([`Client`]), or the client in another process ([`LocalClient`]).

use std::collections::BTreeSet;

use petit_engine::invite::Invite;
use petit_engine::name::ServiceName;
use petit_host::lock::Lock;
use secrecy::SecretString;

use crate::api::{LocalClient, LocalError, RegisterRequest};
use crate::client::Client;
use crate::config::change::{self, ChangeError};
use crate::config::{Config, KeyStore, edit};
use crate::consent::{self, KeptService};
use crate::enrol::{self, Done, Existing, RegisterError, Request};
use crate::folder::Folder;
use crate::registration::{self, Known, Registration, RegistrationError};

/// An invite, and what is here that it would change.
#[derive(Clone, Debug)]
pub struct Prospect {
    text: SecretString,
    invite: Invite,
    config: Config,
    known: Known,
}

/// How it is to be done: what whoever asks has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Where the key goes.
    pub key_store: KeyStore,
    /// Services of the config that the vendor may reach.
    pub share: BTreeSet<ServiceName>,
    /// What becomes of a registration that is in force.
    pub existing: Existing,
}

/// What is to be registered, and how.
#[derive(Clone, Debug)]
pub struct Order {
    /// The invite as it was typed.
    pub text: SecretString,
    /// The same, as it is understood.
    pub invite: Invite,
    pub terms: Terms,
}

/// What registering came to.
#[derive(Debug)]
pub struct Outcome {
    pub done: Done,
    /// The registration that this one took the place of.
    pub former: Option<Registration>,
    /// Whether the config says where the key is. The computer is registered in any case.
    pub kept: Result<(), ChangeError>,
}

/// Who registers, with the lock of the folder in its hands.
pub trait Registrar {
    /// Why it did not.
    type Error: From<RegistrationError>;

    /// Registers this computer, and goes online where it can. A registration that was in force still is when this
    /// fails, and trying again is safe.
    fn register(&self, order: &Order) -> impl Future<Output = Result<Done, Self::Error>> + Send;
}

impl Prospect {
    /// What an invite would change here. `text` is the invite as it was typed.
    pub fn new(text: SecretString, invite: Invite, config: Config, known: Known) -> Self {
        Self { text, invite, config, known }
    }

    /// The invite.
    pub fn invite(&self) -> &Invite {
        &self.invite
    }

    /// The settings that there are.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The registration that this very invite has led to already: it goes on, and nothing is replaced.
    pub fn resumes(&self) -> Option<&Registration> {
        self.known.in_force.as_ref().filter(|in_force| in_force.is_of(&self.invite))
    }

    /// The registration that ends once the new one stands.
    pub fn replaces(&self) -> Option<&Registration> {
        self.known.in_force.as_ref().filter(|_| self.resumes().is_none())
    }

    /// The services that are set up already, with for whom they were chosen.
    pub fn kept(&self) -> Vec<KeptService> {
        consent::kept(&self.config, &self.invite.pins, &self.known)
    }

    /// Has this computer registered, and writes down where the key went.
    ///
    /// # Errors
    /// The registrar's; nothing has changed then, and trying again is safe.
    ///
    /// # Cancel safety
    /// Cancelling leaves it open whether the server has registered the device; try again with the same invite.
    pub async fn register<R: Registrar>(
        self,
        folder: &Folder,
        terms: Terms,
        registrar: &R,
    ) -> Result<Outcome, R::Error> {
        let former = registration::replaced_by(folder, &self.invite)?;
        let order = Order { text: self.text, invite: self.invite, terms };
        let done = registrar.register(&order).await?;
        let kept = keep_key_store(folder, done.key_store).await;
        Ok(Outcome { done, former, kept })
    }
}

/// Writes into the config file where the key is, unless it says so: the next registration begins from there.
async fn keep_key_store(folder: &Folder, key_store: KeyStore) -> Result<(), ChangeError> {
    let loaded = crate::config::load(&folder.config);
    if loaded.is_ok_and(|(config, _)| config.key_store == key_store) {
        return Ok(());
    }
    change::change(folder, |text| edit::set(text, "key_store", &key_store.to_string())).await
}

/// This process, with the folder's lock, while no client runs: it registers, and whoever starts a client goes online.
#[derive(Debug)]
pub struct Here<'a> {
    pub folder: &'a Folder,
    /// The settings that count.
    pub config: &'a Config,
    /// Nobody else is the client meanwhile.
    pub lock: &'a Lock,
}

impl Registrar for Here<'_> {
    type Error = RegisterError;

    async fn register(&self, order: &Order) -> Result<Done, RegisterError> {
        let enrolled = match enrol::resume(self.folder, self.config, &order.invite).await? {
            Some(enrolled) => enrolled,
            None => enrol::register(self.folder, self.config, &order.request()).await?,
        };
        let former = enrol::tell_former(self.folder, self.config).await?;
        Ok(Done::of(enrolled, former))
    }
}

impl Registrar for Client {
    type Error = RegisterError;

    async fn register(&self, order: &Order) -> Result<Done, RegisterError> {
        Self::register(self, &order.request()).await
    }
}

/// Why the client in another process did not register this computer.
#[derive(Debug, thiserror::Error)]
pub enum OtherError {
    /// It was not reached, or said no.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// It would offer its vendor at once whatever the config holds.
    #[error("the client that runs is of an older version, which would offer the vendor all services at once")]
    Older,
    /// What there is here cannot be read.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
}

impl Registrar for LocalClient {
    type Error = OtherError;

    async fn register(&self, order: &Order) -> Result<Done, OtherError> {
        if !self.version().await?.asks_for_consent() {
            return Err(OtherError::Older);
        }
        let Terms { key_store, share, existing } = order.terms.clone();
        let wanted = RegisterRequest { invite: order.text.clone(), key_store, share, existing };
        Ok(Self::register(self, wanted).await?)
    }
}

impl Order {
    /// The same, for the steps of [`enrol`].
    fn request(&self) -> Request<'_> {
        let Terms { key_store, share, existing } = self.terms.clone();
        Request { invite: &self.invite, key_store, share, existing }
    }
}
