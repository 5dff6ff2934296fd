//! One agent's connection, from its hello to its end.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use petit_engine::BoxFuture;
use petit_engine::limits;
use petit_engine::mux::{self, End, Mux, MuxEvent, MuxEvents, Role};
use petit_engine::name::DeviceId;
use petit_engine::net::tls;
use petit_engine::net::wire::Wire;
use petit_engine::proto::control::{
    BUSY_PORT, FRONTS, HEALTHS, MOVE, MOVED, POLICY, PROTOCOL, PublicUrl, RELEASE, Refusal, SHUT_PORT,
    SUSPENDED, ServiceKind, Text, UPDATES, Welcome,
};
use petit_engine::proto::control::{FromAgent, FromRelay, Grant, GrantOutcome, Hello, Kept, Message, Offer};
use petit_engine::proto::control::{ServiceHealth, WIDE, has_feature};
use petit_engine::secret::PublicKey;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;
use tracing::Instrument;

use super::{Served, Session, SessionPlace};
use crate::session_log::{SessionEvent, log_session};
use crate::{AnnouncedServices, RelayShared, probe};

/// What serves a session until it ends. Its device is the key of its TLS peer; nothing it sends says who it is. `None`
/// when that device is not registered.
pub(crate) fn run(
    shared: Arc<RelayShared>,
    tls: TlsStream<Wire<TcpStream>>,
    peer: SocketAddr,
    shard: usize,
) -> Option<impl Future<Output = ()> + Send> {
    let key = tls::peer_key(tls.get_ref().1)?;
    let device = shared.access.device(&key)?;
    // The driver's task has no span: it runs for every frame, and says nothing of its own. It begins here, so that
    // the future below has no room for a TLS connection, which a future that is handed one keeps for all its life.
    let (mux, driver, events) = mux::session(tls, Role::Relay, limits::INITIAL_WINDOW_BYTES);
    let driver = Driving { task: tokio::spawn(driver), ended: None };
    let span = tracing::info_span!("session", id = shared.next_session_number(), client = %device);
    let at = SessionPlace { peer, shard };
    Some(run_of(shared, (mux, driver, events), (key, device), at).instrument(span))
}

async fn run_of(
    shared: Arc<RelayShared>,
    (mux, mut driver, mut events): (Mux, Driving, MuxEvents),
    (key, device): (PublicKey, DeviceId),
    at: SessionPlace,
) {
    let peer = at.peer;
    let outcome = match introduction(&shared, &device, &mut events).await {
        Some(Ok(Introduction::VerifyIdentity)) => {
            let now = seconds_since_1970();
            return confirm_identity(&mux, driver, FromRelay::IdentityVerified { device, now }).await;
        }
        Some(Ok(Introduction::Hello(hello))) => {
            mux.set_peer_limits(hello.window, hello.max_streams);
            mux.set_services(hello.services.len());
            if has_feature(&hello.features, WIDE) {
                mux.set_wide_windows();
            }
            let session = Arc::new(Session::new(device, key, mux.clone(), at, &hello));
            let outcome = serve(&shared, &session, hello, (events, &mut driver)).await;
            outcome.map_err(|refusal| session.understandable_refusal(refusal))
        }
        Some(Err(refusal)) => Err(refusal),
        None => {
            tracing::debug!(%peer, "the device left without a word");
            return note_end(&shared, &device, &driver.end().await);
        }
    };
    if let Err(refusal) = outcome {
        log_session!(shared, Refused, %peer, ?refusal, "session refused");
        refuse(&mux, refusal);
    }
    let end = driver.end().await;
    note_end(&shared, &device, &end);
    log_session!(shared, Ended, %peer, reason = %end, "session ended");
}

/// Takes note when a session has ended because its client broke the protocol.
fn note_end(shared: &RelayShared, device: &DeviceId, end: &End) {
    if let End::Violation(rule) = end {
        broke(shared, device, rule);
    }
}

/// A client has broken a rule of the protocol: the log says which, and so does what the operator sees of the client.
fn broke(shared: &RelayShared, device: &DeviceId, rule: &dyn Display) -> Refusal {
    // The span is not there where only warnings are logged.
    tracing::warn!(%device, %rule, "the client broke the protocol");
    shared.logins.broke(device, rule.to_string());
    Refusal::Protocol
}

/// The driver's task; ends with this handle.
struct Driving {
    task: JoinHandle<End>,
    ended: Option<End>,
}

