//! What the operator looks at. Of many clients a look is much work, so it is done on a thread of its own.

use std::sync::Arc;

use petit_engine::name::DeviceId;
use petit_engine::secret::Fingerprint;
use petit_host::control::ApiProblem;
use petit_host::service::RunBy;
use petit_relay::SessionView;
use serde::Serialize;
use tokio::runtime::Handle;

use super::{Admin, Written, certificate_problem, state, visitors, waits_for};
use crate::api::{
    AliasList, AliasView, ClientList, ClientView, Clients, InviteList, InviteView, ListChanges, PublicSide,
    Status,
};
use crate::certificate::PublicNames;
use crate::registry::DeviceRow;
use crate::releases;
use crate::server::Phase;
use crate::{SOFTWARE, load, seconds};

/// Changes in one answer; whoever wants more asks for those after the last one.
const CHANGES_AT_ONCE: u32 = 1000;
/// The code of the refusal of a client that there is not.
const NO_CLIENT: &str = "no_client";
/// So many clients of one name are named.
const MATCHES_SHOWN: usize = 10;

impl Admin {
    pub(super) async fn status(&self) -> Written {
        let server = &self.running()?.server;
        let (terms, settings) = (self.invites.borrow().clone(), server.settings());
        let (directory, endpoint, in_use) = (self.directory.clone(), self.endpoint.clone(), self.in_use());
        let (relay, before, phase) = (server.relay.clone(), server.elders(), server.phase());
        let (certificates, fronts) = (self.certificates(), self.fronts());
        let (certificate_problem, registry_problem) = (certificate_problem(server), self.registry_problem());
        let waits_for = match phase {
            Phase::Running => None,
            Phase::Restarting | Phase::Stopping { .. } | Phase::Replaced { .. } => Some(waits_for(server)),
        };
        let (config, log) = (server.folder.config.clone(), server.folder.log());
        let (http, tls, since) = (server.http, server.tls, server.since);
        let metrics = server.metrics_address();
        let (releases, rollout_halted) = (server.folder.releases(), server.rollouts.halted());
        self.write_clients(move |clients| {
            let names = PublicNames { endpoint: &endpoint, aliases: directory.all_aliases() };
            let without_certificate = names.uncovered(&in_use).collect();
            written(&Status {
                before,
                certificate_problem,
                certificates,
                config,
                config_problem: settings.problem,
                endpoint: endpoint.clone(),
                exposure: directory.exposure(),
                fronts,
                http,
                https_visitors: !in_use.is_empty(),
                keyless: visitors::keyless(&directory),
                key_words: terms.pins.first().map(Fingerprint::words),
                log,
                metrics,
                needs_restart: settings.needs_restart.into_iter().map(str::to_owned).collect(),
                // It walks over the places of all clients.
                now: load::view(&relay),
                pid: std::process::id(),
                policies: visitors::activity(&directory),
                registry_problem,
                release_problem: releases::problem(&releases),
                rollout_halted,
                run_by: RunBy::of_this_process(),
                server_key: terms.pins.first().copied(),
                shut_ports: visitors::shut_ports(&directory, Some(&relay)),
                since: seconds(since),
                software: SOFTWARE.to_owned(),
                state: state(phase),
                tls,
                tunnel_address: terms.server,
                up_seconds: since.elapsed().unwrap_or_default().as_secs(),
                waits_for,
                without_certificate,
                clients,
            })
        })
        .await
    }

    /// Registered clients, and those whose registration has ended, with what is live of them.
    pub(super) async fn clients(&self) -> Written {
        self.write_clients(|clients| written(&ClientList { clients })).await
    }

