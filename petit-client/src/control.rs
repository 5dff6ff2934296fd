//! What the running client can be asked over its socket. Paths keep the original's names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use petit_engine::agent::{AskError, EnrolError};
use petit_engine::cause::Cause;
use petit_engine::invite::Invite;
use petit_engine::name::ServiceName;
use petit_engine::proto::control::PROTOCOL;
use petit_host::BoxFuture;
use petit_host::cli::chain;
use petit_host::control::{ApiProblem, Handler, Reply, Request};
use petit_host::handover::Trouble;
use petit_host::logs::Level;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::SOFTWARE;
use crate::client::{Client, UnregisterError};
use crate::config::KeyStore;
use crate::doctor;
use crate::enrol::{self, Existing, RegisterError};
use crate::messages::{self, Advice};
use crate::status::{BrokenAt, Connection};

/// Answers requests to the running client.
pub struct Control {
    /// The client.
    pub client: Client,
    /// Rings when somebody asks the program to end.
    pub stop: mpsc::Sender<()>,
    /// Rings when somebody wants another process in this one's place; `None` where that cannot be.
    pub restart: Option<mpsc::Sender<Restart>>,
    /// True once another process serves in this one's place.
    pub replaced: Arc<AtomicBool>,
}

/// Somebody wants another process in this one's place, and waits for its number, or for why it was of no use.
pub type Restart = oneshot::Sender<Result<u32, Trouble>>;

/// Among the features of a client that offers its vendor only what was chosen for it.
pub const CONSENT: &str = "consent";

type ApiResult = Result<Value, ApiProblem>;

impl Handler for Control {
    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            // A connection may have been taken just before.
            if self.replaced.load(Ordering::Relaxed) {
                return Reply::Error(ApiProblem::moved());
            }
            if (request.method.as_str(), request.path.as_slice()) == ("GET", &["events".to_owned()]) {
                return Reply::Events(self.client.statuses());
            }
            match self.answer(&request).await {
                Ok(value) => Reply::Json(value),
                Err(problem) => Reply::Error(problem),
            }
        })
    }
}

