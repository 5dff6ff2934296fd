//! What the operator looks at. Of many clients a look is much work, so it is done on a thread of its own.

use std::sync::Arc;

use petit_engine::name::DeviceId;
use petit_engine::secret::Fingerprint;
use petit_host::control::{ApiProblem, Request};
use petit_relay::SessionView;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{Admin, Written, certificate_problem, state, waits_for};
use crate::certificate::PublicNames;
use crate::clients::{ClientView, Clients};
use crate::registry::{AliasRow, DeviceRow, InviteRow};
use crate::server::Phase;
use crate::{SOFTWARE, load, seconds};

/// Changes in one answer; whoever wants more asks for those after the last one.
const CHANGES_AT_ONCE: u32 = 1000;

impl Admin {
    pub(super) async fn status(&self) -> Written {
        let running = self.running()?;
        let server = &running.server;
        let terms = self.invites.borrow().clone();
        let mut head = json!({
            "software": SOFTWARE,
            "pid": std::process::id(),
            "state": state(server.phase()),
            "waits_for": match server.phase() {
                Phase::Running => Value::Null,
                Phase::Restarting | Phase::Stopping { .. } | Phase::Replaced { .. } => waits_for(server),
            },
            "before": server.elders(),
            "needs_restart": server.settings().needs_restart,
            "config_problem": server.settings().problem,
            "since": seconds(server.since),
            "up_seconds": server.since.elapsed().unwrap_or_default().as_secs(),
            "http": server.http,
            "tls": server.tls,
            "https_visitors": !server.https().certificates.is_empty(),
            "certificates": self.certificates(),
            "certificate_problem": certificate_problem(server),
            "registry_problem": self.registry_problem(),
            "endpoint": self.endpoint,
            "fronts": self.fronts(),
            "tunnel_address": terms.server,
            "server_key": terms.pins.first(),
            "key_words": terms.pins.first().map(Fingerprint::words),
            "config": server.folder.config,
            "log": server.folder.log(),
        });
        let (directory, endpoint, in_use) = (self.directory.clone(), self.endpoint.clone(), self.in_use());
        let relay = server.relay.clone();
        let rest = move || {
            let names = PublicNames { endpoint: &endpoint, aliases: directory.all_aliases() };
            let uncovered: Vec<String> = names.uncovered(&in_use).collect();
            if let Some(head) = head.as_object_mut() {
                head.insert("without_certificate".to_owned(), json!(uncovered));
                // It walks over the places of all clients.
                head.insert("now".to_owned(), load::view(&relay));
            }
            head
        };
        self.write_clients(rest).await
    }

    /// Registered clients, and those whose registration has ended, with what is live of them.
    pub(super) async fn clients(&self) -> Written {
        self.write_clients(|| json!({})).await
    }

    /// All clients beside other values, which `head` makes.
    async fn write_clients(&self, head: impl FnOnce() -> Value + Send + 'static) -> Written {
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            head: Value,
            clients: Clients<'a>,
        }
        let (store, endpoint) = (Arc::clone(self.directory.store()), self.endpoint.clone());
        let (fronts, problem) = (self.front_states(), self.problem());
        let relay = self.running.as_ref().map(|running| running.server.relay.clone());
        away(move |runtime| {
            let rows = runtime.block_on(store.devices()).map_err(problem)?;
            let sessions = relay.map(|relay| relay.sessions()).unwrap_or_default();
            written(&Whole { head: head(), clients: Clients::new(&rows, &sessions, (&endpoint, fronts)) })
        })
        .await
    }

    /// The row of a client, by its own ID, a registered ID or an alias of one of its services.
    pub(super) async fn find(&self, name: &str) -> Result<DeviceRow, ApiProblem> {
        let row = match self.directory.device_called(name) {
            Some(device) => self.directory.store().device(device).await.map_err(self.problem())?,
            None => None,
        };
        row.ok_or_else(|| {
            ApiProblem::new(404, "no_client", format!("no client has the ID or alias {name:?}"))
        })
    }

    pub(super) async fn client(&self, name: &str) -> Written {
        let row = self.find(name).await?;
        let session = self.session_of(&row.id);
        let breach = self.running.as_ref().and_then(|running| running.server.relay.breach_of(&row.id));
        let view = ClientView::new(&row, session.as_ref(), (&self.endpoint, self.front_states()));
        written(&view.with_breach(breach))
    }

    /// What is live of a client.
    pub(super) fn session_of(&self, device: &DeviceId) -> Option<SessionView> {
        self.running.as_ref().and_then(|running| running.server.relay.session_of(device))
    }

    pub(super) async fn aliases(&self) -> Written {
        let (store, endpoint) = (Arc::clone(self.directory.store()), self.endpoint.clone());
        let problem = self.problem();
        away(move |runtime| {
            let rows = runtime.block_on(store.aliases()).map_err(problem)?;
            let value = |row: &AliasRow| {
                json!({
                    "alias": row.alias,
                    "url": endpoint.url(row.alias.as_str()),
                    "id": row.service,
                    "service": row.name,
                    "client": row.device,
                })
            };
            written(&json!({ "aliases": rows.iter().map(value).collect::<Vec<_>>() }))
        })
        .await
    }

    /// A part of the log of changes: `after` a version, or the `last` so many.
    pub(super) async fn changes(&self, request: &Request) -> Written {
        let number = |name: &str| match request.parameter(name).map(str::parse::<u64>).transpose() {
            Ok(number) => Ok(number),
            Err(_) => Err(ApiProblem::new(400, "bad_request", format!("{name} is not a number"))),
        };
        let (after, last) = (number("after")?, number("last")?);
        let (store, problem) = (Arc::clone(self.directory.store()), self.problem());
        away(move |runtime| {
            let page = |after| runtime.block_on(store.changes(after, CHANGES_AT_ONCE)).map_err(&problem);
            let after = match last {
                Some(last) => page(u64::MAX)?.head.version.saturating_sub(last),
                None => after.unwrap_or_default(),
            };
            written(&page(after)?)
        })
        .await
    }

    pub(super) async fn list_invites(&self) -> Written {
        let (store, problem) = (Arc::clone(self.directory.store()), self.problem());
        away(move |runtime| {
            let rows = runtime.block_on(store.invites()).map_err(problem)?;
            let value = |row: &InviteRow| {
                json!({
                    "id": row.id.to_string(),
                    "service": row.service,
                    "alias": row.alias,
                    "note": row.note,
                    "state": row.state,
                    "not_after": seconds(row.not_after),
                    "client": row.device,
                })
            };
            written(&json!({ "invites": rows.iter().map(value).collect::<Vec<_>>() }))
        })
        .await
    }
}

/// Looks at many rows on a thread of its own: the one that this is called in has clients and visitors to serve.
async fn away(work: impl FnOnce(Handle) -> Written + Send + 'static) -> Written {
    let runtime = Handle::current();
    let looked = tokio::task::spawn_blocking(move || work(runtime)).await;
    looked.unwrap_or_else(|error| Err(ApiProblem::new(500, "failed", error.to_string())))
}

fn written(value: &impl Serialize) -> Written {
    serde_json::to_string(value).map_err(|error| ApiProblem::new(500, "failed", error.to_string()))
}
