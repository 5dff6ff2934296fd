//! The way to the client that holds the connection: in this process, or in another one on this computer.
//!
//! Whoever holds `client.lock` of the config's folder is the client. [`Links::open`] takes the lock and runs a
//! client here; when somebody else holds it, that client is shown and controlled through its socket and never
//! fought. When it ends, its link ends, and the next [`Links::open`] takes over.

mod other;
mod own;

use petit_client::client::ClientStartError;
use petit_client::enrol::{Done, RegisterError};
use petit_client::registering::{Order, Registrar};
use petit_client::registration::RegistrationError;
use petit_client::status::Status;
use petit_engine::agent::AskError;
use petit_engine::name::ServiceName;
use petit_engine::proto::control::ProbeResult;
use petit_host::BoxFuture;
use petit_host::logs::Level;
use tokio::sync::watch;

pub use self::own::{RealLinks, SocketCommand};
use super::contract::Problem;
use super::facts::{Owner, Trouble};

/// Why a client did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It could not register.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The server was not asked, or did not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It has no key.
    #[error(transparent)]
    Start(#[from] ClientStartError),
    /// What it knows of its registration cannot be written down.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The process is of a version that would offer its vendor what was not chosen for it.
    #[error("it is of an older version")]
    Older,
    /// It is not registered.
    #[error("not registered")]
    NotRegistered,
    /// The config has a mistake; nothing was changed.
    #[error("the config file has a mistake: {0}")]
    Config(String),
    /// Another process said no.
    #[error("{0}")]
    Refused(String),
    /// Another process has ended, or does not answer.
    #[error("it has ended")]
    Gone,
    /// Only the process that holds the connection can do this.
    #[error("this cannot be asked of another process")]
    NotHere,
}

/// A client that can be asked. Cheap to share; the client in this process ends when its link is told to.
pub trait Link: Send + Sync + 'static {
    /// Whose it is.
    fn owner(&self) -> Owner;

    /// Where it stands, as it changes; `None` until it has said so. The channel closes when it has ended.
    fn statuses(&self) -> watch::Receiver<Option<Status>>;

    /// Where it stands at this moment, with counters as they are now.
    fn status(&self) -> BoxFuture<'_, Option<Status>>;

    /// Switches it on or off.
    fn switch(&self, on: bool) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Asks the keychain for its key.
    fn unlock(&self) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Has the version installed that is there. What becomes of it is in the status.
    fn install_update(&self) -> Result<(), LinkError>;

    /// Registers this computer. No service that the config holds already is offered before it is shared.
    fn register(&self, order: Order) -> BoxFuture<'_, Result<Done, LinkError>>;

    /// Lets the vendor reach services that were withheld.
    fn share(&self, names: Vec<ServiceName>) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Gives the registration back to the server and forgets it.
    fn unregister(&self) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Forgets the registration here; the server is not told.
    fn forget(&self) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Has a service probed end to end.
    fn probe(&self, service: ServiceName) -> BoxFuture<'_, Result<Option<ProbeResult>, LinkError>>;

    /// Gives a service's public address back.
    fn remove(&self, service: ServiceName) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Has the config file read now.
    fn reload(&self) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Changes how much is logged.
    fn log(&self, level: Level) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Ends the client in this process, letting requests under way finish. Another process is left alone.
    fn end(&self) -> BoxFuture<'_, ()>;
}

/// The client behind a link, which registers this computer.
pub struct ByLink<'a>(pub &'a dyn Link);

impl Registrar for ByLink<'_> {
    type Error = LinkError;

    fn register(&self, order: &Order) -> impl Future<Output = Result<Done, LinkError>> + Send {
        self.0.register(order.clone())
    }
}

/// What an attempt to get a client came to.
pub enum Opened {
    /// There is one.
    Link(std::sync::Arc<dyn Link>),
    /// There can be none before a person has done something.
    Trouble {
        trouble: Trouble,
        /// When it is a mistake in the config file.
        problem: Option<Problem>,
    },
}

/// Gets clients.
pub trait Links: Send + Sync + 'static {
    /// A client here, or the link to the one in another process.
    fn open(&self, texts: super::texts::Texts) -> BoxFuture<'_, Opened>;
}
