//! Answers what the running client is asked over its socket; the requests and answers are those of [`crate::api`].

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
use serde::Serialize;

use crate::SOFTWARE;
use crate::api::{
    Checks, ConfigPath, Feature, Listed, LocalRequest, Ping, PingOutcome, Pings, RegisterRequest, Reloaded,
    Removed, Restarted, Shared, Stopped, Switched, UnregisterRequest, Unregistered, Version,
};
use crate::client::{Client, UnregisterError};
use crate::doctor;
use crate::enrol::{Done, RegisterError};
use crate::messages::{self, Advice};
use crate::registering::{Outcome, Prospect, Terms};
use crate::registration::Known;
use crate::status::{BrokenAt, Connection};
use crate::texts::Texts;

/// What the program that runs the client decides for itself: whether the client is online, and when the program ends.
pub trait Lifecycle: Send + Sync + 'static {
    /// Has the client go online.
    fn start(&self) -> BoxFuture<'_, Result<Switched, ApiProblem>>;

    /// Has the program end, or the client go offline where the program stays.
    fn stop(&self) -> BoxFuture<'_, Result<Stopped, ApiProblem>>;

    /// Has another process take this one's place.
    fn restart(&self) -> BoxFuture<'_, Result<Restarted, ApiProblem>>;

    /// Somebody has had this computer registered, so that it is meant to be online.
    fn registered(&self) -> BoxFuture<'_, ()>;
}

/// Answers requests to the running client.
pub struct Control<L> {
    /// The client.
    pub client: Client,
    /// The program that runs it.
    pub lifecycle: L,
    /// True once another process serves in this one's place.
    pub replaced: Arc<AtomicBool>,
}

impl<L: Lifecycle> Handler for Control<L> {
    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            // A connection may have been taken just before.
            if self.replaced.load(Ordering::Relaxed) {
                return Reply::Error(ApiProblem::moved());
            }
            let answer = match LocalRequest::read(&request) {
                Ok(request) => self.answer(request).await,
                Err(problem) => Err(problem),
            };
            answer.unwrap_or_else(Reply::Error)
        })
    }
}

/// An answer as it goes over the socket.
fn json(answer: &impl Serialize) -> Result<Reply, ApiProblem> {
    let value = serde_json::to_value(answer);
    value.map(Reply::Json).map_err(|error| ApiProblem::new(500, "failed", error.to_string()))
}

impl<L: Lifecycle> Control<L> {
    async fn answer(&self, request: LocalRequest) -> Result<Reply, ApiProblem> {
        match request {
            LocalRequest::Status => json(&self.client.status().await),
            LocalRequest::Events => Ok(Reply::Events(Box::new(self.client.statuses()))),
            LocalRequest::Services => json(&self.services().await),
            LocalRequest::Ping { service } => json(&self.ping(service.as_ref()).await?),
            LocalRequest::Version => json(&Version {
                software: SOFTWARE.to_owned(),
                protocol: PROTOCOL,
                features: vec![Feature::Consent],
            }),
            LocalRequest::Config => json(&ConfigPath { path: self.client.folder().config.clone() }),
            LocalRequest::Settings => json(&self.client.settings().await),
            LocalRequest::Check => {
                json(&Checks { checks: doctor::run(self.client.folder(), &english()).await })
            }
            LocalRequest::Start => json(&self.lifecycle.start().await?),
            LocalRequest::Stop => json(&self.lifecycle.stop().await?),
            LocalRequest::Restart => json(&self.lifecycle.restart().await?),
            LocalRequest::Reload => json(&self.reload().await?),
            LocalRequest::Log(level) => {
                self.client.log(level.level);
                json(&level)
            }
            LocalRequest::Register(wanted) => {
                let done = self.register(&wanted).await?;
                self.lifecycle.registered().await;
                json(&done)
            }
            LocalRequest::Unregister(how) => json(&self.unregister(how).await?),
            LocalRequest::Share { service } => {
                let failed = |error| ApiProblem::new(500, "failed", chain(&error));
                self.client.share(std::slice::from_ref(&service)).await.map_err(failed)?;
                json(&Shared { shared: service })
            }
            LocalRequest::Remove { service } => {
                self.client.remove(&service).await.map_err(asked)?;
                json(&Removed { removed: service })
            }
        }
    }

