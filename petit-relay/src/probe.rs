//! The probe of a service, an end-to-end health check: from its public address through the tunnel until it accepts.
//!
//! The agent asks for it. Whether visitors get in at the public front is tried for all services together
//! (`front_probe`); from there on the probe goes as a request would: the host of the service's public address decides
//! the route, the registry says which session serves it, and a stream in that session, marked as a probe, ends at the
//! agent, which connects to the service and says so. Nothing reaches the service that it might act upon: what the agent
//! asks it, if anything, is about no resource of it (`agent/check.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use petit_engine::cause::ServiceCause;
use petit_engine::limits;
use petit_engine::name::{RegisteredId, VisitorHost};
use petit_engine::proto::control::{Hop, ProbeResult, ServiceKind};
use petit_engine::proto::frame::{Open, Purpose, ResetCode};
use tokio::io::AsyncReadExt;

use super::session::{Served, Session};
use super::{RelayShared, Route, Routed, decide};

/// Runs one probe of a service that a session serves.
pub(super) async fn run(shared: &Arc<RelayShared>, session: &Arc<Session>, number: u16) -> ProbeResult {
    let Some((id, served)) = session.by_number(number) else {
        return ProbeResult { broken: Some(Hop::Client), ..ProbeResult::default() };
    };
    let found = match served.kind {
        ServiceKind::Tcp => port(shared, &id).await.zip(shared.access.service(&id)),
        ServiceKind::Http => shared.front_probes.own().await.zip(route(shared, &served)),
    };
    let result = match found {
        Some((took, route)) => through(shared, &route, took, limits::PROBE_LIMIT / 2).await,
        None => ProbeResult { broken: Some(Hop::Front), ..ProbeResult::default() },
    };
    tracing::debug!(%id, ?result, "probe");
    result
}

/// Whether the port of a raw TCP service takes connections, and how fast.
async fn port(shared: &RelayShared, id: &RegisteredId) -> Option<Duration> {
    // Another process accepts there now, which would take a probe for a visitor.
    if shared.leaving.why().is_some() {
        return Some(Duration::ZERO);
    }
    shared.tcp_listeners.try_port(shared.front_probes.tcp_address(), id).await
}

/// Where a visitor of a service's public address is led: what ingress decides by.
fn route(shared: &RelayShared, served: &Served) -> Option<Route> {
    let (_, authority) = served.url.split_once("://")?;
    let host = VisitorHost::parse(authority).ok()?;
    match decide(&host, &shared.config.endpoint, shared.access.as_ref()) {
        Routed::Service { route, .. } => Some(route),
        Routed::Unknown | Routed::Foreign => None,
    }
}

/// The part of a probe that lies behind the front: a probe stream to whichever session serves the route, which answers
/// within `limit`.
pub(super) async fn through(
    shared: &RelayShared,
    route: &Route,
    front: Duration,
    limit: Duration,
) -> ProbeResult {
    let front_us = Some(micros(front));
    let broken = |hop| ProbeResult { front_us, broken: Some(hop), ..ProbeResult::default() };
    let Some(upstream) = shared.registry.find(route) else { return broken(Hop::Client) };
    let opened = Instant::now();
    let nobody = Open::default().visitor;
    let opening = upstream.open(Purpose::Probe, shared.next_request_id(), nobody);
    let Ok(mut stream) = opening else { return broken(Hop::Tunnel) };
    let mut took = [0; 8];
    match tokio::time::timeout(limit, stream.read_exact(&mut took)).await {
        Ok(Ok(_)) => {
            let service_us = u64::from_be_bytes(took);
            let tunnel_us = micros(opened.elapsed()).saturating_sub(service_us);
            ProbeResult { front_us, tunnel_us: Some(tunnel_us), service_us: Some(service_us), broken: None }
        }
        Ok(Err(_)) => {
            // An answer came through the tunnel, whatever it said.
            let tunnel_us = Some(micros(opened.elapsed()));
            let hop = match stream.outcome().reset_code() {
                Some(ResetCode::ServiceRefused) => Hop::Service(ServiceCause::Refused),
                Some(ResetCode::ServiceUnreachable) => Hop::Service(ServiceCause::Unreachable),
                Some(ResetCode::ServiceBroke) => Hop::Service(ServiceCause::NoAnswer),
                Some(ResetCode::ServiceTls) => Hop::Service(ServiceCause::Untrusted),
                Some(
                    ResetCode::ServiceUnknown | ResetCode::Refused | ResetCode::NoRoom | ResetCode::Internal,
                ) => Hop::Client,
                Some(ResetCode::Cancelled) | None => return broken(Hop::Tunnel),
            };
            ProbeResult { tunnel_us, ..broken(hop) }
        }
        // The agent gives up after `SERVICE_CONNECT`; until then it may be the service that is slow.
        Err(_) => broken(Hop::Service(ServiceCause::Unreachable)),
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.min(limits::PROBE_LIMIT).as_micros()).unwrap_or(u64::MAX)
}