impl Driving {
    /// Waits until the connection has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn ended(&mut self) {
        if self.ended.is_none() {
            let end = (&mut self.task).await;
            self.ended = Some(end.unwrap_or_else(|error| End::Io(std::io::Error::other(error))));
        }
    }

    async fn end(mut self) -> End {
        self.ended().await;
        self.ended.take().unwrap_or(End::Local)
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn refuse(mux: &Mux, refusal: Refusal) {
    if let Ok(payload) = (FromRelay::Refused { refusal }).encode() {
        mux.send_control(&payload);
    }
    mux.close();
}

/// What a device has come for.
enum Introduction {
    Hello(Hello),
    VerifyIdentity,
}

/// Tells a device that it is known, and what time it is; then the connection ends.
async fn confirm_identity(mux: &Mux, driver: Driving, answer: FromRelay) {
    if let Ok(payload) = answer.encode() {
        mux.send_control(&payload);
    }
    mux.close();
    driver.end().await;
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The first message; `None` when the peer has gone.
async fn introduction(
    shared: &RelayShared,
    device: &DeviceId,
    events: &mut MuxEvents,
) -> Option<Result<Introduction, Refusal>> {
    let first = tokio::time::timeout(limits::FIRST_MESSAGE, events.recv()).await;
    Some(match first {
        Ok(None) => return None,
        Ok(Some(MuxEvent::Control(payload))) => match FromAgent::decode(&payload) {
            Ok(FromAgent::VerifyIdentity {}) => Ok(Introduction::VerifyIdentity),
            Ok(FromAgent::Hello(hello)) if hello.protocol == PROTOCOL => Ok(Introduction::Hello(hello)),
            Ok(FromAgent::Hello(_)) => Err(Refusal::VersionMismatch),
            Ok(_) => Err(broke(shared, device, &"another message where a hello has to be")),
            Err(error) => Err(broke(shared, device, &error)),
        },
        Ok(Some(_)) => Err(broke(shared, device, &"a farewell where a hello has to be")),
        Err(_) => Err(broke(shared, device, &"no hello in time")),
    })
}

async fn serve(
    shared: &Arc<RelayShared>,
    session: &Arc<Session>,
    hello: Hello,
    (mut events, driver): (MuxEvents, &mut Driving),
) -> Result<(), Refusal> {
    let device = session.device;
    admit(shared, session, hello.takeover)?;
    say_name(shared, session, hello.device_name);
    // Nothing is written down for a client that has given up meanwhile.
    let announced = tokio::select! {
        announced = announce(shared, session, hello.services) => announced,
        () = driver.ended() => return Ok(()),
    };
    let (services, kept) = announced;
    session.set_last_grants(&services, &kept);
    session.welcome(Welcome {
        protocol: PROTOCOL,
        features: [
            MOVE, MOVED, HEALTHS, FRONTS, WIDE, BUSY_PORT, POLICY, SHUT_PORT, RELEASE, UPDATES, SUSPENDED,
        ]
        .into_iter()
        .filter(|feature| has_feature(&hello.features, feature))
        .map(Text::lossy)
        .collect(),
        software: shared.config.software.clone(),
        device,
        window: limits::INITIAL_WINDOW_BYTES,
        now: seconds_since_1970(),
        vitae: shared.config.vitae.clone(),
        services,
        kept,
    });
    // From here on requests find the session, and so do changes of the registry. What has changed since it was asked
    // was told when the session could not be found, so it is asked once more.
    let _moved = session.moved_at_end();
    let _entry = shared.registry.insert(Arc::clone(session), hello.only);
    shared.present_standing(session)?;
    session.tell_aliases(shared.access.as_ref());
    session.tell_policies(shared.access.as_ref());
    log_session!(shared, Welcomed, software = %hello.software, "session welcomed");
    shared.awaited.arrived(&device);
    // Whoever has come in before a change is told by those who tell all of it.
    shared.front_probes.watch(session);
    shared.tell_fronts(session);
    shared.tell_release(session);
    if let Some(leave) = shared.leaving.why() {
        shared.ask_to_go(session, leave);
    }
    let mut renaming = None;
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = session.pool.expire() => continue,
            () = session.more_to_tell() => {
                shared.tell_aliases(session);
                continue;
            }
            name = session.naming.due(|| shared.logins.next_rename(&device, Instant::now())), if renaming.is_none() => {
                shared.logins.renamed(&device, Instant::now());
                renaming = Some(shared.access.rename(device, name));
                continue;
            }
            () = finish(&mut renaming) => continue,
        };
        match event {
            None => return Ok(()),
            Some(MuxEvent::Control(payload)) => match FromAgent::decode(&payload) {
                Ok(message) => on_message(shared, session, message, driver).await?,
                Err(error) => return Err(broke(shared, &device, &error)),
            },
            // The session takes no more streams; requests go to a newer one, or are told that it is away.
            Some(MuxEvent::GoAway(_)) => {
                tracing::debug!("the agent is leaving");
                // Where the relay leaves, the agent only answers: what is open has the relay's own time.
                if shared.leaving.why().is_none() {
                    session.agent_leaves();
                } else {
                    session.pool.close();
                }
            }
            Some(MuxEvent::Open(_)) => {
                return Err(broke(shared, &device, &"a stream, which only a relay opens"));
            }
        }
    }
}

/// Counts a log-in, and lets a device have another session or not.
fn admit(shared: &RelayShared, session: &Session, takeover: bool) -> Result<(), Refusal> {
    let device = session.device;
    if !shared.logins.count_login(&device) {
        return Err(Refusal::Busy);
    }
    if shared.access.is_suspended(&device) {
        return Err(Refusal::Suspended);
    }
    // A stale (half-open) session is closed by its own liveness within `DEAD_AFTER`; until then a newcomer without
    // `takeover` backs off.
    if shared.registry.has_others(&device, &session.instance) {
        if !takeover {
            return Err(Refusal::InUseElsewhere);
        }
        if shared.logins.record_takeover(&device, session.peer().ip()).is_err() {
            tracing::warn!(%device, "one key in use on several computers, again and again; was it copied?");
            return Err(Refusal::InUseElsewhere);
        }
    }
    Ok(())
}

