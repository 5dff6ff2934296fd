//! One session as the agent sees it: dial, prove, introduce; later drain.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Span;

use super::view::{DialledWith, KeyExchange};
use crate::cause::Cause;
use crate::limits;
use crate::mux::{self, End, Mux, MuxEvent, MuxEvents, Role, Stream};
use crate::name::{DeviceId, ServerAddr};
use crate::net::dial::{self, DialError, DialRoute};
use crate::net::tls;
use crate::proto::control::{
    ControlError, FromAgent, FromRelay, Hello, Message, PROTOCOL, Refusal, Text, WIDE, Welcome, has_feature,
};
use crate::proto::frame::ResetCode;
use crate::secret::{Fingerprint, PrivateKey};

/// Why a session was not opened, or did not last.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No connection, or not to the right server.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The relay said why it does not want the session.
    #[error("{server} refused the session: {refusal:?}")]
    Refused { server: ServerAddr, refusal: Refusal },
    /// The session ended.
    #[error("the session with {server} ended")]
    Ended { server: ServerAddr, source: End },
    /// The hello is longer than a message can be.
    #[error("there are too many services, with names and hosts that are too long, to tell {server} of them")]
    TooMuch { server: ServerAddr },
    /// What came was no welcome.
    #[error("{server} did not introduce itself as the protocol asks: {rule}")]
    NoWelcome {
        server: ServerAddr,
        /// What it has broken.
        rule: Breach,
    },
    /// A message that came later broke the protocol.
    #[error("{server} broke the protocol: {rule}")]
    Broke {
        server: ServerAddr,
        /// What it has broken.
        rule: Breach,
    },
}

/// The rule of the protocol that a relay's message has broken.
#[derive(Debug, thiserror::Error)]
pub enum Breach {
    /// It is not one that can be understood.
    #[error(transparent)]
    Message(#[from] ControlError),
    /// It cannot stand where it came.
    #[error("{0}")]
    Misplaced(&'static str),
}

impl SessionError {
    /// What a state may know of it.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Dial(error) => error.cause(),
            Self::Refused { refusal, .. } => match refusal {
                Refusal::Unknown => Cause::Unknown,
                Refusal::InUseElsewhere => Cause::InUseElsewhere,
                Refusal::Suspended => Cause::Suspended,
                Refusal::VersionMismatch => Cause::VersionMismatch,
                Refusal::Busy => Cause::ServerBusy,
                Refusal::Protocol => Cause::Protocol,
            },
            Self::Ended { source, .. } => match source {
                End::Violation(_) => Cause::Protocol,
                End::Local | End::Peer | End::Silent | End::Stalled | End::Io(_) => Cause::Lost,
            },
            Self::NoWelcome { .. } | Self::Broke { .. } | Self::TooMuch { .. } => Cause::Protocol,
        }
    }
}

/// What is to become of a session that is not in use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It takes streams until the relay ends it.
    Serves,
    /// It finishes those that it has.
    Drains,
    /// It ends at once.
    Ends,
}

/// Waits until it is such a one, or nobody says any more what it is.
async fn becomes(left: &mut watch::Receiver<Left>, such: impl Fn(Left) -> bool) {
    let _ = left.wait_for(|left| such(*left)).await;
}

/// A welcomed session. Dropping it ends it at once.
#[derive(Debug)]
pub(super) struct AgentSession {
    pub(super) mux: Mux,
    pub(super) events: MuxEvents,
    driver: Option<JoinHandle<End>>,
    pub(super) since: Instant,
    /// This end's address.
    pub(super) local: Option<IpAddr>,
    pub(super) key_exchange: Option<KeyExchange>,
    pub(super) dialled_with: Option<DialledWith>,
    /// What its welcome says that is in use beyond the protocol's first version.
    pub(super) features: Vec<Text<32>>,
    /// What is logged of it says which one it is.
    pub(super) span: Span,
}

impl Drop for AgentSession {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

impl AgentSession {
    /// A session whose driver runs.
    pub(super) fn new(mux: Mux, events: MuxEvents, driver: JoinHandle<End>) -> Self {
        let (driver, since) = (Some(driver), Instant::now());
        Self {
            mux,
            events,
            driver,
            since,
            local: None,
            key_exchange: None,
            dialled_with: None,
            features: Vec::new(),
            span: Span::none(),
        }
    }

    /// Why the session has ended. Call after its events have.
    pub(super) async fn end(&mut self) -> End {
        match self.driver.take() {
            Some(driver) => driver.await.unwrap_or_else(|error| End::Io(io::Error::other(error))),
            None => End::Local,
        }
    }

