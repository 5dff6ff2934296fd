//! A server before it serves: everything that can fail is there, and nothing has been written.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use petit_engine::name::{DeviceId, Endpoint, RegisteredId};
use petit_engine::net::listen;
use petit_engine::proto::control::Text;
use petit_engine::secret::{Fingerprint, PrivateKey};
use petit_host::lock::Lock;
use petit_host::{files, harden, service};
use petit_relay::{
    FrontSettings, LimitsConfig, ListenerKind, Observer, Record, Relay, RelayConfig, Releases,
};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Opened, Phase, Server, ServerStartError, Settings, lock, open, service_limits, tunnel_address};
use crate::SOFTWARE;
use crate::access_log::AccessLog;
use crate::certificate::{self, HttpsBefore, Loaded, Stamps};
use crate::config::Config;
use crate::directory::{Exposure, FileUse};
use crate::folder::Folder;
use crate::releases::Mirror;
use crate::rollouts::Rollouts;
use crate::store::sqlite::{Migration, SqliteStore};
use crate::store::yielding::Yielded;
use crate::visit_counters::VisitCounters;
use crate::{capacity, fronts, memory};

/// What a server is given by whoever has held it before: the process that it replaces, or a service manager.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Sockets that are listened on already.
    pub sockets: Vec<(ListenerKind, StdListener)>,
    /// The lock, when it is held already.
    pub lock: Option<Lock>,
    /// What must not be lost.
    pub https: HttpsBefore,
}

impl Inherited {
    /// What the service manager has opened. What each is for follows from its address.
    pub fn from_service_manager() -> Self {
        let sockets = service::sockets().into_iter().map(|socket| (ListenerKind::Tls, socket));
        Self { sockets: sockets.collect(), lock: None, https: HttpsBefore::Nobody }
    }

    /// Says which sockets nobody accepts from: whoever connects there waits for ever.
    fn warn_of_unused(&self) {
        for (kind, socket) in &self.sockets {
            if let (ListenerKind::Http | ListenerKind::Tls, Ok(address)) = (kind, socket.local_addr()) {
                tracing::warn!(%address, "this socket was handed in, but the config does not name its address; nobody is served there (petit-server config check says what to do)");
            }
        }
    }

    /// A socket that is listened on already and fits an address; port 0 is any port.
    fn take(&mut self, kind: ListenerKind, wanted: SocketAddr) -> Option<StdListener> {
        let fits =
            |address: SocketAddr| address == wanted || (wanted.port() == 0 && address.ip() == wanted.ip());
        let position = self.sockets.iter().position(|(known, listener)| {
            // A port may have been given another purpose; one that the system chose has the purpose that it had.
            (wanted.port() != 0 || *known == kind) && listener.local_addr().is_ok_and(fits)
        })?;
        Some(self.sockets.swap_remove(position).1)
    }

    /// The address of a socket that is listened on already and stands in the way of listening on `wanted`.
    fn in_the_way(&self, wanted: SocketAddr) -> Option<SocketAddr> {
        let mut addresses = self.sockets.iter().filter_map(|(_, listener)| listener.local_addr().ok());
        addresses.find(|held| overlap(*held, wanted))
    }
}

/// True when the system lets only one of two addresses be listened on.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |all: SocketAddr, one: SocketAddr| match all.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => one.ip().to_canonical().is_ipv4(),
        // IPv4 as well.
        IpAddr::V6(v6) if v6.is_unspecified() => true,
        ip => ip.to_canonical() == one.ip().to_canonical(),
    };
    one.port() == other.port() && (covers(one, other) || covers(other, one))
}

/// A socket that is listened on.
struct Listening {
    address: SocketAddr,
    listener: TcpListener,
}

/// A server that can serve at once.
pub struct Prepared {
    config: Config,
    folder: Folder,
    lock: Lock,
    key: PrivateKey,
    pins: Vec<Fingerprint>,
    certificates: Loaded,
    stamps: Stamps,
    http: Listening,
    tls: Listening,
    tcp: Vec<(RegisteredId, TcpListener)>,
    fronts: FrontSettings,
    access_log: Option<AccessLog>,
}

