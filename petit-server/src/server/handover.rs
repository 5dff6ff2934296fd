//! What a server gives to the process that takes its place, and takes back when that is of no use.

use std::sync::PoisonError;

use petit_engine::name::DeviceId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Server;
use crate::certificate::{Certificate, HttpsBefore, ServedCertificate};
use crate::registry::StoreError;

/// The name of the lock among what is handed over.
pub const LOCK: &str = "lock";

/// What the process that takes over has to know of the moment at which it does.
#[derive(Serialize, Deserialize)]
struct Moment {
    /// Who is connected.
    clients: Vec<DeviceId>,
}

/// What the process that takes over has to know from its begin.
#[derive(Serialize, Deserialize)]
struct Served {
    /// The names that HTTPS visitors are shown a certificate for.
    https: Vec<String>,
    /// Where each of them is; an earlier version does not say.
    #[serde(default)]
    certificates: Vec<ServedCertificate>,
}

/// What a process tells those before it while it serves: a registration has ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RegistrationEnded {
    /// Whose.
    pub ended: DeviceId,
}

impl Server {
    /// Copies of the listening sockets and of the lock, by their names.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    #[cfg(unix)]
    pub fn handles(&self) -> std::io::Result<Vec<(String, std::os::fd::OwnedFd)>> {
        let sockets = self.relay.sockets()?.into_iter();
        let mut handles: Vec<_> =
            sockets.map(|(front, listener)| (front.to_string(), listener.into())).collect();
        if let Some(lock) = &*self.lock.lock().unwrap_or_else(PoisonError::into_inner) {
            handles.push((LOCK.to_owned(), lock.copy()?));
        }
        Ok(handles)
    }

    /// What a process that is to take over has to know from its begin.
    pub fn served(&self) -> Value {
        let in_use = self.https();
        let served =
            |one: &Certificate| ServedCertificate { path: one.path.clone(), names: one.names.clone() };
        let certificates: Vec<_> = in_use.certificates.iter().map(served).collect();
        let https = certificates.iter().flat_map(|one| one.names.clone()).collect();
        serde_json::to_value(Served { https, certificates }).unwrap_or_default()
    }

    /// Closes the registry for another process, and returns what that has to know of this moment. Requests go on;
    /// changes wait.
    ///
    /// # Errors
    /// [`StoreError`]; the registry stays open then.
    pub async fn yield_registry(&self) -> Result<Value, StoreError> {
        let yielded = self.store.yield_up().await?;
        *self.yielded.lock().unwrap_or_else(PoisonError::into_inner) = Some(yielded);
        let moment = Moment { clients: self.relay.connected() };
        Ok(serde_json::to_value(moment).unwrap_or_default())
    }

    /// The other process keeps the registry from now on.
    pub fn give_registry(&self) {
        let yielded = self.yielded.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(yielded) = yielded {
            yielded.to_another_process();
        }
    }

    /// Keeps the registry again, as the other process has left it. Only after that has ended. Nothing happens when
    /// nothing was yielded.
    pub async fn take_back_registry(&self) {
        let yielded = self.yielded.lock().unwrap_or_else(PoisonError::into_inner).take();
        if yielded.is_none() && self.store.is_here().await {
            return;
        }
        drop(yielded);
        if let Some(lock) = &*self.lock.lock().unwrap_or_else(PoisonError::into_inner) {
            lock.sign();
        }
        self.store.take_back().await;
        if let Err(error) = self.directory.reload().await {
            let error = petit_host::cli::chain(&error);
            tracing::error!(error, "the registry cannot be read; going on with what is known until it can");
        }
        if let Err(error) = self.rollouts.reload().await {
            let error = petit_host::cli::chain(&error);
            tracing::error!(
                error,
                "how releases are rolled out cannot be read; clients hear of none until it can"
            );
        }
    }

    /// Closes this process's copies of all that was handed over. It cannot come back after that.
    pub fn let_go(&self) {
        self.relay.let_go();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// As [`Server::let_go`], and as [`Server::cut`]: another process serves in this one's place.
    pub async fn end(&self) {
        self.relay.end();
        self.let_go();
        self.cut().await;
    }
}

/// What HTTPS visitors are shown by the process before, from what [`Server::served`] has said.
pub fn https_before(facts: &Value) -> HttpsBefore {
    match Served::deserialize(facts) {
        Ok(Served { https, certificates }) if certificates.is_empty() => HttpsBefore::Names(https),
        Ok(Served { certificates, .. }) => HttpsBefore::Certificates(certificates),
        Err(_) => HttpsBefore::Unknown,
    }
}

/// The clients that were connected to the process before, from what [`Server::yield_registry`] has said.
pub fn expected(facts: Option<&Value>) -> Vec<DeviceId> {
    // Whoever is not known to be expected is only not waited for.
    let moment = facts.and_then(|facts| Moment::deserialize(facts).ok());
    moment.map(|moment| moment.clients).unwrap_or_default()
}
