//! The one task that owns an agent's state.
//!
//! It dials, serves the welcomed session, waits, and answers commands, one event at a time. Visits and sessions
//! that are being left run in tasks of their own, which end with it.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ask::{Question, QuestionKind};
use super::connections::Connections;
use super::log_limit::LogLimit;
use super::moving::Moved;
use super::offers::{Offered, Telling};
use super::session::{AgentSession, Breach, Left, SessionError, at, connect, ended, retry_after};
use super::state::{AgentEvent, AgentState};
use super::visit::{IncomingStream, Visits};
use super::{AgentConfig, AgentView, AskError, Command, Installation, KnownFronts, ServerView};
use crate::BoxFuture;
use crate::cause::Cause;
use crate::limits;
use crate::mux::{Memory, Mux, MuxEvent, Stream};
use crate::name::ServiceName;
use crate::net::dial::DialError;
use crate::net::tls;
use crate::proto::control::{
    BUSY_PORT, FRONTS, FromAgent, FromRelay, GrantOutcome, HEALTHS, Hello, MOVE, Message, PROTOCOL,
    ProbeResult, Refusal, Text, WIDE, Welcome, features,
};
use crate::proto::frame::{Purpose, ResetCode};
use crate::proto::liveness::Backoff;
use crate::secret::random_bytes;

pub(super) type Dialing = BoxFuture<'static, Result<(AgentSession, Welcome), SessionError>>;

/// What the handle reads.
type Views = (watch::Receiver<AgentView>, watch::Receiver<Option<Mux>>);

pub(super) struct Runner {
    config: AgentConfig,
    tls: Tls,
    visits: Arc<dyn Visits>,
    commands: mpsc::Receiver<Command>,
    pub(super) view: watch::Sender<AgentView>,
    mux: watch::Sender<Option<Mux>>,
    pub(super) backoff: Backoff,
    installation: Installation,
    /// What the relay was told that this computer is called.
    told_name: Text<64>,
    /// The services of the last hello, by their numbers.
    told_services: Vec<u16>,
    /// False after the relay said that this identity is in use elsewhere: then we ask and take nothing.
    takeover: bool,
    pub(super) offers: Vec<Offered>,
    pub(super) next_number: u16,
    pub(super) dialing: Option<Dialing>,
    pub(super) live: Option<AgentSession>,
    /// Sessions that finish their streams, or are served until the relay ends them.
    pub(super) leaving: JoinSet<()>,
    awaiting_drained: Vec<oneshot::Sender<()>>,
    pub(super) moved: Moved,
    visiting: JoinSet<()>,
    /// What all visits together may have open, whichever session they came in.
    connections: Connections,
    /// What all sessions hold together.
    memory: Arc<Memory>,
    /// What is logged of what the server does.
    pub(super) log_limit: LogLimit,
    pub(super) questions: Vec<Question>,
    pub(super) next_probe: u32,
    health_changed: Arc<Notify>,
    /// What the relay is told about health, and when there is more to tell.
    pub(super) telling: Telling,
    /// When to look again whether a refusal still stands.
    retry_at: Option<Instant>,
    /// When to offer again what the relay could not write down.
    pub(super) offer_at: Option<Instant>,
    /// Until when the session must have answered, after the computer woke or its network changed.
    prove_by: Option<Instant>,
    /// Attempts in a row that ended before the server had said anything.
    early_ends: u32,
}

/// The two ways to begin a handshake.
struct Tls {
    usual: Arc<ClientConfig>,
    /// With a ClientHello that fits one packet.
    small: Arc<ClientConfig>,
}