impl Prepared {
    /// Gets everything ready.
    ///
    /// # Errors
    /// [`ServerStartError`]; nothing is left behind then.
    pub async fn new(
        config: Config,
        folder: Folder,
        mut inherited: Inherited,
    ) -> Result<Self, ServerStartError> {
        let lock = match inherited.lock.take() {
            Some(lock) => lock,
            None => {
                let lock = lock(&folder).await?;
                // What another process is just writing must not be taken for left over.
                files::sweep(folder.path());
                lock
            }
        };
        let key = folder.read_key()?;
        let pins = folder.pins()?;
        let fronts = fronts::settings(&config)?;
        let path = folder.access_log();
        let access_log = AccessLog::open(config.access_log, &path, config.log_size)
            .map_err(|source| ServerStartError::AccessLog { path, source })?;
        let stamps = Stamps::of(&config);
        let certificates = certificate::load(&config).for_start(&inherited.https, &config)?;
        let mut listen = |address, kind, setting| {
            let bound = match inherited.take(kind, address) {
                Some(listener) => adopt(listener),
                None => listen::bind(address),
            };
            bound.and_then(|listener| Ok(Listening { address: listener.local_addr()?, listener })).map_err(
                |source| match inherited.in_the_way(address) {
                    Some(held) if source.kind() == ErrorKind::AddrInUse => {
                        ServerStartError::Held { address, setting, held }
                    }
                    _ => ServerStartError::Bind { address, setting, source },
                },
            )
        };
        let plain = SocketAddr::new(config.proxy_bind, config.proxy_port);
        let http = listen(plain, ListenerKind::Http, "proxy_bind and proxy_port")?;
        let secure = SocketAddr::new(config.secure_bind, config.secure_proxy_port);
        let tls = listen(secure, ListenerKind::Tls, "secure_bind and secure_proxy_port")?;
        inherited.warn_of_unused();
        let tcp = inherited.sockets.into_iter().filter_map(|(kind, listener)| match kind {
            ListenerKind::Tcp(id) => Some((id, adopt(listener).ok()?)),
            ListenerKind::Http | ListenerKind::Tls => None,
        });
        let tcp = tcp.collect();
        Ok(Self { config, folder, lock, key, pins, certificates, stamps, http, tls, tcp, fronts, access_log })
    }

    /// Opens the registry, looks whether everything fits to it, and does all that can fail, but for what
    /// [`Ready::serve`] does. `expected` are the clients that were connected to the process before.
    ///
    /// # Errors
    /// [`ServerStartError`]; the registry's file is as it was then.
    pub async fn open(self, expected: Vec<DeviceId>) -> Result<Ready, ServerStartError> {
        let Self {
            config,
            folder,
            lock,
            key,
            pins,
            certificates,
            stamps,
            http,
            tls,
            tcp,
            fronts,
            access_log,
        } = self;
        lock.sign();
        let limits = watch::Sender::new(service_limits(&config));
        let Opened { directory, store, file, migration, held } = open(&config, limits.subscribe()).await?;
        let used = directory.use_file(Arc::clone(&config.policies.list), FileUse::Begins);
        used.map_err(|found| config.policies.error(&folder.config, &found))?;
        // From before the first client can give its registration back.
        let endings = directory.endings();
        let endpoint = endpoint(&config, (http.address.port(), tls.address.port()));
        tunnel_address(&config, &endpoint, tls.address.port())?;
        let open_files = harden::open_files();
        let memory = memory::of(&config);
        let connections = capacity::connections(&config, open_files, memory);
        let requests = capacity::requests(&config, memory);
        for complaint in capacity::complaints(&config, open_files) {
            tracing::warn!("{complaint}");
        }
        let relay_limits = LimitsConfig { connections, requests, ..config.limits.clone() };
        let relay_config = relay_config(&config, key.clone(), (&endpoint, relay_limits), fronts);
        let visits = config.metrics_bind.map(|_| Arc::new(VisitCounters::default()));
        let observer = observer(access_log.clone(), visits.clone());
        let releases = Mirror::of(folder.releases());
        let rollouts = Rollouts::of(releases.clone(), directory.clone());
        let handed_out: Arc<dyn Releases> = Arc::new(rollouts.clone());
        let relay = Relay::start(relay_config, Arc::new(directory.clone()), observer, Some(handed_out))?;
        relay.expect(expected);
        let settings = Settings { in_force: config.clone(), problem: None, needs_restart: Vec::new() };
        let server = Server {
            settings: Mutex::new(settings),
            https: Mutex::default(),
            config,
            folder,
            directory,
            relay,
            releases,
            rollouts,
            http: http.address,
            tls: tls.address,
            since: SystemTime::now(),
            key,
            pins,
            endpoint,
            limits,
            access_log,
            visits,
            metrics_at: Mutex::default(),
            store,
            yielded: Mutex::default(),
            phase: watch::Sender::new(Phase::Running),
            elders: Mutex::default(),
            endings: Mutex::new(Some(endings)),
            lock: Mutex::new(Some(lock)),
        };
        let certificates = certificates.renew(&[], &server.public_names());
        for problem in &certificates.problems {
            let problem = server.advised(problem);
            tracing::error!(problem, "a certificate for HTTPS visitors cannot be used");
        }
        server.show(certificates, stamps)?;
        let capacity = Capacity { connections, requests };
        let (http, tls) = (http.listener, tls.listener);
        Ok(Ready { server, file, migration, held, http, tls, tcp, capacity })
    }
}

