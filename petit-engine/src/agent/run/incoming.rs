//! What comes in: commands, a session that was dialled, what its relay says, and visitors' streams.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Runner, dice};
use crate::agent::ask::QuestionKind;
use crate::agent::command::{AskError, Command};
use crate::agent::fronts::KnownFronts;
use crate::agent::offers::{Offered, Telling};
use crate::agent::session::{AgentSession, Breach, SessionError, ended, retry_after};
use crate::agent::state::{AgentEvent, AgentState};
use crate::agent::view::ServerView;
use crate::agent::visit::IncomingStream;
use crate::cause::Cause;
use crate::limits;
use crate::mux::{MuxEvent, Stream};
use crate::name::ServiceName;
use crate::proto::control::{
    FromAgent, FromRelay, GrantOutcome, Message, ProbeResult, Refusal, UPDATES, Welcome, has_feature,
};
use crate::proto::frame::{Purpose, ResetCode};

impl Runner {
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Switch(true) => {
                self.backoff.reset();
                self.step(AgentEvent::SwitchedOn);
            }
            Command::Switch(false) => {
                self.leave_all();
                self.step(AgentEvent::SwitchedOff);
            }
            Command::ReconnectNow => {
                self.backoff.reset();
                self.step(AgentEvent::ReconnectNow);
                if let Some(live) = &self.live {
                    live.mux.ping();
                }
            }
            Command::Wake => self.wake(),
            Command::Network(addresses) => {
                let gone = |live: &AgentSession| live.local.is_some_and(|local| !addresses.contains(&local));
                if self.live.as_ref().is_some_and(gone) {
                    tracing::info!("the address of this connection is gone");
                    return self.begin_anew();
                }
                self.wake();
            }
            Command::SetRoute(route) => {
                if self.config.route != route {
                    self.config.route = route;
                    // Whoever is online stays so; an attempt in the old way is not waited for.
                    if self.live.is_none() {
                        self.wake();
                    }
                }
            }
            Command::SetServices(services) => {
                self.set_services(services);
                self.offer_again();
            }
            Command::Introduce(device_name, vitae) => {
                (self.config.device_name, self.config.vitae) = (device_name, vitae);
                self.tell_name();
            }
            Command::ReportUpdate(report) => {
                if self.update != report {
                    self.update = report;
                    self.tell_update();
                }
            }
            Command::Probe(name, answer) => self.on_probe_wanted(&name, answer),
            Command::Remove(name, answer) => {
                let message = FromAgent::Remove { name: name.clone() };
                self.ask(&message, QuestionKind::Remove { name, answer });
            }
            Command::Unregister(answer) => {
                self.ask(&FromAgent::Unregister {}, QuestionKind::Unregister { answer });
            }
            Command::Drained(answer) => {
                self.awaiting_drained.push(answer);
                self.tell_drained();
            }
            Command::Stop => {} // taken care of in the loop
        }
    }

    /// Tells the relay what this computer is called, when it was told something else.
    fn tell_name(&mut self) {
        if self.live.is_some() && self.told_name != self.config.device_name {
            self.told_name = self.config.device_name.clone();
            self.send(&FromAgent::Rename { device_name: self.told_name.clone() });
        }
    }

    /// Tells the relay what has become of a release, where it understands that.
    fn tell_update(&self) {
        let understands = |live: &AgentSession| has_feature(&live.features, UPDATES);
        if let Some(report) = self.update.as_ref().filter(|_| self.live.as_ref().is_some_and(understands)) {
            self.send(&FromAgent::Update(report.clone()));
        }
    }

    fn on_probe_wanted(
        &mut self,
        name: &ServiceName,
        answer: oneshot::Sender<Result<ProbeResult, AskError>>,
    ) {
        match self.offers.iter().find(|offered| offered.spec.name == *name) {
            Some(offered) => self.probe(offered.number, Some(answer)),
            None => drop(answer.send(Err(AskError::NoSuchService))),
        }
    }

    pub(super) fn on_dialled(&mut self, dialled: Result<(AgentSession, Welcome), SessionError>) {
        self.dialing = None;
        match dialled {
            Ok((mut live, welcome)) => {
                self.sessions += 1;
                live.span = tracing::info_span!("session", id = self.sessions, client = %welcome.device);
                let _in_session = live.span.clone().entered();
                if self.log_limit.take_log_permit() {
                    tracing::info!(server = %self.config.server, "online");
                }
                live.mux.share(Arc::clone(&self.memory));
                self.takeover = true;
                self.early_ends = 0;
                self.set_fronts(KnownFronts::at_welcome(&welcome));
                let (key_exchange, dialled_with) = (live.key_exchange.clone(), live.dialled_with.clone());
                self.mux.send_replace(Some(live.mux.clone()));
                self.telling = Telling::to(&live.features);
                self.forget_policies();
                if let Some(old) = self.live.replace(live) {
                    self.stay_behind(old);
                }
                self.view.send_modify(|view| {
                    view.device = Some(welcome.device);
                    view.server = Some(ServerView { software: welcome.software, vitae: welcome.vitae });
                    (view.key_exchange, view.dialled_with) = (key_exchange, dialled_with);
                    view.inspected_by = None;
                });
                self.on_grants(welcome.services, welcome.kept);
                self.step(AgentEvent::Welcomed);
                self.offers.iter().for_each(|offered| offered.meter.begin_session());
                // The services may have changed since the hello was written. (The welcome need not have room for all.)
                if !self.offers.iter().map(|offered| offered.number).eq(self.told_services.iter().copied()) {
                    self.offer_again();
                }
                self.tell_name();
                self.tell_update();
                self.tell_health();
            }
            Err(error) if self.live.is_some() && !error.cause().is_final() => self.move_later(&error),
            Err(error) => self.lost(&error),
        }
    }

    pub(super) fn on_event(&mut self, event: MuxEvent) {
        let _in_session = self.live.as_ref().map(|live| live.span.clone().entered());
        match event {
            MuxEvent::Open(stream) => self.on_stream(stream),
            MuxEvent::GoAway(away) => {
                if self.log_limit.take_log_permit() {
                    tracing::info!("the server is leaving; streams in flight go on");
                }
                self.backoff.reset();
                let delay = retry_after(away) + self.backoff.next(dice(), limits::RETRY_CAP);
                let delay = delay.max(self.moved.follow_at().saturating_duration_since(Instant::now()));
                self.leave_session();
                self.wait(delay, Cause::ServerLeaving);
            }
            MuxEvent::Control(payload) => match FromRelay::decode(&payload) {
                Ok(message) => self.on_message(message),
                Err(error) => self.broke(error.into()),
            },
        }
    }

    pub(super) fn on_message(&mut self, message: FromRelay) {
        match message {
            FromRelay::Services { services, kept } => self.on_grants(services, kept),
            FromRelay::Probed { probe, result } => self.on_probed(probe, result),
            FromRelay::Fronts(fronts) => {
                self.set_fronts(KnownFronts::told(fronts, Instant::now().into_std()));
            }
            FromRelay::Policies { services } => self.on_policies(&services),
            FromRelay::Release { counter } => self.view.send_modify(|view| view.release = Some(counter)),
            FromRelay::Removed { name, found } => {
                self.forget_names(&name);
                // A service that is still offered gets a new address; one that found no room may have some now.
                let again = |offered: &Offered| {
                    offered.spec.name == name || matches!(offered.outcome, Some(GrantOutcome::Refused { .. }))
                };
                if self.offers.iter().any(again) {
                    self.offer_again();
                }
                let removed = |what: &QuestionKind| matches!(what, QuestionKind::Remove { name: asked, .. } if *asked == name);
                if let Some(QuestionKind::Remove { answer, .. }) = self.answered(removed) {
                    let _ = answer.send(if found { Ok(()) } else { Err(AskError::NoSuchService) });
                }
            }
            FromRelay::Unregistered {} => self.refused(Refusal::Unknown),
            FromRelay::Refused { refusal } => self.refused(refusal),
            FromRelay::Move {} => self.move_on(),
            FromRelay::Welcome(_) | FromRelay::IdentityVerified { .. } => {
                self.broke(Breach::Misplaced("a welcome in the middle of a session"));
            }
        }
    }

    pub(super) fn set_fronts(&mut self, fronts: KnownFronts) {
        self.view.send_modify(|view| view.fronts = fronts);
    }

    /// The relay has broken the protocol.
    fn broke(&mut self, rule: Breach) {
        if self.log_limit.take_log_permit() {
            tracing::warn!(%rule, "the server broke the protocol");
        }
        let server = self.config.server.clone();
        self.lost(&SessionError::Broke { server, rule });
    }

    fn refused(&mut self, refusal: Refusal) {
        // Being unknown is what an unregistration asked for, whichever message says it first.
        let unregister = |what: &QuestionKind| matches!(what, QuestionKind::Unregister { .. });
        if refusal == Refusal::Unknown
            && let Some(QuestionKind::Unregister { answer }) = self.answered(unregister)
        {
            let _ = answer.send(Ok(()));
        }
        let server = self.config.server.clone();
        self.lost(&SessionError::Refused { server, refusal });
    }

    /// What was true of the network may be no longer.
    pub(super) fn wake(&mut self) {
        self.backoff.reset();
        match &self.live {
            Some(live) => {
                live.mux.ping();
                self.prove_by = Some(Instant::now() + limits::WAKE);
            }
            // An attempt that began before may wait for an answer that cannot come any more.
            None if self.state() == AgentState::Connecting => self.dial(),
            None => self.step(AgentEvent::ReconnectNow),
        }
    }

    /// Gives the session up and connects again, without waiting.
    pub(super) fn begin_anew(&mut self) {
        self.forget_session();
        self.wait(Duration::ZERO, Cause::Lost);
        self.step(AgentEvent::Tick);
    }

    pub(super) fn prove(&mut self, now: Instant) {
        if self.prove_by.take_if(|by| *by <= now).is_some()
            && self.live.as_ref().is_some_and(|live| !live.mux.is_alive_since_ping())
        {
            tracing::info!("the server does not answer any more");
            self.begin_anew();
        }
    }

    /// The session is over without a farewell.
    pub(super) async fn on_end(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        let end = live.end().await;
        // A session that ends while the next one is on its way has been replaced. That one may have been welcomed
        // already, and have visitors, so the attempt goes on.
        if let Some(next) = self.dialing.take() {
            let told = (self.told_name.clone(), self.told_services.clone());
            self.begin_anew();
            (self.told_name, self.told_services) = told;
            self.dialing = Some(next);
            return;
        }
        if self.is_moving() {
            let at = self.moved.follow_at();
            self.forget_session();
            self.wait(at.saturating_duration_since(Instant::now()), Cause::Lost);
            return self.step(AgentEvent::Tick);
        }
        if live.since.elapsed() >= limits::RETRY_RESET_AFTER {
            self.backoff.reset();
        }
        let lost = ended(&self.config.server, end);
        live.span.clone().in_scope(|| self.lost(&lost));
    }

    pub(super) fn on_stream(&mut self, stream: Stream) {
        let number = stream.opened().service;
        let Some(offered) = self.offers.iter().find(|offered| offered.number == number) else {
            return stream.reset(ResetCode::ServiceUnknown);
        };
        let opened = stream.opened();
        // Its id is that which the relay gave it; the relay's lines say which requests went through it.
        let span = tracing::debug_span!("stream", id = %opened.id, service = %offered.spec.name);
        let Some(connection) = self.connections.take() else {
            span.in_scope(|| tracing::debug!("as many connections to services as there may be"));
            return stream.reset(ResetCode::NoRoom);
        };
        if opened.purpose == Purpose::Visit {
            span.in_scope(|| tracing::debug!(visitor = %opened.visitor, "visit"));
        }
        let visit = self.visits.visit(IncomingStream {
            stream,
            service: Arc::clone(&offered.spec),
            meter: Arc::clone(&offered.meter),
            health_changed: Arc::clone(&self.health_changed),
            offering: Arc::clone(&offered.offering),
            connection,
            memory: Arc::clone(&self.memory),
        });
        self.visiting.spawn(visit.instrument(span));
    }
}
