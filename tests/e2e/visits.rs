//! Every visit is told of once when it is over, however it ended, with what passed and where it failed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use petit_engine::agent::{Agent, AgentConfig, AgentState, Direct, ServiceSpec};
use petit_engine::limits;
use petit_engine::name::{DeviceId, RegisteredId};
use petit_engine::net::dial::DialRoute;
use petit_engine::proto::RequestId;
use petit_engine::proto::control::{GrantOutcome, Options, ServiceKind, Text, Vitae};
use petit_engine::proto::frame::{FrameKind, Reset, ResetCode};
use petit_engine::secret::random_bytes;
use petit_relay::{Access, FailedHop, Failure, Farewell, Leave, Observer, Protocol, Record, Relay, VisitEnd};
use petit_tests::bed::{Bed, server_config};
use petit_tests::logs::logged;
use petit_tests::rogue::Device;
use petit_tests::service::Service;
use petit_tests::visitor::{Answer, Visitor, h2_request, host};
use petit_tests::{scripted, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing_subscriber::filter::LevelFilter;

/// A record that outlives its visit.
#[derive(Clone, Debug)]
struct Heard {
    id: RequestId,
    service: RegisteredId,
    client: DeviceId,
    protocol: Protocol,
    method: Option<String>,
    path: Option<String>,
    status: Option<u16>,
    end: VisitEnd,
    up: u64,
    down: u64,
    was_retried: bool,
    took: Duration,
    answered_after: Option<Duration>,
}

struct Listener(mpsc::UnboundedSender<Heard>);

impl Observer for Listener {
    fn visit_ended(&self, record: &Record<'_>) {
        let _ = self.0.send(Heard {
            id: record.id,
            service: record.route.id,
            client: record.route.device,
            protocol: record.protocol,
            method: record.method.map(ToString::to_string),
            path: record.path.map(str::to_owned),
            status: record.status,
            end: record.end,
            up: record.bytes_up,
            down: record.bytes_down,
            was_retried: record.was_retried,
            took: record.took,
            answered_after: record.answered_after,
        });
    }
}

/// A relay that is observed, and a device that is registered with it.
struct Observed {
    bed: Bed,
    relay: Relay,
    visitor: Visitor,
    device: Device,
    tunnel: std::net::SocketAddr,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl Observed {
    /// One shard, so that all of it runs in the test's own thread.
    async fn start() -> Self {
        let bed = Bed::with_config(&server_config("max_services = 4")).await;
        let (listener, heard) = mpsc::unbounded_channel();
        let mut config =
            petit_tests::untried::relay(bed.server.folder.read_key().unwrap(), bed.server.endpoint().clone());
        config.limits.threads = 1;
        let access = Arc::new(bed.server.directory.clone()) as Arc<dyn Access>;
        let relay = Relay::start(config, access, Some(Arc::new(Listener(listener))), None).unwrap();
        let mut device = Device::of(&bed).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tunnel = listener.local_addr().unwrap();
        device.go_to(tunnel);
        relay.serve_tls(listener);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let visitor = Visitor::new(listener.local_addr().unwrap());
        relay.serve_http(listener);
        Self { bed, relay, visitor, device, tunnel, heard }
    }

    fn host(&self) -> String {
        host(&self.device.registered.id)
    }

    async fn next(&mut self) -> Heard {
        soon("the end of a visit", self.heard.recv()).await.unwrap()
    }

    /// The device's own agent, with a service of HTTP and one of raw TCP; the public port of the latter.
    async fn agent(&self, web: &Service, echo: &Service) -> (Agent, u16) {
        self.agent_with(web, echo, Options::default()).await
    }

    /// As [`Self::agent`], with requests handed to the service in this way.
    async fn agent_with(&self, web: &Service, echo: &Service, options: Options) -> (Agent, u16) {
        let spec = |name: &str, kind, service: &Service| {
            ServiceSpec::plain(name.parse().unwrap(), kind, service.address().to_string().parse().unwrap())
        };
        let config = AgentConfig {
            server: self.tunnel.to_string().parse().unwrap(),
            route: DialRoute::default(),
            pins: self.bed.server.pins().to_vec(),
            key: self.device.key.clone(),
            software: Text::lossy("test"),
            device_name: Text::lossy("rogue"),
            vitae: Vitae::new(),
            services: vec![
                ServiceSpec { options, ..spec("web", ServiceKind::Http, web) },
                spec("db", ServiceKind::Tcp, echo),
            ],
            connections: limits::SERVICE_CONNECTIONS,
        };
        let agent = Agent::start(config, Arc::new(Direct)).unwrap();
        agent.switch(true).await;
        let mut view = agent.view();
        let online = view.wait_for(|view| {
            let are_registered = view
                .services
                .iter()
                .all(|service| matches!(service.outcome, Some(GrantOutcome::Registered { .. })));
            matches!(view.state, AgentState::Online { .. }) && are_registered
        });
        let url = match &soon("the agent", online).await.unwrap().services[1].outcome {
            Some(GrantOutcome::Registered { url, .. }) => url.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        (agent, url.rsplit_once(':').unwrap().1.parse().unwrap())
    }
}

/// What becomes of one visit.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The service answers; the visitor sends this many bytes first, and how.
    Whole { up: usize, chunked: bool },
    /// The service closes without a word.
    Unanswered,
    /// The service breaks off in the middle of its answer.
    CutAnswer,
    /// The visitor leaves while the service has said nothing.
    LeftUnanswered,
    /// The visitor leaves in the middle of the answer.
    LeftInAnswer,
    /// The visitor leaves in the middle of his own body.
    LeftInUpload { up: usize },
    /// Of HTTP/2 the visitor takes back the request alone.
    ResetH2,
    /// A WebSocket that carries so many bytes both ways.
    WebSocket { bytes: usize },
    /// Raw TCP that carries so many bytes both ways.
    Tcp { bytes: usize },
}

/// What is said of it.
struct Said {
    status: Option<u16>,
    end: VisitEnd,
    up: u64,
    down: u64,
    protocol: Protocol,
}

impl Way {
    fn any() -> Self {
        let [kind, chunked, high, low] = random_bytes::<4>().unwrap();
        let up = usize::from(u16::from_be_bytes([high, low]));
        match kind % 10 {
            0 => Self::Whole { up: 0, chunked: false },
            1 => Self::Whole { up: up + 1, chunked: chunked % 2 == 0 },
            2 => Self::Unanswered,
            3 => Self::CutAnswer,
            4 => Self::LeftUnanswered,
            5 => Self::LeftInAnswer,
            6 => Self::LeftInUpload { up: up + 1 },
            7 => Self::ResetH2,
            8 => Self::WebSocket { bytes: up + 1 },
            _ => Self::Tcp { bytes: up + 1 },
        }
    }

    fn said(self) -> Said {
        let http = |status, end, up: usize, down: usize| Said {
            status,
            end,
            up: up as u64,
            down: down as u64,
            protocol: Protocol::Http11,
        };
        let both = |status, protocol, bytes: usize| {
            let bytes = bytes as u64;
            Said { status, end: VisitEnd::Whole, up: bytes, down: bytes, protocol }
        };
        match self {
            Self::Whole { up, .. } => http(Some(200), VisitEnd::Whole, up, 5),
            Self::Unanswered => http(Some(502), VisitEnd::Failed(Failure::ServiceBroke), 0, 0),
            Self::CutAnswer => http(Some(200), VisitEnd::Failed(Failure::ServiceBroke), 0, PART),
            Self::LeftUnanswered => http(None, VisitEnd::VisitorLeft, 0, 0),
            Self::LeftInAnswer => http(Some(200), VisitEnd::VisitorLeft, 0, PART),
            Self::LeftInUpload { up } => http(None, VisitEnd::VisitorLeft, up, 0),
            Self::ResetH2 => {
                Said { protocol: Protocol::Http2, ..http(Some(200), VisitEnd::VisitorLeft, 0, PART) }
            }
            Self::WebSocket { bytes } => both(Some(101), Protocol::WebSocket, bytes),
            Self::Tcp { bytes } => both(None, Protocol::Tcp, bytes),
        }
    }

    async fn go(self, visitor: Visitor, host: String, port: u16, path: String) {
        let head = |method: &str, fields: &str| {
            format!("{method} {path}?key=secret HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
        };
        let mut tcp = match self {
            Self::Tcp { .. } => TcpStream::connect(("127.0.0.1", port)).await.unwrap(),
            _ => visitor.tcp().await,
        };
        match self {
            Self::Whole { up, chunked } => {
                let fields = if chunked {
                    "Transfer-Encoding: chunked\r\n".to_owned()
                } else {
                    format!("Content-Length: {up}\r\n")
                };
                tcp.write_all(head("POST", &fields).as_bytes()).await.unwrap();
                let body = vec![b'x'; up];
                for piece in body.chunks(1 << 14) {
                    if chunked {
                        tcp.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
                    }
                    tcp.write_all(piece).await.unwrap();
                    if chunked {
                        tcp.write_all(b"\r\n").await.unwrap();
                    }
                }
                if chunked {
                    tcp.write_all(b"0\r\n\r\n").await.unwrap();
                }
                let answer = scripted::head(&mut tcp).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{self:?}: {answer}");
                tcp.read_exact(&mut [0; 5]).await.unwrap();
            }
            Self::Unanswered | Self::CutAnswer => {
                tcp.write_all(head("GET", "").as_bytes()).await.unwrap();
                assert!(scripted::head(&mut tcp).await.is_some());
                if matches!(self, Self::CutAnswer) {
                    scripted::gone(&mut tcp).await;
                }
            }
            Self::LeftUnanswered => {
                tcp.write_all(head("GET", "").as_bytes()).await.unwrap();
            }
            Self::LeftInAnswer => {
                tcp.write_all(head("GET", "").as_bytes()).await.unwrap();
                assert!(scripted::head(&mut tcp).await.is_some());
                tcp.read_exact(&mut [0; PART]).await.unwrap();
            }
            Self::LeftInUpload { up } => {
                let fields = format!("Content-Length: {}\r\n", up + 1);
                tcp.write_all(head("POST", &fields).as_bytes()).await.unwrap();
                tcp.write_all(&vec![b'x'; up]).await.unwrap();
            }
            Self::ResetH2 => {
                let mut sender = visitor.connect_h2().await;
                let request = h2_request(&host, "GET", &path, Empty::<Bytes>::new());
                let mut answer = soon("the answer", sender.send_request(request)).await.unwrap();
                let mut seen = 0;
                while seen < PART {
                    let frame = soon("a part", answer.frame()).await.unwrap().unwrap();
                    seen += frame.data_ref().map_or(0, Bytes::len);
                }
                // Taken back while the connection goes on.
                drop(answer);
                sender.ready().await.unwrap();
            }
            Self::WebSocket { bytes } => {
                let fields = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
                tcp.write_all(head("GET", fields).as_bytes()).await.unwrap();
                let answer = scripted::head(&mut tcp).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
                echoed(tcp, bytes).await;
            }
            Self::Tcp { bytes } => echoed(tcp, bytes).await,
        }
    }
}

/// Sends bytes, and reads the same number until the other side finishes.
async fn echoed(tcp: TcpStream, bytes: usize) {
    let (mut read, mut write) = tcp.into_split();
    let sending = tokio::spawn(async move {
        write.write_all(&vec![b'x'; bytes]).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    soon("the echo", read.read_to_end(&mut back)).await.unwrap();
    assert_eq!(back.len(), bytes);
    sending.await.unwrap();
}

/// What a service sends of an answer that does not come to its end.
const PART: usize = 1000;

/// A service that does with each request what its path says.
async fn service() -> Service {
    scripted::raw(|head, mut tcp| async move {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let part = [b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n".to_vec(), vec![b'y'; PART]].concat();
        match path.split('/').nth(1).unwrap_or_default() {
            "unanswered" => {}
            "cut" => {
                let _ = tcp.write_all(&part).await;
            }
            "part" => {
                let _ = tcp.write_all(&part).await;
                scripted::gone(&mut tcp).await;
            }
            "silent" => scripted::gone(&mut tcp).await,
            "socket" => {
                let agreed =
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
                let _ = tcp.write_all(agreed.as_bytes()).await;
                let (mut read, mut write) = tcp.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            }
            _ => {
                let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
                let length = head
                    .to_ascii_lowercase()
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                if is_chunked {
                    let mut end = Vec::new();
                    while !end.ends_with(b"\r\n0\r\n\r\n") {
                        let Ok(byte) = tcp.read_u8().await else { return };
                        end.push(byte);
                    }
                } else if tcp.read_exact(&mut vec![0; length.unwrap_or(0)]).await.is_err() {
                    return;
                }
                let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
                let _ = tcp.write_all(answer).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn whatever_becomes_of_visits_each_is_told_of_once_with_what_passed_and_where_it_failed() {
    const VISITS: usize = 120;
    let mut observed = Observed::start().await;
    let (web, echo) = (service().await, Service::tcp_echo("").await);
    let (agent, port) = observed.agent(&web, &echo).await;
    let ways: Vec<Way> = (0..VISITS).map(|_| Way::any()).collect();
    let mut going = tokio::task::JoinSet::new();
    for (number, way) in ways.iter().copied().enumerate() {
        let what = match way {
            Way::Unanswered => "unanswered",
            Way::CutAnswer => "cut",
            Way::LeftUnanswered => "silent",
            Way::LeftInAnswer | Way::ResetH2 => "part",
            Way::WebSocket { .. } => "socket",
            Way::Whole { .. } | Way::LeftInUpload { .. } | Way::Tcp { .. } => "whole",
        };
        let (visitor, host) = (observed.visitor, observed.host());
        going.spawn(way.go(visitor, host, port, format!("/{what}/{number}")));
        // So that not all of them come at once, and some do.
        if number % 8 == 7 {
            while let Some(gone) = going.join_next().await {
                gone.unwrap();
            }
        }
    }
    while let Some(gone) = going.join_next().await {
        gone.unwrap();
    }
    let mut all = Vec::new();
    for _ in 0..VISITS {
        all.push(observed.next().await);
    }
    let mut of_tcp: Vec<u64> = Vec::new();
    for heard in &all {
        assert_eq!(heard.client, observed.device.registered.device);
        let Some(path) = &heard.path else {
            assert_eq!((heard.protocol, heard.end, heard.up), (Protocol::Tcp, VisitEnd::Whole, heard.down));
            assert!(heard.method.is_none() && heard.status.is_none());
            of_tcp.push(heard.up);
            continue;
        };
        assert_eq!(heard.service, observed.device.registered.id);
        let way = ways[path.rsplit_once('/').unwrap().1.parse::<usize>().expect("no query")];
        let said = way.said();
        // Who has left in the middle of his body is at fault himself; the answer to it may have been made by then.
        if matches!(way, Way::LeftInUpload { .. }) {
            assert_eq!(heard.end.hop(), Some(FailedHop::Request), "{way:?}: {heard:?}");
            assert!(heard.status.is_none_or(|status| status == 400), "{way:?}: {heard:?}");
            assert!(heard.up <= said.up && heard.down == 0, "{way:?}: {heard:?}");
            continue;
        }
        assert_eq!((heard.protocol, heard.status), (said.protocol, said.status), "{way:?}: {heard:?}");
        assert_eq!((heard.end, heard.up, heard.down), (said.end, said.up, said.down), "{way:?}: {heard:?}");
        assert!(heard.answered_after.is_none_or(|after| after <= heard.took));
    }
    let mut expected: Vec<u64> = Vec::new();
    expected.extend(ways.iter().filter_map(|way| match way {
        Way::Tcp { bytes } => Some(*bytes as u64),
        _ => None,
    }));
    expected.sort_unstable();
    of_tcp.sort_unstable();
    assert_eq!(of_tcp, expected);
    // Nothing more comes when all of it has ended.
    drop(agent);
    observed.relay.end();
    drop((observed.relay, observed.bed));
    assert!(observed.heard.try_recv().is_err(), "one of them was told of twice");
}

#[tokio::test]
async fn a_failure_behind_the_tunnel_is_told_with_its_hop_and_the_id_that_the_client_was_given() {
    let mut observed = Observed::start().await;
    for (code, delivered, failure) in [
        (ResetCode::ServiceRefused, 0, Failure::ServiceDown),
        (ResetCode::ServiceTls, 0, Failure::ServiceTls),
        (ResetCode::ServiceUnknown, 0, Failure::NotOffered),
        (ResetCode::ServiceBroke, 0, Failure::ServiceBroke),
        (ResetCode::NoRoom, 0, Failure::Busy),
        // The service has seen something of the request: nobody is told to try again.
        (ResetCode::ServiceUnknown, 1, Failure::Withdrawn),
        (ResetCode::NoRoom, u64::MAX, Failure::GaveWay),
    ] {
        let mut session = observed.device.session().await;
        let (visitor, host) = (observed.visitor, observed.host());
        let visiting = tokio::spawn(async move { visitor.get(&host, "/").await });
        let (stream, open) = session.visited().await;
        session.send(stream, FrameKind::Rst, &Reset { code, delivered }.encode()).await;
        let answer = soon("the answer", visiting).await.unwrap();
        let heard = observed.next().await;
        assert_eq!((heard.end, heard.id), (VisitEnd::Failed(failure), open.id));
        assert_eq!(heard.status, Some(answer.status.as_u16()));
        assert_eq!(answer.petit_error().as_deref(), Some(failure.code()));
        assert_eq!(answer.json()["retry"], failure.should_retry());
        assert_eq!(heard.end.hop(), Some(failure.hop()));
        assert!(!heard.was_retried, "{heard:?}");
    }
    // The session ends in the middle of a request.
    let mut session = observed.device.session().await;
    let (visitor, host) = (observed.visitor, observed.host());
    let visiting = tokio::spawn(async move { visitor.get(&host, "/").await });
    session.visited().await;
    drop(session);
    assert_eq!(soon("the answer", visiting).await.unwrap().petit_error().as_deref(), Some("tunnel-lost"));
    let heard = observed.next().await;
    assert_eq!(heard.end, VisitEnd::Failed(Failure::TunnelLost));
    assert_eq!(heard.end.hop(), Some(FailedHop::Tunnel));
    // Nobody is there any more.
    let host = observed.host();
    let gone =
        observed.visitor.until("the end of the session", &host, "/", |answer| answer.status == 503).await;
    assert_eq!(gone.petit_error().as_deref(), Some("client-away"));
    let heard = observed.next().await;
    assert_eq!(heard.end.hop(), Some(FailedHop::Client), "{heard:?}");
    // What leads to no service is no visit.
    let unknown = host_of_nobody();
    assert_eq!(observed.visitor.get(&unknown, "/").await.status, 404);
    assert!(observed.heard.try_recv().is_err());
}

fn host_of_nobody() -> String {
    host(&RegisteredId::random().unwrap())
}

/// hyper asks for no more of an answer of known length once it is there.
#[tokio::test]
async fn an_answer_of_http2_whose_end_comes_by_itself_was_whole() {
    let mut observed = Observed::start().await;
    let (web, echo) = (Service::h2("web").await, Service::tcp_echo("").await);
    let options = Options { h2: true, ..Options::default() };
    let (_agent, _) = observed.agent_with(&web, &echo, options).await;
    let visitor = observed.visitor;
    for _ in 0..5 {
        assert_eq!(visitor.get(&observed.host(), "/late-end/50000").await.body.len(), 50_000);
        let heard = observed.next().await;
        assert_eq!((heard.end, heard.down, heard.status), (VisitEnd::Whole, 50_000, Some(200)));
    }
}

#[tokio::test]
async fn a_long_path_is_recorded_in_part() {
    let mut observed = Observed::start().await;
    let path = format!("/{}", "a".repeat(3_000));
    assert_eq!(observed.visitor.get(&observed.host(), &path).await.status, 503);
    let recorded = observed.next().await.path.unwrap();
    assert_eq!(recorded, format!("{}...", &path[..1024]));
}

#[tokio::test]
async fn the_id_of_a_request_stands_on_every_answer_and_is_told_to_the_service() {
    let bed = Bed::start().await;
    let (told, mut heads) = mpsc::unbounded_channel();
    let service = scripted::raw(move |head, mut tcp| {
        let told = told.clone();
        async move {
            told.send(head).unwrap();
            let answer = "HTTP/1.1 200 OK\r\nPetit-Request: forged\r\nX-Request-Id: own\r\nContent-Length: 2\r\n\r\nok";
            let _ = tcp.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let client = bed.client(&service).await;
    let named = host(&client.id());
    let id_of = |answer: &Answer| {
        let ids: Vec<_> = answer.headers.get_all("petit-request").iter().collect();
        assert_eq!(ids.len(), 1, "{answer:?}");
        ids[0].to_str().unwrap().to_owned()
    };
    let request = hyper::Request::get("/").header("host", &named).header("x-request-id", "theirs");
    let answer = bed.visitor().send(request.body(Empty::<Bytes>::new()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["x-request-id"]), (200, &"own".parse().unwrap()));
    let id = id_of(&answer);
    assert_eq!(id.len(), 32);
    let head = soon("the request", heads.recv()).await.unwrap().to_ascii_lowercase();
    assert_eq!(head.matches("petit-request: ").count(), 1, "{head}");
    assert!(
        head.contains(&format!("petit-request: {id}\r\n")) && head.contains("x-request-id: theirs"),
        "{head}"
    );
    // Petit's own answers: of a name that nobody has, and of what is no HTTP at all.
    let unknown = bed.visitor().get(&host(&RegisteredId::random().unwrap()), "/").await;
    assert_eq!(unknown.json()["request"], id_of(&unknown));
    assert_ne!(id_of(&unknown), id);
    let refused = String::from_utf8(bed.visitor().raw(b"GET / HTTP/1.1\r\n: x\r\n\r\n").await).unwrap();
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    let said = head.lines().find_map(|line| line.strip_prefix("petit-request: ")).expect("an ID");
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["request"], said);
}

#[tokio::test]
async fn at_debug_every_line_about_a_failed_request_has_its_id_and_at_info_the_one_line_that_there_is() {
    let mut observed = Observed::start().await;
    for level in [LevelFilter::DEBUG, LevelFilter::INFO] {
        let (memory, _logging) = logged(level);
        let mut session = observed.device.session().await;
        let before = memory.text().len();
        let (visitor, host) = (observed.visitor, observed.host());
        let visiting = tokio::spawn(async move { visitor.get(&host, "/").await });
        let (stream, open) = session.visited().await;
        let reset = Reset { code: ResetCode::ServiceRefused, delivered: 0 };
        session.send(stream, FrameKind::Rst, &reset.encode()).await;
        assert_eq!(soon("the answer", visiting).await.unwrap().status, 502);
        let heard = observed.next().await;
        assert_eq!(heard.id, open.id);
        let text = memory.text();
        let lines: Vec<&str> =
            text[before..].lines().filter(|line| line.contains("petit_relay::ingress")).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(lines[0].contains(&heard.id.to_string()) && lines[0].contains("service-down"), "{lines:?}");
        let is_debug = level == LevelFilter::DEBUG;
        let span = format!("request{{id={} service={}}}", heard.id, heard.service);
        assert_eq!(lines[0].contains(&span), is_debug, "{lines:?}");
        // The session's own lines say which session, and whose it is.
        drop(session);
        let ended = soon("the session's end", async {
            loop {
                let text = memory.text();
                if let Some(line) = text.lines().find(|line| line.contains("session ended")) {
                    return line.to_owned();
                }
                tokio::task::yield_now().await;
            }
        });
        let ended = ended.await;
        assert!(
            ended.contains("session{id=") && ended.contains(&format!("client={}", heard.client)),
            "{ended}"
        );
    }
}

/// The lines of a log that this test's agent and relay have written about streams and requests.
fn lines_about_requests(text: &str) -> Vec<&str> {
    let is_of = |line: &&str| line.contains("petit_relay::ingress") || line.contains("petit_engine::agent::");
    // A service's health is nobody's request.
    text.lines().filter(is_of).filter(|line| !line.contains("service health changed")).collect()
}

#[tokio::test]
async fn at_debug_every_line_of_both_ends_about_a_failed_request_has_its_id_or_that_of_the_stream_it_was_on()
{
    let (memory, _logging) = logged(LevelFilter::DEBUG);
    let mut observed = Observed::start().await;
    // The first request on a connection is answered, the next one is cut off.
    let web = Service::speaking("web", |mut tcp| async move {
        if scripted::head(&mut tcp).await.is_some() {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            scripted::head(&mut tcp).await;
            let _ = tcp.set_zero_linger();
        }
    })
    .await;
    let echo = Service::tcp_echo("").await;
    let (_agent, _) = observed.agent(&web, &echo).await;
    let (visitor, host) = (observed.visitor, observed.host());
    assert_eq!(visitor.get(&host, "/").await.status, 200);
    let opened = observed.next().await.id;
    let before = memory.text().len();
    assert_eq!(visitor.get(&host, "/").await.status, 502);
    let failed = observed.next().await;
    assert_ne!(failed.id, opened);
    let broke = soon("the agent's line", async {
        loop {
            let text = memory.text()[before..].to_owned();
            if text.contains("the service's connection broke") {
                return text;
            }
            tokio::task::yield_now().await;
        }
    });
    let text = broke.await;
    let (request, stream) = (failed.id.to_string(), opened.to_string());
    let lines = lines_about_requests(&text);
    let (agents, relays): (Vec<&str>, Vec<&str>) =
        lines.iter().partition(|line| line.contains("petit_engine::agent::"));
    assert!(!agents.is_empty() && relays.len() > 1, "{text}");
    assert!(agents.iter().all(|line| line.contains(&format!("stream{{id={stream}"))), "{agents:?}");
    assert!(relays.iter().all(|line| line.contains(&request)), "{relays:?}");
    assert!(relays.iter().any(|line| line.contains(&stream)), "nothing joins the two: {relays:?}");

    // On a stream of its own, which has the request's ID, to a service that is not there.
    drop(web);
    let before = memory.text().len();
    let down = |answer: &Answer| answer.petit_error().as_deref() == Some("service-down");
    visitor.until("the service to be gone", &host, "/", down).await;
    let mut last = observed.next().await;
    while last.end != VisitEnd::Failed(Failure::ServiceDown) {
        last = observed.next().await;
    }
    let text = memory.text()[before..].to_owned();
    let id = last.id.to_string();
    let of_it: Vec<&str> =
        lines_about_requests(&text).into_iter().filter(|line| line.contains(&id)).collect();
    let of_agent =
        |line: &&&str| line.contains("petit_engine::agent::") && line.contains(&format!("stream{{id={id}"));
    assert!(of_it.iter().any(|line| of_agent(&line) && line.contains("service not reached")), "{text}");
    assert!(of_it.iter().any(|line| line.contains("petit_relay::ingress")), "{text}");
    let untold = lines_about_requests(&text).into_iter().find(|line| !line.contains("{id="));
    assert_eq!(untold, None);
}

/// A service that answers at once and goes on to read.
async fn hasty() -> Service {
    scripted::raw(|_, mut tcp| async move {
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        scripted::gone(&mut tcp).await;
    })
    .await
}

#[tokio::test]
async fn a_visit_whose_upload_goes_on_behind_a_whole_answer_is_whole_only_when_that_is() {
    let mut observed = Observed::start().await;
    let (web, echo) = (hasty().await, Service::tcp_echo("").await);
    let (_agent, _) = observed.agent(&web, &echo).await;
    let asked = format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 4\r\n\r\nbe", observed.host());
    for rest in [Some(b"en"), None] {
        let mut tcp = observed.visitor.tcp().await;
        tcp.write_all(asked.as_bytes()).await.unwrap();
        let head = scripted::head(&mut tcp).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        tcp.read_exact(&mut [0; 2]).await.unwrap();
        match rest {
            Some(rest) => {
                tcp.write_all(rest).await.unwrap();
                let heard = observed.next().await;
                assert_eq!((heard.end, heard.status, heard.up), (VisitEnd::Whole, Some(200), 4));
            }
            None => {
                drop(tcp);
                let heard = observed.next().await;
                assert_eq!(heard.end.hop(), Some(FailedHop::Request), "{heard:?}");
                assert_eq!((heard.status, heard.up), (Some(200), 2));
            }
        }
    }
}

/// Unanswered, in the middle of its answer, and of raw TCP.
#[tokio::test]
async fn what_a_server_cuts_that_stops_is_said_to_be_that() {
    let mut observed = Observed::start().await;
    let (web, echo) = (service().await, Service::tcp_echo("").await);
    let (_agent, port) = observed.agent(&web, &echo).await;
    let host = observed.host();
    let mut silent = observed.visitor.tcp().await;
    silent.write_all(format!("GET /silent HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut part = observed.visitor.tcp().await;
    part.write_all(format!("GET /part HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    assert!(scripted::head(&mut part).await.is_some());
    part.read_exact(&mut [0; PART]).await.unwrap();
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.write_all(b"x").await.unwrap();
    assert_eq!(tcp.read_u8().await.unwrap(), b'x');
    web.until_open(2).await;
    let farewell = Farewell { leave: Leave::Stop, goodbye: limits::GOODBYE, limit: Duration::ZERO };
    let leaving = tokio::spawn(observed.relay.leave(farewell));
    let told = soon("the answer", scripted::head(&mut silent)).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("petit-error: cut"), "{told}");
    for _ in 0..3 {
        let heard = observed.next().await;
        assert_eq!((heard.end, heard.end.hop()), (VisitEnd::Cut, Some(FailedHop::Server)), "{heard:?}");
    }
    soon("the end of the relay", leaving).await.unwrap();
}
