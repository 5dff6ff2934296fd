//! Strangers who open connections and leave it at that: on both ports, from many addresses, again as soon as they are cut
//! off. Whoever has come for something gets in beside them, in time.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use petit_engine::limits;
use petit_engine::net::tls;
use petit_engine::proto::control::{FromAgent, FromRelay};
use petit_engine::secret::PrivateKey;
use petit_tests::authority::Authority;
use petit_tests::bed::{Bed, HTTPS_DOMAIN};
use petit_tests::figures::figure;
use petit_tests::netns::Addresses;
use petit_tests::rogue::Device;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{host, tls_on};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// An honest peer gets in within this, on a machine that is busy with the attack as well.
const WAIT: Duration = Duration::from_secs(4);
/// So many of each kind, each with an address of its own.
const HONEST: u8 = 9;
/// Each stranger keeps so many connections open: as many handshakes as one address may have under way.
const EACH: usize = limits::HANDSHAKES_PER_ADDRESS;

/// A connection to a port of this machine, from another of its addresses.
async fn connect(from: IpAddr, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await
}

/// How many connections a stranger opens in a second at most.
#[derive(Clone, Copy)]
struct Pace {
    /// Until it has [`EACH`].
    first: u32,
    /// For those that were cut off.
    again: u32,
}

/// Strangers at work until this is dropped.
struct Flood {
    _strangers: JoinSet<()>,
    begun: Arc<AtomicU64>,
    longest_ms: Arc<AtomicU64>,
}

impl Flood {
    /// Each of these addresses keeps [`EACH`] connections to a port open, on which it has said this and nothing more.
    fn of(strangers: impl Iterator<Item = IpAddr>, port: u16, said: &[u8], pace: Pace) -> Self {
        let (begun, longest_ms) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let mut tasks = JoinSet::new();
        for from in strangers {
            let (said, begun, longest_ms) = (said.to_vec(), Arc::clone(&begun), Arc::clone(&longest_ms));
            tasks.spawn(async move {
                let [mut first, mut again] = [pace.first, pace.again].map(|per_second| {
                    let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
                    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
                    pace
                });
                let mut held = JoinSet::new();
                for number in 0_usize.. {
                    if number < EACH {
                        first.tick().await
                    } else {
                        again.tick().await
                    };
                    while held.try_join_next().is_some() {}
                    if held.len() < EACH {
                        let (said, longest_ms) = (said.clone(), Arc::clone(&longest_ms));
                        begun.fetch_add(1, Ordering::Relaxed);
                        held.spawn(async move {
                            let Ok(mut tcp) = connect(from, port).await else { return };
                            let start = Instant::now();
                            let _ = tcp.write_all(&said).await;
                            let _ = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await;
                            longest_ms.fetch_max(start.elapsed().as_millis() as u64, Ordering::Relaxed);
                        });
                    }
                }
            });
        }
        Self { _strangers: tasks, begun, longest_ms }
    }

