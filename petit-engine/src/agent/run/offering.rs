//! What the agent offers: services with their numbers, what the relay makes of them, how it is told of their health.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Runner;
use crate::agent::local::ServiceSpec;
use crate::agent::offers::Offered;
use crate::agent::view::ServiceView;
use crate::cause::Health;
use crate::limits;
use crate::name::ServiceName;
use crate::proto::control::{
    FromAgent, Grant, GrantOutcome, GrantRefusal, Kept, Offer, PolicyReport, ServiceHealth,
};

impl Runner {
    pub(super) fn set_services(&mut self, services: Vec<ServiceSpec>) {
        let mut before = std::mem::take(&mut self.offers);
        for spec in services {
            let kept = before.iter().position(|offered| *offered.spec == spec);
            self.offers.push(match kept {
                Some(position) => before.swap_remove(position),
                None => {
                    self.next_number = self.unused_number(&before);
                    // Another target under the same name: the name keeps its address.
                    let same =
                        |before: &&Offered| (&before.spec.name, before.spec.kind) == (&spec.name, spec.kind);
                    let names = before.iter().find(same).and_then(|before| before.names.clone());
                    // The same target under other options: what is under way there goes on.
                    let leads_there = |before: &&Offered| before.has_target_of(&spec);
                    let offering = before.iter().find(leads_there).map(|it| Arc::clone(&it.offering));
                    Offered {
                        number: self.next_number,
                        spec: Arc::new(spec),
                        outcome: None,
                        names,
                        admits: None,
                        meter: Arc::default(),
                        offering: offering.unwrap_or_default(),
                        announced: Health::Untried,
                        seen: Health::Untried,
                        probe_at: None,
                    }
                }
            });
        }
        for gone in before {
            if !self.offers.iter().any(|kept| Arc::ptr_eq(&kept.offering, &gone.offering)) {
                gone.offering.withdraw();
            }
        }
        self.show_services();
    }

    /// The next number that no service has, here or among those of `before`.
    fn unused_number(&self, before: &[Offered]) -> u16 {
        let is_used = |number: &u16| self.offers.iter().chain(before).any(|it| it.number == *number);
        let mut numbers = (1..=u16::MAX).map(|step| self.next_number.wrapping_add(step));
        numbers.find(|number| !is_used(number)).unwrap_or_default()
    }

    pub(super) fn offer_again(&mut self) {
        let services = self.offers();
        if let Some(live) = &self.live {
            live.mux.set_services(services.len());
        }
        self.send(&FromAgent::Services { services });
    }

    pub(super) fn offers(&mut self) -> Vec<Offer> {
        let offer = |offered: &mut Offered| {
            offered.announced = offered.meter.health().0;
            Offer {
                service: offered.number,
                name: offered.spec.name.clone(),
                kind: offered.spec.kind,
                health: offered.announced,
                options: offered.spec.options.clone(),
            }
        };
        self.offers.iter_mut().map(offer).collect()
    }

    pub(super) fn on_grants(&mut self, grants: Vec<Grant>, kept: Vec<Kept>) {
        let now = Instant::now();
        let mut probe_at = now;
        for grant in grants {
            let Some(offered) = self.offers.iter_mut().find(|offered| offered.number == grant.service) else {
                continue;
            };
            let is_logged = offered.set_outcome(grant.outcome.clone()) && self.log_limit.take_log_permit();
            offered.probe_at = match grant.outcome {
                GrantOutcome::Registered { url, .. } => {
                    if is_logged {
                        tracing::info!(service = %offered.spec.name, %url, "reachable");
                    }
                    Some(probe_at)
                }
                GrantOutcome::Refused { cause } => {
                    if is_logged {
                        tracing::warn!(service = %offered.spec.name, ?cause, "the server did not register the service");
                    }
                    if matches!(cause, GrantRefusal::StoreFailed | GrantRefusal::PortBusy) {
                        self.offer_at = Some(now + limits::OFFER_AGAIN);
                    }
                    None
                }
            };
            // All at once, they would come as one wave again and again.
            probe_at += limits::PROBE_APART;
        }
        self.view.send_modify(|view| view.kept = kept);
        self.show_services();
    }

