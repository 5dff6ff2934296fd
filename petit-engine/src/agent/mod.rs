//! The customer's end of the tunnel.
//!
//! An [`Agent`] is a task that keeps a session with its relay for as long as it is switched on, and hands every
//! stream that a visitor opens to its [`Visits`]. It reads no file and no environment; it tells where it stands
//! on a `watch`, and takes commands through its handle.

mod ask;
mod check;
mod command;
mod connections;
mod enrol;
mod fetch;
mod fronts;
mod handle;
mod local;
mod log_limit;
mod meter;
mod moving;
mod offers;
mod run;
mod session;
mod state;
mod view;
mod visit;
mod withdrawal;

pub use self::check::check;
pub use self::command::{AgentConfig, AskError};
pub use self::connections::Connection;
pub use self::enrol::{EnrolError, Registered, enrol};
pub use self::fetch::{Download, FetchError, Source, fetch};
pub use self::fronts::{KnownFront, KnownFronts};
pub use self::handle::{Agent, Asker};
pub use self::local::{Local, ServiceSpec, ServiceTls, connect, may_lead_to};
pub use self::meter::{Counts, Meter, Success, SuccessBy};
pub use self::session::{Breach, SessionError, VerifiedIdentity, verify_identity};
pub use self::state::{AgentEvent, AgentState};
pub use self::view::{AgentView, DialledWith, KeyExchange, ServerView, ServiceNames, ServiceView};
pub use self::visit::{Direct, IncomingStream, Visits};
pub use self::withdrawal::Offering;
