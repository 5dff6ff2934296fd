//! Who takes everything: one client, one address, one stranger. Each may, while nobody else wants it; and none keeps
//! it from the first who does.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::Request;
use petit_engine::limits;
use petit_engine::name::RegisteredId;
use petit_engine::proto::control::{FromAgent, FromRelay, GrantOutcome, Offer, Options, ServiceKind};
use petit_engine::proto::frame::FrameKind;
use petit_tests::bed::{Bed, BedClient, client_config, server_config, until_counted};
use petit_tests::netns::Netns;
use petit_tests::process::Program;
use petit_tests::program;
use petit_tests::rogue::{Device, hello, offer};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{Answer, Visitor, host, request};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::h2::{END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, field, frame};
use crate::traffic::websocket::socket;

/// A proxy of the operator's on this machine says who the visitors are.
const PROXY: &str = "trusted_proxies = [\"127.0.0.1\"]";

/// An honest visitor waits no longer than this, on a machine that is busy with the attack as well. (A second is the
/// rule; the unit tests of the places measure it by a clock of their own.)
const WAIT: Duration = Duration::from_secs(5);

/// What a stranger asks for on each stream of a connection.
#[derive(Clone, Copy)]
enum Ask {
    /// A service that does not answer.
    Get,
    /// To send a body that never comes.
    Post,
}

/// Asks on a hundred streams of one HTTP/2 connection for what never comes, until the server ends it.
async fn hundred(tcp: TcpStream, host: String, from: Option<IpAddr>, ask: Ask) {
    hundred_of(tcp, host, |_| from, ask).await;
}

