//! The client in another process, through its control socket.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use petit_client::control::CONSENT;
use petit_client::enrol::{Done, Existing};
use petit_client::folder::Folder;
use petit_client::status::Status;
use petit_engine::name::ServiceName;
use petit_engine::proto::control::ProbeResult;
use petit_host::BoxFuture;
use petit_host::control::client::{CallError, Client};
use petit_host::control::percent_encode;
use petit_host::lock::Lock;
use petit_host::logs::Level;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Link, LinkError, RegistrationRequest};
use crate::facts::Owner;

/// How often it is looked whether the other process is still there, while it does not answer.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Other {
    pid: Option<u32>,
    socket: Client,
    statuses: watch::Receiver<Option<Status>>,
    following: Mutex<JoinHandle<()>>,
}

impl Other {
    /// Follows the client that holds the folder's lock.
    pub(super) fn connect(folder: &Folder, pid: Option<u32>) -> Arc<dyn Link> {
        let socket = Client::new(&folder.socket());
        let (sender, statuses) = watch::channel(None);
        let following = tokio::spawn(follow(folder.clone(), socket.clone(), sender));
        Arc::new(Self { pid, socket, statuses, following: Mutex::new(following) })
    }

    async fn call(&self, method: &str, target: &str, body: Option<Value>) -> Result<Value, LinkError> {
        self.socket.call(method, target, body.as_ref()).await.map_err(|error| match error {
            CallError::NotRunning => LinkError::Gone,
            CallError::Refused(problem) => LinkError::Refused(problem.message),
            CallError::NotAllowed { .. } | CallError::Broken(_) => {
                LinkError::Refused(petit_host::cli::chain(&error))
            }
        })
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.following.get_mut().unwrap_or_else(PoisonError::into_inner).abort();
    }
}

/// Passes statuses on until the lock is free. A command that holds it for a moment has no socket; neither has a
/// client that is just starting.
async fn follow(folder: Folder, socket: Client, statuses: watch::Sender<Option<Status>>) {
    loop {
        if let Ok(mut events) = socket.events("/events").await {
            while let Ok(Some(value)) = events.next().await {
                match serde_json::from_value(value) {
                    Ok(status) => drop(statuses.send_replace(Some(status))),
                    Err(error) => tracing::warn!(%error, "the other client is of another version"),
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
        Box::pin(async { serde_json::from_value(self.call("GET", "/status", None).await.ok()?).ok() })
    }

    fn switch(&self, on: bool) -> BoxFuture<'_, Result<(), LinkError>> {
        let target = if on { "/start" } else { "/stop" };
        Box::pin(async move { self.call("POST", target, None).await.map(drop) })
    }

    fn unlock(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        // Being told to go online, it asks for its key again.
        Box::pin(async { self.call("POST", "/start", None).await.map(drop) })
    }

    fn register(&self, wanted: RegistrationRequest) -> BoxFuture<'_, Result<Done, LinkError>> {
        Box::pin(async move {
            // One of an older version would offer at once whatever the config holds.
            let version = self.call("GET", "/version", None).await?;
            let features = version.get("features").and_then(Value::as_array).into_iter().flatten();
            if !features.filter_map(Value::as_str).any(|feature| feature == CONSENT) {
                return Err(LinkError::Older);
            }
            let RegistrationRequest { text, key_store, existing, invite: _ } = wanted;
            let body = json!({
                "invite": text.expose_secret(),
                "key_store": key_store,
                "share": [],
                "replace": existing == Existing::Replace,
            });
            let value = self.call("POST", "/register", Some(body)).await?;
            serde_json::from_value(value).map_err(|error| LinkError::Refused(error.to_string()))
        })
    }

    fn share(&self, names: Vec<ServiceName>) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move {
            for name in names {
                let target = format!("/services/{}/share", percent_encode(name.as_str()));
                self.call("POST", &target, None).await?;
            }
            Ok(())
        })
    }

    fn unregister(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async { self.call("POST", "/unregister", None).await.map(drop) })
    }

    fn forget(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async { Err(LinkError::NotHere) })
    }

    fn probe(&self, service: ServiceName) -> BoxFuture<'_, Result<Option<ProbeResult>, LinkError>> {
        Box::pin(async move {
            let target = format!("/ping?service={}", percent_encode(service.as_str()));
            let value = self.call("GET", &target, None).await?;
            let result = value.pointer("/trials/0/trial").cloned();
            Ok(result.and_then(|result| serde_json::from_value(result).ok()))
        })
    }

    fn remove(&self, service: ServiceName) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move {
            let target = format!("/services/{}/remove", percent_encode(service.as_str()));
            self.call("POST", &target, None).await.map(drop)
        })
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async { self.call("POST", "/reload", None).await.map(drop) })
    }

    fn log(&self, level: Level) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move { self.call("POST", "/log", Some(json!({ "level": level }))).await.map(drop) })
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