    /// Lets streams finish for up to [`limits::DRAIN`], then closes. New streams are refused meanwhile. Ends at once
    /// when `left` says so.
    pub(super) async fn drain(mut self, mut left: watch::Receiver<Left>) {
        let events = &mut self.events;
        // Nothing is listened to any more, but a stream that was opened before the peer knew is told that nothing
        // has happened to it, so that its request may go another way.
        let refuse = async {
            while let Some(event) = events.recv().await {
                if let MuxEvent::Open(stream) = event {
                    stream.reset(ResetCode::Refused);
                }
            }
        };
        tokio::select! {
            () = refuse => {}
            () = self.mux.idle() => {}
            () = tokio::time::sleep(limits::DRAIN) => {}
            () = becomes(&mut left, |left| left == Left::Ends) => return,
        }
        self.mux.close();
        self.end().await;
    }

    /// Hands on the streams that the relay still opens, until it ends the session, for [`limits::MOVED`] at most;
    /// when `left` says so, lets them finish as [`AgentSession::drain`] does.
    pub(super) async fn serve_on(mut self, streams: mpsc::Sender<Stream>, mut left: watch::Receiver<Left>) {
        let events = &mut self.events;
        let serve = async {
            // With a place for it first, so that no stream is lost between the two when this is cut short.
            while let Ok(place) = streams.reserve().await {
                match events.recv().await {
                    Some(MuxEvent::Open(stream)) => place.send(stream),
                    // Messages belong into the session that is in use.
                    Some(_) => {}
                    None => return,
                }
            }
        };
        tokio::select! {
            () = serve => {}
            () = becomes(&mut left, |left| left != Left::Serves) => {
                self.mux.go_away(Duration::ZERO);
                return self.drain(left).await;
            }
            () = tokio::time::sleep(limits::MOVED) => tracing::info!("the server has not ended a session that was moved from"),
        }
        self.mux.close();
        self.end().await;
    }
}

/// What the server said of a device's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedIdentity {
    /// Who this device is there.
    pub device: DeviceId,
    /// The server's clock, in seconds since 1970.
    pub now: u64,
    /// How the keys were agreed upon.
    pub key_exchange: Option<KeyExchange>,
}

/// Asks the server whether it knows this device, without beginning a session and without disturbing one that
/// there is. All within [`limits::DIAL`].
///
/// # Errors
/// [`SessionError`].
///
/// # Cancel safety
/// Cancelling closes the connection.
pub async fn verify_identity(
    server: &ServerAddr,
    route: &DialRoute,
    key: &PrivateKey,
    pins: Vec<Fingerprint>,
) -> Result<VerifiedIdentity, SessionError> {
    let config = tls::client(key, pins, tls::ALPN_TUNNEL)
        .map_err(|error| DialError::from_tls(server, io::Error::other(error)))?;
    let (message, live) = ask(server, route, config, &FromAgent::VerifyIdentity {}, 0).await?;
    match message {
        FromRelay::IdentityVerified { device, now } => {
            Ok(VerifiedIdentity { device, now, key_exchange: live.key_exchange.clone() })
        }
        other => Err(no_answer(server, &other)),
    }
}

/// Dials `server`, proves both sides, says `hello` and waits for the welcome, all within [`limits::DIAL`].
pub(super) async fn connect(
    server: &ServerAddr,
    route: &DialRoute,
    config: Arc<ClientConfig>,
    hello: Hello,
) -> Result<(AgentSession, Welcome), SessionError> {
    let window = hello.window;
    let services = hello.services.len();
    let dialled_with = DialledWith { route: route.clone(), vitae: hello.vitae.clone() };
    let (message, mut live) = ask(server, route, config, &FromAgent::Hello(hello), window).await?;
    match message {
        FromRelay::Welcome(welcome) if welcome.protocol == PROTOCOL => {
            live.mux.set_services(services);
            live.dialled_with = Some(dialled_with);
            live.features.clone_from(&welcome.features);
            if has_feature(&live.features, WIDE) {
                live.mux.set_wide_windows();
            }
            Ok((live, welcome))
        }
        other => Err(no_answer(server, &other)),
    }
}

