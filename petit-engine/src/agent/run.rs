//! The one task that owns an agent's state.
//!
//! It dials, serves the welcomed session, waits, and answers commands, one event at a time. Visits and sessions
//! that are being left run in tasks of their own, which end with it.

mod asking;
mod incoming;
mod leaving;
mod offering;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ask::Question;
use super::command::{AgentConfig, AskError, Command, Installation};
use super::connections::Connections;
use super::fronts::KnownFronts;
use super::log_limit::LogLimit;
use super::moving::Moved;
use super::offers::{Offered, Telling};
use super::session::{AgentSession, SessionError, at, connect};
use super::state::{AgentEvent, AgentState};
use super::view::AgentView;
use super::visit::Visits;
use crate::BoxFuture;
use crate::cause::Cause;
use crate::limits;
use crate::mux::{Memory, Mux, MuxEvent};
use crate::net::dial::DialError;
use crate::net::tls;
use crate::proto::control::{
    BUSY_PORT, FRONTS, HEALTHS, Hello, MOVE, MOVED, POLICY, PROTOCOL, RELEASE, SHUT_PORT, SUSPENDED, Text,
    UPDATES, UpdateReport, WIDE, Welcome, features,
};
use crate::proto::liveness::Backoff;
use crate::secret::random_bytes;

type Dialing = BoxFuture<'static, Result<(AgentSession, Welcome), SessionError>>;

/// What the handle reads.
type Views = (watch::Receiver<AgentView>, watch::Receiver<Option<Mux>>);

pub(super) struct Runner {
    config: AgentConfig,
    tls: Tls,
    visits: Arc<dyn Visits>,
    commands: mpsc::Receiver<Command>,
    view: watch::Sender<AgentView>,
    mux: watch::Sender<Option<Mux>>,
    backoff: Backoff,
    installation: Installation,
    /// What the relay was told that this computer is called.
    told_name: Text<64>,
    /// What has become of a release here.
    update: Option<UpdateReport>,
    /// The services of the last hello, by their numbers.
    told_services: Vec<u16>,
    /// False after the relay said that this identity is in use elsewhere: then we ask and take nothing.
    takeover: bool,
    offers: Vec<Offered>,
    next_number: u16,
    dialing: Option<Dialing>,
    live: Option<AgentSession>,
    /// How many there have been.
    sessions: u64,
    /// Sessions that finish their streams, or are served until the relay ends them.
    leaving: JoinSet<()>,
    awaiting_drained: Vec<oneshot::Sender<()>>,
    moved: Moved,
    visiting: JoinSet<()>,
    /// What all visits together may have open, whichever session they came in.
    connections: Connections,
    /// What all sessions hold together.
    memory: Arc<Memory>,
    /// What is logged of what the server does.
    log_limit: LogLimit,
    questions: Vec<Question>,
    next_probe: u32,
    health_changed: Arc<Notify>,
    /// What the relay is told about health, and when there is more to tell.
    telling: Telling,
    /// When to look again whether a refusal still stands.
    retry_at: Option<Instant>,
    /// When to offer again what the relay could not write down.
    offer_at: Option<Instant>,
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
            release: None,
            key_exchange: None,
            dialled_with: None,
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
            update: None,
            told_services: Vec::new(),
            takeover: true,
            offers: Vec::new(),
            next_number: 0,
            dialing: None,
            live: None,
            sessions: 0,
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

    fn dial(&mut self) {
        self.told_name = self.config.device_name.clone();
        self.told_services = self.offers.iter().map(|offered| offered.number).collect();
        let has_predecessor = self.installation.predecessor_until.is_some_and(|until| Instant::now() < until);
        let hello = Hello {
            protocol: PROTOCOL,
            features: features([
                MOVE, MOVED, HEALTHS, FRONTS, WIDE, BUSY_PORT, POLICY, SHUT_PORT, RELEASE, UPDATES, SUSPENDED,
            ]),
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
        } else if cause == Cause::Suspended {
            limits::RETRY_SUSPENDED
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
        self.view.send_modify(|view| (view.key_exchange, view.dialled_with) = (None, None));
        self.mux.send_replace(None);
        for question in self.questions.drain(..) {
            question.what.fail(AskError::Offline);
        }
        for offered in &mut self.offers {
            offered.outcome = None;
            offered.probe_at = None;
        }
        self.set_fronts(KnownFronts::default());
        self.forget_policies();
        self.show_services();
    }

    // ---- time -----------------------------------------------------------------------------------

    fn next_moment(&self) -> Option<Instant> {
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

    fn on_time(&mut self) {
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
fn dice() -> u64 {
    random_bytes().map_or(u64::MAX, u64::from_ne_bytes)
}

/// An error with its sources, in one line.
struct Chain<'a>(&'a dyn std::error::Error);

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