/// How many there may be at a time.
struct Capacity {
    connections: usize,
    requests: usize,
}

/// A server that has opened its registry and serves nothing yet. Dropped, it has changed nothing in the registry's file.
pub struct Ready {
    server: Server,
    file: Arc<SqliteStore>,
    migration: Migration,
    held: Yielded,
    http: TcpListener,
    tls: TcpListener,
    tcp: Vec<(RegisteredId, TcpListener)>,
    capacity: Capacity,
}

impl Ready {
    /// Brings the registry to the present form, and serves. Whoever can fail fails before: a program of before cannot open
    /// the registry any more after it, and could not go on.
    ///
    /// # Errors
    /// When a registry of an earlier form cannot be written, such as on a disk that is full; its file is as it was then.
    /// That of a registry of the present form is not written, and nothing can fail.
    pub async fn serve(self) -> Result<Server, ServerStartError> {
        let Self { server, file, migration, held, http, tls, tcp, capacity } = self;
        file.commit(migration).await.map_err(|error| error.at(&server.config.registry_file))?;
        drop(held);
        for (id, listener) in tcp {
            server.relay.adopt(id, listener);
        }
        server.relay.serve_http(http);
        server.relay.serve_tls(tls);
        let (http, tls) = (server.http, server.tls);
        let (devices, services) = server.directory.counts();
        let https = !server.https().certificates.is_empty();
        let Capacity { connections, requests } = capacity;
        tracing::info!(%http, %tls, https, devices, services, connections, requests, "listening");
        let Exposure { open, new_are_open, .. } = server.directory.exposure();
        if open > 0 || new_are_open {
            tracing::warn!(open, new_are_open, "services are open to anybody who knows the name");
        }
        server.directory.warn_of_keyless();
        server.directory.warn_of_contradictions();
        Ok(server)
    }
}

impl Server {
    /// Starts a server and listens.
    ///
    /// # Errors
    /// [`ServerStartError`]; nothing is left behind then.
    pub async fn start(config: Config, folder: Folder) -> Result<Self, ServerStartError> {
        Prepared::new(config, folder, Inherited::default()).await?.open(Vec::new()).await?.serve().await
    }
}

/// Who is told of each visit.
fn observer(log: Option<AccessLog>, visits: Option<Arc<VisitCounters>>) -> Option<Arc<dyn Observer>> {
    match (log, visits) {
        (None, None) => None,
        (Some(log), None) => Some(Arc::new(log)),
        (None, Some(visits)) => Some(visits),
        (Some(log), Some(visits)) => Some(Arc::new(Both { log, visits })),
    }
}

/// A log of visits, and their counters.
struct Both {
    log: AccessLog,
    visits: Arc<VisitCounters>,
}

impl Observer for Both {
    fn visit_ended(&self, record: &Record<'_>) {
        self.visits.visit_ended(record);
        self.log.visit_ended(record);
    }
}

/// Where the system chose the port, public addresses have to follow.
fn endpoint(config: &Config, (http, tls): (u16, u16)) -> Endpoint {
    let (wanted, port) =
        if config.endpoint.is_https() { (config.secure_proxy_port, tls) } else { (config.proxy_port, http) };
    let chosen = wanted == 0 && config.endpoint.port() == Some(0);
    if chosen { config.endpoint.with_port(port) } else { config.endpoint.clone() }
}

