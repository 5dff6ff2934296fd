//! One agent's connection, from its hello to its end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;

use super::registry::{Served, Session};
use super::{Announced, Shared, probe};
use crate::limits;
use crate::mux::{self, End, Event, Events, Mux, Role};
use crate::name::DeviceId;
use crate::net::tls;
use crate::net::wire::Wire;
use crate::proto::control::{FromAgent, FromRelay, Grant, Hello, Kept, Message, Offer, Outcome};
use crate::proto::control::{HEALTHS, MOVE, PROTOCOL, PublicUrl, Refusal, ServiceKind, Text, Welcome};
use crate::proto::control::{ServiceHealth, has_feature};

/// Serves a session until it ends. Its device is the key of its TLS peer; nothing it sends says who it is.
pub(super) async fn run(
    shared: Arc<Shared>,
    tls: TlsStream<Wire<TcpStream>>,
    peer: SocketAddr,
    shard: usize,
) {
    let Some(key) = tls::peer_key(tls.get_ref().1) else { return };
    let Some(device) = shared.access.device(&key) else { return };
    let (mux, driver, mut events) = mux::session(tls, Role::Relay, limits::INITIAL_WINDOW_BYTES);
    let driver = Driving(tokio::spawn(driver));
    let outcome = match introduction(&mut events).await {
        Some(Ok(Introduction::Look)) => {
            let now = seconds_since_1970();
            return answer_look(&mux, driver, FromRelay::Looked { device, now }).await;
        }
        Some(Ok(Introduction::Hello(hello))) => {
            mux.set_peer_limits(hello.window, hello.max_streams);
            mux.set_services(hello.services.len());
            let session = Arc::new(Session::new(device, key, mux.clone(), (peer, shard), &hello));
            serve(&shared, &session, hello, events).await
        }
        Some(Err(refusal)) => Err(refusal),
        None => return tracing::debug!(%device, %peer, "the device left without a word"),
    };
    if let Err(refusal) = outcome {
        tracing::info!(%device, %peer, ?refusal, "session refused");
        refuse(&mux, refusal);
    }
    let end = driver.end().await;
    tracing::info!(%device, %peer, reason = %end, "session ended");
}

/// The driver's task; ends with this handle.
struct Driving(JoinHandle<End>);

