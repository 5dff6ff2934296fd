//! What an agent knows of the public fronts: what its relay has told it in this session.

use std::time::{Duration, Instant};

use crate::cause::FrontUntried;
use crate::name::Alias;
use crate::proto::control::{FRONTS, FrontReport, FrontState, Fronts, ServiceKind, Welcome, has_feature};

/// The public fronts that an agent's services are reached by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownFronts {
    /// That of HTTP services.
    pub http: KnownFront,
    /// The host of raw TCP services.
    pub tcp: KnownFront,
    /// Aliases that are whole domains.
    pub names: Vec<(Alias, KnownFront)>,
}

/// One front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownFront {
    /// How it is.
    pub state: FrontState,
    /// Since when; `None` when it is not known.
    pub since: Option<Instant>,
}

impl KnownFronts {
    /// The front of the address that a service has been given.
    pub fn of(&self, kind: ServiceKind) -> KnownFront {
        match kind {
            ServiceKind::Http => self.http,
            ServiceKind::Tcp => self.tcp,
        }
    }

    /// At the beginning of a session: what is to come, or that nothing is.
    pub(super) fn at_welcome(welcome: &Welcome) -> Self {
        if has_feature(&welcome.features, FRONTS) {
            return Self::default();
        }
        let unsupported = FrontState::Untried(FrontUntried::Unsupported);
        let front = KnownFront { state: unsupported, since: None };
        Self { http: front, tcp: front, names: Vec::new() }
    }

    pub(super) fn told(fronts: Fronts, now: Instant) -> Self {
        let known = |report: FrontReport| KnownFront {
            state: report.state,
            since: now.checked_sub(Duration::from_secs(report.for_s)),
        };
        let Fronts { http, tcp, names } = fronts;
        let names = names.into_iter().map(|name| (name.name, known(name.report))).collect();
        Self { http: known(http), tcp: known(tcp), names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::FrontCause;
    use crate::proto::control::features;

    #[test]
    fn a_relay_that_does_not_try_its_fronts_is_not_taken_to_have_passed() {
        let welcome = |features| Welcome {
            protocol: 1,
            features,
            software: Default::default(),
            device: crate::name::DeviceId::random().unwrap(),
            window: 0,
            now: 0,
            vitae: Default::default(),
            services: vec![],
            kept: vec![],
        };
        let old = KnownFronts::at_welcome(&welcome(vec![]));
        for kind in [ServiceKind::Http, ServiceKind::Tcp] {
            assert_eq!(old.of(kind).state, FrontState::Untried(FrontUntried::Unsupported));
        }
        let new = KnownFronts::at_welcome(&welcome(features([FRONTS])));
        assert_eq!(new.of(ServiceKind::Http).state, FrontState::Checking, "it has not said yet");
    }

    #[test]
    fn ages_become_moments_of_this_computers_clock() {
        let now = Instant::now();
        let report = |state, for_s| FrontReport { state, for_s };
        let fronts = Fronts {
            http: report(FrontState::Failed(FrontCause::NoTls), 5),
            tcp: report(FrontState::Passed, u64::MAX),
            names: vec![],
        };
        let known = KnownFronts::told(fronts, now);
        assert_eq!(known.http.since, now.checked_sub(Duration::from_secs(5)));
        assert_eq!(
            known.tcp,
            KnownFront { state: FrontState::Passed, since: None },
            "longer than this computer runs"
        );
    }
}