/// Where visitors find the ports of raw TCP services.
pub(crate) fn tcp_host(config: &Config, endpoint: &Endpoint) -> String {
    match config.tcp_bind.is_loopback() {
        true => config.tcp_bind.to_string(),
        false => endpoint.domain().to_owned(),
    }
}

fn relay_config(
    config: &Config,
    key: PrivateKey,
    (endpoint, relay_limits): (&Endpoint, LimitsConfig),
    fronts: FrontSettings,
) -> RelayConfig {
    RelayConfig {
        key,
        endpoint: endpoint.clone(),
        tcp_bind: config.tcp_bind,
        tcp_host: tcp_host(config, endpoint),
        trusted_proxies: config.trusted_proxies.clone(),
        legacy_errors: config.legacy_errors,
        limits: relay_limits,
        software: Text::lossy(SOFTWARE),
        vitae: config.vitae.clone(),
        fronts,
    }
}

fn adopt(listener: StdListener) -> std::io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
    use sqlx::{ConnectOptions, Connection};

    use super::*;
    use crate::config;
    use crate::folder::Pinned;

    /// As version 0.1.0 has written it.
    const FORM_1: &[u8] =
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/fixtures/registry-form-1.db"));

    /// A server's folder, with a registry of form 1 in it.
    struct Bed {
        _dir: tempfile::TempDir,
        folder: Folder,
    }

    impl Bed {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let folder = Folder::of(&dir.path().join("config.toml"));
            folder.make().unwrap();
            folder.make_keys(Pinned::Never).unwrap();
            std::fs::write(dir.path().join("registry.db"), FORM_1).unwrap();
            Self { _dir: dir, folder }
        }

        async fn open(&self, more: &str) -> Result<Ready, ServerStartError> {
            let text = format!(
                "[server]\nproxy_port = 0\nsecure_bind = \"127.0.0.1\"\nsecure_proxy_port = 0\n{more}\n\
                 [server.vitae]\nenvironment = \"test\"\nendpoint = \"http://REGID.localhost:0\"\n"
            );
            let (config, _) = config::parse(&self.folder.config, &text).unwrap();
            Prepared::new(config, self.folder.clone(), Inherited::default()).await?.open(Vec::new()).await
        }

        /// What programs of before find. Waits for a transaction that is being given up.
        async fn form(&self) -> i64 {
            let path = self.folder.path().join("registry.db");
            let options =
                SqliteConnectOptions::new().filename(path).busy_timeout(std::time::Duration::from_secs(60));
            let mut connection: SqliteConnection = options.connect().await.unwrap();
            sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
            let form = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            form
        }
    }

    #[tokio::test]
    async fn a_registry_of_an_earlier_form_stays_one_until_nothing_can_fail_any_more() {
        let bed = Bed::new();
        let policy = "[[policy]]\nname = \"a\"\nservices = [\"default\"]\nkeys = [\"nobody\"]";
        let refused = bed.open(policy).await.err().unwrap();
        assert!(matches!(refused, ServerStartError::Policy(_)), "{refused}");
        assert_eq!(bed.form().await, 1);

        // What comes later may fail as well, such as the control socket.
        let ready = bed.open("").await.unwrap();
        assert_eq!(ready.server.directory.counts(), (3, 4), "it has been looked through");
        drop(ready);
        assert_eq!(bed.form().await, 1);

        let server = bed.open("").await.unwrap().serve().await.unwrap();
        assert_eq!(server.directory.counts(), (3, 4));
        assert_eq!(server.directory.store().devices().await.unwrap().len(), 5);
        server
            .directory
            .create_key("cloud".parse().unwrap(), crate::registry::Actor::Operator)
            .await
            .unwrap();
        server.close().await;
        assert_ne!(bed.form().await, 1);
    }

    #[test]
    fn addresses_overlap_that_only_one_socket_can_have() {
        for (one, other, expected) in [
            ("0.0.0.0:80", "[::]:80", true),
            ("0.0.0.0:80", "192.0.2.1:80", true),
            ("[::]:80", "192.0.2.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:80", "192.0.2.1:80", false),
            ("0.0.0.0:80", "0.0.0.0:81", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((overlap(one, other), overlap(other, one)), (expected, expected), "{one} {other}");
        }
    }
}
