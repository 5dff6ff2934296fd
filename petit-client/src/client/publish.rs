//! What a client makes public: its status, and the files with public addresses.

use std::path::{Path, PathBuf};
use std::sync::{OnceLock, Weak};
use std::time::{Duration, Instant};

use petit_engine::agent::{Agent, AgentView};
use petit_engine::limits;
use petit_engine::name::{ServiceName, VendorName};
use petit_engine::proto::control::{GrantOutcome, Text};
use petit_engine::proto::rate::Rate;
use petit_engine::secret::Fingerprint;
use petit_host::cli::chain;
use petit_host::files;
use petit_host::service::RunBy;
use tokio::sync::watch;

use super::inner::{ClientShared, Inner};
use crate::SOFTWARE;
use crate::folder::Folder;
use crate::registration::{self, Registration};
use crate::status::{self, Connection, RegisteredAt, Status};

/// How often a status is made anew though nothing was reported: lights grow old.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Writes a change of the registration in force down.
pub(super) fn keep(folder: &Folder, registration: &Registration) {
    if let Err(error) = registration::save(folder, registration) {
        tracing::error!(error = %chain(&error), "a change of the registration was not written down");
    }
}

/// What a server calls the vendor, when that is a name.
fn vendor(view: &AgentView) -> Option<VendorName> {
    let vitae = &view.server.as_ref()?.vitae;
    vitae.get(&Text::lossy("name"))?.as_str().parse().ok()
}

/// The file that this process was run from, by the name that it had when this was asked first.
fn program() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| std::env::current_exe().ok()).clone()
}

pub(super) fn status_of(folder: &Folder, inner: &Inner) -> Status {
    let now = inner.clock.now();
    let view = inner.agent.as_ref().map(|agent| agent.view().borrow().clone());
    let traffic = inner.agent.as_ref().and_then(Agent::traffic);
    let connection = match (&inner.registration, &view) {
        (None, _) => Connection::Unregistered,
        (Some(_), None) => match inner.key_trouble {
            Some(trouble) => Connection::NoKey { trouble },
            None => Connection::Off,
        },
        (Some(_), Some(view)) => status::connection(view.state, &now),
    };
    let round_trip = traffic.and_then(|(_, round_trip)| round_trip);
    Status {
        software: SOFTWARE.to_owned(),
        program: program(),
        pid: std::process::id(),
        stopping: inner.stopping,
        run_by: RunBy::of_this_process(),
        config: folder.config.clone(),
        config_problem: inner.config_problem.clone(),
        registered: inner.registration.as_ref().map(|registration| RegisteredAt {
            server: registration.server.clone(),
            vendor: registration.vendor.clone(),
            device: registration.device,
            key_words: registration.pins.first().map(Fingerprint::words).unwrap_or_default(),
            since: registration.since,
            service: Some(registration.service.clone()),
        }),
        withheld: inner
            .registration
            .as_ref()
            .map(|registration| registration.withheld(&inner.config))
            .unwrap_or_default(),
        connection,
        server_software: view
            .as_ref()
            .and_then(|view| view.server.as_ref())
            .map(|server| server.software.as_str().to_owned()),
        services: view.as_ref().map(|view| status::services(view, &now)).unwrap_or_default(),
        kept: view.as_ref().map(|view| view.kept.clone()).unwrap_or_default(),
        streams: traffic.map_or(0, |(stats, _)| stats.streams),
        round_trip_us: round_trip.and_then(|took| u64::try_from(took.as_micros()).ok()),
        key_exchange: view.as_ref().and_then(|view| Some(view.key_exchange.as_ref()?.name.clone())),
        post_quantum: view.as_ref().and_then(|view| Some(view.key_exchange.as_ref()?.post_quantum)),
        available: inner.available.version.clone(),
        update: inner.available.plan.clone(),
        standing: inner.available.standing.clone(),
        inspected_by: view.as_ref().and_then(|view| view.inspected_by.clone()),
    }
}

pub(super) fn publish(shared: &ClientShared, inner: &Inner) {
    let status = status_of(&shared.folder, inner);
    shared.status.send_if_modified(|before| {
        let changed = *before != status;
        *before = status;
        changed
    });
}