impl Control {
    async fn answer(&self, request: &Request) -> ApiResult {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["status"]) => Ok(json!(self.client.status().await)),
            ("GET", ["services" | "tenants"]) => {
                let status = self.client.status().await;
                Ok(json!({
                    "services": status.services,
                    "withheld": status.withheld,
                    "kept": status.kept,
                }))
            }
            ("GET", ["ping"]) => self.ping(request).await,
            ("GET", ["version"]) => {
                Ok(json!({ "software": SOFTWARE, "protocol": PROTOCOL, "features": [CONSENT] }))
            }
            ("GET", ["config"]) => Ok(json!({ "path": self.client.folder().config })),
            ("GET", ["check"]) => Ok(json!({ "checks": doctor::run(self.client.folder()).await })),
            ("POST", ["start"]) => {
                self.client.switch(true).await;
                self.client.reconnect_now().await;
                // Its user may take as long as they like; what comes of it is in the status.
                let client = self.client.clone();
                tokio::spawn(async move {
                    if let Err(error) = client.unlock().await {
                        tracing::warn!(error = %chain(&error), "no key");
                    }
                });
                Ok(json!({ "on": true }))
            }
            ("POST", ["stop"]) => {
                let streams = self.client.status().await.streams;
                let _ = self.stop.send(()).await;
                Ok(json!({ "pid": std::process::id(), "streams": streams }))
            }
            ("POST", ["restart"]) => self.restart().await,
            ("POST", ["reload"]) => match self.client.reload().await {
                Ok(()) => Ok(json!({
                    "services": self.client.status().await.services,
                    "notes": self.client.notes().await,
                })),
                Err(error) => Err(ApiProblem::new(422, "config", chain(&error))),
            },
            ("POST", ["log"]) => {
                let level = request.body.get("level").and_then(Value::as_str).unwrap_or_default();
                let level: Level =
                    level.parse().map_err(|error: String| ApiProblem::new(400, "bad_level", error))?;
                self.client.log(level);
                Ok(json!({ "level": level }))
            }
            ("POST", ["register"]) => self.register(request).await,
            ("POST", ["unregister"]) => self.unregister(request).await,
            ("POST", ["services", name, "share"]) => {
                let name = service_name(name)?;
                let failed = |error| ApiProblem::new(500, "failed", chain(&error));
                self.client.share(std::slice::from_ref(&name)).await.map_err(failed)?;
                Ok(json!({ "shared": name }))
            }
            ("POST", ["services", name, "remove"]) => {
                let name = service_name(name)?;
                self.client.remove(&name).await.map_err(asked)?;
                Ok(json!({ "removed": name }))
            }
            _ => Err(ApiProblem::not_found()),
        }
    }

    /// Has another process take this one's place.
    async fn restart(&self) -> ApiResult {
        let Some(restart) = &self.restart else {
            let message = "the tray app runs the client, and keeps it; end the app and start it again";
            return Err(ApiProblem::new(409, "not_here", message));
        };
        let busy = || ApiProblem::new(409, "busy", "the client is stopping, or being restarted already");
        let streams = self.client.status().await.streams;
        let (answer, asked) = oneshot::channel();
        restart.try_send(answer).map_err(|_| busy())?;
        match asked.await.map_err(|_| busy())? {
            Ok(pid) => Ok(json!({ "pid": pid, "replaced": std::process::id(), "streams": streams })),
            Err(Trouble { message, hint }) => {
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                let text = format!("the new process did not take over: {message}{hint}");
                Err(ApiProblem::new(422, "not_ready", text))
            }
        }
    }

    /// Probes one service end to end, or all. There is no way to one that the server has refused.
    async fn ping(&self, request: &Request) -> ApiResult {
        let status = self.client.status().await;
        if status.services.is_empty() {
            let add = messages::add_service(status.to_be_set_up());
            return Err(ApiProblem::new(
                409,
                "no_service",
                format!("no service is set up; add one with: {add}"),
            ));
        }
        let mut services = status.services;
        if let Some(name) = request.parameter("service") {
            let name = service_name(name)?;
            services.retain(|service| service.name == name);
            if services.is_empty() {
                return Err(asked(AskError::NoSuchService));
            }
        }
        let mut results = Vec::new();
        for service in services {
            if let Some(BrokenAt::Server(refusal)) = service.broken.map(|broken| broken.at) {
                results.push(json!({ "service": service.name, "refused": refusal }));
            } else {
                let result = self.client.probe(&service.name).await.map_err(asked)?;
                results.push(json!({
                    "service": service.name,
                    "trial": result,
                    "public": service.front.state,
                    "url": service.url,
                }));
            }
        }
        Ok(json!({ "trials": results }))
    }

    async fn register(&self, request: &Request) -> ApiResult {
        let text = |name: &str| request.body.get(name).and_then(Value::as_str);
        let invite = SecretString::from(text("invite").unwrap_or_default().to_owned());
        let invite =
            Invite::parse(&invite).map_err(|error| ApiProblem::new(400, "bad_invite", error.to_string()))?;
        let key_store = match text("key_store").map(str::parse::<KeyStore>).transpose() {
            Ok(store) => store.unwrap_or_default(),
            Err(error) => return Err(ApiProblem::new(400, "bad_key_store", error)),
        };
        let share = request.body.get("share").cloned().unwrap_or_else(|| json!([]));
        let share = serde_json::from_value(share)
            .map_err(|error| ApiProblem::new(400, "bad_name", error.to_string()))?;
        let replace = request.body.get("replace").and_then(Value::as_bool).unwrap_or_default();
        let existing = if replace { Existing::Replace } else { Existing::Keep };
        let wanted = enrol::Request { invite: &invite, key_store, share, existing };
        let done = self.client.register(&wanted).await.map_err(|error| {
            let Advice { what, todo } = messages::register(&error);
            let code = match error {
                RegisterError::Registered(_) => "registered",
                RegisterError::Enrol(EnrolError::Refused { .. }) => "refused",
                _ => "failed",
            };
            ApiProblem::new(409, code, format!("{what}; {todo}"))
        })?;
        Ok(json!(done))
    }

    /// Gives the registration back; with `local` it is forgotten here only.
    async fn unregister(&self, request: &Request) -> ApiResult {
        let failed = |error: &(dyn std::error::Error + 'static)| ApiProblem::new(500, "failed", chain(error));
        if request.body.get("local").and_then(Value::as_bool).unwrap_or_default() {
            self.client.forget().await.map_err(|error| failed(&error))?;
            return Ok(json!({ "unregistered": true, "server_told": false }));
        }
        let unknown = Connection::Stopped { cause: Cause::Unknown };
        let is_known = self.client.status().await.connection != unknown;
        self.client.unregister().await.map_err(|error| match error {
            UnregisterError::NotRegistered => ApiProblem::new(409, "not_registered", error.to_string()),
            UnregisterError::Ask(error) => asked(error),
            UnregisterError::Forget(_) => failed(&error),
        })?;
        Ok(json!({ "unregistered": true, "server_told": is_known }))
    }
}

fn service_name(text: &str) -> Result<ServiceName, ApiProblem> {
    text.parse().map_err(|error| ApiProblem::new(400, "bad_name", format!("{error}")))
}

fn asked(error: AskError) -> ApiProblem {
    match error {
        AskError::Offline => ApiProblem::new(
            409,
            "offline",
            "the client is not connected to the server; see why with: petit-client status",
        ),
        AskError::NoSuchService => ApiProblem::new(
            404,
            "no_service",
            "no such service is set up; see them with: petit-client service list",
        ),
        AskError::Unanswered => ApiProblem::new(504, "unanswered", "the server did not answer"),
    }
}
