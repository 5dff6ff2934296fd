//! The vendor's end of the tunnel: sessions, routes, admission, public ingress, raw TCP, probes.
//!
//! A [`Relay`] is handed listeners and an [`Access`], which says who may come in and which name belongs to whom.
//! It binds no public address itself (but the ports of raw TCP services, on the address it is given), reads no
//! file and installs no signal handler.

#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test may assert by failing"
    )
)]

mod accept;
mod access;
mod admission;
mod affinity;
mod awaited;
mod changes;
mod config;
mod downloads;
mod enrol;
mod enrolling;
mod failure;
mod farewell;
mod front_probe;
#[doc(hidden)]
pub mod fuzzing;
mod greeting;
mod handing_out;
mod handshake_queue;
mod ingress;
mod invite_page;
mod last_grants;
mod leaving;
mod limits_config;
mod listeners;
mod logins;
mod naming;
mod networks;
mod places;
mod policed;
pub mod policy;
mod prefix_rates;
mod probe;
mod refusal_log;
mod registry;
mod relay;
mod releases;
mod remembered;
mod request_ids;
mod route;
mod session;
mod session_log;
mod shards;
mod shared;
mod tcp;
mod tcp_listeners;
mod telling;
mod upstream;
mod visit;

pub use self::access::{Access, AnnouncedServices, Change, EnrolRequest, Enrolled, ServiceRegistration};
#[doc(hidden)]
pub use self::admission::time_newcomers;
pub use self::config::{RelayConfig, RelayError};
pub use self::downloads::DownloadCounts;
pub use self::failure::{FailedHop, Failure};
pub use self::front_probe::{FrontKind, FrontProbing, FrontSettings, FrontView, Resolver, Unresolved};
pub use self::leaving::{Farewell, Leave, UnderWay};
pub use self::limits_config::{LimitsConfig, Pressure};
pub use self::listeners::{ListenerKind, UnknownListener};
pub use self::logins::RecordedBreach;
pub use self::places::{Holder, PlaceCounts, Scarce, Shortage};
pub use self::policed::PolicyCounts;
pub use self::registry::Presence;
pub use self::relay::{Relay, RelayCounts};
pub use self::releases::{ReleaseFile, Releases};
pub use self::route::{Names, Route, Routed, Via, decide};
pub use self::session::{ServedView, SessionView};
pub(crate) use self::shared::RelayShared;
pub use self::tcp_listeners::tcp_url;
pub use self::telling::aliases_bytes;
pub use self::visit::{Observer, Protocol, Record, VisitEnd};
