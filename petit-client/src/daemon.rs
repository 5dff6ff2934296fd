//! What the program without a window decides for itself when it is asked over the control socket.

use petit_host::BoxFuture;
use petit_host::cli::chain;
use petit_host::control::ApiProblem;
use petit_host::handover::{Fault, Trouble};
use tokio::sync::{mpsc, oneshot};

use crate::api::{Restarted, Stopped, Switched};
use crate::client::Client;
use crate::control::Lifecycle;

/// `petit-client run`, as the control socket sees it.
pub struct Daemon {
    /// Its client.
    pub client: Client,
    /// Rings when somebody asks the program to end.
    pub stop: mpsc::Sender<()>,
    /// Rings when somebody wants another process in this one's place.
    pub restart: mpsc::Sender<Restart>,
}

/// Somebody wants another process in this one's place, and waits for its number, or for why it does not serve.
pub type Restart = oneshot::Sender<Result<u32, NotRestarted>>;

/// Why no other process has taken this one's place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRestarted {
    #[error("the client is being restarted already")]
    Busy,
    #[error("the client was asked to stop")]
    Stopping,
    /// Nothing was started.
    #[error("{0}")]
    NotRun(String),
    /// The server went away meanwhile, so it could not have got ready.
    #[error("{}, and the server was away", .0.message)]
    Away(Trouble),
    /// It was started, and did not get ready; whose fault that is, it says itself.
    #[error("{}", .0.message)]
    NotReady(Trouble),
}

impl From<NotRestarted> for ApiProblem {
    fn from(why: NotRestarted) -> Self {
        let (status, code, hint) = match &why {
            NotRestarted::Busy => (409, BUSY, None),
            NotRestarted::Stopping => (409, "stopping", None),
            NotRestarted::NotRun(_) => (422, "not_run", None),
            NotRestarted::Away(trouble) => (422, "away", trouble.hint.as_deref()),
            NotRestarted::NotReady(trouble) => {
                let code = match trouble.fault {
                    Fault::Itself => NOT_READY,
                    Fault::Surroundings => "hindered",
                };
                (422, code, trouble.hint.as_deref())
            }
        };
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        Self::new(status, code, format!("the new process did not take over: {why}{hint}"))
    }
}

/// What a refusal to restart is called when another one is under way, or the end.
pub const BUSY: &str = "busy";
/// What a refusal to restart is called that says something about the program that was to be run.
pub const NOT_READY: &str = "not_ready";

impl Lifecycle for Daemon {
    fn start(&self) -> BoxFuture<'_, Result<Switched, ApiProblem>> {
        Box::pin(async move {
            self.client.switch(true).await;
            self.client.reconnect_now().await;
            // Its user may take as long as they like; what comes of it is in the status.
            let client = self.client.clone();
            tokio::spawn(async move {
                if let Err(error) = client.unlock().await {
                    tracing::warn!(error = %chain(&error), "no key");
                }
            });
            Ok(Switched { on: true })
        })
    }

    fn stop(&self) -> BoxFuture<'_, Result<Stopped, ApiProblem>> {
        Box::pin(async move {
            let streams = self.client.status().await.streams;
            let _ = self.stop.send(()).await;
            Ok(Stopped { pid: std::process::id(), streams: Some(streams), stays: false })
        })
    }

    fn restart(&self) -> BoxFuture<'_, Result<Restarted, ApiProblem>> {
        Box::pin(async move {
            let busy = || ApiProblem::new(409, BUSY, "the client is stopping, or being restarted already");
            let streams = self.client.status().await.streams;
            let (answer, asked) = oneshot::channel();
            self.restart.try_send(answer).map_err(|_| busy())?;
            let pid = asked.await.map_err(|_| busy())??;
            Ok(Restarted { pid, replaced: std::process::id(), streams })
        })
    }

    fn registered(&self) -> BoxFuture<'_, ()> {
        // Registering goes online by itself.
        Box::pin(async {})
    }
}