    async fn services(&self) -> Listed {
        let status = self.client.status().await;
        Listed { services: status.services, withheld: status.withheld, kept: status.kept }
    }

    async fn reload(&self) -> Result<Reloaded, ApiProblem> {
        let mistake = |error| ApiProblem::new(422, "config", chain(&error));
        self.client.reload().await.map_err(mistake)?;
        Ok(Reloaded { services: self.client.status().await.services, notes: self.client.notes().await })
    }

    /// Probes one service end to end, or all.
    async fn ping(&self, service: Option<&ServiceName>) -> Result<Pings, ApiProblem> {
        let status = self.client.status().await;
        if status.services.is_empty() {
            let add = messages::add_service(status.to_be_set_up());
            let text = format!("no service is set up; add one with: {add}");
            return Err(ApiProblem::new(409, "no_service", text));
        }
        let mut services = status.services;
        if let Some(name) = service {
            services.retain(|service| service.name == *name);
            if services.is_empty() {
                return Err(asked(AskError::NoSuchService));
            }
        }
        let mut pings = Vec::new();
        for service in services {
            let outcome = match service.broken.map(|broken| broken.at) {
                Some(BrokenAt::Server(refused)) => PingOutcome::Refused { refused },
                _ => PingOutcome::Probed {
                    result: self.client.probe(&service.name).await.map_err(asked)?,
                    public: service.front.state,
                    url: service.url,
                    target: Some(service.target),
                    admits: service.admits,
                },
            };
            pings.push(Ping { service: service.name, outcome });
        }
        Ok(Pings { pings })
    }

    async fn register(&self, wanted: &RegisterRequest) -> Result<Done, ApiProblem> {
        let invite = Invite::parse(&wanted.invite)
            .map_err(|error| ApiProblem::new(400, "bad_invite", error.to_string()))?;
        let RegisterRequest { invite: text, key_store, share, existing } = wanted.clone();
        let folder = self.client.folder();
        let known = Known::load(folder).map_err(|error| not_registered(&error.into()))?;
        let prospect = Prospect::new(text, invite, self.client.config().await, known);
        let terms = Terms { key_store, share, existing };
        let outcome = prospect.register(folder, terms, &self.client).await;
        let Outcome { done, former: _, kept } = outcome.map_err(|error| not_registered(&error))?;
        if let Err(error) = kept {
            tracing::warn!(error = %chain(&error), "registered, but the config does not say where the key is");
        }
        Ok(done)
    }

    async fn unregister(&self, how: UnregisterRequest) -> Result<Unregistered, ApiProblem> {
        let failed = |error: &(dyn std::error::Error + 'static)| ApiProblem::new(500, "failed", chain(error));
        if how.local {
            self.client.forget().await.map_err(|error| failed(&error))?;
            return Ok(Unregistered { unregistered: true, server_told: false });
        }
        let unknown = Connection::Stopped { cause: Cause::Unknown };
        let is_known = self.client.status().await.connection != unknown;
        self.client.unregister().await.map_err(|error| match error {
            UnregisterError::NotRegistered => ApiProblem::new(409, "not_registered", error.to_string()),
            UnregisterError::Ask(error) => asked(error),
            UnregisterError::Forget(_) => failed(&error),
        })?;
        Ok(Unregistered { unregistered: true, server_told: is_known })
    }
}

/// Why this computer was not registered.
fn not_registered(error: &RegisterError) -> ApiProblem {
    let Advice { what, todo } = messages::register(error).advice(&english());
    let code = match error {
        RegisterError::Registered(_) => "registered",
        RegisterError::Enrol(EnrolError::Refused { .. }) => "refused",
        _ => "failed",
    };
    ApiProblem::new(409, code, format!("{what}; {todo}"))
}

fn asked(error: AskError) -> ApiProblem {
    let (status, code) = match error {
        AskError::Offline => (409, "offline"),
        AskError::NoSuchService => (404, "no_service"),
        AskError::Unanswered => (504, "unanswered"),
    };
    let Advice { what, todo } = messages::asked(error).advice(&english());
    ApiProblem::new(status, code, format!("{what}; {todo}"))
}

/// Other programs read what the socket says: it does not change with the language.
fn english() -> Texts {
    Texts::of("en")
}
