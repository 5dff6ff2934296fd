//! A whole server: config, folder, registry and relay put together.

mod changes;
pub mod handover;
pub mod left;
mod offline;
mod prepare;
mod readiness;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use petit_engine::invite::Invite;
use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, Endpoint, InvalidName, ServerAddr, ServiceName, VendorName};
use petit_engine::secret::{Fingerprint, InviteId, InviteSecret, NoRandom, PrivateKey, random_bytes};
use petit_host::lock::{Lock, LockError};
use petit_host::toml_file::TomlError;
use petit_relay::{Farewell, Leave, Pressure, Relay, RelayError};
use tokio::sync::{broadcast, watch};

pub use self::offline::{Begun, ConfigIs, LostRegistry, Offline};
pub(crate) use self::prepare::tcp_host;
pub use self::prepare::{Inherited, Prepared, Ready};
use crate::access_log::AccessLog;
use crate::api::WaitsFor;
use crate::certificate::{
    self, Certificate, CertificateError, Loaded, LostHttps, PublicNames, Shown, Stamps,
};
use crate::config::Config;
use crate::directory::{Directory, FileUse};
use crate::folder::{Folder, KeyError};
use crate::fronts::AuthorityError;
use crate::memory;
use crate::registry::{Actor, Labels, NewInvite, RegistrationLimits, StoreError, StoreErrorAt};
use crate::releases::Mirror;
use crate::rollouts::Rollouts;
use crate::store::Store;
use crate::store::sqlite::{Migration, SqliteStore};
use crate::store::yielding::{Yielded, Yielding};
use crate::visit_counters::VisitCounters;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerStartError {
    /// Another one runs in this folder.
    #[error("a server is running already{}", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Running {
        /// Its process, when it has said so.
        pid: Option<u32>,
    },
    /// The lock could not be taken.
    #[error(transparent)]
    Lock(LockError),
    /// There is no key to run with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The registry cannot be used.
    #[error(transparent)]
    Store(#[from] StoreErrorAt),
    /// A policy of the config does not fit to the registry.
    #[error(transparent)]
    Policy(#[from] TomlError),
    /// HTTPS visitors would be lost.
    #[error(transparent)]
    LostHttps(#[from] LostHttps),
    /// TLS cannot be set up.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The authorities that the config names cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A port cannot be listened on.
    #[error("cannot listen on {address} ({setting})")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// The settings that name it.
        setting: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A port cannot be listened on, because the process that is to be replaced listens on it itself, at another
    /// address.
    #[error(
        "cannot listen on {address} ({setting}): the running server itself listens on {held}, and a socket that is listened on cannot be moved to another address"
    )]
    Held {
        /// Which address.
        address: SocketAddr,
        /// The settings that name it.
        setting: &'static str,
        /// Where the running server listens.
        held: SocketAddr,
    },
    /// The access log cannot be written.
    #[error("cannot write the access log {}", .path.display())]
    AccessLog {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The relay cannot start.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// Invites would lead nowhere.
    #[error(transparent)]
    TunnelAddress(#[from] InvalidName),
}

/// A running server. Dropping it closes everything; [`Server::drain`] is the orderly way.
pub struct Server {
    /// What it runs with.
    pub config: Config,
    /// Where its files are.
    pub folder: Folder,
    /// The registry.
    pub directory: Directory,
    /// The relay.
    pub relay: Relay,
    /// What it hands out to clients.
    pub releases: Mirror,
    /// Who gets it.
    pub rollouts: Rollouts,
    /// Where visitors come in.
    pub http: SocketAddr,
    /// Where clients come in.
    pub tls: SocketAddr,
    pub since: SystemTime,
    /// What clients pin, and what signs the log of changes.
    key: PrivateKey,
    pins: Vec<Fingerprint>,
    endpoint: Endpoint,
    limits: watch::Sender<RegistrationLimits>,
    /// What HTTPS visitors are shown.
    https: Mutex<Shown>,
    settings: Mutex<Settings>,
    /// `None`: there is none.
    access_log: Option<AccessLog>,
    /// `None`: nobody asks what visits came to.
    visits: Option<Arc<VisitCounters>>,
    /// Where that is read, once it is.
    metrics_at: Mutex<Option<SocketAddr>>,
    store: Arc<Yielding>,
    /// The registry, while it is not certain whether another process keeps it.
    yielded: Mutex<Option<Yielded>>,
    phase: watch::Sender<Phase>,
    /// What the processes before this one still wait for.
    elders: Mutex<Vec<WaitsFor>>,
    /// Registrations that have ended since before this server served; `None` once somebody listens.
    endings: Mutex<Option<broadcast::Receiver<DeviceId>>>,
    /// `None`: another process has it alone.
    lock: Mutex<Option<Lock>>,
}

/// What a server is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It serves.
    Running,
    /// It serves; another process is getting ready to take its place.
    Restarting,
    /// It finishes what is under way.
    Stopping {
        /// Until then at the latest.
        until: Instant,
    },
    /// The same; another process serves in its place, and answers its operator.
    Replaced {
        /// Until then at the latest.
        until: Instant,
    },
}

/// The settings of a running server, and how the config file stands to them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is in force: the config of the start, with what was taken over since.
    pub in_force: Config,
    /// Why the file is not in force.
    pub problem: Option<String>,
    /// What the file says that counts only after a restart.
    pub needs_restart: Vec<&'static str>,
}

