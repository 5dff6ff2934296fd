//! What the steps of a hand-over mean for the client where no lock and no socket is handed over (Windows).
//!
//! As on Unix both processes have a session for a moment, and the server opens new streams in the newer one. But the
//! successor takes the folder's lock, and makes a control pipe of its own, in the moment in which its predecessor has let
//! go of the lock: until it serves, the predecessor can take that again.

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
use petit_host::handover::{Heir, Manner, NoHeir, Start, Started};
use petit_host::lock::{Lock, LockError};
use petit_host::shutdown::{ProcessSignal, StopCause, StopRequests, Urgency};

use super::beginning::{Beginning, How, socket_failure, start_failure};
use super::context::Context;
use super::handover::{FREE, HandoverEvent, Predecessors, Successor, Unlocked};
use super::serving::{Main, Serving, Turn};
use super::succeeding::{Facts, Unready, until_online};

/// Starts a process that is to take this one's place.
pub(crate) async fn begin(main: &mut Main<'_>, answer: Restart) {
    if main.handover.successor.is_some() {
        return drop(answer.send(Err(NotRestarted::Busy)));
    }
    if main.context.folder.is_of_service() {
        // Another process would not be the service any more.
        let message = "Windows restarts its services itself; petit-client restart has it do so";
        return drop(answer.send(Err(NotRestarted::NotRun(message.to_owned()))));
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

async fn start(main: &Main<'_>, online: bool) -> std::io::Result<Started> {
    let facts = serde_json::to_value(Facts { instance: main.client.instance().await, online })?;
    let mut arguments: Vec<OsString> = vec!["run".into(), "--takeover".into()];
    if main.how.background {
        arguments.push("--background".into());
    }
    arguments.extend(["--config".into(), main.context.folder.config.clone().into()]);
    Started::start(Start {
        program: main.program.clone(),
        arguments,
        manner: if main.how.background { Manner::Background } else { Manner::Foreground },
        facts,
        within: limits::READY,
    })
    .await
}

/// Does what is to be done about what was heard.
pub(crate) async fn take(main: &mut Main<'_>, heard: HandoverEvent) -> Turn {
    let deed = match heard {
        HandoverEvent::Successor(deed) => deed,
        HandoverEvent::Lock(taken) => return hold_lock(main, taken).err().unwrap_or(Turn::Nothing),
    };
    match deed {
        PredecessorAction::Yield => {
            // It is the successor's turn to try for it, too.
            main.handover.unlocked = None;
            drop(main.client.lock().take());
            if let Some(Successor { started, .. }) = &mut main.handover.successor {
                started.say_yours().await;
            }
            Turn::Nothing
        }
        PredecessorAction::Leave => Turn::Leave,
        PredecessorAction::Discard | PredecessorAction::TakeBack => give_up(main, "of no use").await,
        PredecessorAction::Start
        | PredecessorAction::LetGo
        | PredecessorAction::End
        | PredecessorAction::Nothing => Turn::Nothing,
    }
}

/// Ends a successor that does not serve, and goes on as before.
async fn give_up(main: &mut Main<'_>, why: &str) -> Turn {
    let Some(Successor { started, asked, was_online }) = main.handover.successor.take() else {
        return Turn::Nothing;
    };
    let trouble = started.end().await;
    let turn = match take_lock_back(main).await {
        Ok(()) => {
            tracing::error!(reason = trouble.message, why, "not restarted; going on");
            Turn::Nothing
        }
        // Two must not be there, and the other one has the lock.
        Err(turn) => turn,
    };
    // What nobody could have done here either says nothing of the program that it runs.
    let is_away = was_online && !is_online(main).await;
    if let Some(asked) = asked {
        let why = if is_away { NotRestarted::Away(trouble) } else { NotRestarted::NotReady(trouble) };
        let _ = asked.send(Err(why));
    }
    turn
}

/// Holds what was let go of for the successor again.
async fn take_lock_back(main: &mut Main<'_>) -> Result<(), Turn> {
    if main.client.lock().is_some() {
        return Ok(());
    }
    let taken = Lock::take_within(&main.context.folder.lock(), FREE).await;
    hold_lock(main, taken)?;
    // The name in the file may be that of the successor's pipe.
    main.control.set_ours(false);
    main.control.answered().await;
    main.control.set_ours(true);
    Ok(())
}

/// Two must not be there, so this one ends where another client has the lock. Where that is only not to be had, because
/// somebody has its file open or the disk is full, a tunnel that works is worth more: this one goes on, and tries again.
fn hold_lock(main: &mut Main<'_>, taken: Result<Lock, LockError>) -> Result<(), Turn> {
    match taken {
        Ok(lock) => {
            *main.client.lock() = Some(lock);
            if main.handover.unlocked.take().is_some() {
                tracing::info!("the client's lock is held again");
            }
            Ok(())
        }
        Err(error @ LockError::Held { .. }) => {
            tracing::error!(error = cli::chain(&error), "another client has begun meanwhile; ending");
            Err(Turn::Stop(StopCause::Command))
        }
        Err(error) => {
            if main.handover.unlocked.is_none() {
                tracing::warn!(
                    error = cli::chain(&error),
                    "the client's lock cannot be held; going on without it"
                );
                main.handover.unlocked = Some(Unlocked::new(&main.context.folder.lock()));
            }
            Ok(())
        }
    }
}

/// The client is asked to stop: whatever was begun is given up.
pub(crate) async fn stop(main: &mut Main<'_>) {
    if let Some(Successor { asked, .. }) = &mut main.handover.successor
        && let Some(asked) = asked.take()
    {
        let _ = asked.send(Err(NotRestarted::Stopping));
    }
    let _ = give_up(main, "stopped").await;
}

/// Finishes what is under way while the successor serves. `None` when that has died, and this process serves again.
pub(crate) async fn leave(main: &mut Main<'_>) -> Option<ExitCode> {
    let Successor { mut started, asked, .. } = main.handover.successor.take()?;
    main.replaced.store(true, Ordering::Relaxed);
    main.control.set_ours(false);
    tracing::info!(process = started.pid(), "restarted: another process serves; finishing what is under way");
    if let Some(asked) = asked {
        let _ = asked.send(Ok(started.pid().unwrap_or_default()));
    }
    if drain(main, &mut started).await {
        let trouble = started.end().await;
        tracing::error!(reason = trouble.message, "the process that had taken over has died; serving again");
        if take_lock_back(main).await.is_err() {
            return Some(ExitCode::Failed);
        }
        main.client.come_back().await;
        main.replaced.store(false, Ordering::Relaxed);
        return None;
    }
    tracing::info!("stopped; another process serves");
    if main.how.background {
        return Some(ExitCode::Ok);
    }
    // Whoever has started this one takes its end for the end of the client. A Ctrl-C has come to the other one, too.
    main.control.close();
    let ended = started.wait().await;
    let code = ended.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
    Some(code.map_or(ExitCode::Failed, ExitCode::of))
}

/// Waits until nothing is under way. True when the successor has died before.
async fn drain(main: &mut Main<'_>, started: &mut Started) -> bool {
    let (client, control) = (main.client.clone(), &main.control);
    let leaving = async {
        client.leave().await;
        // Such as of the one who has asked for the restart.
        control.answered().await;
    };
    tokio::pin!(leaving);
    let mut requests = StopRequests::default();
    loop {
        tokio::select! {
            () = &mut leaving => return started.idle().await == PredecessorAction::TakeBack && !requests.any(),
            deed = started.next() => match deed {
                // Who was asked to stop as well takes nothing back.
                PredecessorAction::TakeBack => return !requests.any(),
                _ => continue,
            },
            asked = main.signals.next() => {
                let ProcessSignal::End { interrupted } = asked else { continue };
                if requests.add(StopCause::Signal { interrupted }) == Urgency::AtOnce {
                    tracing::info!("stopping at once");
                    return false;
                }
                tracing::info!("asked to stop; still finishing what is under way");
            }
        }
    }
}

/// Takes the place of the process that has started this one.
pub(crate) async fn succeed(context: &Context, how: How) -> Result<Serving, Failure> {
    let (mut heir, facts) = Heir::inherit().await.map_err(|error| no_heir(&error))?;
    let facts: Option<Facts> = serde_json::from_value(facts).map_err(|error| Failure::of(&error))?;
    heir.turn().await;
    match take_over(context, how, facts.unwrap_or_default()).await {
        Ok(serving) => {
            heir.serves();
            Ok(serving)
        }
        Err(unready) => {
            heir.fail(unready.trouble());
            Err(unready.failure)
        }
    }
}

async fn take_over(context: &Context, how: How, facts: Facts) -> Result<Serving, Unready> {
    let folder = &context.folder;
    let lock = Lock::take_within(&folder.lock(), FREE).await.map_err(|error| Failure::of(&error));
    let lock = lock.map_err(Unready::here)?;
    let begun = Beginning::new(context, how, Some(lock)).await.map_err(Unready::here)?;
    let Beginning { config, lock, level, signals } = begun;
    let instance = facts.instance.as_deref();
    let client = Client::succeed(folder.clone(), config, lock, (Some(level), instance)).await;
    let client = client.map_err(|error| Unready::here(start_failure(context, &error)))?;
    if facts.online {
        until_online(context, &client).await?;
    }
    let listener = Listener::bind(&folder.socket());
    let listener = listener.map_err(|error| Unready::here(socket_failure(context, &error)))?;
    Ok(Serving { client, listener, signals, predecessors: Predecessors })
}

fn no_heir(error: &NoHeir) -> Failure {
    Failure::new(ExitCode::Failed, cli::chain(error))
        .hint("restart a running client with: petit-client restart")
}
