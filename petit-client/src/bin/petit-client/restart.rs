//! What the steps of a hand-over mean for the client, on both sides.
//!
//! Which step follows which is decided in [`petit_host::handover::steps`]. The client yields nothing: for a moment
//! both processes have a session, and the server opens new streams in the newer one.

use std::ffi::OsString;
use std::sync::atomic::Ordering;

use petit_client::client::Client;
use petit_client::daemon::{NotRestarted, Restart};
use petit_client::status::Connection;
use petit_engine::limits;
use petit_host::cli::{self, Failure};
use petit_host::control::server::Listener;
use petit_host::exit::ExitCode;
use petit_host::handover::steps::PredecessorAction;
use petit_host::handover::{
    self, ElderEvent, Elders, Heir, Link, LinkMessage, Manner, NoHeir, Parcel, Start, Started, StartedEvent,
};
use petit_host::lock::Lock;
use petit_host::shutdown::{ProcessSignal, StopCause, StopRequests, Urgency};
use serde_json::Value;

use super::beginning::{Beginning, How, socket_failure, start_failure};
use super::context::Context;
use super::handover::{HandoverEvent, Successor};
use super::serving::{Main, Serving, Turn};
use super::succeeding::{Facts, Unready, until_online};

/// The names of what is handed over.
const LOCK: &str = "lock";
/// Links to processes before this one.
const ELDER: &str = "elder";

// ---- the process that is replaced ---------------------------------------------------------------

/// Starts a process that is to take this one's place.
pub(crate) async fn begin(main: &mut Main<'_>, answer: Restart) {
    if main.handover.successor.is_some() {
        return drop(answer.send(Err(NotRestarted::Busy)));
    }
    let was_online = is_online(main).await;
    match start(main, was_online).await {
        Ok(started) => {
            tracing::info!(process = started.pid(), "restarting: another process gets ready");
            main.handover.successor = Some(Successor { started, asked: Some(answer), was_online });
        }
        Err(error) => {
            let message = format!("{} cannot be run: {error}", main.program.display());
            tracing::error!(message, "not restarted");
            let _ = answer.send(Err(NotRestarted::NotRun(message)));
        }
    }
}

async fn is_online(main: &Main<'_>) -> bool {
    matches!(main.client.status().await.connection, Connection::Online { .. })
}

async fn start(main: &Main<'_>, is_online: bool) -> std::io::Result<Started> {
    let mut handles = Vec::new();
    if let Some(lock) = &*main.client.lock() {
        handles.push((LOCK.to_owned(), lock.copy()?));
    }
    handles.extend(main.handover.elders.copies()?.into_iter().map(|link| (ELDER.to_owned(), link)));
    let facts = Facts { instance: main.client.instance().await, online: is_online };
    let facts = serde_json::to_value(facts)?;
    let mut parcel = Parcel { handles, facts };
    parcel.put_control(main.control.copy().await?);
    let mut arguments: Vec<OsString> = vec!["run".into(), "--takeover".into()];
    if main.how.background {
        arguments.push("--background".into());
    }
    arguments.extend(["--config".into(), main.context.folder.config.clone().into()]);
    Started::start(Start {
        program: main.program.clone(),
        arguments,
        manner: if main.how.background { Manner::Background } else { Manner::Foreground },
        parcel,
        within: limits::READY,
    })
}

/// Does what is to be done about what was heard.
pub(crate) async fn take(main: &mut Main<'_>, heard: HandoverEvent) -> Turn {
    match heard {
        HandoverEvent::Elder(ElderEvent::Waits) | HandoverEvent::Successor(StartedEvent::Changed(_)) => {
            Turn::Nothing
        }
        HandoverEvent::Elder(ElderEvent::Stop { .. }) => Turn::Stop(StopCause::Anchor),
        HandoverEvent::Elder(ElderEvent::Reload) => Turn::Reload,
        HandoverEvent::Successor(StartedEvent::PredecessorAction(deed)) => match deed {
            PredecessorAction::Yield => {
                if let Some(Successor { started, .. }) = &main.handover.successor {
                    started.say(&LinkMessage::Yours { facts: Value::Null });
                }
                Turn::Nothing
            }
            PredecessorAction::Leave => Turn::Leave,
            PredecessorAction::Discard | PredecessorAction::TakeBack => {
                give_up(main, "of no use").await;
                Turn::Nothing
            }
            PredecessorAction::Start
            | PredecessorAction::LetGo
            | PredecessorAction::End
            | PredecessorAction::Nothing => Turn::Nothing,
        },
    }
}

/// Ends a successor that does not serve, and goes on as before.
async fn give_up(main: &mut Main<'_>, why: &str) {
    let Some(Successor { started, asked, was_online }) = main.handover.successor.take() else { return };
    let trouble = started.end().await;
    if let Some(lock) = &*main.client.lock() {
        lock.sign();
    }
    tracing::error!(reason = trouble.message, why, "not restarted; going on");
    // What nobody could have done here either says nothing of the program that it runs.
    let is_away = was_online && !is_online(main).await;
    if let Some(asked) = asked {
        let why = if is_away { NotRestarted::Away(trouble) } else { NotRestarted::NotReady(trouble) };
        let _ = asked.send(Err(why));
    }
}

