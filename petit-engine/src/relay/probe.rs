//! A trial of the whole way, as a visitor would go it: from the public front through the tunnel to the service.
//!
//! The agent asks for it; the relay connects to its own front and sends a request for the service's public host.
//! A random token, known to this process alone, marks the request, so that it ends at the service's door: the
//! agent connects to the service and says so, and nothing reaches the service that it might act upon.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::registry::{Served, Session};
use super::{Route, Shared};
use crate::cause::ServiceCause;
use crate::limits;
use crate::proto::control::{Hop, ServiceKind, Trial};
use crate::proto::frame::{Open, Purpose, ResetCode};

/// The header field that carries the token.
pub(super) const TOKEN_FIELD: &str = "petit-probe";

/// Runs one trial of a service that a session serves.
pub(super) async fn run(shared: &Arc<Shared>, session: &Arc<Session>, number: u16) -> Trial {
    let Some((id, served)) = session.by_number(number) else {
        return Trial { broken: Some(Hop::Client), ..Trial::default() };
    };
    let front = Trial { broken: Some(Hop::Front), ..Trial::default() };
    let trial = match served.kind {
        // A visitor's connection to a raw port cannot be told from a trial's, so the port is only looked at.
        ServiceKind::Tcp if !shared.fronts.is_open(&id) => return front,
        ServiceKind::Tcp => match shared.access.service(&id) {
            Some(route) => through(shared, &route, Instant::now()).await,
            None => return front,
        },
        ServiceKind::Http => {
            let asked = tokio::time::timeout(limits::PROBE_LIMIT / 2, ask_front(shared, &served));
            asked.await.ok().flatten().unwrap_or(front)
        }
    };
    tracing::debug!(%id, ?trial, "trial");
    trial
}

/// Asks the public front like a visitor.
async fn ask_front(shared: &Shared, served: &Served) -> Option<Trial> {
    let start = Instant::now();
    let front = *shared.front.get()?;
    let tcp = TcpStream::connect(reachable(front)).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.ok()?;
    let connection = tokio::spawn(connection);
    let (_, authority) = served.url.split_once("://")?;
    let host = authority.split(':').next()?;
    let request = Request::get("/")
        .header(HOST, host)
        .header(TOKEN_FIELD, &shared.probe_token)
        .body(Empty::<Bytes>::new())
        .ok()?;
    let response = sender.send_request(request).await.ok();
    let body = match response {
        Some(response) => response.into_body().collect().await.ok(),
        None => None,
    };
    connection.abort();
    let mut trial: Trial = serde_json::from_slice(&body?.to_bytes()).ok()?;
    let whole = micros(start);
    let beyond = trial.tunnel_us.unwrap_or_default() + trial.service_us.unwrap_or_default();
    trial.front_us = Some(whole.saturating_sub(beyond));
    Some(trial)
}

/// Where a listener on all addresses is reached from this machine.
fn reachable(front: SocketAddr) -> SocketAddr {
    match front {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => ([0, 0, 0, 0, 0, 0, 0, 1], v6.port()).into(),
        front => front,
    }
}

/// The part of a trial that lies behind the front: a probe stream to whichever session serves the route.
pub(super) async fn through(shared: &Shared, route: &Route, start: Instant) -> Trial {
    let front_us = Some(micros(start));
    let broken = |hop| Trial { front_us, broken: Some(hop), ..Trial::default() };
    let Some((session, served)) = shared.registry.find(route) else { return broken(Hop::Client) };
    let opened = Instant::now();
    let open = Open {
        service: served.number,
        purpose: Purpose::Probe,
        id: shared.next_request_id(),
        ..Open::default()
    };
    let Ok(mut stream) = session.mux.open(open) else { return broken(Hop::Tunnel) };
    let mut took = [0; 8];
    let limit = limits::PROBE_LIMIT / 2;
    match tokio::time::timeout(limit, stream.read_exact(&mut took)).await {
        Ok(Ok(_)) => {
            let service_us = u64::from_be_bytes(took);
            let tunnel_us = micros(opened).saturating_sub(service_us);
            Trial { front_us, tunnel_us: Some(tunnel_us), service_us: Some(service_us), broken: None }
        }
        Ok(Err(_)) => {
            // An answer came through the tunnel, whatever it said.
            let tunnel_us = Some(micros(opened));
            let hop = match stream.fate().reset_code() {
                Some(ResetCode::ServiceRefused) => Hop::Service(ServiceCause::Refused),
                Some(ResetCode::ServiceUnreachable | ResetCode::ServiceBroke) => {
                    Hop::Service(ServiceCause::Unreachable)
                }
                Some(ResetCode::ServiceTls) => Hop::Service(ServiceCause::Untrusted),
                Some(
                    ResetCode::ServiceUnknown | ResetCode::Refused | ResetCode::NoRoom | ResetCode::Internal,
                ) => Hop::Client,
                Some(ResetCode::Cancelled) | None => return broken(Hop::Tunnel),
            };
            Trial { tunnel_us, ..broken(hop) }
        }
        // The agent gives up after `SERVICE_CONNECT`; until then it may be the service that is slow.
        Err(_) => broken(Hop::Service(ServiceCause::Unreachable)),
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
