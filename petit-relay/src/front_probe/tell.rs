//! Tells agents how the fronts are that concern them: at the beginning of a session and when that has changed, a few
//! agents at a time.

use std::sync::Arc;
use std::time::Instant;

use petit_engine::limits;
use petit_engine::name::Alias;
use petit_engine::proto::control::{FromRelay, FrontReport, FrontState, Fronts, NameReport};

use super::FrontProbes;
use super::told::FrontsTold;
use crate::RelayShared;
use crate::session::Session;

impl FrontProbes {
    /// What an agent with these domains may know.
    fn report(&self, domains: Vec<Alias>) -> (FrontsTold, Fronts) {
        let now = Instant::now();
        let report = |(state, since): (FrontState, Instant)| {
            let age = now.saturating_duration_since(since).min(limits::FRONT_AGE_MAX);
            FrontReport { state, for_s: age.as_secs() }
        };
        let (http, tcp) = {
            let known = self.known();
            (known.http(), (known.tcp.state(), known.tcp.since()))
        };
        let known = domains.into_iter().filter_map(|name| Some((self.domains.state(&name)?, name)));
        let names: Vec<NameReport> = known
            .take(limits::FRONT_NAMES_TOLD)
            .map(|(state, name)| NameReport { name, report: report(state) })
            .collect();
        let states = names.iter().map(|name| (name.name.clone(), name.report.state)).collect();
        let told = FrontsTold { http: http.0, tcp: tcp.0, names: states };
        (told, Fronts { http: report(http), tcp: report(tcp), names })
    }

    /// Tells all agents when a front that concerns all has changed, for as long as it is polled. Never ends.
    pub(super) async fn tell_all(&self, shared: &Arc<RelayShared>) {
        let mut changed = self.changed.subscribe();
        // What has changed while it was not polled is told first.
        changed.mark_changed();
        while changed.changed().await.is_ok() {
            let sessions = shared.registry.sessions();
            for some in sessions.chunks(limits::FRONT_TOLD_AT_ONCE) {
                // What is told is of the moment; who is told the same twice is told once.
                some.iter().for_each(|session| shared.tell_fronts(session));
                tokio::time::sleep(limits::FRONT_TOLD_EVERY).await;
            }
        }
    }
}

impl RelayShared {
    /// Tells an agent how the fronts are, unless it knows.
    pub(crate) fn tell_fronts(&self, session: &Session) {
        let Some(mut last) = session.fronts_told() else { return };
        let (told, fronts) = self.front_probes.report(session.domains());
        if last.as_ref() != Some(&told) {
            session.send(&FromRelay::Fronts(fronts));
            *last = Some(told);
        }
    }

    /// Tells an agent of aliases that it does not know of, and tries those that are domains of their own.
    pub(crate) fn tell_aliases(&self, session: &Arc<Session>) {
        if session.tell_aliases(self.access.as_ref()) {
            self.front_probes.watch(session);
            self.tell_fronts(session);
        }
    }
}