/// The same, each of whoever `from` says.
async fn hundred_of(mut tcp: TcpStream, host: String, from: impl Fn(u32) -> Option<IpAddr>, ask: Ask) {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let (method, end) = match ask {
        Ask::Get => ("GET", END_STREAM),
        Ask::Post => ("POST", 0),
    };
    let mut head = [field(":method", method), field(":scheme", "http"), field(":path", "/wait")].concat();
    head.extend(field(":authority", &host));
    for number in 0..limits::H2_STREAMS {
        let from = from(number).map(|from| field("x-forwarded-for", &from.to_string()));
        let head = [head.as_slice(), from.as_deref().unwrap_or_default()].concat();
        bytes.extend(frame(HEADERS, END_HEADERS | end, 2 * number + 1, &head));
    }
    tcp.write_all(&bytes).await.unwrap();
    // Whoever does not answer a PING is given up.
    let mut header = [0; 9];
    while tcp.read_exact(&mut header).await.is_ok() {
        let [a, b, c, kind, flags, ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if tcp.read_exact(&mut payload).await.is_err() {
            return;
        }
        if (kind, flags) == (PING, 0) {
            let _ = tcp.write_all(&frame(PING, 1, 0, &payload)).await;
        }
    }
}

/// A client that offers eight services and never answers, and the hosts of these.
async fn deaf_client(
    bed: &Bed,
    options: Options,
) -> (impl Future<Output = ()> + Send + 'static, Vec<String>) {
    let device = Device::of(bed).await;
    let mut session = device.connect().await;
    let offers = (0..8).map(|number| {
        let name = if number == 0 { "web".to_owned() } else { format!("s{number}") };
        Offer { options: options.clone(), ..offer(number, &name, ServiceKind::Http) }
    });
    session.say(&FromAgent::Hello(hello("deaf", offers.collect()))).await;
    let Some(FromRelay::Welcome(welcome)) = session.control().await else { panic!("no welcome") };
    let id = |outcome: &GrantOutcome| match outcome {
        GrantOutcome::Registered { id, .. } => host(id),
        GrantOutcome::Refused { cause } => panic!("{cause:?}"),
    };
    let hosts = welcome.services.iter().map(|grant| id(&grant.outcome)).collect();
    // PINGs are answered on the way to the message that never comes.
    let listening = async move { while session.next_of(FrameKind::Control).await.is_some() {} };
    (listening, hosts)
}

/// Waits until so many requests are under way.
async fn until_requests(bed: &Bed, wanted: usize) {
    until_counted(&bed.server.relay, "requests to be under way", |counts| counts.requests >= wanted).await;
}

/// `GET` of a visitor that a proxy names.
async fn get_from(visitor: Visitor, host: &str, target: &str, from: IpAddr) -> Answer {
    let mut request: Request<Empty<bytes::Bytes>> = request(host, "GET", target, Empty::new());
    request.headers_mut().insert("x-forwarded-for", from.to_string().parse().unwrap());
    visitor.send(request).await
}

/// Honest visitors, each with an address of its own, one after the other.
async fn honest_visitors(bed: &Bed, id: &RegisteredId, count: u8) {
    for number in 0..count {
        let start = Instant::now();
        let answer = get_from(bed.visitor(), &host(id), "/", [198, 51, 100, number].into()).await;
        assert_eq!((answer.status.as_u16(), answer.petit_error()), (200, None), "visitor {number}");
        assert!(start.elapsed() < WAIT, "visitor {number} waited {:?}", start.elapsed());
    }
}

/// A listener of events, and somebody who chats, from before an attack to its end.
struct Regulars {
    chat: tokio_tungstenite::WebSocketStream<TcpStream>,
}

impl Regulars {
    async fn of(bed: &Bed, client: &BedClient) -> Self {
        Self { chat: socket(bed.visitor().tcp().await, &host(&client.id()), "/ws").await }
    }

    async fn are_served(mut self) {
        self.chat.send(Message::text("still there?")).await.unwrap();
        let answer = soon("an echo", self.chat.next()).await.unwrap().unwrap();
        assert_eq!(answer, Message::text("still there?"));
    }
}

/// The stranger's address.
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

/// At the defaults: clients that announce eight services of HTTP/2 each, want a day for every answer and never give
/// one; a visitor with as many connections as an address may have.
#[tokio::test]
async fn clients_that_never_answer_take_no_places_from_others() {
    let bed = Bed::with(PROXY).await;
    let service = Service::http("honest").await;
    let honest = bed.client(&service).await;
    let regulars = Regulars::of(&bed, &honest).await;
    let options = Options { h2: true, answer_within_s: Some(86_400), ..Options::default() };
    let (mut clients, mut crowd) = (JoinSet::new(), JoinSet::new());
    for _ in 0..3 {
        let (client, hosts) = deaf_client(&bed, options.clone()).await;
        clients.spawn(client);
        for number in 0..32 {
            let tcp = bed.visitor().tcp().await;
            crowd.spawn(hundred(tcp, hosts[number % hosts.len()].clone(), None, Ask::Get));
        }
    }
    until_requests(&bed, limits::MAX_REQUESTS).await;
    honest_visitors(&bed, &honest.id(), 50).await;
    regulars.are_served().await;
}

/// At the defaults: one stranger, and the heads of some thousands of requests whose bodies never come, to services
/// that are nobody's fault.
#[tokio::test]
async fn requests_without_their_bodies_take_no_places_from_others() {
    let bed = Bed::with(PROXY).await;
    let service = Service::http("honest").await;
    let honest = bed.client(&service).await;
    let regulars = Regulars::of(&bed, &honest).await;
    let (mut clients, mut crowd) = (JoinSet::new(), JoinSet::new());
    for _ in 0..3 {
        let (client, hosts) = deaf_client(&bed, Options::default()).await;
        clients.spawn(client);
        for number in 0..32 {
            let tcp = bed.visitor().tcp().await;
            crowd.spawn(hundred(tcp, hosts[number % hosts.len()].clone(), Some(STRANGER), Ask::Post));
        }
    }
    until_requests(&bed, limits::MAX_REQUESTS).await;
    honest_visitors(&bed, &honest.id(), 50).await;
    regulars.are_served().await;
}

/// At the defaults: the same, to one honest service, until nobody else gets an answer of it.
#[tokio::test]
async fn a_stranger_keeps_no_service_from_its_other_visitors() {
    let bed = Bed::with(PROXY).await;
    let service = Service::http("honest").await;
    let client = bed.client(&service).await;
    let regulars = Regulars::of(&bed, &client).await;
    for ask in [Ask::Post, Ask::Get] {
        let mut crowd = JoinSet::new();
        for _ in 0..11 {
            let tcp = bed.visitor().tcp().await;
            crowd.spawn(hundred(tcp, host(&client.id()), Some(STRANGER), ask));
        }
        until_requests(&bed, limits::REQUESTS_PER_SERVICE).await;
        honest_visitors(&bed, &client.id(), 20).await;
    }
    regulars.are_served().await;
}

/// At the defaults: one IPv6 /56, of which each /64 asks for no more than a browser might.
#[tokio::test]
async fn a_stranger_with_many_networks_keeps_no_service_from_its_other_visitors() {
    let bed = Bed::with(PROXY).await;
    let service = Service::http("honest").await;
    let client = bed.client(&service).await;
    let regulars = Regulars::of(&bed, &client).await;
    let mut crowd = JoinSet::new();
    for connection in 0..11 {
        let tcp = bed.visitor().tcp().await;
        let from = move |stream: u32| {
            let network = (connection * limits::H2_STREAMS + stream) / 7;
            Some(Ipv6Addr::new(0x2001, 0xdb8, 0, network as u16, 0, 0, 0, 1).into())
        };
        crowd.spawn(hundred_of(tcp, host(&client.id()), from, Ask::Get));
    }
    until_requests(&bed, limits::REQUESTS_PER_SERVICE).await;
    honest_visitors(&bed, &client.id(), 20).await;
    for number in 0..20 {
        let from = Ipv6Addr::new(0x2001, 0xdb8, 1, number, 0, 0, 0, 1).into();
        let answer = get_from(bed.visitor(), &host(&client.id()), "/", from).await;
        assert_eq!((answer.status.as_u16(), answer.petit_error()), (200, None), "visitor {number}");
    }
    regulars.are_served().await;
}

/// A connection of somebody's that a proxy names, on which a WebSocket was asked for.
async fn asks_for_websocket(bed: &Bed, client: &BedClient, target: &str, from: IpAddr) -> TcpStream {
    let mut tcp = bed.visitor().tcp().await;
    let upgrade = format!(
        "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: {from}\r\n\r\n",
        host(&client.id())
    );
    tcp.write_all(upgrade.as_bytes()).await.unwrap();
    tcp
}

/// A WebSocket of somebody's that a proxy names.
async fn websocket_from(bed: &Bed, client: &BedClient, from: IpAddr) -> TcpStream {
    let mut tcp = asks_for_websocket(bed, client, "/ws", from).await;
    let head = soon("an answer", petit_tests::scripted::head(&mut tcp)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{from}: {head}");
    tcp
}

/// Newcomers who get a WebSocket each, one after the other.
async fn newcomers(bed: &Bed, client: &BedClient, count: u8) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for number in 0..count {
        let start = Instant::now();
        sockets.push(websocket_from(bed, client, [198, 51, 100, number].into()).await);
        assert!(start.elapsed() < WAIT, "{:?}", start.elapsed());
    }
    sockets
}

/// Of these connections, how many the server has ended.
async fn ended(held: Vec<TcpStream>) -> usize {
    let mut gone = 0;
    for mut tcp in held {
        let end = tokio::time::timeout(Duration::from_millis(1), tcp.read_to_end(&mut Vec::new())).await;
        gone += usize::from(end.is_ok());
    }
    gone
}

/// Strangers hold all WebSockets that a client may have but one, the nth from this address; others get theirs, and as
/// many of the strangers' end.
async fn others_get_websockets_beside(stranger: impl Fn(usize) -> IpAddr) {
    let bed = Bed::with(PROXY).await;
    let service = Service::http("chat").await;
    let client = bed.client(&service).await;
    let regulars = Regulars::of(&bed, &client).await;
    let mut held = Vec::new();
    for number in 0..limits::WEBSOCKETS_PER_CLIENT - 1 {
        held.push(websocket_from(&bed, &client, stranger(number)).await);
    }
    service.until_sockets(limits::WEBSOCKETS_PER_CLIENT).await;
    let others = newcomers(&bed, &client, 20).await;
    // As many of the stranger's are gone, and the service knows it.
    service.until_sockets(limits::WEBSOCKETS_PER_CLIENT).await;
    assert_eq!(ended(held).await, others.len());
    regulars.are_served().await;
}

/// At the defaults: a hundred connections of one stranger, each a WebSocket that says a byte now and then.
#[tokio::test]
async fn a_stranger_keeps_no_client_from_its_other_websockets() {
    others_get_websockets_beside(|_| STRANGER).await;
}

/// The same of several addresses, each of which has few.
#[tokio::test]
async fn strangers_with_a_few_websockets_each_keep_nobody_out() {
    others_get_websockets_beside(|number| [203, 0, 113, number as u8 / 7].into()).await;
}

/// A place that is given to another takes its visit along, also before the service has agreed to a WebSocket: there
/// are never more than there may be.
#[tokio::test]
async fn a_websocket_that_waits_for_its_service_ends_with_its_place() {
    const OTHERS: u8 = 10;
    let bed = Bed::with(PROXY).await;
    let service = Service::http("chat").await;
    let client = bed.client(&service).await;
    let mut held = JoinSet::new();
    for _ in 0..limits::WEBSOCKETS_PER_CLIENT {
        let mut tcp = asks_for_websocket(&bed, &client, "/wait", STRANGER).await;
        held.spawn(async move {
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).await.unwrap();
            answer
        });
    }
    service.until_waiting(limits::WEBSOCKETS_PER_CLIENT).await;
    let others = newcomers(&bed, &client, OTHERS).await;
    for _ in 0..OTHERS {
        let answer = soon("one to give way", held.join_next()).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("gave-way"), "{answer}");
    }
    service.until_sockets(others.len()).await;
    assert_eq!(held.len() + others.len(), limits::WEBSOCKETS_PER_CLIENT);
}