    /// The relay has said who can come to these services.
    pub(super) fn on_policies(&mut self, services: &[PolicyReport]) {
        for PolicyReport { service, admits } in services {
            // It may speak of one that was offered a moment ago.
            if let Some(offered) = self.offers.iter_mut().find(|offered| offered.number == *service) {
                offered.admits = Some(*admits);
            }
        }
        self.show_services();
    }

    /// Another session has begun, or none goes on: what the last relay has said counts no longer.
    pub(super) fn forget_policies(&mut self) {
        self.offers.iter_mut().for_each(|offered| offered.admits = None);
    }

    /// A service's ID and aliases were given back.
    pub(super) fn forget_names(&mut self, name: &ServiceName) {
        for offered in self.offers.iter_mut().filter(|offered| offered.spec.name == *name) {
            offered.names = None;
        }
        self.view.send_modify(|view| view.kept.retain(|kept| kept.name != *name));
        self.show_services();
    }

    pub(super) fn show_services(&self) {
        let services = self.offers.iter().map(|offered| ServiceView {
            spec: Arc::clone(&offered.spec),
            outcome: offered.outcome.clone(),
            names: offered.names.clone(),
            admits: offered.admits,
            meter: Arc::clone(&offered.meter),
        });
        let services = services.collect();
        self.view.send_modify(|view| view.services = services);
    }

    /// Tells the relay, and whoever watches, how the local ends are. What there is no time to tell now is told as it
    /// is then.
    pub(super) fn tell_health(&mut self) {
        self.log_health();
        self.check_suspects();
        self.view.send_modify(|_| {});
        if self.live.is_none() {
            return; // the next hello says it
        }
        let now = Instant::now();
        loop {
            let mut changed: Vec<&mut Offered> = self
                .offers
                .iter_mut()
                .filter(|offered| offered.announced != offered.meter.health().0)
                .collect();
            if changed.is_empty() {
                return;
            }
            if !self.telling.rate.allow(now.into_std()) {
                self.telling.again_at = self.telling.rate.next().map(Instant::from_std);
                return;
            }
            changed.truncate(if self.telling.together { changed.len() } else { 1 });
            let told = changed.into_iter().map(|offered| {
                offered.announced = offered.meter.health().0;
                ServiceHealth { service: offered.number, health: offered.announced }
            });
            let message = match told.collect::<Vec<_>>().as_slice() {
                [ServiceHealth { service, health }] => {
                    FromAgent::Health { service: *service, health: *health }
                }
                healths => FromAgent::Healths { healths: healths.to_vec() },
            };
            self.send(&message);
        }
    }

    /// A service that has given a visitor no proper answer is asked itself, as soon as one that is broken.
    fn check_suspects(&mut self) {
        let now = Instant::now();
        let soon = now + self.probe_again_after();
        for offered in self.offers.iter_mut().filter(|offered| offered.meter.is_suspect(now.into_std())) {
            // While a probe is under way there is none to come.
            offered.probe_at = offered.probe_at.map(|at| at.min(soon));
        }
    }

    /// A server that opens more than a service can take changes its health again and again.
    fn log_health(&mut self) {
        for offered in &mut self.offers {
            let (health, _) = offered.meter.health();
            if std::mem::replace(&mut offered.seen, health) != health && self.log_limit.take_log_permit() {
                tracing::info!(service = %offered.spec.name, ?health, "service health changed");
            }
        }
    }