/// What came of reading the config again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Why not all certificates that it leads to are shown; everything else is in force.
    pub certificate_problem: Option<String>,
    /// What counts only after a restart.
    pub needs_restart: Vec<&'static str>,
    /// HTTPS visitors are shown other certificates than before, or none any more.
    pub new_certificate: bool,
}

/// How often it is looked whether the registry is still in its place.
const REGISTRY_EVERY: Duration = Duration::from_secs(10);
/// How long a command that holds the registry for a moment is waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

pub(crate) async fn lock(folder: &Folder) -> Result<Lock, ServerStartError> {
    let taken = if folder.is_out_of_bounds() {
        folder.take_lock()
    } else {
        Lock::take_within(&folder.lock(), LOCK_LIMIT).await
    };
    taken.map_err(|error| match error {
        LockError::Held { pid, .. } => ServerStartError::Running { pid },
        LockError::Io { .. } | LockError::OfService { .. } => ServerStartError::Lock(error),
    })
}

/// A registry that was opened and looked through, and whose file is as it was: nobody may ask for a change yet.
struct Opened {
    directory: Directory,
    store: Arc<Yielding>,
    file: Arc<SqliteStore>,
    /// What is left to do.
    migration: Migration,
    /// As long as it is there, whoever asks waits.
    held: Yielded,
}

async fn open(config: &Config, limits: watch::Receiver<RegistrationLimits>) -> Result<Opened, StoreErrorAt> {
    let opened = SqliteStore::begin(&config.registry_file).await;
    let (file, migration, tables) = opened.map_err(|error| error.at(&config.registry_file))?;
    let file = Arc::new(file);
    let (store, held) = Yielding::to_come(Arc::clone(&file) as Arc<dyn Store>).await;
    let store = Arc::new(store);
    let directory = Directory::of(tables, Arc::clone(&store) as Arc<dyn Store>, limits);
    Ok(Opened { directory, store, file, migration, held })
}

async fn directory(
    config: &Config,
    limits: watch::Receiver<RegistrationLimits>,
) -> Result<Directory, StoreErrorAt> {
    let open = async {
        let store = Arc::new(SqliteStore::open(&config.registry_file).await?);
        let store = Arc::new(Yielding::new(store));
        let directory = Directory::load(store, limits).await?;
        directory.take_file(Arc::clone(&config.policies.list));
        Ok(directory)
    };
    open.await.map_err(|error: StoreError| error.at(&config.registry_file))
}

fn service_limits(config: &Config) -> RegistrationLimits {
    RegistrationLimits { most: config.max_services, ports: config.tcp_ports }
}

impl Server {
    /// How public addresses are made.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where invites send clients.
    ///
    /// # Errors
    /// When the endpoint's domain is no host name.
    pub fn tunnel_address(&self) -> Result<ServerAddr, InvalidName> {
        tunnel_address(&self.config, &self.endpoint, self.tls.port())
    }

    /// The keys that clients pin.
    pub fn pins(&self) -> &[Fingerprint] {
        &self.pins
    }

    /// Takes over what can be changed while the server runs.
    pub fn apply(&self, config: &Config) {
        self.limits.send_replace(service_limits(config));
        self.settings_mut().in_force.take_over(config);
    }