/// Dials, says the first thing and waits for the answer.
async fn ask(
    server: &ServerAddr,
    route: &DialRoute,
    config: Arc<ClientConfig>,
    first: &FromAgent,
    window: u32,
) -> Result<(FromRelay, AgentSession), SessionError> {
    let deadline = Instant::now() + limits::DIAL;
    let tls = dial::dial(server, route, config, limits::DIAL).await?;
    let (wire, connection) = tls.get_ref();
    let local = wire.get_ref().local_addr().ok().map(|address| address.ip().to_canonical());
    let key_exchange = connection.negotiated_key_exchange_group().map(|group| KeyExchange {
        name: format!("{:?}", group.name()),
        post_quantum: tls::is_post_quantum(connection),
    });
    let (mux, driver, events) = mux::session(tls, Role::Agent, window);
    let mut live = AgentSession::new(mux, events, tokio::spawn(driver));
    (live.local, live.key_exchange) = (local, key_exchange);
    let first = first.encode().map_err(|_| SessionError::TooMuch { server: server.clone() })?;
    live.mux.send_control(&first);
    let message = match tokio::time::timeout_at(deadline, live.events.recv()).await {
        Err(_) => {
            return Err(DialError::Unanswered {
                server: server.clone(),
                limit: limits::DIAL,
                connected: true,
            }
            .into());
        }
        Ok(Some(MuxEvent::Control(payload))) => {
            FromRelay::decode(&payload).map_err(|error| no_welcome(server, error.into()))?
        }
        Ok(Some(_)) => {
            return Err(no_welcome(server, Breach::Misplaced("no message came first")));
        }
        Ok(None) => return Err(ended(server, live.end().await)),
    };
    Ok((message, live))
}

/// What the end of a session means. The first read is where TLS tells that a device is not known.
pub(super) fn ended(server: &ServerAddr, end: End) -> SessionError {
    match end {
        End::Io(source) => match DialError::from_tls(server, source) {
            denied @ DialError::Denied { .. } => denied.into(),
            DialError::NotPetit { source, server } | DialError::Closed { source, server } => {
                SessionError::Ended { server, source: End::Io(source) }
            }
            other => other.into(),
        },
        source => SessionError::Ended { server: server.clone(), source },
    }
}

/// What it means that another message came first than the answer that was asked for.
fn no_answer(server: &ServerAddr, message: &FromRelay) -> SessionError {
    match message {
        FromRelay::Refused { refusal } => SessionError::Refused { server: server.clone(), refusal: *refusal },
        _ => no_welcome(server, Breach::Misplaced("another message than the answer came first")),
    }
}

fn no_welcome(server: &ServerAddr, rule: Breach) -> SessionError {
    SessionError::NoWelcome { server: server.clone(), rule }
}

/// Waits for a moment, or for ever.
pub(super) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The delay before a server that is leaving wants to see us again.
pub(super) fn retry_after(away: crate::proto::frame::GoAway) -> Duration {
    Duration::from_millis(u64::from(away.retry_after_ms)).min(limits::RETRY_CAP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::testing::{Side, pair};
    use crate::proto::frame::Open;

    /// A session at an agent with a stream that has come and that nobody has taken; and the relay's end.
    async fn with_a_stream_that_waits() -> (Side, AgentSession, Stream) {
        let (relay, Side { mux, events, end }) = pair(4096);
        let stream = relay.mux.open(Open::default()).unwrap();
        while events.is_empty() {
            tokio::task::yield_now().await;
        }
        let (driver, since) = (Some(end), Instant::now());
        (
            relay,
            AgentSession {
                mux,
                events,
                driver,
                since,
                local: None,
                key_exchange: None,
                dialled_with: None,
                features: vec![],
                span: Span::none(),
            },
            stream,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_when_the_agent_leaves_is_refused_and_may_be_opened_elsewhere() {
        let (_relay, agent, stream) = with_a_stream_that_waits().await;
        agent.mux.go_away(Duration::ZERO);
        let (_leave, left) = watch::channel(Left::Drains);
        agent.drain(left).await;
        assert_eq!(stream.outcome().reset_code(), Some(ResetCode::Refused));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_in_a_session_that_is_left_behind_is_refused_too_when_there_is_no_room_for_it() {
        let (_relay, agent, stream) = with_a_stream_that_waits().await;
        // Nobody takes streams from the full queue.
        let (streams, _held) = mpsc::channel(1);
        let _place = streams.clone().try_reserve_owned().unwrap();
        let (leave, left) = watch::channel(Left::Serves);
        let serving = tokio::spawn(agent.serve_on(streams, left));
        tokio::time::sleep(Duration::from_secs(1)).await;
        leave.send_replace(Left::Drains);
        serving.await.unwrap();
        assert_eq!(stream.outcome().reset_code(), Some(ResetCode::Refused));
    }
}
