//! A server and clients in the test's own process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use petit_client::client::Client;
use petit_client::config::KeyStore;
use petit_client::enrol;
use petit_client::folder::Folder as ClientFolder;
use petit_client::status::{Light, Status};
use petit_engine::agent::Registered;
use petit_engine::invite::Invite;
use petit_engine::limits;
use petit_engine::name::{RegisteredId, ServerAddr, ServiceName};
use petit_host::lock::Lock;
use petit_relay::{LimitsConfig, Relay, RelayCounts};
use petit_server::config::Config;
use petit_server::folder::Folder as ServerFolder;
use petit_server::registry::{Actor, Labels};
use petit_server::server::{Begun, InviteRequest, LostRegistry, Server, make_invite};
use tempfile::TempDir;

use crate::authority::Authority;
use crate::{service::Service, soon, visitor::Visitor};

/// A server in this process.
pub struct Bed {
    /// The server.
    pub server: Arc<Server>,
    /// Its folder; gone with the bed.
    pub dir: TempDir,
}

/// A client in this process, registered with the bed's server.
pub struct BedClient {
    /// The client.
    pub client: Client,
    /// What the enrolment said.
    pub registered: Registered,
    /// Its folder; gone with the client.
    pub dir: TempDir,
}

/// The bed's server config. `more` is added to `[server]`.
pub fn server_config(more: &str) -> String {
    server_config_under("localhost", more)
}

/// As [`server_config`], with public names under another domain.
pub fn server_config_under(domain: &str, more: &str) -> String {
    format!(
        "[server]\nproxy_port = 0\nsecure_bind = \"127.0.0.1\"\nsecure_proxy_port = 0\ntcp_ports = \"0-0\"\n{more}\n\
         [server.vitae]\nenvironment = \"bed\"\nendpoint = \"http://REGID.{domain}:0\"\n"
    )
}

impl Bed {
    /// Starts a server.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// Starts a server with more settings.
    pub async fn with(more: &str) -> Self {
        Self::with_config(&server_config(more)).await
    }

    /// Starts a server with a config of the test's own.
    pub async fn with_config(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, config).unwrap();
        let server = Self::open(&path).await;
        Self { server, dir }
    }

    /// Starts a server with other limits than an operator may set.
    pub async fn with_limits(change: impl FnOnce(&mut LimitsConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, server_config("")).unwrap();
        let server = Self::open_changed(&path, |config| change(&mut config.limits)).await;
        Self { server, dir }
    }

    /// Starts a server that has a certificate for HTTPS visitors of [`HTTPS_DOMAIN`].
    pub async fn https(authority: &Authority) -> Self {
        Self::https_with(authority, "").await
    }

    /// The same, with more settings.
    pub async fn https_with(authority: &Authority, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let identity = authority.vouch_for(&[&format!("*.{HTTPS_DOMAIN}")]);
        let (certificate, key) = identity.write(dir.path(), "public");
        let (certificate, key) = (certificate.display(), key.display());
        let more = format!("certificate = \"{certificate}\"\ncertificate_key = \"{key}\"\n{more}");
        std::fs::write(&path, server_config_under(HTTPS_DOMAIN, &more)).unwrap();
        let server = Self::open(&path).await;
        Self { server, dir }
    }

    async fn open(path: &Path) -> Arc<Server> {
        Self::open_changed(path, |_| {}).await
    }

    async fn open_changed(path: &Path, change: impl FnOnce(&mut Config)) -> Arc<Server> {
        let folder = ServerFolder::of(path);
        let (mut config, _) = petit_server::config::load(path).unwrap();
        change(&mut config);
        // As `petit-server init` does.
        Begun::new(&config, &folder, LostRegistry::Refused).await.unwrap().finish().await;
        Arc::new(Server::start(config, folder).await.unwrap())
    }

    /// Where visitors come in.
    pub fn http(&self) -> SocketAddr {
        self.server.http
    }

    /// Somebody at the public front.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(self.server.http)
    }

    /// An invite for a service called `service`.
    pub async fn invite_for(&self, service: &str, alias: Option<&str>) -> Invite {
        let terms = InviteRequest {
            service: service.parse().unwrap(),
            force: false,
            alias: alias.map(|alias| alias.parse().unwrap()),
            labels: Labels::default(),
            lifetime: limits::INVITE_LIFETIME,
            vendor: self.server.config.name.clone(),
            actor: Actor::Operator,
        };
        // The bed's domain need not be one that resolves.
        let address = ServerAddr::new("127.0.0.1", self.server.tls.port()).unwrap();
        make_invite(&self.server.directory, address, self.server.pins(), terms).await.unwrap()
    }

    /// An invite for a service called `web`.
    pub async fn invite(&self) -> Invite {
        self.invite_for("web", None).await
    }

    /// Registers a client that offers `service` as `web`, and waits until a probe has gone all the way.
    pub async fn client(&self, service: &Service) -> BedClient {
        let client = self.client_with(&[("web", service.address(), "http")]).await;
        client.until_green("web").await;
        client
    }

    /// Registers a client that offers one service of a kind as `web`, with more settings of it, and waits until it
    /// is connected.
    pub async fn client_of(&self, target: impl std::fmt::Display, kind: &str, more: &str) -> BedClient {
        let client = BedClient::with_config(&self.invite().await, &service_config(target, kind, more)).await;
        client.until_online().await;
        client
    }

    /// Registers a client that offers several services, and waits until it is connected.
    pub async fn client_with(&self, services: &[(&str, SocketAddr, &str)]) -> BedClient {
        let invite = self.invite_for(services.first().map_or("web", |(name, _, _)| name), None).await;
        let client = BedClient::new(&invite, services).await;
        client.until_online().await;
        client
    }
}