impl Runner {
    pub(super) fn new(
        config: AgentConfig,
        visits: Arc<dyn Visits>,
        commands: mpsc::Receiver<Command>,
        installation: Installation,
    ) -> Result<(Self, Views), rustls::Error> {
        let tls = Tls {
            usual: tls::client(&config.key, config.pins.clone(), tls::ALPN_TUNNEL)?,
            small: tls::small_client(&config.key, config.pins.clone(), tls::ALPN_TUNNEL)?,
        };
        let (view, views) = watch::channel(AgentView {
            state: AgentState::Idle,
            device: None,
            server: None,
            services: Vec::new(),
            kept: Vec::new(),
            fronts: KnownFronts::default(),
            key_exchange: None,
            inspected_by: None,
        });
        let (mux, muxes) = watch::channel(None);
        let mut runner = Self {
            tls,
            visits,
            commands,
            view,
            mux,
            backoff: Backoff::default(),
            installation,
            told_name: Text::default(),
            told_services: Vec::new(),
            takeover: true,
            offers: Vec::new(),
            next_number: 0,
            dialing: None,
            live: None,
            leaving: JoinSet::new(),
            awaiting_drained: Vec::new(),
            moved: Moved::default(),
            visiting: JoinSet::new(),
            connections: Connections::new(config.connections),
            memory: Arc::default(),
            log_limit: LogLimit::default(),
            questions: Vec::new(),
            next_probe: 0,
            health_changed: Arc::new(Notify::new()),
            telling: Telling::default(),
            retry_at: None,
            offer_at: None,
            prove_by: None,
            early_ends: 0,
            config,
        };
        runner.set_services(runner.config.services.clone());
        Ok((runner, (views, muxes)))
    }

