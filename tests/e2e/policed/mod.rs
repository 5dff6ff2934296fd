//! Services whose visitors are asked for something before a request goes down the tunnel. The policies come from the test,
//! so that they can change between two requests.

mod explained;
mod fronts;
mod http;
mod limits;
mod programs;
mod tcp;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, RwLock};

use petit_engine::BoxFuture;
use petit_engine::agent::{Agent, AgentConfig, AgentState, Direct, ServiceSpec};
use petit_engine::limits as bounds;
use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName, VisitorKeyId};
use petit_engine::net::dial::DialRoute;
use petit_engine::proto::control::{EnrolRefusal, GrantOutcome, ServiceKind, Text, Vitae};
use petit_engine::secret::PublicKey;
use petit_relay::policy::{
    AddressList, KeySecret, PolicyLimits, RateLimit, ServicePolicy, VisitorKey, VisitorKeys,
};
use petit_relay::{
    Access, AnnouncedServices, Change, EnrolRequest, Enrolled, Failure, Names, Observer, Protocol, Record,
    Relay, RelayConfig, Route, VisitEnd,
};
use petit_server::directory::Directory;
use petit_tests::authority::Authority;
use petit_tests::bed::{Bed, server_config};
use petit_tests::rogue::Device;
use petit_tests::service::Service;
use petit_tests::visitor::{Visitor, host};
use petit_tests::{scripted, soon};
use rustls::RootCertStore;
use secrecy::ExposeSecret;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{broadcast, mpsc};

use self::fronts::Doors;

/// A registry whose services have the policy that a test gives them.
struct Policed {
    directory: Directory,
    policy: RwLock<Option<Arc<ServicePolicy>>>,
    changed: broadcast::Sender<Change>,
}

impl Names for Policed {
    fn alias(&self, name: &str) -> Option<RegisteredId> {
        self.directory.alias(name)
    }

    fn aliases(&self, id: &RegisteredId) -> Vec<Alias> {
        self.directory.aliases(id)
    }

    fn service(&self, id: &RegisteredId) -> Option<Route> {
        let policy = self.policy.read().unwrap().clone();
        self.directory.service(id).map(|route| Route { policy, ..route })
    }
}

impl Access for Policed {
    fn device(&self, key: &PublicKey) -> Option<DeviceId> {
        self.directory.device(key)
    }

    fn is_suspended(&self, device: &DeviceId) -> bool {
        self.directory.is_suspended(device)
    }

    fn is_called(&self, device: &DeviceId, name: &Text<64>) -> bool {
        self.directory.is_called(device, name)
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changed.subscribe()
    }

    fn enrol(&self, request: EnrolRequest) -> BoxFuture<'_, Result<Enrolled, EnrolRefusal>> {
        self.directory.enrol(request)
    }

    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
    ) -> BoxFuture<'_, AnnouncedServices> {
        self.directory.announce(device, services)
    }

    fn rename(&self, device: DeviceId, name: Text<64>) -> BoxFuture<'_, ()> {
        self.directory.rename(device, name)
    }

    fn remove(&self, device: DeviceId, service: ServiceName) -> BoxFuture<'_, Option<bool>> {
        self.directory.remove(device, service)
    }

    fn unregister(&self, device: DeviceId) -> BoxFuture<'_, bool> {
        self.directory.unregister(device)
    }
}

/// What is kept of a record.
#[derive(Clone, Debug)]
struct Heard {
    protocol: Protocol,
    status: Option<u16>,
    end: VisitEnd,
    key: Option<String>,
    would_refuse: Option<Failure>,
}

struct Listener(mpsc::UnboundedSender<Heard>);

impl Observer for Listener {
    fn visit_ended(&self, record: &Record<'_>) {
        let _ = self.0.send(Heard {
            protocol: record.protocol,
            status: record.status,
            end: record.end,
            key: record.key.map(ToString::to_string),
            would_refuse: record.would_refuse,
        });
    }
}