/// The public domain of [`Bed::https`].
pub const HTTPS_DOMAIN: &str = "bed.localhost";

/// A client's config file with one service, called `web`, and more settings of it.
pub fn service_config(target: impl std::fmt::Display, kind: &str, more: &str) -> String {
    format!(
        "[client]\nkey_store = \"file\"\n\
         [[client.service]]\nname = \"web\"\ntarget = \"{target}\"\nkind = \"{kind}\"\n{more}\n"
    )
}

/// A client's config file with some services.
pub fn client_config(services: &[(&str, SocketAddr, &str)]) -> String {
    let mut text = "[client]\nkey_store = \"file\"\n".to_owned();
    for (name, target, kind) in services {
        text.push_str(&format!(
            "[[client.service]]\nname = \"{name}\"\ntarget = \"{target}\"\nkind = \"{kind}\"\n"
        ));
    }
    text
}

impl BedClient {
    /// Registers with an invite and starts.
    pub async fn new(invite: &Invite, services: &[(&str, SocketAddr, &str)]) -> Self {
        Self::with_config(invite, &client_config(services)).await
    }

    /// Registers with an invite and starts with a config of the test's own.
    pub async fn with_config(invite: &Invite, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, config).unwrap();
        let folder = ClientFolder::of(&path);
        folder.make().unwrap();
        let (config, _) = petit_client::config::load(&path).unwrap();
        let share = config.specs(&ServiceName::first()).into_iter().map(|spec| spec.name);
        let request = enrol::Request {
            invite,
            key_store: KeyStore::File,
            share: share.collect(),
            existing: enrol::Existing::Keep,
        };
        let registered = enrol::register(&folder, &config, &request).await.unwrap().registered;
        let client = Self::start_in(&folder).await;
        Self { client, registered, dir }
    }

    async fn start_in(folder: &ClientFolder) -> Client {
        let (config, _) = petit_client::config::load(&folder.config).unwrap();
        // A program that another test starts holds what this process has open until it is itself.
        let lock = Lock::take_within(&folder.lock(), crate::PATIENCE).await.unwrap();
        Client::start(folder.clone(), config, lock, None).await.unwrap()
    }

    /// Stops it and starts it again, as another process would be.
    pub async fn restarted(self) -> Self {
        let Self { client, registered, dir } = self;
        client.stop().await;
        drop(client);
        let client = Self::start_in(&ClientFolder::of(&dir.path().join("config.toml"))).await;
        Self { client, registered, dir }
    }

    /// The registered ID of its first service.
    pub fn id(&self) -> RegisteredId {
        self.registered.id
    }

    /// Its config file.
    pub fn config(&self) -> std::path::PathBuf {
        self.dir.path().join("config.toml")
    }

    /// Waits until its status is as wanted, and returns it.
    pub async fn until(&self, what: &str, is_it: impl Fn(&Status) -> bool) -> Status {
        let mut statuses = self.client.statuses();
        soon(what, async {
            loop {
                let status = statuses.borrow_and_update().clone();
                if is_it(&status) {
                    return status;
                }
                statuses.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits until it is connected.
    pub async fn until_online(&self) {
        use petit_client::status::Connection;
        self.until("the client to be online", |status| {
            matches!(status.connection, Connection::Online { .. })
        })
        .await;
    }

    /// Waits until something has gone all the way to a service.
    pub async fn until_green(&self, service: &str) -> Status {
        self.until_light(service, Light::Green).await
    }

    /// Waits until a service has a light.
    pub async fn until_light(&self, service: &str, light: Light) -> Status {
        let name: ServiceName = service.parse().unwrap();
        let is_it = |status: &Status| status.services.iter().any(|it| it.name == name && it.light == light);
        self.until(&format!("{service} to be {light:?}"), is_it).await
    }

    /// The public address of a service.
    pub async fn url(&self, service: &str) -> String {
        let name: ServiceName = service.parse().unwrap();
        let address =
            |status: &Status| status.services.iter().find(|it| it.name == name).and_then(|it| it.url.clone());
        let status = self.until("an address", |status| address(status).is_some()).await;
        address(&status).unwrap()
    }
}

/// Waits until a relay counts what a test waits for.
pub async fn until_counted(relay: &Relay, what: &str, is_it: impl Fn(RelayCounts) -> bool) {
    soon(what, async {
        while !is_it(relay.counts()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
