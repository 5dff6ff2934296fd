//! What the steps of a hand-over mean for the server, on both sides.
//!
//! Which step follows which is decided in [`petit_host::handover::steps`].

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use petit_engine::name::DeviceId;
use petit_host::cli::Failure;
use petit_host::control::server::Listener;
use petit_host::exit::ExitCode;
use petit_host::handover::steps::PredecessorAction;
use petit_host::handover::{
    self, ElderEvent, Elders, Heir, Link, LinkMessage, Manner, NoHeir, Parcel, Start, Started, StartedEvent,
    Trouble,
};
use petit_host::lock::Lock;
use petit_host::shutdown::{ProcessSignal, StopCause, StopRequests, Urgency};
use petit_relay::{Leave, ListenerKind};
use petit_server::admin::{Command, waits_for};
use petit_server::api::WaitsFor;
use petit_server::directory::{Directory, Followed, Told};
use petit_server::folder::Folder;
use petit_server::server::handover::{LOCK, RegistrationEnded, expected, https_before};
use petit_server::server::{Inherited, Phase, Server, ServerStartError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};

use super::common::start_failure;
use super::main_loop::{Beginning, How, Main, Serving, Turn, socket_failure};

/// The name of links to processes before this one, among what is handed over.
const ELDER: &str = "elder";
/// How often a process that finishes what is under way tells what that is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// The links to processes before this one.
pub(crate) type Predecessors = Elders;

/// The hand-over, in both directions: processes before this one that have not ended, and the one that is to follow.
pub(crate) struct Handover {
    elders: Elders,
    successor: Option<(Started, Option<RestartAnswer>)>,
    endings: broadcast::Receiver<DeviceId>,
    directory: Directory,
    told: broadcast::Receiver<Told>,
}

/// Who asked for the restart.
type RestartAnswer = oneshot::Sender<Result<u32, Trouble>>;

/// What the main loop hears of other processes, or has to tell them.
pub(crate) enum HandoverEvent {
    Elder(ElderEvent),
    Successor(StartedEvent),
    Ended(DeviceId),
    Told(Told),
}

impl Handover {
    pub(crate) fn new(server: &Arc<Server>, elders: Elders) -> Self {
        let (directory, told) = (server.directory.clone(), server.directory.told());
        let handover = Self { elders, successor: None, endings: server.endings(), directory, told };
        // Its config file may say something else than theirs.
        handover.say(&handover.directory.rules());
        handover
    }

    /// Waits for the next thing.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> HandoverEvent {
        let successor = Started::next_of(self.successor.as_mut().map(|(started, _)| started));
        tokio::select! {
            told = self.elders.next() => HandoverEvent::Elder(told),
            news = successor => HandoverEvent::Successor(news),
            device = ended(&mut self.endings) => HandoverEvent::Ended(device),
            told = told(&mut self.told) => HandoverEvent::Told(told),
        }
    }

    /// How urgent a process before this one says that a stop is, when it passes one on.
    pub(crate) fn stop_request(heard: &HandoverEvent) -> Option<Urgency> {
        match heard {
            HandoverEvent::Elder(told) => told.stop_request(),
            _ => None,
        }
    }

    /// Passes on to the processes before this one what concerns them too.
    pub(crate) fn pass_on(&self, heard: &HandoverEvent) {
        match heard {
            HandoverEvent::Ended(device) => self.say(&RegistrationEnded { ended: *device }),
            HandoverEvent::Told(Told::Rules) => self.say(&self.directory.rules()),
            HandoverEvent::Told(Told::Names(names)) => self.say(names.as_ref()),
            HandoverEvent::Elder(_) | HandoverEvent::Successor(_) => {}
        }
    }

    /// Tells the processes before this one of a change.
    fn say(&self, what: &impl Serialize) {
        let what = serde_json::to_value(what).unwrap_or_default();
        self.elders.say(&LinkMessage::Changed { what });
    }

    /// Tells the processes before this one that nobody takes their place any more.
    pub(crate) fn stopping(&self, urgency: Urgency) {
        self.elders.say_stopping(urgency);
    }

    /// Tells them how this one ends.
    pub(crate) async fn end(self, exit: ExitCode) {
        self.elders.close(exit as u8).await;
    }
}