/// The operator sees who holds what, and how many were turned away.
#[tokio::test]
async fn the_operator_is_told_who_holds_what_and_who_was_turned_away() {
    let limits = "[server.limits]\nrequests_per_service = 12\nrequests_per_second = 20";
    let server = Program::server_with(&server_config(&format!("{PROXY}\n{limits}"))).await;
    let _running = server.up().await;
    let service = Service::http("wanted").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    let status = client.until_green().await;
    let id = status["services"][0]["id"].as_str().unwrap().to_owned();
    let (visitor, name) = (server.visitor().await, format!("{id}.localhost"));
    let before = server.status().await;
    assert_eq!(before["now"]["turned_away"], 0);
    assert_eq!(before["now"]["shortages"], json!([]));
    let mut crowd = JoinSet::new();
    for _ in 0..12 {
        let name = name.clone();
        crowd.spawn(async move { get_from(visitor, &name, "/wait", STRANGER).await });
    }
    service.until_waiting(12).await;
    // The stranger gets no more, another takes one of his.
    assert_eq!(get_from(visitor, &name, "/", STRANGER).await.petit_error().as_deref(), Some("busy"));
    assert_eq!(get_from(visitor, &name, "/", [198, 51, 100, 1].into()).await.text(), "wanted");
    let gave_way = soon("one to give way", crowd.join_next()).await.unwrap().unwrap();
    assert_eq!((gave_way.status.as_u16(), gave_way.petit_error().as_deref()), (503, Some("gave-way")));
    assert_eq!(gave_way.json()["retry"], false, "it may have started");
    let now = server.status().await["now"].clone();
    assert_eq!(now["turned_away"], 2);
    assert_eq!(now["turned_away_by"]["requests"], 1);
    assert_eq!(now["turned_away_by"]["gave_way_unanswered"], 1);
    let shortage = json!({
        "what": "service_requests",
        "of": id,
        "used": 11,
        "most": 12,
        "holders": [{ "kind": "visitor", "name": STRANGER, "places": 11 }],
    });
    assert_eq!(now["shortages"], json!([shortage]));
    let said = server.run(["status"]).await.ok();
    let line = format!("requests to service {id}: 11 of 12; most have {STRANGER} 11");
    assert!(said.out.contains(&line), "{said:?}");
    let log = std::fs::read_to_string(server.dir().join("logs/server.log")).unwrap();
    assert!(log.contains("places are short") && log.contains(&STRANGER.to_string()), "{log}");
    // A rate that is set turns away as well.
    let mut burst = JoinSet::new();
    for _ in 0..200 {
        let name = name.clone();
        burst.spawn(async move { get_from(visitor, &name, "/", STRANGER).await.status.as_u16() });
    }
    let statuses = burst.join_all().await;
    assert!(statuses.contains(&429), "{statuses:?}");
    let refused = statuses.iter().filter(|status| **status != 200).count();
    let status = server.status().await;
    assert_eq!(status["now"]["turned_away_by"]["requests"], 1 + refused);
    // Requests are counted, not the connections that carried them.
    let visits = status["clients"][0]["services"][0]["visits"].as_u64().unwrap();
    assert!(visits >= 13, "{status}");
    service.let_go();
}

