//! What the operator may know of a front, and what the log says of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use petit_engine::name::Alias;
use petit_engine::proto::control::FrontState;

use super::attempt::AttemptOutcome;
use super::track::Track;

/// What the operator may know of a front.
#[derive(Clone, Debug)]
pub struct FrontView {
    /// Which one.
    pub front: FrontKind,
    /// How it is.
    pub state: FrontState,
    pub since: SystemTime,
    /// When it was tried last.
    pub tried: Option<SystemTime>,
    /// How long the last attempt took that got in.
    pub took: Option<Duration>,
}

/// The kinds of fronts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrontKind {
    /// The endpoint, with all names under its domain.
    Endpoint,
    /// The host of raw TCP services.
    TcpHost,
    /// A domain of a customer's own.
    Domain(Alias),
    /// The socket for plain HTTP.
    PlainSocket(SocketAddr),
    /// The socket for TLS.
    TlsSocket(SocketAddr),
}

/// Takes note of an attempt, and logs what has changed.
pub(super) fn record(track: &mut Track, front: &FrontKind, outcome: AttemptOutcome, now: Instant) {
    let changed = track.record(outcome, now);
    let state = track.state();
    match (changed, state) {
        (true, FrontState::Failed(_)) => tracing::warn!(?front, ?state, "visitors do not get in"),
        (true, _) => tracing::info!(?front, ?state, "front"),
        (false, _) => tracing::debug!(?front, ?outcome, "front tried"),
    }
}

pub(super) fn view(front: FrontKind, track: &Track, (now, wall): (Instant, SystemTime)) -> FrontView {
    let stamp = |at: Instant| wall - now.saturating_duration_since(at);
    FrontView {
        front,
        state: track.state(),
        since: stamp(track.since()),
        tried: track.tried().map(stamp),
        took: track.took(),
    }
}
