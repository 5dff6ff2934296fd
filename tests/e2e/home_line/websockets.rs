//! WebSockets, plain and inside TLS: whatever was sent arrives, however long its reader takes.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use petit_tests::authority::{Authority, Identity};
use petit_tests::bed::{Bed, HTTPS_DOMAIN};
use petit_tests::home_line::{HomeLine, Path, on_home_line};
use petit_tests::pattern::{Check, Pattern};
use petit_tests::scripted;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::tls;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Home, LONGER};

/// How a visitor comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Front {
    Http,
    Https,
}

/// Lengths of messages of which one ends in whatever is full on the way.
fn lengths() -> impl Iterator<Item = u64> {
    (0..34).map(|number| 200_000 + 30_001 * number)
}

/// How long a reader does nothing.
const PAUSE: Duration = Duration::from_secs(5);

fn pattern(length: u64) -> Message {
    Message::binary(Pattern::bytes(length))
}

fn check(message: &Message, length: u64) {
    let mut check = Check::default();
    check.take(&message.clone().into_data());
    assert_eq!(check.count(), length);
}

/// A service that agrees to an upgrade; what it does then is said by the path: `/send/N` sends a message of so many
/// bytes, `/pause` does nothing for [`PAUSE`] and then answers each message with its length, anything else echoes.
async fn serve<IO: AsyncRead + AsyncWrite + Send + Unpin>(mut io: IO) {
    let Some(head) = scripted::head(&mut io).await else { return };
    let field = |name: &str| {
        head.lines().find_map(|line| {
            line.to_lowercase().strip_prefix(name).map(|_| line[name.len()..].trim().to_owned())
        })
    };
    let accept = derive_accept_key(field("sec-websocket-key:").unwrap().as_bytes());
    let agreed = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    io.write_all(agreed.as_bytes()).await.unwrap();
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let path = head.split(' ').nth(1).unwrap();
    if let Some(length) = path.strip_prefix("/send/") {
        socket.send(pattern(length.parse().unwrap())).await.unwrap();
    }
    if path == "/pause" {
        tokio::time::sleep(PAUSE).await;
    }
    while let Some(Ok(message)) = socket.next().await {
        let answer = match path {
            _ if !message.is_binary() => continue,
            "/pause" => {
                let length = message.len() as u64;
                check(&message, length);
                Message::text(length.to_string())
            }
            _ => message,
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

/// A customer with such a service, and how visitors come to it.
struct Sockets {
    home: Home,
    front: Front,
    authority: Authority,
    _service: Service,
}

impl Sockets {
    async fn new(line: HomeLine, front: Front) -> Self {
        let service = line.customer.run(Service::speaking("sockets", serve::<TcpStream>)).await;
        Self::of(line, front, service, "").await
    }

    /// With a service behind TLS.
    async fn behind_tls(line: HomeLine, front: Front) -> Self {
        let identity = Identity::self_signed(&["localhost"]);
        let acceptor = TlsAcceptor::from(identity.server(&["http/1.1"]));
        let service = Service::speaking("sockets", move |tcp| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(tls) = acceptor.accept(tcp).await {
                    serve(tls).await;
                }
            }
        });
        let service = line.customer.run(service).await;
        let pin = format!("tls_fingerprint = \"{}\"", identity.fingerprint());
        Self::of(line, front, service, &pin).await
    }

    async fn of(line: HomeLine, front: Front, service: Service, more: &str) -> Self {
        let authority = Authority::new();
        let bed = match front {
            Front::Http => Bed::start().await,
            Front::Https => Bed::https(&authority).await,
        };
        let target = format!("localhost:{}", service.address().port());
        let home = Home::of(line, bed, target, "http", more).await;
        Self { home, front, authority, _service: service }
    }

    async fn open(&self, path: &str) -> WebSocketStream<Box<dyn Io>> {
        let host = match self.front {
            Front::Http => self.home.host(),
            Front::Https => format!("{}.{HTTPS_DOMAIN}", self.home.client.id()),
        };
        let io: Box<dyn Io> = match self.front {
            Front::Http => Box::new(self.home.bed.visitor().tcp().await),
            Front::Https => {
                let (front, roots) = (self.home.bed.server.tls, self.authority.roots());
                Box::new(tls(front, &roots, &host, &["http/1.1"]).await.unwrap())
            }
        };
        let opened = client_async(format!("ws://{host}{path}"), io);
        soon("the upgrade", opened).await.unwrap().0
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Every message is read by a visitor who has done nothing for a while.
async fn visitors_pause(sockets: &Sockets) {
    join_all(lengths().map(|length| async move {
        let mut socket = sockets.open(&format!("/send/{length}")).await;
        tokio::time::sleep(PAUSE).await;
        check(&soon("the whole message", socket.next()).await.unwrap().unwrap(), length);
    }))
    .await;
    sockets.home.session_was_kept();
}

/// Every message is read by a service that has done nothing for a while.
async fn service_pauses(sockets: &Sockets) {
    join_all(lengths().map(|length| async move {
        let mut socket = sockets.open("/pause").await;
        socket.send(pattern(length)).await.unwrap();
        let answer = soon("the service to have all of it", socket.next()).await.unwrap().unwrap();
        assert_eq!(answer, Message::text(length.to_string()));
    }))
    .await;
    sockets.home.session_was_kept();
}

#[test]
fn a_visitor_who_pauses_gets_all_of_a_message_of_any_length() {
    on_home_line(Path::CABLE, async |line| visitors_pause(&Sockets::new(line, Front::Http).await).await);
}

#[test]
fn a_visitor_inside_tls_who_pauses_gets_all_of_a_message_of_any_length() {
    on_home_line(Path::CABLE, async |line| visitors_pause(&Sockets::new(line, Front::Https).await).await);
}

#[test]
fn a_service_that_pauses_gets_all_of_a_message_of_any_length() {
    on_home_line(Path::CABLE, async |line| service_pauses(&Sockets::new(line, Front::Https).await).await);
}

#[test]
fn a_service_behind_tls_that_pauses_gets_all_of_a_message_of_any_length() {
    on_home_line(Path::CABLE, async |line| {
        service_pauses(&Sockets::behind_tls(line, Front::Http).await).await;
    });
}

/// Large ones both ways at the same time.
async fn large_messages(sockets: &Sockets) {
    const LENGTH: u64 = 8_000_000;
    let echoed = (0..2).map(|_| async {
        let socket = sockets.open("/echo").await;
        let (mut write, mut read) = socket.split();
        let sending = async {
            for _ in 0..2 {
                write.send(pattern(LENGTH)).await.unwrap();
            }
        };
        let reading = async {
            for _ in 0..2 {
                check(&soon("the echo", read.next()).await.unwrap().unwrap(), LENGTH);
            }
        };
        tokio::join!(sending, reading);
    });
    join_all(echoed).await;
    sockets.home.session_was_kept();
}

#[test]
fn large_messages_pass_both_ways_at_once() {
    on_home_line(Path::CABLE, async |line| large_messages(&Sockets::new(line, Front::Http).await).await);
}

#[test]
fn large_messages_pass_both_ways_at_once_inside_tls() {
    on_home_line(Path::CABLE, async |line| {
        large_messages(&Sockets::behind_tls(line, Front::Https).await).await;
    });
}

/// Small messages beside others that fill the line; none waits longer than the queues in front of them.
#[test]
fn small_messages_pass_beside_a_full_line_for_long() {
    on_home_line(Path::DSL, async |line| {
        let path = line.path;
        let sockets = Sockets::new(line, Front::Http).await;
        // One that takes the whole line for as long as the test lasts.
        let filling = async {
            let length = path.downloaded_in(LONGER);
            let mut socket = sockets.open(&format!("/send/{length}")).await;
            check(&soon("the large message", socket.next()).await.unwrap().unwrap(), length);
        };
        let talking = async {
            let mut socket = sockets.open("/echo").await;
            let start = Instant::now();
            while start.elapsed() < LONGER {
                let sent = Instant::now();
                socket.send(pattern(100)).await.unwrap();
                check(&soon("the echo", socket.next()).await.unwrap().unwrap(), 100);
                assert!(sent.elapsed() < Duration::from_secs(3), "{:?}", sent.elapsed());
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::join!(filling, talking);
        sockets.home.session_was_kept();
    });
}