async fn on_message(
    shared: &Arc<RelayShared>,
    session: &Arc<Session>,
    message: FromAgent,
    driver: &mut Driving,
) -> Result<(), Refusal> {
    match message {
        FromAgent::Hello(_) | FromAgent::VerifyIdentity {} => {
            return Err(broke(
                shared,
                &session.device,
                &"a hello or a question for an identity in the middle of a session",
            ));
        }
        FromAgent::Services { services } => {
            session.mux.set_services(services.len());
            let announced = tokio::select! {
                announced = announce(shared, session, services) => announced,
                () = driver.ended() => return Ok(()),
            };
            let (grants, kept) = announced;
            session.tell_grants(grants, &kept);
            session.tell_policies(shared.access.as_ref());
            // An alias that was given or taken since they were registered was told before, and is overwritten now.
            shared.tell_aliases(session);
            shared.front_probes.watch(session);
            shared.tell_fronts(session);
        }
        FromAgent::Health { service, health } => session.set_health(service, health),
        FromAgent::Healths { healths } => {
            for ServiceHealth { service, health } in healths {
                session.set_health(service, health);
            }
        }
        FromAgent::Probe { probe, service } => {
            let (shared, session) = (Arc::clone(shared), Arc::clone(session));
            let Ok(place) = Arc::clone(&session.probe_permits).try_acquire_owned() else { return Ok(()) };
            let tasks = shared.tasks.clone();
            let probing = async move {
                let _place = place;
                let result = probe::run(&shared, &session, service).await;
                session.send(&FromRelay::Probed { probe, result });
            };
            tasks.spawn(probing.in_current_span());
        }
        FromAgent::Moved {} => session.has_moved(),
        FromAgent::Update(report) => {
            if let Some(releases) = &shared.releases {
                releases.reported(session.device, report);
            }
        }
        FromAgent::Rename { device_name } => say_name(shared, session, device_name),
        FromAgent::Remove { name } => {
            if let Some(found) = shared.access.remove(session.device, name.clone()).await {
                session.forget_kept(&name);
                session.send(&FromRelay::Removed { name, found });
            }
        }
        FromAgent::Unregister {} => {
            if shared.access.unregister(session.device).await {
                session.send(&FromRelay::Unregistered {});
                session.mux.close();
            }
        }
    }
    Ok(())
}

/// Takes note of what a device is called.
fn say_name(shared: &RelayShared, session: &Session, name: Text<64>) {
    let is_known = shared.access.is_called(&session.device, &name);
    session.naming.say((!is_known).then_some(name));
}

/// Waits until what was begun is done; for ever when nothing was.
///
/// # Cancel safety
/// Cancel safe.
async fn finish(begun: &mut Option<BoxFuture<'_, ()>>) {
    match begun {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
    *begun = None;
}

/// Registers what an agent offers, and routes to it from now on.
async fn announce(
    shared: &Arc<RelayShared>,
    session: &Session,
    offers: Vec<Offer>,
) -> (Vec<Grant>, Vec<Kept>) {
    let wanted = offers.iter().map(|offer| (offer.name.clone(), offer.kind)).collect();
    let AnnouncedServices { services: registrations, mut kept } =
        shared.access.announce(session.device, wanted).await;
    kept.truncate(limits::MAX_SERVICES);
    let mut served = HashMap::new();
    let mut grants = Vec::new();
    for (offer, registration) in offers.into_iter().zip(registrations) {
        let url = match registration {
            Ok(registration) => {
                let url = match offer.kind {
                    ServiceKind::Http => {
                        shared.tcp_listeners.close(&registration.id);
                        Ok(shared.config.endpoint.url(registration.id.as_str()))
                    }
                    ServiceKind::Tcp => shared.open_port(&registration),
                };
                url.map(|url| (registration, url))
            }
            Err(refusal) => Err(refusal),
        };
        let outcome = match url {
            Ok((registration, url)) => {
                let same = session.serves(&registration.id).filter(|served| {
                    served.number == offer.service && served.options == offer.options && served.url == url
                });
                let serve = same.unwrap_or_else(|| {
                    let rooms = shared.places.rooms(offer.kind, session.device, registration.id);
                    Arc::new(Served::new(&offer, url.clone(), rooms))
                });
                served.insert(registration.id, serve);
                GrantOutcome::Registered {
                    id: registration.id,
                    url: PublicUrl::own(url),
                    aliases: registration.aliases,
                }
            }
            Err(cause) => GrantOutcome::Refused { cause: session.understandable(cause) },
        };
        grants.push(Grant { service: offer.service, name: offer.name, outcome });
    }
    session.set_served(served);
    (grants, kept)
}