    pub(super) async fn run(mut self) {
        loop {
            let wake = self.next_moment();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Stop) | None => return self.leave().await,
                    Some(command) => self.on_command(command),
                },
                dialled = poll_dialing(&mut self.dialing) => self.on_dialled(dialled),
                event = next_event(&mut self.live) => match event {
                    Some(event) => self.on_event(event),
                    None => self.on_end().await,
                },
                Some(stream) = self.moved.streams.recv() => self.on_stream(stream),
                () = at(wake) => self.on_time(),
                () = self.health_changed.notified() => self.tell_health(),
                Some(visit) = self.visiting.join_next() => {
                    if let Err(error) = visit && error.is_panic() {
                        tracing::error!(%error, "a visit failed within; only that stream ended");
                    }
                }
                Some(_) = self.leaving.join_next() => self.tell_drained(),
            }
        }
    }

    /// Tells those who wait for it that no session is left behind.
    fn tell_drained(&mut self) {
        if self.leaving.is_empty() {
            for waiting in self.awaiting_drained.drain(..) {
                let _ = waiting.send(());
            }
        }
    }

    // ---- the state ------------------------------------------------------------------------------

    fn state(&self) -> AgentState {
        self.view.borrow().state
    }

    fn step(&mut self, event: AgentEvent) {
        let before = self.state();
        let state = before.after(event, Instant::now().into_std());
        if state == before {
            return;
        }
        self.dialing = None;
        if !matches!(state, AgentState::Stopped { .. }) {
            self.retry_at = None;
        }
        if state == AgentState::Connecting {
            tracing::debug!(server = %self.config.server, "connecting");
            self.dial();
        }
        self.view.send_modify(|view| view.state = state);
    }

    pub(super) fn dial(&mut self) {
        self.told_name = self.config.device_name.clone();
        self.told_services = self.offers.iter().map(|offered| offered.number).collect();
        let has_predecessor = self.installation.predecessor_until.is_some_and(|until| Instant::now() < until);
        let hello = Hello {
            protocol: PROTOCOL,
            features: features([MOVE, HEALTHS, FRONTS, WIDE, BUSY_PORT]),
            software: self.config.software.clone(),
            device_name: self.config.device_name.clone(),
            instance: self.installation.instance.clone(),
            takeover: self.takeover,
            only: self.leaving.is_empty() && self.live.is_none() && !has_predecessor,
            max_streams: self.max_streams(),
            window: limits::INITIAL_WINDOW_BYTES,
            vitae: self.config.vitae.clone(),
            services: self.offers(),
        };
        let (server, route) = (self.config.server.clone(), self.config.route.clone());
        let small = self.early_ends >= limits::SMALL_HELLO_AFTER && !route.require_pq;
        if small {
            tracing::info!("trying with a TLS greeting that fits one packet");
        }
        let tls = Arc::clone(if small { &self.tls.small } else { &self.tls.usual });
        self.dialing = Some(Box::pin(async move { connect(&server, &route, tls, hello).await }));
    }

    /// Streams that one session may carry: no more than there may be connections to services.
    fn max_streams(&self) -> u32 {
        u32::try_from(self.config.connections).unwrap_or(u32::MAX).clamp(1, limits::MAX_STREAMS)
    }

    /// A session or an attempt has come to its end; decides what follows.
    fn lost(&mut self, error: &SessionError) {
        let cause = error.cause();
        if self.log_limit.take_log_permit() {
            tracing::info!(error = %Chain(error), ?cause, "not online");
        }
        let (early, inspected_by) = match error {
            SessionError::Dial(DialError::Inspected { issuer, .. }) => (false, Some(issuer.clone())),
            SessionError::Dial(error) => (error.is_before_server_hello(), None),
            _ => (false, None),
        };
        self.early_ends = if early { self.early_ends.saturating_add(1) } else { 0 };
        self.view.send_modify(|view| view.inspected_by = inspected_by);
        self.forget_session();
        if cause.is_final() {
            self.retry_at = Some(Instant::now() + limits::RETRY_REFUSED);
            return self.step(AgentEvent::Refused { cause });
        }
        let delay = if cause == Cause::InUseElsewhere {
            self.takeover = false;
            limits::RETRY_IN_USE
        } else {
            // Where nothing listens a server is about to be started, and asking costs next to nothing.
            let soon = cause == Cause::ConnectionRefused && self.backoff.failures() < limits::RETRY_SOON;
            let cap = if soon { limits::RETRY_SOON_CAP } else { limits::RETRY_CAP };
            self.backoff.next(dice(), cap)
        };
        self.wait(delay, cause);
    }

    fn wait(&mut self, delay: Duration, cause: Cause) {
        let until = (Instant::now() + delay).into_std();
        self.step(AgentEvent::Lost { until, cause });
    }

    fn forget_session(&mut self) {
        self.live = None;
        self.moved.again_at = None;
        self.offer_at = None;
        self.prove_by = None;
        self.view.send_modify(|view| view.key_exchange = None);
        self.mux.send_replace(None);
        for question in self.questions.drain(..) {
            question.what.fail(AskError::Offline);
        }
        for offered in &mut self.offers {
            offered.outcome = None;
            offered.probe_at = None;
        }
        self.forget_fronts();
        self.show_services();
    }

    /// Hands the session to a task that lets its streams finish.
    fn leave_session(&mut self) {
        if let Some(live) = self.live.take() {
            live.mux.go_away(Duration::ZERO);
            let left = self.moved.one_more(Left::Drains);
            self.leaving.spawn(live.drain(left));
        }
        self.forget_session();
    }

    /// As [`Runner::leave_session`], and the sessions that were moved from as well.
    fn leave_all(&mut self) {
        self.moved.leave();
        self.leave_session();
    }

    /// Leaves in an orderly way; returns when all streams have finished or their time is over.
    async fn leave(&mut self) {
        self.leave_all();
        self.step(AgentEvent::SwitchedOff);
        loop {
            tokio::select! {
                left = self.leaving.join_next() => if left.is_none() { break },
                Some(stream) = self.moved.streams.recv() => stream.reset(ResetCode::Refused),
            }
        }
        self.visiting.shutdown().await;
    }

    // ---- what comes in --------------------------------------------------------------------------

    fn on_command(&mut self, command: Command) {
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

    fn on_dialled(&mut self, dialled: Result<(AgentSession, Welcome), SessionError>) {
        self.dialing = None;
        match dialled {
            Ok((live, welcome)) => {
                if self.log_limit.take_log_permit() {
                    tracing::info!(server = %self.config.server, device = %welcome.device, "online");
                }
                live.mux.share(Arc::clone(&self.memory));
                self.takeover = true;
                self.early_ends = 0;
                self.begin_fronts(&welcome);
                let key_exchange = live.key_exchange.clone();
                self.mux.send_replace(Some(live.mux.clone()));
                self.telling = Telling::to(&live.features);
                if let Some(old) = self.live.replace(live) {
                    self.stay_behind(old);
                }
                self.view.send_modify(|view| {
                    view.device = Some(welcome.device);
                    view.server = Some(ServerView { software: welcome.software, vitae: welcome.vitae });
                    view.key_exchange = key_exchange;
                    view.inspected_by = None;
                });
                self.on_grants(welcome.services, welcome.kept);
                self.step(AgentEvent::Welcomed);
                // The services may have changed since the hello was written. (The welcome need not have room for all.)
                if !self.offers.iter().map(|offered| offered.number).eq(self.told_services.iter().copied()) {
                    self.offer_again();
                }
                self.tell_name();
                self.tell_health();
            }
            Err(error) if self.live.is_some() && !error.cause().is_final() => self.move_later(&error),
            Err(error) => self.lost(&error),
        }
    }

    fn on_event(&mut self, event: MuxEvent) {
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

    fn on_message(&mut self, message: FromRelay) {
        match message {
            FromRelay::Services { services, kept } => self.on_grants(services, kept),
            FromRelay::Probed { probe, result } => self.on_probed(probe, result),
            FromRelay::Fronts(fronts) => self.on_fronts(fronts),
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
    fn wake(&mut self) {
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
    fn begin_anew(&mut self) {
        self.forget_session();
        self.wait(Duration::ZERO, Cause::Lost);
        self.step(AgentEvent::Tick);
    }

    fn prove(&mut self, now: Instant) {
        if self.prove_by.take_if(|by| *by <= now).is_some()
            && self.live.as_ref().is_some_and(|live| !live.mux.is_alive_since_ping())
        {
            tracing::info!("the server does not answer any more");
            self.begin_anew();
        }
    }

    /// The session is over without a farewell.
    async fn on_end(&mut self) {
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
        self.lost(&ended(&self.config.server, end));
    }

    fn on_stream(&mut self, stream: Stream) {
        let number = stream.opened().service;
        let Some(offered) = self.offers.iter().find(|offered| offered.number == number) else {
            return stream.reset(ResetCode::ServiceUnknown);
        };
        let Some(connection) = self.connections.take() else {
            tracing::debug!(service = %offered.spec.name, "as many connections to services as there may be");
            return stream.reset(ResetCode::NoRoom);
        };
        if stream.opened().purpose == Purpose::Visit {
            let opened = stream.opened();
            tracing::debug!(service = %offered.spec.name, visitor = %opened.visitor, request = %opened.id, "visit");
        }
        self.visiting.spawn(self.visits.visit(IncomingStream {
            stream,
            service: Arc::clone(&offered.spec),
            meter: Arc::clone(&offered.meter),
            health_changed: Arc::clone(&self.health_changed),
            offering: Arc::clone(&offered.offering),
            connection,
            memory: Arc::clone(&self.memory),
        }));
    }

    // ---- time -----------------------------------------------------------------------------------

    pub(super) fn next_moment(&self) -> Option<Instant> {
        let waiting = match self.state() {
            AgentState::Waiting { until, .. } => Some(Instant::from_std(until)),
            _ => None,
        };
        let probes = self.offers.iter().filter_map(|offered| offered.probe_at);
        let deadlines = self.questions.iter().map(|question| question.deadline);
        let again =
            self.retry_at.into_iter().chain(self.offer_at).chain(self.prove_by).chain(self.moved.again_at);
        let again = again.chain(self.telling.again_at);
        waiting.into_iter().chain(probes).chain(deadlines).chain(again).min()
    }

    pub(super) fn on_time(&mut self) {
        self.step(AgentEvent::Tick);
        let now = Instant::now();
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            self.step(AgentEvent::RetryDue);
        }
        if self.offer_at.take_if(|at| *at <= now).is_some() {
            self.offer_again();
        }
        if self.telling.again_at.take_if(|at| *at <= now).is_some() {
            self.tell_health();
        }
        if self.moved.again_at.take_if(|at| *at <= now).is_some() {
            self.dial();
        }
        self.prove(now);
        self.ask_in_time(now);
    }
}

async fn poll_dialing(dialing: &mut Option<Dialing>) -> Result<(AgentSession, Welcome), SessionError> {
    match dialing {
        Some(dialing) => dialing.await,
        None => std::future::pending().await,
    }
}

async fn next_event(live: &mut Option<AgentSession>) -> Option<MuxEvent> {
    match live {
        Some(live) => live.events.recv().await,
        None => std::future::pending().await,
    }
}

/// Uniform over `u64`. Without random bytes the delay is the longest, which is safe.
pub(super) fn dice() -> u64 {
    random_bytes().map_or(u64::MAX, u64::from_ne_bytes)
}

/// An error with its sources, in one line.
pub(super) struct Chain<'a>(pub(super) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
