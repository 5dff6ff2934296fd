//! One session as the agent sees it: dial, prove, introduce; later drain.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::limits;
use crate::mux::{self, End, Event, Events, Mux, Role};
use crate::name::ServerAddr;
use crate::net::dial::{self, DialError};
use crate::proto::control::{FromAgent, FromRelay, Hello, Message, PROTOCOL, Refusal, Welcome};

/// Why a session was not opened, or did not last.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No connection, or not to the right server.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The relay said why it does not want the session.
    #[error("{server} refused the session: {refusal:?}")]
    Refused {
        /// Who.
        server: ServerAddr,
        /// Why.
        refusal: Refusal,
    },
    /// The session ended.
    #[error("the session with {server} ended")]
    Ended {
        /// With whom.
        server: ServerAddr,
        /// Why.
        source: End,
    },
    /// What came was no welcome.
    #[error("{server} did not introduce itself as the protocol asks")]
    NoWelcome {
        /// Who.
        server: ServerAddr,
    },
}

impl SessionError {
    /// What a state may know of it.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Dial(error) => error.cause(),
            Self::Refused { refusal, .. } => match refusal {
                Refusal::Unknown => Cause::Unknown,
                Refusal::InUseElsewhere => Cause::InUseElsewhere,
                Refusal::VersionMismatch => Cause::VersionMismatch,
                Refusal::Busy => Cause::ServerBusy,
                Refusal::Protocol => Cause::Protocol,
            },
            Self::Ended { source, .. } => match source {
                End::Violation(_) => Cause::Protocol,
                End::Local | End::Peer | End::Silent | End::Stalled | End::Io(_) => Cause::Lost,
            },
            Self::NoWelcome { .. } => Cause::Protocol,
        }
    }
}

/// A welcomed session. Dropping it ends it at once.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) mux: Mux,
    pub(super) events: Events,
    driver: Option<JoinHandle<End>>,
    pub(super) since: Instant,
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

impl Live {
    /// Why the session has ended. Call after its events have.
    pub(super) async fn end(&mut self) -> End {
        match self.driver.take() {
            Some(driver) => driver.await.unwrap_or_else(|error| End::Io(io::Error::other(error))),
            None => End::Local,
        }
    }

    /// Lets streams finish for up to [`limits::DRAIN`], then closes. New streams are refused meanwhile.
    pub(super) async fn drain(mut self) {
        let events = &mut self.events;
        // Whatever the peer still says goes unheard, but its queue must not fill up.
        let deaf = async { while events.recv().await.is_some() {} };
        tokio::select! {
            () = deaf => {}
            () = self.mux.idle() => {}
            () = tokio::time::sleep(limits::DRAIN) => {}
        }
        self.mux.close();
        self.end().await;
    }
}

/// Dials `server`, proves both sides, says `hello` and waits for the welcome, all within [`limits::DIAL`].
pub(super) async fn connect(
    server: &ServerAddr,
    config: Arc<ClientConfig>,
    hello: Hello,
) -> Result<(Live, Welcome), SessionError> {
    let deadline = Instant::now() + limits::DIAL;
    let tls = dial::dial(server, config, limits::DIAL).await?;
    let (mux, driver, events) = mux::session(tls, Role::Agent, hello.window);
    let mut live = Live { mux, events, driver: Some(tokio::spawn(driver)), since: Instant::now() };
    let hello = FromAgent::Hello(hello).encode().map_err(|_| no_welcome(server))?;
    live.mux.send_control(&hello);
    let message = match tokio::time::timeout_at(deadline, live.events.recv()).await {
        Err(_) => {
            return Err(DialError::Unanswered { server: server.clone(), limit: limits::DIAL }.into());
        }
        Ok(Some(Event::Control(payload))) => FromRelay::decode(&payload).map_err(|_| no_welcome(server))?,
        Ok(Some(_)) => return Err(no_welcome(server)),
        Ok(None) => return Err(ended(server, live.end().await)),
    };
    match message {
        FromRelay::Welcome(welcome) if welcome.protocol == PROTOCOL => Ok((live, welcome)),
        FromRelay::Refused { refusal } => Err(SessionError::Refused { server: server.clone(), refusal }),
        _ => Err(no_welcome(server)),
    }
}

/// What the end of a session means. The first read is where TLS tells that a device is not known.
pub(super) fn ended(server: &ServerAddr, end: End) -> SessionError {
    match end {
        End::Io(source) => match DialError::from_tls(server, source) {
            denied @ DialError::Denied { .. } => denied.into(),
            DialError::NotPetit { source, server } => SessionError::Ended { server, source: End::Io(source) },
            other => other.into(),
        },
        source => SessionError::Ended { server: server.clone(), source },
    }
}

fn no_welcome(server: &ServerAddr) -> SessionError {
    SessionError::NoWelcome { server: server.clone() }
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
