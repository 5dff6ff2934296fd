//! The handle of a running agent.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::command::{AgentConfig, AskError, Command, Installation};
use super::fetch::Source;
use super::local::ServiceSpec;
use super::run::Runner;
use super::view::AgentView;
use super::visit::Visits;
use crate::limits;
use crate::mux::{Mux, Stats};
use crate::name::ServiceName;
use crate::net::dial::DialRoute;
use crate::proto::control::{ProbeResult, Text, UpdateReport, Vitae};
use crate::secret::random_bytes;

/// The handle of a running agent. Dropping it ends the agent and every visit at once; [`Agent::stop`] is the
/// orderly way.
#[derive(Debug)]
pub struct Agent {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<AgentView>,
    mux: watch::Receiver<Option<Mux>>,
    instance: Text<32>,
    /// As it was started.
    source: Source,
    task: Option<JoinHandle<()>>,
}

impl Agent {
    /// Starts an agent, switched off.
    ///
    /// # Errors
    /// When the key cannot be used for TLS.
    pub fn start(config: AgentConfig, visits: Arc<dyn Visits>) -> Result<Self, rustls::Error> {
        let instance: [u8; 16] = random_bytes().map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
        let instance = Text::lossy(&data_encoding::HEXLOWER.encode(&instance));
        Self::of(config, visits, Installation { instance, predecessor_until: None })
    }

    /// As [`Agent::start`], in the place of another process's agent that leaves: to the relay both are one
    /// installation, so what is under way in the other one's session goes on, for up to [`limits::DRAIN`].
    ///
    /// # Errors
    /// When the key cannot be used for TLS.
    pub fn succeed(
        config: AgentConfig,
        visits: Arc<dyn Visits>,
        instance: Text<32>,
    ) -> Result<Self, rustls::Error> {
        let until = tokio::time::Instant::now() + limits::SUCCESSION;
        Self::of(config, visits, Installation { instance, predecessor_until: Some(until) })
    }

    fn of(
        config: AgentConfig,
        visits: Arc<dyn Visits>,
        installation: Installation,
    ) -> Result<Self, rustls::Error> {
        let (commands, inbox) = mpsc::channel(16);
        let instance = installation.instance.clone();
        let source = Source {
            server: config.server.clone(),
            route: config.route.clone(),
            pins: config.pins.clone(),
            key: config.key.clone(),
        };
        let (runner, (view, mux)) = Runner::new(config, visits, inbox, installation)?;
        let task = tokio::spawn(runner.run());
        Ok(Self { commands, view, mux, instance, source, task: Some(task) })
    }

    /// What the relay knows this installation by: for a process that takes this one's place.
    pub fn instance(&self) -> &Text<32> {
        &self.instance
    }

    /// Where a release is fetched from, by the way that the present session has taken.
    pub fn source(&self) -> Source {
        let dialled_with = self.view.borrow().dialled_with.clone();
        let route = dialled_with.map_or_else(|| self.source.route.clone(), |it| it.route);
        Source { route, ..self.source.clone() }
    }

    /// Where it stands, now and from now on.
    pub fn view(&self) -> watch::Receiver<AgentView> {
        self.view.clone()
    }

    /// Counters and shortest round trip of the present session.
    pub fn traffic(&self) -> Option<(Stats, Option<std::time::Duration>)> {
        self.mux.borrow().as_ref().map(|mux| (mux.stats(), mux.round_trip()))
    }

    /// Switches it on or off. Streams in flight finish for a while after it is switched off.
    pub async fn switch(&self, on: bool) {
        let _ = self.commands.send(Command::Switch(on)).await;
    }

    /// Ends a wait for the next attempt: the network has changed, the computer woke, a person is impatient.
    pub async fn reconnect_now(&self) {
        let _ = self.commands.send(Command::ReconnectNow).await;
    }

    /// The computer has slept, or something in its network has changed: a session that does not answer within
    /// [`crate::limits::WAKE`] is given up, and an attempt that is under way begins anew.
    pub async fn wake(&self) {
        let _ = self.commands.send(Command::Wake).await;
    }

    /// The addresses that this computer has now. A session from another one is given up at once; otherwise as
    /// [`Agent::wake`].
    pub async fn network_changed(&self, addresses: Vec<IpAddr>) {
        let _ = self.commands.send(Command::Network(addresses)).await;
    }

    /// Dials the server by another route from the next attempt on.
    pub async fn set_route(&self, route: DialRoute) {
        let _ = self.commands.send(Command::SetRoute(route)).await;
    }

    /// Offers other services from now on. Visits of one that is not offered any more, or that leads elsewhere, end:
    /// those in which nothing is under way after [`limits::WITHDRAWN_QUIET`], all others after
    /// [`limits::WITHDRAWN_GRACE`] at the latest, and no further request is passed on meanwhile. Under other options
    /// alone they go on.
    pub async fn set_services(&self, services: Vec<ServiceSpec>) {
        let _ = self.commands.send(Command::SetServices(services)).await;
    }

    /// Introduces itself in another way: by its name at once, with its vitae from the next session on.
    pub async fn introduce(&self, device_name: Text<64>, vitae: Vitae) {
        let _ = self.commands.send(Command::Introduce(device_name, vitae)).await;
    }

    /// Says to the server what has become of a release here, now and in each session to come; nothing with `None`. Where the
    /// server does not understand it, it is not said.
    pub async fn report_update(&self, report: Option<UpdateReport>) {
        let _ = self.commands.send(Command::ReportUpdate(report)).await;
    }

    /// A handle for questions whose answers may take a while.
    pub fn asker(&self) -> Asker {
        Asker { commands: self.commands.clone() }
    }

    /// Leaves in an orderly way: takes no new streams, lets those in flight finish for up to
    /// [`crate::limits::DRAIN`], closes.
    ///
    /// # Cancel safety
    /// Cancelling ends everything at once.
    pub async fn stop(mut self) {
        let _ = self.commands.send(Command::Stop).await;
        if let Some(task) = self.task.as_mut() {
            let _ = task.await;
        }
    }
}

/// Asks an agent, and through it the server. Does not keep the agent running.
#[derive(Clone, Debug)]
pub struct Asker {
    commands: mpsc::Sender<Command>,
}

impl Asker {
    /// Has a service probed end to end, from the public front.
    ///
    /// # Errors
    /// [`AskError`]; a broken hop is not an error but a [`ProbeResult`].
    pub async fn probe(&self, service: &ServiceName) -> Result<ProbeResult, AskError> {
        let (answer, asked) = oneshot::channel();
        let _ = self.commands.send(Command::Probe(service.clone(), answer)).await;
        asked.await.unwrap_or(Err(AskError::Offline))
    }

    /// Gives a service's registered ID and aliases back to the server.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn remove(&self, service: &ServiceName) -> Result<(), AskError> {
        let (answer, asked) = oneshot::channel();
        let _ = self.commands.send(Command::Remove(service.clone(), answer)).await;
        asked.await.unwrap_or(Err(AskError::Offline))
    }

    /// Waits until no session is left that only finishes what is under way in it. Whoever wants none at all switches
    /// the agent off before.
    pub async fn drained(&self) {
        let (answer, asked) = oneshot::channel();
        let _ = self.commands.send(Command::Drained(answer)).await;
        let _ = asked.await;
    }

    /// Gives the whole registration back. The agent is stopped by the server after that.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn unregister(&self) -> Result<(), AskError> {
        let (answer, asked) = oneshot::channel();
        let _ = self.commands.send(Command::Unregister(answer)).await;
        asked.await.unwrap_or(Err(AskError::Offline))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
