//! What all parts of a relay share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use petit_engine::name::DeviceId;
use petit_engine::proto::RequestId;
use petit_engine::proto::control::Refusal;
use petit_engine::secret::PublicKey;
use rustls::ServerConfig;
use tokio_util::task::TaskTracker;

use super::access::Access;
use super::admission::Connections;
use super::awaited::Awaited;
use super::config::RelayConfig;
use super::downloads::Downloads;
use super::enrolling::Enrolling;
use super::failure::Failure;
use super::front_probe::FrontProbes;
use super::leaving::Leaving;
use super::listeners::Listeners;
use super::logins::Logins;
use super::places::{Claim, Places, Room, Slot};
use super::policed::{Policed, Policing, Shown};
use super::refusal_log::RefusalLog;
use super::registry::Registry;
use super::releases::Releases;
use super::request_ids::RequestIds;
use super::route::Route;
use super::session::Session;
use super::session_log::SessionLog;
use super::shards::Shards;
use super::tcp_listeners::TcpListeners;
use super::visit::{Observer, Visit};

pub(crate) struct RelayShared {
    pub(super) shards: Shards,
    pub(super) config: RelayConfig,
    pub(super) access: Arc<dyn Access>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) tunnel_tls: Arc<ServerConfig>,
    pub(super) enrol_tls: Arc<ServerConfig>,
    pub(super) release_tls: Arc<ServerConfig>,
    /// What is handed out to devices, if anything is.
    pub(super) releases: Option<Arc<dyn Releases>>,
    pub(super) downloads: Downloads,
    /// For HTTPS visitors; `None`: there is no certificate for them.
    pub(super) https: RwLock<Option<Arc<ServerConfig>>>,
    pub(super) registry: Registry,
    pub(super) listeners: Listeners,
    pub(super) logins: Logins,
    pub(super) session_log: SessionLog,
    pub(super) refusal_log: RefusalLog,
    pub(super) tcp_listeners: TcpListeners,
    pub(super) awaited: Awaited,
    pub(super) front_probes: FrontProbes,
    /// Names this relay in `Via`, so that a request that comes round again is recognised.
    pub(super) pseudonym: String,
    pub(super) request_ids: RequestIds,
    /// Sessions so far, which the log numbers.
    pub(super) sessions: AtomicU64,
    /// Requests that failed by a fault of ours.
    pub(super) faults: AtomicU64,
    pub(super) connections: Arc<Connections>,
    pub(super) places: Places,
    pub(super) policing: Arc<Policing>,
    pub(super) enrolling: Enrolling,
    /// Connections, and what is done for them.
    pub(super) tasks: TaskTracker,
    /// What goes on until the relay has ended.
    pub(super) long_running: TaskTracker,
    pub(super) leaving: Leaving,
}

impl RelayShared {
    /// True while there is a certificate for HTTPS visitors.
    pub(super) fn has_https(&self) -> bool {
        self.https.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// A place for a visit of whatever kind. Where memory is as good as used up it gets none that is free.
    ///
    /// # Errors
    /// As [`Room::enter`] and [`Room::enter_instead`].
    pub(super) async fn place(&self, room: &Arc<Room>, claim: Claim) -> Result<Slot, Failure> {
        let entered = if self.connections.takes_requests() {
            room.enter(claim).await
        } else {
            room.enter_instead(claim)
        };
        entered.inspect_err(|_| self.places.refused())
    }

    /// The way to a visit's service as it is by now.
    ///
    /// # Errors
    /// What the visitor is told whose service is gone.
    pub(super) fn present_route(&self, visit: &Visit) -> Result<Route, Failure> {
        self.access.service(&visit.route.id).ok_or(Failure::Unknown)
    }

    /// Whether a device with this key is registered, and not kept out.
    pub(super) fn is_welcome(&self, key: &PublicKey, device: DeviceId) -> bool {
        self.access.device(key) == Some(device) && !self.access.is_suspended(&device)
    }

    /// Whether the device of a session may go on.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn present_standing(&self, session: &Session) -> Result<(), Refusal> {
        if self.access.device(&session.key) != Some(session.device) {
            return Err(Refusal::Unknown);
        }
        if self.access.is_suspended(&session.device) {
            return Err(Refusal::Suspended);
        }
        Ok(())
    }

    /// What the policy of a visit's service says after a wait: it is asked again where that is another one now. `route` is
    /// that of now.
    ///
    /// # Errors
    /// What the visitor is told whom it refuses.
    pub(super) fn ask_again(
        &self,
        visit: &Visit,
        route: &Route,
        policed: Option<Arc<Policed>>,
        shown: Shown<'_>,
    ) -> Result<Option<Arc<Policed>>, Failure> {
        route.must_be(visit.route.kind)?;
        if route.is_suspended {
            return Err(Failure::Suspended);
        }
        match (&route.policy, policed) {
            (Some(policy), Some(policed))
                if policed.policy().is_some_and(|asked| Arc::ptr_eq(asked, policy)) =>
            {
                Ok(Some(policed))
            }
            (Some(policy), Some(policed)) => self.policing.ask_anew(visit, policy, shown, policed).map(Some),
            (Some(policy), None) => self.policing.ask(visit, policy, shown).map(Some),
            // Nothing is asked of it any more.
            (None, Some(policed)) if policed.policy().is_some() => {
                drop(policed);
                Ok(Some(self.policing.unasked(visit)))
            }
            (None, policed) => Ok(policed),
        }
    }

    /// Tells an agent which release there is for it, where that is another one than it was told.
    pub(super) fn tell_release(&self, session: &Session) {
        if let Some(releases) = &self.releases {
            session.tell_release(releases.offered(&session.device));
        }
    }

    /// A number for one session, for the log.
    pub(super) fn next_session_number(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A name for one request or stream, for logs and error answers.
    pub(super) fn next_request_id(&self) -> RequestId {
        self.request_ids.next()
    }
}