/// A server on all addresses of this machine, a service on it, and a host beside it: with nothing between, so that
/// who somebody is is the address that his packets come from.
struct Neighbours {
    net: Netns,
    bed: Bed,
    service: Service,
    client: BedClient,
}

impl Neighbours {
    /// `more` of the gateway's address is added to `[server]`.
    async fn new(more: impl FnOnce(IpAddr) -> String) -> Self {
        let net = Netns::new().await;
        let bed = Bed::with(&format!("proxy_bind = \"0.0.0.0\"\n{}", more(net.gateway()))).await;
        let service = Service::http("wanted").await;
        let client = bed.client(&service).await;
        Self { net, bed, service, client }
    }

    /// One address asks for `count` hundreds of answers that never come, until the service has `places` of them.
    async fn crowd(&self, count: usize, places: usize) -> JoinSet<()> {
        let mut crowd = JoinSet::new();
        for _ in 0..count {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(self.net.gateway(), 0)).unwrap();
            let front = SocketAddr::new(self.net.gateway(), self.bed.http().port());
            let tcp = socket.connect(front).await.unwrap();
            crowd.spawn(hundred(tcp, host(&self.client.id()), None, Ask::Get));
        }
        self.service.until_waiting(places).await;
        crowd
    }

    /// What a visitor of the other host is answered, and after how long.
    async fn other(&self) -> (String, Duration) {
        let (name, gateway, port) = (host(&self.client.id()), self.net.gateway(), self.bed.http().port());
        let mut words = self.net.prefix();
        let curl = ["curl", "-q", "-sS", "--noproxy", "*", "-w", " %{http_code} %{time_total}", "--resolve"];
        words.extend(curl.map(str::to_owned));
        words.extend([format!("{name}:{port}:{gateway}"), format!("http://{name}:{port}/")]);
        let mut command = tokio::process::Command::new(&words[0]);
        command.args(&words[1..]);
        let said = program::run(command).await.ok().out;
        let (answer, took) = said.rsplit_once(' ').unwrap();
        (answer.to_owned(), Duration::from_secs_f64(took.parse().unwrap()))
    }
}

