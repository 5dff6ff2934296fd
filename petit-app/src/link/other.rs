//! The client in another process, through its control socket.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use petit_client::api::{LocalClient, LocalError, PingOutcome, UnregisterRequest};
use petit_client::enrol::Done;
use petit_client::folder::Folder;
use petit_client::registering::{Order, OtherError, Registrar};
use petit_client::status::Status;
use petit_engine::name::ServiceName;
use petit_engine::proto::control::ProbeResult;
use petit_host::BoxFuture;
use petit_host::control::client::CallError;
use petit_host::lock::Lock;
use petit_host::logs::Level;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Link, LinkError};
use crate::facts::Owner;

/// How often it is looked whether the other process is still there, while it does not answer.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Other {
    pid: Option<u32>,
    client: LocalClient,
    statuses: watch::Receiver<Option<Status>>,
    following: Mutex<JoinHandle<()>>,
}

impl Other {
    /// Follows the client that holds the folder's lock.
    pub(super) fn connect(folder: &Folder, pid: Option<u32>) -> Arc<dyn Link> {
        let client = LocalClient::of(folder);
        let (sender, statuses) = watch::channel(None);
        let following = tokio::spawn(follow(folder.clone(), client.clone(), sender));
        Arc::new(Self { pid, client, statuses, following: Mutex::new(following) })
    }
}

/// Why another process did not do what it was asked.
fn refused(error: LocalError) -> LinkError {
    match error {
        LocalError::Call(CallError::NotRunning) => LinkError::Gone,
        LocalError::Call(CallError::Refused(problem)) => LinkError::Refused(problem.message),
        LocalError::Call(CallError::NotAllowed { .. } | CallError::Broken(_))
        | LocalError::OtherVersion(_) => LinkError::Refused(petit_host::cli::chain(&error)),
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.following.get_mut().unwrap_or_else(PoisonError::into_inner).abort();
    }
}

/// Passes statuses on until the lock is free. A command that holds it for a moment has no socket; neither has a
/// client that is just starting.
async fn follow(folder: Folder, client: LocalClient, statuses: watch::Sender<Option<Status>>) {
    loop {
        if let Ok(mut events) = client.statuses().await {
            loop {
                match events.next().await {
                    Ok(Some(status)) => drop(statuses.send_replace(Some(status))),
                    Err(LocalError::OtherVersion(error)) => {
                        tracing::warn!(%error, "the other client is of another version");
                    }
                    Ok(None) | Err(LocalError::Call(_)) => break,
                }
            }
            statuses.send_replace(None);
        }
        match Lock::take(&folder.lock()) {
            Ok(_free) => return,
            // Nothing tells when a lock is freed.
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

impl Link for Other {
    fn owner(&self) -> Owner {
        Owner::Another { pid: self.pid }
    }

    fn statuses(&self) -> watch::Receiver<Option<Status>> {
        self.statuses.clone()
    }

    fn status(&self) -> BoxFuture<'_, Option<Status>> {
        Box::pin(async { self.client.status().await.ok() })
    }

    fn switch(&self, on: bool) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move {
            let switched =
                if on { self.client.start().await.map(drop) } else { self.client.stop().await.map(drop) };
            switched.map_err(refused)
        })
    }

    fn unlock(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        // Being told to go online, it asks for its key again.
        Box::pin(async { self.client.start().await.map(drop).map_err(refused) })
    }

    fn install_update(&self) -> Result<(), LinkError> {
        Err(LinkError::NotHere) // it is another program, which gets its versions otherwise
    }

    fn register(&self, order: Order) -> BoxFuture<'_, Result<Done, LinkError>> {
        Box::pin(async move {
            Registrar::register(&self.client, &order).await.map_err(|error| match error {
                OtherError::Local(error) => refused(error),
                OtherError::Older => LinkError::Older,
                OtherError::Registration(error) => LinkError::Registration(error),
            })
        })
    }

    fn share(&self, names: Vec<ServiceName>) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move {
            for name in names {
                self.client.share(&name).await.map_err(refused)?;
            }
            Ok(())
        })
    }

    fn unregister(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async {
            self.client.unregister(UnregisterRequest::default()).await.map(drop).map_err(refused)
        })
    }

    fn forget(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async { Err(LinkError::NotHere) })
    }

    fn probe(&self, service: ServiceName) -> BoxFuture<'_, Result<Option<ProbeResult>, LinkError>> {
        Box::pin(async move {
            let answer = self.client.ping(Some(&service)).await.map_err(refused)?;
            Ok(answer.pings.into_iter().next().and_then(|ping| match ping.outcome {
                PingOutcome::Probed { result, .. } => Some(result),
                PingOutcome::Refused { .. } => None,
            }))
        })
    }

    fn remove(&self, service: ServiceName) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move { self.client.remove(&service).await.map(drop).map_err(refused) })
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async { self.client.reload().await.map(drop).map_err(refused) })
    }

    fn log(&self, level: Level) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move { self.client.log(level).await.map(drop).map_err(refused) })
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