/// What the server calls something, as it stands in a file. A server that changes its mind without end has it written
/// a few times, and then now and then; what it says last is what stands there in the end.
struct Written<T> {
    value: T,
    writes: Rate,
}

impl<T: PartialEq> Written<T> {
    fn new(value: T) -> Self {
        Self { value, writes: Rate::every(limits::WRITTEN_EVERY, limits::WRITTEN_AT_ONCE) }
    }

    /// What stood there before, when `value` is to be written now. Otherwise it stands there already, or is to be
    /// offered again later.
    fn replace(&mut self, value: &T, now: Instant) -> Option<T>
    where
        T: Clone,
    {
        let is_due = *value != self.value && self.writes.allow(now);
        is_due.then(|| std::mem::replace(&mut self.value, value.clone()))
    }
}

/// Publishes the status, and the files with public addresses, whenever the agent reports something.
pub(super) async fn publishing(shared: Weak<ClientShared>, mut view: watch::Receiver<AgentView>) {
    let mut written: Written<Vec<(ServiceName, String)>> = Written::new(Vec::new());
    let mut known_as = {
        let Some(shared) = shared.upgrade() else { return };
        let inner = shared.inner.lock().await;
        Written::new(inner.registration.as_ref().and_then(|known| known.vendor.clone()))
    };
    loop {
        let (addresses, vendor) = {
            let view = view.borrow_and_update();
            (addresses(&view), vendor(&view))
        };
        let Some(shared) = shared.upgrade() else { return };
        let now = Instant::now();
        if !addresses.is_empty()
            && let Some(before) = written.replace(&addresses, now)
        {
            write_addresses(&shared.folder, &addresses, &before);
        }
        let mut inner = shared.inner.lock().await;
        // The server is the one that was pinned, so it may call its vendor something else.
        if vendor.is_some()
            && let Some(known) = &mut inner.registration
            && known_as.replace(&vendor, now).is_some()
        {
            known.vendor = vendor;
            keep(&shared.folder, known);
        }
        publish(&shared, &inner);
        drop(inner);
        drop(shared);
        if let Ok(Err(_)) = tokio::time::timeout(STATUS_EVERY, view.changed()).await {
            return; // the agent has ended
        }
    }
}

fn addresses(view: &AgentView) -> Vec<(ServiceName, String)> {
    let address = |service: &petit_engine::agent::ServiceView| match &service.outcome {
        Some(GrantOutcome::Registered { url, .. }) => {
            Some((service.spec.name.clone(), url.as_str().to_owned()))
        }
        Some(GrantOutcome::Refused { .. }) | None => None,
    };
    view.services.iter().filter_map(address).collect()
}

/// Writes the public address of each service to a file of its own, and of the first one to `endpoint`, as the
/// original did.
fn write_addresses(folder: &Folder, addresses: &[(ServiceName, String)], before: &[(ServiceName, String)]) {
    let write = |path: &Path, url: &str| {
        if let Err(error) = files::write_public(path, format!("{url}\n").as_bytes()) {
            tracing::warn!(error = %chain(&error), "cannot write down a public address");
        }
    };
    if let Some((_, url)) = addresses.first() {
        write(&folder.endpoint(), url);
    }
    for (name, url) in addresses {
        write(&folder.endpoint_of(name.as_str()), url);
    }
    for (name, _) in before.iter().filter(|(name, _)| !addresses.iter().any(|(kept, _)| kept == name)) {
        let _ = files::remove(&folder.endpoint_of(name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_calls_something_is_written_now_and_then_and_as_it_is_in_the_end() {
        let start = Instant::now();
        let mut written = Written::new(0);
        let mut writes = 0;
        let mut now = start;
        for round in 1..=1000 {
            now = start + Duration::from_millis(20) * round;
            writes += usize::from(written.replace(&round, now).is_some());
        }
        // 20 seconds.
        assert!(writes <= limits::WRITTEN_AT_ONCE as usize + 2, "{writes}");
        let later = (0..100_u32).find(|_| {
            now += STATUS_EVERY;
            written.replace(&1000, now).is_some()
        });
        assert!(later.is_some_and(|rounds| STATUS_EVERY * rounds <= limits::WRITTEN_EVERY), "{later:?}");
        assert_eq!((written.value, written.replace(&1000, now + limits::WRITTEN_EVERY)), (1000, None));
    }
}