    /// All clients, and what is to be written of them.
    async fn write_clients(
        &self,
        write: impl for<'a> FnOnce(Clients<'a>) -> Written + Send + 'static,
    ) -> Written {
        let (store, endpoint) = (Arc::clone(self.directory.store()), self.endpoint.clone());
        let (fronts, problem, directory) = (self.front_states(), self.problem(), self.directory.clone());
        let relay = self.running.as_ref().map(|running| running.server.relay.clone());
        let tcp_host = self.tcp_host();
        away(move |runtime| {
            let rows = runtime.block_on(store.devices()).map_err(problem)?;
            let sessions = relay.map(|relay| relay.sessions()).unwrap_or_default();
            let public =
                PublicSide { endpoint: &endpoint, tcp_host: &tcp_host, fronts, directory: &directory };
            write(Clients::new(&rows, &sessions, public))
        })
        .await
    }

    /// The row of a client, by its own ID, a registered ID or an alias of one of its services.
    pub(super) async fn find(&self, name: &str) -> Result<DeviceRow, ApiProblem> {
        let row = match self.directory.device_called(name) {
            Some(device) => self.directory.store().device(device).await.map_err(self.problem())?,
            None => None,
        };
        row.ok_or_else(|| no_client(format!("no client has the ID or alias {name:?}")))
    }

    /// As [`Self::find`], and by what its customer calls it, where that is one client's alone. Only for a look: whoever
    /// chooses a name for his own client must not choose by it which one is changed.
    pub(super) async fn find_by_any_name(&self, name: &str) -> Result<DeviceRow, ApiProblem> {
        match self.find(name).await {
            Err(problem) if problem.code == NO_CLIENT => {}
            found => return found,
        }
        let (store, problem, wanted) =
            (Arc::clone(self.directory.store()), self.problem(), name.to_lowercase());
        let mut rows = away(move |runtime| {
            let mut rows = runtime.block_on(store.devices()).map_err(problem)?;
            rows.retain(|row| row.name.to_lowercase() == wanted);
            Ok(rows)
        })
        .await?;
        // One that has registered anew has its old row still.
        if rows.iter().any(|row| row.ended.is_none()) {
            rows.retain(|row| row.ended.is_none());
        }
        if rows.len() > 1 {
            return Err(ambiguous(name, &rows));
        }
        rows.pop()
            .ok_or_else(|| no_client(format!("no client has the ID or alias {name:?}, or is called so")))
    }

    pub(super) async fn client(&self, name: &str) -> Written {
        let row = self.find_by_any_name(name).await?;
        let session = self.session_of(&row.id);
        let breach = self.running.as_ref().and_then(|running| running.server.relay.breach_of(&row.id));
        let (fronts, directory) = (self.front_states(), &self.directory);
        let tcp_host = self.tcp_host();
        let public = PublicSide { endpoint: &self.endpoint, tcp_host: &tcp_host, fronts, directory };
        let view = ClientView::new(&row, session.as_ref(), public);
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
            let aliases = rows.into_iter().map(|row| AliasView::new(row, &endpoint)).collect();
            written(&AliasList { aliases })
        })
        .await
    }

    /// A part of the log of changes.
    pub(super) async fn changes(&self, asked: ListChanges) -> Written {
        let (store, problem) = (Arc::clone(self.directory.store()), self.problem());
        away(move |runtime| {
            let page = |after| runtime.block_on(store.changes(after, CHANGES_AT_ONCE)).map_err(&problem);
            let after = match asked {
                ListChanges::Last(last) => page(u64::MAX)?.head.version.saturating_sub(last),
                ListChanges::After(version) => version,
            };
            written(&page(after)?)
        })
        .await
    }

    pub(super) async fn list_invites(&self) -> Written {
        let (store, problem) = (Arc::clone(self.directory.store()), self.problem());
        away(move |runtime| {
            let rows = runtime.block_on(store.invites()).map_err(problem)?;
            written(&InviteList { invites: rows.into_iter().map(InviteView::new).collect() })
        })
        .await
    }
}

fn no_client(problem: String) -> ApiProblem {
    ApiProblem::new(404, NO_CLIENT, problem)
}

/// Says which clients have a name that is not one client's alone.
fn ambiguous(name: &str, rows: &[DeviceRow]) -> ApiProblem {
    let count = rows.len();
    let one = |row: &DeviceRow| match row.services.iter().flat_map(|service| &service.aliases).next() {
        Some(alias) => format!("{} ({alias})", row.id),
        None => row.id.to_string(),
    };
    let shown = rows.iter().take(MATCHES_SHOWN).map(one).collect::<Vec<_>>().join(", ");
    let more = match count.saturating_sub(MATCHES_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more (petit-server clients list)"),
    };
    let problem = format!("{count} clients have the name {name:?}; say which one by its ID: {shown}{more}");
    ApiProblem::new(409, "ambiguous", problem)
}

/// Looks at many rows on a thread of its own: the one that this is called in has clients and visitors to serve.
async fn away<T: Send + 'static>(
    work: impl FnOnce(Handle) -> Result<T, ApiProblem> + Send + 'static,
) -> Result<T, ApiProblem> {
    let runtime = Handle::current();
    let looked = tokio::task::spawn_blocking(move || work(runtime)).await;
    looked.unwrap_or_else(|error| Err(ApiProblem::new(500, "failed", error.to_string())))
}

fn written(value: &impl Serialize) -> Written {
    serde_json::to_string(value).map_err(|error| ApiProblem::new(500, "failed", error.to_string()))
}
