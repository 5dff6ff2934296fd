//! The fronts as the relay's owner sees them.

use std::time::{Instant, SystemTime};

use petit_engine::limits;
use petit_engine::proto::control::FrontState;

use super::track::Track;
use super::view::{FrontKind, FrontView, view};
use crate::Relay;

impl Relay {
    /// How the fronts are.
    pub fn fronts(&self) -> Vec<FrontView> {
        let probes = &self.shared.front_probes;
        let now = (Instant::now(), SystemTime::now());
        let known = probes.known();
        let mut views =
            vec![view(FrontKind::Endpoint, &known.endpoint, now), view(FrontKind::TcpHost, &known.tcp, now)];
        if let Some(socket) = probes.plain.get() {
            views.push(view(FrontKind::PlainSocket(*socket), &known.plain, now));
        }
        if let (Some(socket), Some(track)) = (probes.tls.get(), &known.tls) {
            views.push(view(FrontKind::TlsSocket(*socket), track, now));
        }
        drop(known);
        views.extend(probes.domains.views(now));
        views
    }

    /// How one front is.
    pub fn front(&self, front: &FrontKind) -> FrontState {
        let probes = &self.shared.front_probes;
        let known = probes.known();
        match front {
            FrontKind::Endpoint => known.endpoint.state(),
            FrontKind::TcpHost => known.tcp.state(),
            FrontKind::PlainSocket(_) => known.plain.state(),
            FrontKind::TlsSocket(_) => known.tls.as_ref().map(Track::state).unwrap_or_default(),
            FrontKind::Domain(name) => probes.domains.state(name).map(|(state, _)| state).unwrap_or_default(),
        }
    }

    /// Has all fronts but customers' domains tried now instead of later: something may have changed.
    pub fn retry_fronts(&self) {
        self.shared.front_probes.wanted.notify_one();
    }

    /// Tries all fronts but customers' domains now, until their states are of now; at most a few times
    /// [`limits::FRONT_LIMIT`].
    pub async fn try_fronts(&self) {
        let probes = &self.shared.front_probes;
        // One round may have begun before this was called.
        for _ in 0..=limits::FRONT_FAILURES {
            let mut rounds = probes.rounds.subscribe();
            rounds.mark_unchanged();
            probes.wanted.notify_one();
            let _ = tokio::time::timeout(limits::FRONT_LIMIT * 2, rounds.changed()).await;
        }
    }
}