    /// Takes over a config that was read anew, and of the certificates that it leads to all that can be used: who is shut out
    /// by it does not get in because one of them cannot.
    ///
    /// # Errors
    /// A policy of it does not fit to the registry; nothing has changed then.
    pub fn reload(&self, config: &Config) -> Result<Reloaded, TomlError> {
        self.use_policies(config)?;
        self.apply(config);
        if let Some(log) = &self.access_log {
            log.set_size(config.log_size);
        }
        let (new_certificate, problem) =
            self.reload_certificates(config).unwrap_or_else(|error| (false, Some(error)));
        let certificate_problem = problem.map(|problem| self.advised(&problem));
        if let Some(problem) = &certificate_problem {
            let mut https = self.https();
            if !https.problems.contains(problem) {
                https.problems.insert(0, problem.clone());
            }
        }
        let mut settings = self.settings_mut();
        settings.needs_restart = config.needs_restart(&self.config);
        settings.problem = None;
        Ok(Reloaded { certificate_problem, needs_restart: settings.needs_restart.clone(), new_certificate })
    }

    /// Shows what a config leads to, and nothing else; or, where something about that is wrong, what is better than what is
    /// shown, and nothing that was taken away. True when that is another one; and what is wrong, and what to do.
    fn reload_certificates(
        &self,
        config: &Config,
    ) -> Result<(bool, Option<CertificateError>), CertificateError> {
        let stamps = Stamps::of(config);
        let (in_use, names) = (self.https().certificates.clone(), self.public_names());
        match certificate::load(config).replace(&in_use, &names) {
            Ok(certificates) => Ok((self.show(Loaded { certificates, problems: Vec::new() }, stamps)?, None)),
            Err(problem) => {
                let renewed = certificate::load(config).renew_asked(&in_use, &names);
                let is_new = |new: &Certificate| !in_use.iter().any(|before| before.is(new));
                let are_new = renewed.certificates.iter().any(is_new);
                self.show(renewed, stamps)?;
                Ok((are_new, Some(problem)))
            }
        }
    }

    /// Puts the policies of a config in force.
    fn use_policies(&self, config: &Config) -> Result<(), TomlError> {
        let used = self.directory.use_file(Arc::clone(&config.policies.list), FileUse::Changes);
        used.map_err(|found| config.policies.error(&self.folder.config, &found))?;
        self.directory.warn_of_keyless();
        self.directory.warn_of_contradictions();
        Ok(())
    }