impl Driving {
    async fn end(mut self) -> End {
        (&mut self.0).await.unwrap_or_else(|error| End::Io(std::io::Error::other(error)))
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
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
    Look,
}

/// Tells a device that it is known, and what time it is; then the connection ends.
async fn answer_look(mux: &Mux, driver: Driving, answer: FromRelay) {
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
async fn introduction(events: &mut Events) -> Option<Result<Introduction, Refusal>> {
    let first = tokio::time::timeout(limits::FIRST_MESSAGE, events.recv()).await;
    Some(match first {
        Ok(None) => return None,
        Ok(Some(Event::Control(payload))) => match FromAgent::decode(&payload) {
            Ok(FromAgent::Look {}) => Ok(Introduction::Look),
            Ok(FromAgent::Hello(hello)) if hello.protocol == PROTOCOL => Ok(Introduction::Hello(hello)),
            Ok(FromAgent::Hello(_)) => Err(Refusal::VersionMismatch),
            _ => Err(Refusal::Protocol),
        },
        Ok(Some(_)) | Err(_) => Err(Refusal::Protocol),
    })
}

async fn serve(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    hello: Hello,
    mut events: Events,
) -> Result<(), Refusal> {
    let device = session.device;
    if !shared.registry.may_log_in(&device) {
        return Err(Refusal::Busy);
    }
    if !hello.takeover && is_alive_elsewhere(shared, &device, &hello.instance) {
        return Err(Refusal::InUseElsewhere);
    }
    if shared.registry.may_take_over(session).is_err() {
        tracing::warn!(%device, "one key in use on several computers, again and again; was it copied?");
        return Err(Refusal::InUseElsewhere);
    }
    rename(shared, device, hello.device_name);
    let (services, kept) = announce(shared, session, hello.services).await;
    session.welcome(Welcome {
        protocol: PROTOCOL,
        features: [MOVE, HEALTHS]
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
    // From here on requests find the session. A revocation between the handshake and this line has rung before
    // the session could be found, so it is asked for once more.
    let _entry = shared.registry.insert(Arc::clone(session), hello.only);
    if shared.access.device(&session.key) != Some(device) {
        return Err(Refusal::Unknown);
    }
    tracing::info!(%device, software = %hello.software, "session welcomed");
    shared.awaited.arrived(&device);
    if let Some(leave) = shared.leaving.why() {
        shared.ask_to_go(session, leave);
    }
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = session.pool.expire() => continue,
            () = session.more_to_tell() => {
                session.tell_aliases(shared.access.as_ref());
                continue;
            }
        };
        match event {
            None => return Ok(()),
            Some(Event::Control(payload)) => match FromAgent::decode(&payload) {
                Ok(message) => on_message(shared, session, message).await?,
                Err(error) => {
                    tracing::warn!(%device, %error, "the agent broke the protocol");
                    return Err(Refusal::Protocol);
                }
            },
            // The session takes no more streams; requests go to a newer one, or are told that it is away.
            Some(Event::GoAway(_)) => {
                tracing::info!(%device, "the agent is leaving");
                session.pool.close();
            }
            Some(Event::Open(_)) => return Err(Refusal::Protocol),
        }
    }
}

/// True when a session of another process with the same key still answers.
fn is_alive_elsewhere(shared: &Shared, device: &DeviceId, instance: &Text<32>) -> bool {
    // A ghost is closed by its own liveness within `DEAD_AFTER`; until then a polite newcomer waits.
    !shared.registry.others(device, instance).is_empty()
}

async fn on_message(shared: &Arc<Shared>, session: &Arc<Session>, message: FromAgent) -> Result<(), Refusal> {
    match message {
        FromAgent::Hello(_) | FromAgent::Look {} => return Err(Refusal::Protocol),
        FromAgent::Services { services } => {
            session.mux.set_services(services.len());
            let (services, kept) = announce(shared, session, services).await;
            session.tell_services(services, &kept);
        }
        FromAgent::Health { service, health } => session.set_health(service, health),
        FromAgent::Healths { healths } => {
            for ServiceHealth { service, health } in healths {
                session.set_health(service, health);
            }
        }
        FromAgent::Probe { probe, service } => {
            let (shared, session) = (Arc::clone(shared), Arc::clone(session));
            let Ok(place) = Arc::clone(&session.trials).try_acquire_owned() else { return Ok(()) };
            let tasks = shared.tasks.clone();
            tasks.spawn(async move {
                let _place = place;
                let trial = probe::run(&shared, &session, service).await;
                session.send(&FromRelay::Probed { probe, trial });
            });
        }
        FromAgent::Rename { device_name } => rename(shared, session.device, device_name),
        FromAgent::Remove { name } => {
            if let Some(found) = shared.access.remove(session.device, name.clone()).await {
                session.keeps_no_longer(&name);
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

/// Has the name of a device written down. Nobody waits for that.
fn rename(shared: &Arc<Shared>, device: DeviceId, name: Text<64>) {
    let renaming = Arc::clone(shared);
    shared.tasks.spawn(async move { renaming.access.rename(device, name).await });
}

/// Registers what an agent offers, and routes to it from now on.
async fn announce(shared: &Arc<Shared>, session: &Session, offers: Vec<Offer>) -> (Vec<Grant>, Vec<Kept>) {
    let wanted = offers.iter().map(|offer| (offer.name.clone(), offer.kind)).collect();
    let Announced { services: registrations, mut kept } =
        shared.access.announce(session.device, wanted).await;
    kept.truncate(limits::MAX_SERVICES);
    let mut served = HashMap::new();
    let mut grants = Vec::new();
    for (offer, registration) in offers.into_iter().zip(registrations) {
        let url = match registration {
            Ok(registration) => {
                let url = match offer.kind {
                    ServiceKind::Http => {
                        shared.fronts.close(&registration.id);
                        Ok(shared.config.endpoint.url(registration.id.as_str()))
                    }
                    ServiceKind::Tcp => shared.fronts.open(shared, &registration),
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
                Outcome::Registered {
                    id: registration.id,
                    url: PublicUrl::own(url),
                    aliases: registration.aliases,
                }
            }
            Err(cause) => Outcome::Refused { cause },
        };
        grants.push(Grant { service: offer.service, name: offer.name, outcome });
    }
    session.set_served(served);
    session.told(grants.clone(), kept.clone());
    (grants, kept)
}