    /// Waits until they have begun so many connections.
    async fn until_begun(&self, count: u64) {
        soon("the flood", async {
            while self.begun.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// The longest time that one of their connections was open which the server has ended.
    fn longest(&self) -> Duration {
        Duration::from_millis(self.longest_ms.load(Ordering::Relaxed))
    }
}

/// The whole first message of a client's, whose key the server does not know.
fn client_hello(bed: &Bed) -> Vec<u8> {
    let key = PrivateKey::generate().unwrap();
    let config = tls::client(&key, bed.server.pins().to_vec(), tls::ALPN_TUNNEL).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut connection = rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// Asks on a connection, and is answered with 200.
async fn is_answered<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO, host: &str) {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    io.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    soon("an answer", io.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&status));
}

/// A visitor of the plain port is served; says how long that took.
async fn visits(bed: &Bed, from: IpAddr, host: &str) -> Duration {
    let start = Instant::now();
    let mut tcp = connect(from, bed.http().port()).await.unwrap();
    is_answered(&mut tcp, host).await;
    start.elapsed()
}

/// The same over HTTPS.
async fn visits_https(bed: &Bed, authority: &Authority, from: IpAddr, host: &str) -> Duration {
    let start = Instant::now();
    let tcp = connect(from, bed.server.tls.port()).await.unwrap();
    let tls = soon("a handshake", tls_on(tcp, &authority.roots(), host, &["http/1.1"])).await;
    let mut tls = tls.unwrap_or_else(|error| panic!("{from}: {error}"));
    is_answered(&mut tls, host).await;
    start.elapsed()
}

/// A client of this identity gets in.
async fn logs_in(device: &Device, from: IpAddr) -> Duration {
    let start = Instant::now();
    let mut session = soon("a handshake", device.connect_from(from)).await;
    session.say(&FromAgent::VerifyIdentity {}).await;
    let answer = session.control().await;
    assert!(matches!(answer, Some(FromRelay::IdentityVerified { .. })), "{from}: {answer:?}");
    start.elapsed()
}

/// Nobody waited for longer than may be.
fn are_in_time(what: &str, mut waits: Vec<Duration>) {
    waits.sort_unstable();
    figure(format!("{what}: {waits:?}"));
    assert!(waits.iter().all(|wait| *wait < WAIT), "{what}: {waits:?}");
}

/// More connections than there is room for on which nothing is said, or a service is asked for that there is not, keep
/// nobody out: neither visitors nor clients.
#[tokio::test]
async fn connections_that_come_for_nothing_keep_nobody_out() {
    let bed = Bed::with("[server.limits]\nconnections = 400").await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let device = Device::of(&bed).await;
    let addresses = Addresses::new().await;
    let name = host(&client.id());
    let (tls, http) = (bed.server.tls.port(), bed.http().port());
    let nobody = b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n";
    for (what, port, said) in [
        ("silence on the clients' port", tls, &b""[..]),
        ("silence on the visitors' port", http, b""),
        ("requests for nobody", http, nobody),
    ] {
        let flood = Flood::of((0..26).map(|n| addresses.of(0, n)), port, said, Pace { first: 20, again: 20 });
        // There are so many and more, and those that were cut off have come again.
        flood.until_begun(26 * EACH as u64 + 400).await;
        let (mut visitors, mut clients) = (Vec::new(), Vec::new());
        for number in 0..HONEST {
            visitors.push(visits(&bed, addresses.of(1 + number, 1), &name).await);
            clients.push(logs_in(&device, addresses.of(1 + number, 2)).await);
        }
        are_in_time(&format!("visitors beside {what}"), visitors);
        are_in_time(&format!("clients beside {what}"), clients);
    }
}

/// At the defaults: more handshakes that have begun and never end than may be under way. Each is over within the time
/// that it has, its wait included.
#[tokio::test]
async fn handshakes_that_are_left_open_hold_nobody_up() {
    let authority = Authority::new();
    let bed = Bed::https(&authority).await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let device = Device::of(&bed).await;
    let (addresses, name) = (Addresses::new().await, format!("{}.{HTTPS_DOMAIN}", client.id()));
    let strangers = (0..140).map(|n| addresses.of(n / 70, n));
    // All at once, and then so that a machine that is busy with other things has time for it: each costs a handshake.
    let pace = Pace { first: limits::HANDSHAKES_PER_SECOND, again: 1 };
    let flood = Flood::of(strangers, bed.server.tls.port(), &client_hello(&bed), pace);
    flood.until_begun(140 * EACH as u64).await;
    let (mut visitors, mut clients) = (Vec::new(), Vec::new());
    for number in 0..HONEST {
        visitors.push(visits_https(&bed, &authority, addresses.of(2 + number, 1), &name).await);
        clients.push(logs_in(&device, addresses.of(2 + number, 2)).await);
    }
    are_in_time("HTTPS visitors beside open handshakes", visitors);
    are_in_time("clients beside open handshakes", clients);
    figure(format!("open handshakes: the longest was cut after {:?}", flood.longest()));
    assert!(flood.longest() < 2 * limits::HANDSHAKE + limits::REFUSED, "{:?}", flood.longest());
}

/// Who agrees upon TLS and then asks nothing is no visitor yet, and makes way like whoever says nothing at all.
#[tokio::test]
async fn whoever_agrees_upon_tls_and_asks_nothing_keeps_nobody_out() {
    let authority = Authority::new();
    let bed = Bed::https_with(&authority, "[server.limits]\nconnections = 400").await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let device = Device::of(&bed).await;
    let addresses = Addresses::new().await;
    let (roots, name) = (authority.roots(), format!("{}.{HTTPS_DOMAIN}", client.id()));
    let mut held = Vec::new();
    for number in 0..416 {
        let tcp = connect(addresses.of(0, (number % 26) as u8), bed.server.tls.port()).await.unwrap();
        held.extend(tls_on(tcp, &roots, &name, &["http/1.1"]).await);
    }
    let (mut visitors, mut clients) = (Vec::new(), Vec::new());
    for number in 0..HONEST {
        visitors.push(visits_https(&bed, &authority, addresses.of(1 + number, 1), &name).await);
        visitors.push(visits(&bed, addresses.of(1 + number, 2), &name).await);
        clients.push(logs_in(&device, addresses.of(1 + number, 3)).await);
    }
    are_in_time("visitors beside TLS and no request", visitors);
    are_in_time("clients beside TLS and no request", clients);
}