    /// The names that visitors reach services by.
    pub fn public_names(&self) -> PublicNames<'_> {
        PublicNames { endpoint: &self.endpoint, aliases: self.directory.all_aliases() }
    }

    /// Takes note that the config file cannot be used.
    pub fn refuse(&self, problem: String) {
        self.settings_mut().problem = Some(problem);
    }

    /// The settings in force, and how the config file stands to them.
    pub fn settings(&self) -> Settings {
        self.settings_mut().clone()
    }

    fn settings_mut(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What HTTPS visitors are shown.
    pub fn https(&self) -> MutexGuard<'_, Shown> {
        self.https.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows HTTPS visitors these certificates from now on, read from files that were as `stamps` says. True when
    /// they are others than before.
    ///
    /// # Errors
    /// When TLS cannot be set up; those from before are still shown then.
    fn show(&self, loaded: Loaded, stamps: Stamps) -> Result<bool, CertificateError> {
        let Loaded { certificates, problems } = loaded;
        self.relay.set_https(certificate::serving(&certificates, &self.endpoint)?);
        let mut https = self.https();
        let problems = problems.iter().map(|problem| self.advised(problem)).collect();
        let changed = https.set(certificates, problems, stamps);
        https.warn(SystemTime::now());
        Ok(changed)
    }

    /// Why a certificate cannot be used, and what is to be done.
    pub fn advised(&self, problem: &CertificateError) -> String {
        certificate::advised(problem, &self.folder)
    }

    /// Shows renewed certificates as soon as their files have settled, for as long as the future is polled. Never
    /// ends.
    pub async fn watch_certificate(&self) {
        loop {
            tokio::time::sleep(certificate::EVERY).await;
            let config = self.settings().in_force;
            // Many files, on a disk that may be slow: not in the thread that accepts connections.
            let look = tokio::task::spawn_blocking(move || (Stamps::of(&config), config));
            let Ok((stamps, config)) = look.await else { continue };
            if !self.https().take_change(&stamps) {
                self.https().warn(SystemTime::now());
                continue;
            }
            let read = tokio::task::spawn_blocking(move || certificate::load(&config));
            if let Ok(loaded) = read.await {
                self.renew(loaded, stamps);
            }
        }
    }

    /// Shows renewed certificates at once.
    pub async fn renew_certificates(&self) {
        let config = self.settings().in_force;
        let look = move || (Stamps::of(&config), certificate::load(&config));
        if let Ok((stamps, loaded)) = tokio::task::spawn_blocking(look).await {
            self.renew(loaded, stamps);
        }
    }

    /// What is on the disk takes the place of what is shown where it can be used. Files that have gone change
    /// nothing: the disk may come back.
    fn renew(&self, loaded: Loaded, stamps: Stamps) {
        let in_use = self.https().certificates.clone();
        let renewed = loaded.renew(&in_use, &self.public_names());
        for new in renewed.certificates.iter().filter(|new| !in_use.iter().any(|before| before.is(new))) {
            let (path, names) = (new.path.display(), certificate::said(&new.names));
            tracing::info!(%path, names, "HTTPS visitors are shown a new certificate");
        }
        for problem in &renewed.problems {
            let problem = self.advised(problem);
            tracing::error!(problem, shown = in_use.len(), "the certificate's files cannot be used");
        }
        if let Err(error) = self.show(renewed, stamps) {
            self.https().problems = vec![self.advised(&error)];
        }
    }

    /// Looks at the memory from now on, and turns visitors away when it is short, for as long as the future is
    /// polled. Never ends.
    pub async fn watch_memory(&self) {
        let Some(limit) = memory::of(&self.config) else {
            return std::future::pending().await;
        };
        let mut pressure = Pressure::None;
        loop {
            tokio::time::sleep(memory::EVERY).await;
            let Some(used) = memory::resident() else { continue };
            let now = memory::pressure(used, limit, pressure);
            if now != pressure {
                self.relay.set_pressure(now);
                tracing::warn!(used, limit, ?now, "memory");
                pressure = now;
            }
        }
    }

    /// Says in the log when somebody has removed or replaced the registry's file, and reads it where that failed before, for
    /// as long as the future is polled. Never ends.
    pub async fn watch_registry(&self) {
        let mut was_in_place = true;
        loop {
            tokio::time::sleep(REGISTRY_EVERY).await;
            let in_place = self.directory.store().in_place();
            let is_in_place = in_place.is_ok();
            match in_place.map_err(|error| error.at(&self.config.registry_file)) {
                Err(error) if was_in_place => tracing::error!("{error}"),
                Ok(()) if !was_in_place => tracing::info!("the registry is in its place again"),
                Ok(()) | Err(_) => {}
            }
            was_in_place = is_in_place;
            self.read_if_stale().await;
        }
    }

    /// Reads the registry, where that was not possible when this process took it back.
    async fn read_if_stale(&self) {
        if self.directory.stale().is_none() {
            return;
        }
        let directory = self.directory.clone();
        // In a task of its own: nobody polls this while the server hands its registry over.
        if let Ok(Ok(())) = tokio::spawn(async move { directory.reload().await }).await {
            tracing::info!("the registry was read again; what is looked up is what it says");
        }
    }

    /// How the relay leaves.
    pub fn farewell(&self, leave: Leave) -> Farewell {
        let Config { drain, goodbye, .. } = self.settings().in_force;
        // Whoever is cut at the end is told before.
        let goodbye = goodbye.min(drain.saturating_sub(limits::GOODBYE_ANSWER));
        Farewell { leave, goodbye, limit: drain }
    }

    /// Leaves in an orderly way: see [`Relay::leave`]. The registry's file is closed after that.
    pub async fn drain(&self) {
        let farewell = self.farewell(Leave::Stop);
        self.set_phase(Phase::Stopping { until: Instant::now() + farewell.limit });
        left::note(&self.folder, self.relay.connected(), SystemTime::now());
        self.relay.leave(farewell).await;
        self.close().await;
    }

    /// Closes the registry's file.
    pub async fn close(&self) {
        let _ = self.directory.store().close().await;
        self.finish_access_log().await;
    }

    /// Ends at once what is under way, and waits for a moment until the access log says of each visit what became of it.
    pub async fn cut(&self) {
        self.relay.end();
        self.relay.ended().await;
        self.finish_access_log().await;
    }

    /// Waits until the visits that are over are in the access log. Before the process ends, in whichever way.
    async fn finish_access_log(&self) {
        if let Some(log) = &self.access_log {
            log.finish().await;
        }
    }

    /// What it is about.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Tells what it is about, now and whenever that is something else.
    pub fn watch_phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// What its visits have come to, where that is counted, and the address at which that is to be read.
    pub fn visits(&self) -> Option<(Arc<VisitCounters>, SocketAddr)> {
        Some((Arc::clone(self.visits.as_ref()?), self.config.metrics_bind?))
    }

    /// Where its metrics are read; `None`: nowhere, or nowhere yet.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        *self.metrics_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of where its metrics are read.
    pub fn set_metrics_address(&self, address: SocketAddr) {
        *self.metrics_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// Takes note of what it is about.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Each device whose registration this process ends: from before it served when called for the first time,
    /// otherwise from now on.
    pub fn endings(&self) -> broadcast::Receiver<DeviceId> {
        let first = self.endings.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.directory.endings())
    }

    /// How it is, for whoever looks after services; `None` while another process serves.
    pub fn in_a_line(&self) -> Option<String> {
        let (clients, _) = self.directory.counts();
        let online = self.relay.connected().len();
        match self.phase() {
            Phase::Running | Phase::Restarting => {
                let https = self.https().complaint().unwrap_or_default();
                let halted = self.rollouts.halted().filter(|halted| halted.by_itself);
                let halted =
                    halted.map(|it| format!("; the roll-out of release {} has halted itself", it.counter));
                let halted = halted.unwrap_or_default();
                Some(format!("{online} of {clients} clients are connected{https}{halted}"))
            }
            Phase::Stopping { .. } => Some("finishing what is under way".to_owned()),
            Phase::Replaced { .. } => None,
        }
    }

    /// What the processes before this one still wait for.
    pub fn elders(&self) -> Vec<WaitsFor> {
        self.elders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of what the processes before this one still wait for.
    pub fn set_elders(&self, waits: Vec<WaitsFor>) {
        *self.elders.lock().unwrap_or_else(PoisonError::into_inner) = waits;
    }
}

/// Where invites send clients.
///
/// # Errors
/// When the endpoint's domain is no host name.
pub fn tunnel_address(config: &Config, endpoint: &Endpoint, port: u16) -> Result<ServerAddr, InvalidName> {
    match &config.tunnel_address {
        Some(address) => Ok(address.clone()),
        None => ServerAddr::new(&endpoint.tunnel_host(), port),
    }
}

/// Why an invite was not made.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// The store would not have it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random bytes.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// Makes an invite and writes it down.
///
/// # Errors
/// [`InviteError`].
pub async fn make_invite(
    directory: &Directory,
    server: ServerAddr,
    pins: &[Fingerprint],
    terms: InviteRequest,
) -> Result<Invite, InviteError> {
    let invite = Invite {
        server,
        pins: pins.to_vec(),
        id: InviteId(random_bytes()?),
        secret: InviteSecret::random()?,
        not_after: SystemTime::now() + terms.lifetime,
        vendor: terms.vendor,
    };
    let row = NewInvite {
        id: invite.id,
        secret: invite.secret.hash(),
        service: terms.service,
        alias: terms.alias,
        labels: terms.labels,
        not_after: invite.not_after,
    };
    directory.store().invite(row, terms.force, terms.actor).await?;
    Ok(invite)
}

/// What the operator wants of an invite.
#[derive(Clone, Debug)]
pub struct InviteRequest {
    /// The name of the service that it is for.
    pub service: ServiceName,
    /// The alias that the service gets.
    pub alias: Option<Alias>,
    /// Also an alias that is kept for a former owner.
    pub force: bool,
    /// What the operator wants to remember.
    pub labels: Labels,
    /// How long it lasts.
    pub lifetime: Duration,
    /// What the vendor calls itself.
    pub vendor: Option<VendorName>,
    /// Who wants it.
    pub actor: Actor,
}