/// The client is asked to stop: whatever was begun is given up.
pub(crate) async fn stop(main: &mut Main<'_>) {
    if let Some(Successor { asked, .. }) = &mut main.handover.successor
        && let Some(asked) = asked.take()
    {
        let _ = asked.send(Err(NotRestarted::Stopping));
    }
    give_up(main, "stopped").await;
}

/// Finishes what is under way while the successor serves. `None` when that has died, and this process serves again.
pub(crate) async fn leave(main: &mut Main<'_>) -> Option<ExitCode> {
    let Successor { mut started, asked, .. } = main.handover.successor.take()?;
    main.replaced.store(true, Ordering::Relaxed);
    main.control.set_ours(false);
    if let Err(error) = main.handover.elders.hand_on() {
        tracing::warn!(%error, "processes before this one are not heard any more");
    }
    tracing::info!(process = started.pid(), "restarted: another process serves; finishing what is under way");
    if let Some(asked) = asked {
        let _ = asked.send(Ok(started.pid().unwrap_or_default()));
    }
    let mut requests = StopRequests::default();
    if drain(main, &mut started, &mut requests).await {
        take_back(main, started).await;
        return None;
    }
    drop(main.client.lock().take());
    tracing::info!("stopped; another process serves");
    Some(part(main, started, requests).await)
}

/// Waits until nothing is under way. True when the successor has died before: as long as this waits, everything can be
/// taken back.
async fn drain(main: &mut Main<'_>, started: &mut Started, requests: &mut StopRequests) -> bool {
    let (client, control) = (main.client.clone(), &main.control);
    let leaving = async {
        client.leave().await;
        // Such as of the one who has asked for the restart.
        control.answered().await;
    };
    tokio::pin!(leaving);
    // Whoever signals a process that was started in the foreground means the one that serves.
    let is_anchor = !main.how.background && !main.how.takeover;
    loop {
        let news = tokio::select! {
            () = &mut leaving => return started.idle().await == PredecessorAction::TakeBack,
            news = started.next() => news,
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
            StartedEvent::PredecessorAction(PredecessorAction::TakeBack) => return true,
            StartedEvent::PredecessorAction(PredecessorAction::LetGo) => drop(main.client.lock().take()),
            StartedEvent::PredecessorAction(_) if started.ends_at_once() => return false,
            StartedEvent::PredecessorAction(_) | StartedEvent::Changed(_) => {}
        }
    }
}

async fn take_back(main: &mut Main<'_>, started: Started) {
    let trouble = started.end().await;
    tracing::error!(reason = trouble.message, "the process that had taken over has died; serving again");
    if let Some(lock) = &*main.client.lock() {
        lock.sign();
    }
    main.client.come_back().await;
    main.handover.elders.take_back();
    main.replaced.store(false, Ordering::Relaxed);
    main.control.set_ours(true);
}

/// Ends, or, in the foreground, stays as the anchor. `requests`: what has asked it to stop already.
async fn part(main: &mut Main<'_>, started: Started, requests: StopRequests) -> ExitCode {
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
pub(crate) async fn succeed(context: &Context, how: How) -> Result<Serving, Failure> {
    let (mut heir, parcel) = Heir::inherit().await.map_err(|error| no_heir(&error))?;
    match take_over(context, how, &mut heir, parcel).await {
        Ok(mut serving) => {
            serving.predecessors.add(heir.serves());
            Ok(serving)
        }
        Err(unready) => {
            heir.fail(unready.trouble()).await;
            Err(unready.failure)
        }
    }
}

async fn take_over(
    context: &Context,
    how: How,
    heir: &mut Heir,
    mut parcel: Parcel,
) -> Result<Serving, Unready> {
    let folder = &context.folder;
    let control = parcel.take_control();
    let mut predecessors = Elders::default();
    while let Some(link) = parcel.take(ELDER) {
        predecessors.add(Link::new(link).map_err(|error| Failure::of(&error))?);
    }
    let lock = parcel.take(LOCK).map(|copy| Lock::inherit(&folder.lock(), copy)).transpose();
    let lock = lock.map_err(|error| Failure::of(&error))?;
    let begun = Beginning::new(context, how, lock).await.map_err(Unready::here)?;
    let Beginning { config, lock, level, signals } = begun;
    let facts: Option<Facts> = serde_json::from_value(parcel.facts).map_err(|error| Failure::of(&error))?;
    let Facts { instance, online } = facts.unwrap_or_default();
    let instance = instance.as_deref();
    let client = Client::succeed(folder.clone(), config, lock, (Some(level), instance)).await;
    let client = client.map_err(|error| Unready::here(start_failure(context, &error)))?;
    if online {
        until_online(context, &client).await?;
    }
    heir.turn().await.map_err(|error| no_heir(&error))?;
    if let Some(lock) = &*client.lock() {
        lock.sign();
    }
    let listener = match control {
        Some(control) => Listener::inherit(&folder.socket(), control),
        None => Listener::bind(&folder.socket()),
    };
    let listener = listener.map_err(|error| Unready::here(socket_failure(context, &error)))?;
    Ok(Serving { client, listener, signals, predecessors })
}

fn no_heir(error: &NoHeir) -> Failure {
    Failure::new(ExitCode::Failed, cli::chain(error))
        .hint("restart a running client with: petit-client restart")
}