    /// When a service that did not answer is tried again.
    pub(super) fn probe_again_after(&self) -> Duration {
        let services = u32::try_from(self.offers.len()).unwrap_or(u32::MAX);
        if self.telling.together {
            limits::PROBE_AGAIN
        } else {
            limits::PROBE_AGAIN.max(limits::PROBE_AGAIN_PER_SERVICE * services)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::agent::Direct;
    use crate::agent::command::{AgentConfig, Installation};
    use crate::agent::offers::Telling;
    use crate::agent::session::AgentSession;
    use crate::cause::ServiceCause;
    use crate::mux::MuxEvent;
    use crate::mux::testing::{Side, pair};
    use crate::name::RegisteredId;
    use crate::net::dial::DialRoute;
    use crate::proto::control::{Admits, FromRelay, HEALTHS, Text};
    use crate::proto::control::{Message, PublicUrl, ServiceKind, Vitae};
    use crate::secret::PrivateKey;

    fn services(count: usize) -> Vec<ServiceSpec> {
        let service = |number| {
            let name = format!("service-{number}").parse().unwrap();
            ServiceSpec::plain(name, ServiceKind::Http, "localhost:1".parse().unwrap())
        };
        (0..count).map(service).collect()
    }

    /// An agent with so many services in a session with these features, and the relay's end of that.
    pub(in crate::agent) fn online(count: usize, in_use: &[&str]) -> (Runner, Side) {
        let config = AgentConfig {
            server: "localhost:1".parse().unwrap(),
            route: DialRoute::default(),
            pins: Vec::new(),
            key: PrivateKey::generate().unwrap(),
            software: Text::default(),
            device_name: Text::default(),
            vitae: Vitae::new(),
            services: services(count),
            connections: limits::SERVICE_CONNECTIONS,
        };
        let (_, commands) = mpsc::channel(1);
        let installation = Installation { instance: Text::lossy("00ff"), predecessor_until: None };
        let (mut runner, _) = Runner::new(config, Arc::new(Direct), commands, installation).unwrap();
        let (relay, Side { mux, events, end }) = pair(1 << 20);
        let features: Vec<Text<32>> = in_use.iter().map(|name| Text::lossy(name)).collect();
        runner.telling = Telling::to(&features);
        runner.live = Some(AgentSession::new(mux, events, end));
        (runner, relay)
    }

    /// What the relay is told within so long.
    async fn told(runner: &mut Runner, relay: &mut Side, time: Duration) -> Vec<FromAgent> {
        let until = Instant::now() + time;
        let mut told = Vec::new();
        while Instant::now() < until {
            let next = runner.next_moment().map_or(until, |at| at.min(until));
            while let Ok(event) = tokio::time::timeout_at(next, relay.events.recv()).await {
                match event {
                    Some(MuxEvent::Control(payload)) => told.push(FromAgent::decode(&payload).unwrap()),
                    other => panic!("{other:?}"),
                }
            }
            runner.on_time();
        }
        told
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_healths_of_all_services_are_one_message_and_changes_are_told_now_and_then() {
        let (mut runner, mut relay) = online(limits::MAX_SERVICES, &[HEALTHS]);
        let now = Instant::now().into_std();
        for offered in &runner.offers {
            offered.meter.set_health(Health::Down(ServiceCause::Refused), now);
        }
        runner.tell_health();
        let all = told(&mut runner, &mut relay, SECOND).await;
        match all.as_slice() {
            [FromAgent::Healths { healths }] => assert_eq!(healths.len(), limits::MAX_SERVICES),
            other => panic!("{other:?}"),
        }
        // One that goes up and down a thousand times a second, and is up in the end.
        let meter = Arc::clone(&runner.offers[0].meter);
        for round in 0..1000 {
            let health = if round % 2 == 0 { Health::Down(ServiceCause::Unreachable) } else { Health::Up };
            meter.set_health(health, now);
            runner.tell_health();
        }
        let single = told(&mut runner, &mut relay, 2 * SECOND).await;
        assert!(single.len() <= 2 * limits::HEALTHS_PER_SECOND as usize, "{single:?}");
        let number = runner.offers[0].number;
        assert_eq!(single.last(), Some(&FromAgent::Health { service: number, health: Health::Up }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_of_the_first_version_is_told_service_by_service_and_slowly() {
        let (mut runner, mut relay) = online(limits::MAX_SERVICES, &[]);
        let now = Instant::now().into_std();
        for offered in &runner.offers {
            offered.meter.set_health(Health::Up, now);
        }
        runner.tell_health();
        let at_once = told(&mut runner, &mut relay, Duration::from_millis(1)).await;
        assert_eq!(at_once.len(), limits::SINGLE_HEALTHS_AT_ONCE as usize);
        // It bears 64 at once, and a line may stand still for as long as a session survives that.
        let later = told(&mut runner, &mut relay, limits::DEAD_AFTER).await;
        assert!(at_once.len() + later.len() < 64, "{}", later.len());
        let rest = told(&mut runner, &mut relay, limits::DEAD_AFTER).await;
        assert_eq!(at_once.len() + later.len() + rest.len(), limits::MAX_SERVICES);
        assert!(rest.iter().all(|message| matches!(message, FromAgent::Health { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_probes_of_many_services_do_not_come_as_one_wave() {
        let (mut runner, mut relay) = online(limits::MAX_SERVICES, &[HEALTHS]);
        let url: PublicUrl = "http://a.localhost".to_owned().try_into().unwrap();
        let grants = runner.offers.iter().map(|offered| Grant {
            service: offered.number,
            name: offered.spec.name.clone(),
            outcome: GrantOutcome::Registered {
                id: RegisteredId::random().unwrap(),
                url: url.clone(),
                aliases: vec![],
            },
        });
        let grants = grants.collect();
        runner.on_grants(grants, vec![]);
        let mut probes = Vec::new();
        for _ in 0..5 {
            probes.push(told(&mut runner, &mut relay, SECOND / 2).await.len());
        }
        assert_eq!(probes.iter().sum::<usize>(), limits::MAX_SERVICES);
        assert!(probes.iter().all(|count| *count <= limits::MAX_SERVICES / 3), "{probes:?}");
    }

    #[tokio::test]
    async fn the_number_of_a_service_is_never_one_that_is_in_use() {
        let (mut runner, _relay) = online(3, &[]);
        let first: Vec<u16> = runner.offers.iter().map(|offered| offered.number).collect();
        runner.next_number = first[0] - 1;
        let mut more = services(5);
        more[0].options.h2 = true; // another service under the same name
        runner.set_services(more);
        let mut numbers: Vec<u16> = runner.offers.iter().map(|offered| offered.number).collect();
        assert!(!first.contains(&numbers[0]), "{first:?} {numbers:?}");
        assert_eq!(numbers[1..3], first[1..3], "those that are the same keep theirs");
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 5);
        runner.next_number = u16::MAX;
        runner.set_services(services(7));
        let numbers: std::collections::HashSet<u16> = runner.offers.iter().map(|it| it.number).collect();
        assert_eq!(numbers.len(), 7);
    }

    #[tokio::test]
    async fn what_a_relay_says_of_who_can_come_in_counts_for_its_session_and_services_alone() {
        let (mut runner, _relay) = online(2, &[]);
        let first = runner.offers[0].number;
        let says = |runner: &Runner| {
            let view = runner.view.borrow();
            view.services.iter().map(|service| service.admits).collect::<Vec<_>>()
        };
        let unknown = PolicyReport { service: u16::MAX, admits: Admits::Anyone };
        let chosen = PolicyReport { service: first, admits: Admits::Chosen };
        runner.on_message(FromRelay::Policies { services: vec![unknown, chosen] });
        assert_eq!(says(&runner), [Some(Admits::Chosen), None]);
        runner.set_services(services(2));
        assert_eq!(says(&runner), [Some(Admits::Chosen), None], "it is the same service");
        runner.forget_session();
        assert_eq!(says(&runner), [None, None]);
    }
}