/// A relay, and a client with a service of HTTP and one of raw TCP.
struct World {
    bed: Bed,
    access: Arc<Policed>,
    relay: Relay,
    device: Device,
    tunnel: SocketAddr,
    plain: Visitor,
    roots: RootCertStore,
    web: Service,
    echo: Service,
    agent: Agent,
    /// The public port of the service of raw TCP.
    port: u16,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl World {
    async fn start(policy: Option<ServicePolicy>) -> Self {
        Self::with(policy, |_| {}).await
    }

    async fn with(policy: Option<ServicePolicy>, change: impl FnOnce(&mut RelayConfig)) -> Self {
        let bed = Bed::with_config(&server_config("max_services = 4")).await;
        let (listener, heard) = mpsc::unbounded_channel();
        let key = bed.server.folder.read_key().unwrap();
        let mut config = petit_tests::untried::relay(key, bed.server.endpoint().clone());
        config.limits.threads = 1;
        change(&mut config);
        let access = Arc::new(Policed {
            directory: bed.server.directory.clone(),
            policy: RwLock::new(policy.map(Arc::new)),
            changed: broadcast::Sender::new(16),
        });
        let asked = Arc::clone(&access) as Arc<dyn Access>;
        let relay = Relay::start(config, asked, Some(Arc::new(Listener(listener))), None).unwrap();
        let authority = Authority::new();
        let mut device = Device::of(&bed).await;
        let identity = authority.vouch_for(&[&host(&device.registered.id)]);
        relay.set_https(Some(identity.server(&["h2", "http/1.1"])));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tunnel = listener.local_addr().unwrap();
        device.go_to(tunnel);
        relay.serve_tls(listener);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = Visitor::new(listener.local_addr().unwrap());
        relay.serve_http(listener);
        let (web, echo) = (Service::http("web").await, Service::tcp_echo("").await);
        let (agent, port) = agent(&bed, &device, tunnel, &web, &echo).await;
        let roots = authority.roots();
        Self { bed, access, relay, device, tunnel, plain, roots, web, echo, agent, port, heard }
    }

    /// Another connection of the same client, and none of before.
    async fn reconnected(&mut self) {
        self.agent.switch(false).await;
        (self.agent, self.port) = agent(&self.bed, &self.device, self.tunnel, &self.web, &self.echo).await;
    }

    /// Gives the services another policy.
    fn set(&self, policy: Option<ServicePolicy>) {
        *self.access.policy.write().unwrap() = policy.map(Arc::new);
        let _ = self.access.changed.send(Change { policies: true, ..Change::default() });
    }

    fn host(&self) -> String {
        host(&self.device.registered.id)
    }

    fn doors(&self) -> Doors {
        Doors { plain: self.plain, tls: self.tunnel, roots: self.roots.clone(), host: self.host() }
    }

    async fn next(&mut self) -> Heard {
        soon("the end of a visit", self.heard.recv()).await.unwrap()
    }
}

async fn agent(
    bed: &Bed,
    device: &Device,
    tunnel: SocketAddr,
    web: &Service,
    echo: &Service,
) -> (Agent, u16) {
    let spec = |name: &str, kind, service: &Service| {
        ServiceSpec::plain(name.parse().unwrap(), kind, service.address().to_string().parse().unwrap())
    };
    let config = AgentConfig {
        server: tunnel.to_string().parse().unwrap(),
        route: DialRoute::default(),
        pins: bed.server.pins().to_vec(),
        key: device.key.clone(),
        software: Text::lossy("test"),
        device_name: Text::lossy("rogue"),
        vitae: Vitae::new(),
        services: vec![spec("web", ServiceKind::Http, web), spec("db", ServiceKind::Tcp, echo)],
        connections: bounds::SERVICE_CONNECTIONS,
    };
    let agent = Agent::start(config, Arc::new(Direct)).unwrap();
    agent.switch(true).await;
    let mut view = agent.view();
    let online = view.wait_for(|view| {
        let is_registered = |outcome: &_| matches!(outcome, Some(GrantOutcome::Registered { .. }));
        matches!(view.state, AgentState::Online { .. })
            && view.services.iter().all(|service| is_registered(&service.outcome))
    });
    let url = match &soon("the agent", online).await.unwrap().services[1].outcome {
        Some(GrantOutcome::Registered { url, .. }) => url.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    (agent, url.rsplit_once(':').unwrap().1.parse().unwrap())
}

/// A policy that asks for nothing.
fn open() -> ServicePolicy {
    ServicePolicy::open("cloud".parse().unwrap())
}

/// A policy that asks for these keys.
fn asking_for(keys: impl IntoIterator<Item = VisitorKey>) -> ServicePolicy {
    ServicePolicy { keys: Some(Arc::new(VisitorKeys::new(keys))), ..open() }
}

/// A key, and what its holder sends.
fn key(name: &str) -> (VisitorKey, String) {
    let (id, secret) = (VisitorKeyId::random().unwrap(), KeySecret::random().unwrap());
    let key = VisitorKey { id, name: name.parse().unwrap(), hash: secret.hash(), previous: None };
    (key, secret.shown(id).expose_secret().to_owned())
}

fn from(addresses: &[&str]) -> Option<AddressList> {
    Some(AddressList::parse(addresses).unwrap())
}

fn some(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// So many at once, and then one a second.
fn at_once(burst: u32) -> PolicyLimits {
    let rate = Some(RateLimit { per_second: NonZeroU32::MIN, burst: some(burst) });
    PolicyLimits { rate, ..PolicyLimits::default() }
}

/// A connection from another address of this machine.
async fn connect_from(address: &str, to: SocketAddr) -> TcpStream {
    connect_or_reset(address, to).await.expect("a connection that is not reset")
}

/// The same; `None` where it was reset before its begin was heard of.
async fn connect_or_reset(address: &str, to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(address.parse::<IpAddr>().unwrap(), 0)).unwrap();
    match socket.connect(to).await {
        Ok(tcp) => Some(tcp),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
            None
        }
    }
}

/// Waits until a connection from an address was reset.
async fn is_reset(address: &str, to: SocketAddr) {
    if let Some(mut tcp) = connect_or_reset(address, to).await {
        soon("the reset", scripted::gone(&mut tcp)).await;
    }
}
