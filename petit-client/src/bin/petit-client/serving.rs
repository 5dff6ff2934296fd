//! A client that serves, as a value: what its main loop holds. The loop is in `lifecycle`, and what a hand-over does with
//! it in `restart`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use petit_client::client::Client;
use petit_client::control::Control;
use petit_client::daemon::{Daemon, Restart};
use petit_client::updates::Updates;
use petit_host::cli::Failure;
use petit_host::control::server::{Control as ServedControl, Listener};
use petit_host::shutdown::{Signals, StopCause};
use tokio::sync::mpsc;

use super::beginning::{Beginning, How, socket_failure, start_failure};
use super::context::Context;
use super::handover::{Handover, Predecessors};

/// A client that is there, and whoever was there before it.
pub(crate) struct Serving {
    pub(crate) client: Client,
    pub(crate) listener: Listener,
    pub(crate) signals: Signals,
    pub(crate) predecessors: Predecessors,
}

impl Serving {
    /// The client of a process that takes nobody's place.
    pub(crate) async fn new(context: &Context, how: How) -> Result<Self, Failure> {
        let folder = &context.folder;
        let Beginning { config, lock, level, signals } = Beginning::new(context, how, None).await?;
        let client = Client::start(folder.clone(), config, lock, Some(level)).await;
        let client = client.map_err(|error| start_failure(context, &error));
        let served = client.and_then(|client| {
            let listener =
                Listener::bind(&folder.socket()).map_err(|error| socket_failure(context, &error))?;
            Ok((client, listener))
        });
        if served.is_err() {
            // A keychain that is locked or a socket that is taken is not the fault of a version on trial.
            if let Ok(updates) = updates(context) {
                updates.excused().await;
            }
        }
        let (client, listener) = served?;
        Ok(Self { client, listener, signals, predecessors: Predecessors::default() })
    }
}

/// What is known of updates of the program that runs.
pub(crate) fn updates(context: &Context) -> Result<Updates, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
    Ok(Updates::of(&context.folder, &program))
}

/// The running client's main loop: one thing after the other.
pub(crate) struct Main<'a> {
    pub(crate) context: &'a Context,
    pub(crate) how: How,
    pub(crate) program: PathBuf,
    pub(crate) client: Client,
    pub(crate) control: ServedControl,
    pub(crate) signals: Signals,
    pub(crate) replaced: Arc<AtomicBool>,
    pub(crate) handover: Handover,
    /// Rings when somebody asks the program to end.
    pub(crate) stopped: mpsc::Receiver<()>,
    /// Rings when somebody wants another process in this one's place.
    pub(crate) restarts: mpsc::Receiver<Restart>,
    pub(crate) updates: Updates,
    /// Rings that bell.
    pub(crate) restart: mpsc::Sender<Restart>,
}

/// What the main loop does next.
pub(crate) enum Turn {
    Stop(StopCause),
    Leave,
    /// The client has failed within, and would go on as a process that does nothing.
    Fail,
    Reload,
    Nothing,
}

/// Why the main loop serves no more.
#[derive(Debug)]
pub(crate) enum Ended {
    Stopped(StopCause),
    /// Another process is there.
    Left,
    Failed,
}

impl<'a> Main<'a> {
    pub(crate) fn new(context: &'a Context, how: How, program: PathBuf, serving: Serving) -> Self {
        let Serving { client, listener, signals, predecessors } = serving;
        let (stop, stopped) = mpsc::channel(1);
        let (restart, restarts) = mpsc::channel(1);
        let replaced = Arc::new(AtomicBool::new(false));
        let control = Control {
            client: client.clone(),
            lifecycle: Daemon { client: client.clone(), stop, restart: restart.clone() },
            replaced: Arc::clone(&replaced),
        };
        let control = listener.spawn(Arc::new(control));
        let handover = Handover::new(predecessors);
        let updates = Updates::of(&context.folder, &program).beside_tunnel();
        Self {
            context,
            how,
            program,
            client,
            control,
            signals,
            replaced,
            handover,
            stopped,
            restarts,
            updates,
            restart,
        }
    }
}
