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

/// Says that the client has failed where its publishing panics.
struct Publishing(Weak<ClientShared>);

impl Drop for Publishing {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(shared) = self.0.upgrade()
        {
            shared.failed.send_replace(true);
        }
    }
}

/// Publishes the status, and the files with public addresses, whenever the agent reports something.
pub(super) async fn publishing(shared: Weak<ClientShared>, mut view: watch::Receiver<AgentView>) {
    let publishing = Publishing(Weak::clone(&shared));
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
            return agent_ended(&publishing.0, &view).await;
        }
    }
}

/// The agent of a view has ended. Where that was to be, it is not the client's any more.
async fn agent_ended(shared: &Weak<ClientShared>, view: &watch::Receiver<AgentView>) {
    let Some(shared) = shared.upgrade() else { return };
    let inner = shared.inner.lock().await;
    if inner.agent.as_ref().is_some_and(|agent| agent.view().same_channel(view)) {
        tracing::error!("the client's agent has ended by itself");
        shared.failed.send_replace(true);
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
    use std::sync::Arc;

    use petit_engine::secret::PrivateKey;
    use petit_host::lock::Lock;

    use super::super::Client;
    use super::*;
    use crate::config::{Config, KeyStore};
    use crate::folder::Folder;

    fn registration() -> Registration {
        Registration {
            server: "tunnel.example.com:8453".parse().unwrap(),
            pins: vec![Fingerprint([1; 32])],
            device: "abcdefghijklmnopqrstuvwxyz".parse().unwrap(),
            key: Fingerprint([7; 32]),
            key_store: KeyStore::File,
            service: ServiceName::first(),
            vendor: None,
            invite: None,
            since: None,
            withheld: std::collections::BTreeSet::new(),
        }
    }

    /// A client whose agent's task has gone, as one has that panics.
    fn without_its_agent(folder: &Folder) -> (Client, watch::Receiver<AgentView>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let lock = Lock::take(&folder.lock()).unwrap();
        runtime.block_on(async {
            let client = Client::open(folder.clone(), Config::default(), lock, None).unwrap();
            let mut inner = client.shared.inner.lock().await;
            let key = PrivateKey::generate().unwrap();
            client.start_agent(&mut inner, &registration(), key).await.unwrap();
            let view = inner.agent.as_ref().unwrap().view();
            drop(inner);
            (client, view)
        })
    }

    #[tokio::test]
    async fn a_client_whose_agent_has_not_stayed_has_failed_and_one_whose_agent_was_ended_has_not() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        folder.make().unwrap();
        let made = std::thread::spawn(move || without_its_agent(&folder));
        let (client, view) = made.join().unwrap();
        let agent = client.shared.inner.lock().await.agent.take();
        publishing(Arc::downgrade(&client.shared), view.clone()).await;
        assert!(!*client.shared.failed.borrow(), "it was ended");
        client.shared.inner.lock().await.agent = agent;
        publishing(Arc::downgrade(&client.shared), view).await;
        tokio::time::timeout(Duration::from_mins(1), client.failed()).await.unwrap();
    }

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