/// Real addresses, one that has everything and others. Each of these gets an answer within a second beyond what it takes
/// when nobody else is there, which is little unless this machine is busy with something else.
#[tokio::test]
async fn an_address_alone_may_have_everything_and_loses_it_to_the_first_other() {
    const OTHERS: u64 = 5;
    let here = Neighbours::new(|_| String::new()).await;
    let (answer, usual) = here.other().await;
    assert_eq!(answer, "wanted 200");
    let _crowd = here.crowd(11, limits::REQUESTS_PER_SERVICE).await;
    for _ in 0..OTHERS {
        let (answer, took) = here.other().await;
        assert_eq!(answer, "wanted 200");
        assert!(took <= Duration::from_secs(1) + usual, "{took:?}, and {usual:?} without the crowd");
    }
    let places = here.bed.server.relay.counts().places;
    assert!((1..=OTHERS).contains(&places.gave_way_unanswered), "one for each at most: {places:?}");
}

/// Networks that the operator has named, and trusted proxies, speak for many: nobody takes a place from them because
/// they have so many.
#[tokio::test]
async fn a_network_that_speaks_for_many_keeps_what_it_has() {
    let limits = "[server.limits]\nrequests_per_service = 100";
    for exempt in [
        &(|gateway: IpAddr| format!("{limits}\nexempt_networks = [\"{gateway}/32\"]"))
            as &dyn Fn(IpAddr) -> String,
        &|gateway: IpAddr| format!("trusted_proxies = [\"{gateway}/32\"]\n{limits}"),
    ] {
        let here = Neighbours::new(exempt).await;
        let crowd = here.crowd(1, 100).await;
        let (answer, _) = here.other().await;
        assert!(answer.contains(r#""code":"busy""#) && answer.ends_with(" 503"), "{answer}");
        let places = here.bed.server.relay.counts().places;
        assert_eq!((places.gave_way_unanswered, places.refused), (0, 1), "{places:?}");
        here.service.until_waiting(100).await;
        drop(crowd);
    }
    // The same without being named.
    let here = Neighbours::new(|_| limits.to_owned()).await;
    let _crowd = here.crowd(1, 100).await;
    assert_eq!(here.other().await.0, "wanted 200");
}