/// What the processes before this one wait for. One of another version may say it in another form; then it waits all the
/// same, and only its operator does not see for what.
fn waits_of(elders: &Elders) -> Vec<WaitsFor> {
    let read = |waits: Value| {
        WaitsFor::deserialize(waits)
            .inspect_err(
                |error| tracing::debug!(%error, "what a process before this one waits for is not understood"),
            )
            .ok()
    };
    elders.waits().into_iter().filter_map(read).collect()
}

/// The next registration that ends.
async fn ended(endings: &mut broadcast::Receiver<DeviceId>) -> DeviceId {
    loop {
        match endings.recv().await {
            Ok(device) => return device,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(
                    missed,
                    "the process before this one does not hear of all registrations that ended"
                );
            }
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// What is told next.
async fn told(told: &mut broadcast::Receiver<Told>) -> Told {
    match told.recv().await {
        Ok(told) => told,
        Err(RecvError::Lagged(missed)) => {
            tracing::warn!(missed, "the process before this one does not hear of all names that changed");
            Told::Rules
        }
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

// ---- the process that is replaced ---------------------------------------------------------------

/// Starts a process that is to take this one's place.
pub(crate) async fn begin(main: &mut Main<'_, Handover>, within: Duration, answer: RestartAnswer) {
    if main.handover.successor.is_some() {
        let message = "the server is being restarted already".to_owned();
        return drop(answer.send(Err(Trouble::new(message, None))));
    }
    match start(main, within).await {
        Ok(started) => {
            tracing::info!(process = started.pid(), "restarting: another process gets ready");
            main.server.set_phase(Phase::Restarting);
            main.handover.successor = Some((started, Some(answer)));
        }
        Err(error) => {
            let message = format!("{} cannot be run: {error}", main.program.display());
            tracing::error!(message, "not restarted");
            let _ = answer.send(Err(Trouble::new(message, None)));
        }
    }
}

async fn start(main: &Main<'_, Handover>, within: Duration) -> std::io::Result<Started> {
    let mut handles = main.server.handles()?;
    handles.extend(main.handover.elders.copies()?.into_iter().map(|link| (ELDER.to_owned(), link)));
    let mut parcel = Parcel { handles, facts: main.server.served() };
    parcel.put_control(main.control.copy().await?);
    let mut arguments: Vec<OsString> = vec!["run".into(), "--takeover".into()];
    if main.how.background {
        arguments.push("--background".into());
    }
    arguments.extend(["--config".into(), main.folder.config.clone().into()]);
    Started::start(Start {
        program: main.program.clone(),
        arguments,
        manner: if main.how.background { Manner::Background } else { Manner::Foreground },
        parcel,
        within,
    })
}

/// Does what is to be done about what was heard.
pub(crate) async fn take(main: &mut Main<'_, Handover>, heard: HandoverEvent) -> Turn {
    match heard {
        HandoverEvent::Elder(ElderEvent::Waits) => {
            main.server.set_elders(waits_of(&main.handover.elders));
            Turn::Nothing
        }
        HandoverEvent::Elder(ElderEvent::Stop { .. }) => Turn::Stop(StopCause::Anchor),
        HandoverEvent::Elder(ElderEvent::Reload) => Turn::Reload,
        HandoverEvent::Ended(_) | HandoverEvent::Told(_) => {
            main.handover.pass_on(&heard);
            Turn::Nothing
        }
        HandoverEvent::Successor(StartedEvent::Changed(_)) => Turn::Nothing,
        HandoverEvent::Successor(StartedEvent::PredecessorAction(deed)) => match deed {
            PredecessorAction::Yield => {
                yield_up(main).await;
                Turn::Nothing
            }
            PredecessorAction::Leave => Turn::Leave,
            PredecessorAction::Discard | PredecessorAction::TakeBack => {
                give_up(main).await;
                Turn::Nothing
            }
            PredecessorAction::Start
            | PredecessorAction::LetGo
            | PredecessorAction::End
            | PredecessorAction::Nothing => Turn::Nothing,
        },
    }
}

async fn yield_up(main: &mut Main<'_, Handover>) {
    match main.server.yield_registry().await {
        Ok(facts) => {
            tracing::info!("the registry is left to the other process");
            if let Some((started, _)) = &main.handover.successor {
                started.say(&LinkMessage::Yours { facts });
            }
        }
        Err(error) => {
            tracing::error!(error = %petit_host::cli::chain(&error), "the registry cannot be closed");
            give_up(main).await;
        }
    }
}

/// Ends a successor that does not serve, and goes on as before.
pub(crate) async fn give_up(main: &mut Main<'_, Handover>) {
    let Some((started, answer)) = main.handover.successor.take() else { return };
    let trouble = started.end().await;
    // Also where nothing was yielded: that changes nothing.
    main.server.take_back_registry().await;
    main.server.set_phase(Phase::Running);
    tracing::error!(reason = trouble.message, "not restarted: the new process was of no use; going on");
    if let Some(answer) = answer {
        let _ = answer.send(Err(trouble));
    }
}

/// The server is asked to stop: whatever was begun is given up.
pub(crate) async fn stop(main: &mut Main<'_, Handover>) {
    if let Some((_, answer)) = &mut main.handover.successor
        && let Some(answer) = answer.take()
    {
        let message = "the server was asked to stop".to_owned();
        let _ = answer.send(Err(Trouble::new(message, None)));
    }
    give_up(main).await;
}

/// Finishes what is under way while the successor serves. `None` when that has died, and this process serves again.
pub(crate) async fn leave(main: &mut Main<'_, Handover>) -> Option<ExitCode> {
    let (mut started, answer) = main.handover.successor.take()?;
    let farewell = main.server.farewell(Leave::Move);
    main.server.set_phase(Phase::Replaced { until: Instant::now() + farewell.limit });
    main.control.set_ours(false);
    let leaving = main.server.relay.leave(farewell);
    main.server.give_registry();
    if let Err(error) = main.handover.elders.hand_on() {
        tracing::warn!(%error, "processes before this one are not heard any more");
    }
    // What was asked for meanwhile concerns the process that serves.
    while let Some(command) = main.inbox.take() {
        match command {
            Command::Stop => started.say(&LinkMessage::Stop { now: false }),
            Command::Reload(_) => started.say(&LinkMessage::Reload {}),
            Command::Restart { .. } => {} // it was
        }
    }
    tracing::info!(process = started.pid(), "restarted: another process serves; finishing what is under way");
    // Before the answer, so that whoever looks afterwards is likely to see this process too.
    tell(main, &started);
    if let Some(answer) = answer {
        let _ = answer.send(Ok(started.pid().unwrap_or_default()));
    }
    let mut requests = StopRequests::default();
    let came_back = drain(main, &mut started, leaving, &mut requests).await;
    if came_back {
        take_back(main, started).await;
        return None;
    }
    main.server.end().await;
    tracing::info!("stopped; another process serves");
    Some(part(main, started, requests).await)
}

/// Waits until nothing is under way. True when the successor has died before: as long as this waits, also for the last
/// connections to close, everything can be taken back.
async fn drain(
    main: &mut Main<'_, Handover>,
    started: &mut Started,
    leaving: impl Future<Output = ()>,
    requests: &mut StopRequests,
) -> bool {
    let control = &main.control;
    let leaving = async {
        leaving.await;
        // Such as of the one who has asked for the restart.
        control.answered().await;
    };
    tokio::pin!(leaving);
    // Whoever signals a process that was started in the foreground means the one that serves.
    let is_anchor = !main.how.background && !main.how.takeover;
    // It was told a moment ago.
    let mut often = tokio::time::interval_at(tokio::time::Instant::now() + TELL_EVERY, TELL_EVERY);
    loop {
        let news = tokio::select! {
            () = &mut leaving => return started.idle().await == PredecessorAction::TakeBack,
            news = started.next() => news,
            _ = often.tick() => {
                tell(main, started);
                continue;
            }
            asked = main.signals.next() => {
                let ProcessSignal::End { interrupted } = asked else {
                    started.say(&LinkMessage::Reload {});
                    continue;
                };
                let urgency = requests.add(StopCause::Signal { interrupted });
                if is_anchor {
                    started.say(&LinkMessage::Stop { now: urgency == Urgency::AtOnce });
                }
                match urgency {
                    Urgency::Orderly => tracing::info!("asked to stop; still finishing what is under way"),
                    Urgency::AtOnce => {
                        tracing::info!("stopping at once");
                        return false;
                    }
                }
                continue;
            }
        };
        match news {
            StartedEvent::Changed(what) => {
                if let Ok(RegistrationEnded { ended }) = RegistrationEnded::deserialize(&what) {
                    main.server.directory.forget(ended);
                } else {
                    follow(main, &what);
                }
            }
            StartedEvent::PredecessorAction(PredecessorAction::TakeBack) => return true,
            StartedEvent::PredecessorAction(PredecessorAction::LetGo) => main.server.let_go(),
            StartedEvent::PredecessorAction(_) if started.ends_at_once() => return false,
            StartedEvent::PredecessorAction(_) => {}
        }
    }
}

/// Tells the process that serves what this one still waits for.
fn tell(main: &Main<'_, Handover>, started: &Started) {
    let what = serde_json::to_value(waits_for(&main.server)).unwrap_or_default();
    started.say(&LinkMessage::Waits { what });
}

/// Holds what is still served to the policies of the process that serves.
fn follow(main: &Main<'_, Handover>, what: &Value) {
    match Followed::deserialize(what) {
        Ok(followed) => main.server.directory.follow(followed),
        Err(error) => {
            tracing::warn!(%error, "what the other process says of policies is not understood");
        }
    }
}

async fn take_back(main: &mut Main<'_, Handover>, started: Started) {
    let trouble = started.end().await;
    tracing::error!(reason = trouble.message, "the process that had taken over has died; serving again");
    main.server.take_back_registry().await;
    main.server.relay.stay();
    main.handover.elders.take_back();
    main.control.set_ours(true);
    main.server.set_phase(Phase::Running);
}

/// Ends, or, in the foreground, stays as the anchor. `requests`: what has asked it to stop already.
async fn part(main: &mut Main<'_, Handover>, started: Started, requests: StopRequests) -> ExitCode {
    if main.how.background || main.how.takeover {
        return ExitCode::Ok;
    }
    main.control.close();
    let exit = match started.into_link() {
        Ok(link) => handover::stay(link, &mut main.signals, requests).await,
        Err(exit) => Some(exit),
    };
    exit.map_or(ExitCode::Failed, ExitCode::of)
}

// ---- the process that takes over ----------------------------------------------------------------

/// Takes the place of the process that has started this one.
pub(crate) async fn succeed(folder: &Folder, how: How) -> Result<Beginning<Serving<Predecessors>>, Failure> {
    let (mut heir, parcel) = Heir::inherit().await.map_err(|error| no_heir(&error))?;
    match take_over(folder, how, &mut heir, parcel).await {
        Ok((beginning, server, listener, mut elders)) => {
            elders.add(heir.serves());
            Ok(beginning.with(server, listener, elders))
        }
        Err(failure) => {
            heir.fail(Trouble::new(failure.message.clone(), failure.hint.clone())).await;
            Err(failure)
        }
    }
}

async fn take_over(
    folder: &Folder,
    how: How,
    heir: &mut Heir,
    mut parcel: Parcel,
) -> Result<(Beginning, Server, Listener, Elders), Failure> {
    let control = parcel.take_control();
    let mut links = Vec::new();
    while let Some(link) = parcel.take(ELDER) {
        links.push(link);
    }
    let (beginning, prepared) = Beginning::new(folder, how, inherited(folder, parcel)?).await?;
    let facts = heir.turn().await.map_err(|error| no_heir(&error))?;
    let ready = prepared.open(expected(facts.as_ref())).await.map_err(|error| start_failure(&error))?;
    let listener = match control {
        Some(control) => Listener::inherit(&folder.socket(), control),
        None => Listener::bind(&folder.socket()),
    };
    let listener = listener.map_err(|error| socket_failure(folder, &error))?;
    let mut elders = Elders::default();
    for link in links {
        elders.add(Link::new(link).map_err(|error| Failure::of(&error))?);
    }
    // Last: a predecessor of an earlier version cannot take back a registry that was brought to a new form.
    let server = ready.serve().await.map_err(|error| start_failure(&error))?;
    Ok((beginning, server, listener, elders))
}

fn inherited(folder: &Folder, mut parcel: Parcel) -> Result<Inherited, Failure> {
    let lock = parcel.take(LOCK).map(|copy| Lock::inherit(&folder.lock(), copy)).transpose();
    let lock = lock.map_err(|error| start_failure(&ServerStartError::Lock(error)))?;
    let https = https_before(&parcel.facts);
    let sockets = parcel.handles.into_iter().filter_map(|(name, handle)| {
        let kind: ListenerKind = name.parse().ok()?;
        Some((kind, handle.into()))
    });
    Ok(Inherited { sockets: sockets.collect(), lock, https })
}

fn no_heir(error: &NoHeir) -> Failure {
    Failure::of(error).hint("restart a running server with: petit-server restart")
}
