//! Registered devices that break the rules of the tunnel: they lose their session, and nobody else anything.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use petit_engine::limits;
use petit_engine::proto::control::{FromAgent, FromRelay, Hello, Message, Refusal, ServiceKind, Text};
use petit_engine::proto::frame::{FrameKind, Open};
use petit_tests::bed::{Bed, BedClient};
use petit_tests::figures::figure;
use petit_tests::rogue::{Device, hello, offer, widest_window};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{host, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

struct Honest {
    bed: Bed,
    client: BedClient,
    _service: Service,
}

impl Honest {
    async fn new(more: &str) -> Self {
        let bed = Bed::with(more).await;
        let service = Service::http("fine").await;
        let client = bed.client(&service).await;
        Self { bed, client, _service: service }
    }

    async fn is_served(&self) {
        assert_eq!(self.bed.visitor().get(&host(&self.client.id()), "/").await.text(), "fine");
    }
}

/// A17, A18, A28: frames that cannot be, lengths that cannot be.
#[tokio::test]
async fn frames_that_cannot_be_end_the_session_that_sent_them() {
    let honest = Honest::new("").await;
    let device = Device::of(&honest.bed).await;
    let open = Open { service: 1, ..Open::default() }.encode();
    let frame = |stream: u32, kind: u8, length: u32, payload: &[u8]| {
        let [_, a, b, c] = length.to_be_bytes();
        [&stream.to_be_bytes()[..], &[kind, a, b, c], payload].concat()
    };
    let (data, fin, rst, window) = (2, 3, 4, 5);
    for (what, bytes) in [
        ("an agent opens a stream", frame(1, 1, open.len() as u32, &open)),
        ("data on a stream that never was", frame(7, data, 5, b"hello")),
        ("an end of a stream that never was", frame(7, fin, 8, &[0; 8])),
        ("a reset of a stream that never was", frame(7, rst, 12, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("credit for a stream that never was", frame(7, window, 4, &[0, 1, 0, 0])),
        ("no data", frame(1, data, 0, b"")),
        ("data of 2^24 - 1 bytes", frame(1, data, 0xff_ffff, b"")),
        ("data of 64 KiB and one", frame(1, data, 65_537, b"")),
        ("a message of 16 KiB and one", frame(0, 9, 16_385, b"")),
        ("a kind that is none", frame(0, 200, 8, &[0; 8])),
        ("data on stream 0", frame(0, data, 1, b"x")),
        ("a PONG that nobody asked for", frame(0, 7, 8, &[9; 8])),
        ("a GOAWAY on a stream", frame(3, 8, 8, &[0; 8])),
    ] {
        let mut rogue = device.session().await;
        rogue.raw(&bytes).await;
        soon(what, rogue.until_closed()).await;
        honest.is_served().await;
    }
}

/// A18: what a stream says after its end, to the visitor who had it and to the next one.
#[tokio::test]
async fn what_comes_after_the_end_of_a_stream_reaches_nobody() {
    let honest = Honest::new("").await;
    let device = Device::of(&honest.bed).await;
    let mut rogue = device.session().await;
    let name = host(&device.registered.id);
    let visitor = honest.bed.visitor();
    let first = tokio::spawn({
        let name = name.clone();
        async move { visitor.get(&name, "/").await }
    });
    let (stream, _) = rogue.visited().await;
    let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nfirst";
    rogue.send(stream, FrameKind::Data, answer).await;
    rogue.send(stream, FrameKind::Fin, &[0; 8]).await;
    assert_eq!(first.await.unwrap().text(), "first");
    // The stream is finished from this side; more on it breaks the protocol.
    rogue.send(stream, FrameKind::Data, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
    soon("the session to end", rogue.until_closed()).await;
    honest.is_served().await;
}

/// A29: an agent that takes nothing: the visitor is held up, and the server keeps next to nothing.
#[tokio::test]
async fn an_agent_that_grants_nothing_stops_the_visitor_and_fills_no_memory() {
    let honest = Honest::new("").await;
    let device = Device::of(&honest.bed).await;
    let mut rogue = device.session().await;
    let mut tcp = TcpStream::connect(honest.bed.http()).await.unwrap();
    let name = host(&device.registered.id);
    let head = format!("POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 104857600\r\n\r\n");
    tcp.write_all(head.as_bytes()).await.unwrap();
    let (stream, _) = rogue.visited().await;
    let piece = vec![0; 64 * 1024];
    let mut taken = 0;
    // Until nothing more is taken for a while.
    while let Ok(Ok(count)) = tokio::time::timeout(Duration::from_millis(500), tcp.write(&piece)).await {
        taken += count;
    }
    let mut received = 0;
    while received < 65_536 {
        let (header, payload) = rogue.next_of(FrameKind::Data).await.unwrap();
        assert_eq!(header.stream, stream);
        received += payload.len();
    }
    assert_eq!(received, 65_536, "its window and no more");
    figure(format!(
        "an agent that grants nothing: {} KiB taken from the visitor, kernel included",
        taken / 1024
    ));
    assert!(taken < 16 << 20, "{taken}");
    honest.is_served().await;
}

/// A30: an agent that is there and never answers: visitors are told in time, and only its own wait.
#[tokio::test]
async fn an_agent_that_never_answers_costs_its_own_visitors_only() {
    let honest = Honest::new("[server.limits]\nanswer_within = \"1s\"\nrequests_per_service = 3").await;
    let device = Device::of(&honest.bed).await;
    let mut rogue = device.session().await;
    let answering = tokio::spawn(async move {
        // PINGs are answered on the way.
        while rogue.next_of(FrameKind::Open).await.is_some() {}
    });
    let name = host(&device.registered.id);
    let mut visits = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (visitor, name) = (honest.bed.visitor(), name.clone());
        visits.spawn(async move {
            let answer = visitor.get(&name, "/").await;
            (answer.status.as_u16(), answer.petit_error().unwrap())
        });
    }
    for _ in 0..5 {
        honest.is_served().await;
    }
    let mut answers = visits.join_all().await;
    answers.sort();
    let silent =
        answers.iter().filter(|(status, code)| (*status, code.as_str()) == (504, "service-silent")).count();
    let busy = answers.iter().filter(|(status, code)| (*status, code.as_str()) == (503, "busy")).count();
    assert!(silent >= 3 && silent + busy == 8, "{answers:?}");
    answering.abort();
}

/// A32: sessions without number.
#[tokio::test]
async fn one_key_has_a_few_sessions_and_its_logins_are_counted() {
    let honest = Honest::new("").await;
    let device = Device::of(&honest.bed).await;
    let mut held = Vec::new();
    let (mut welcomed, mut busy) = (0, 0);
    for _ in 0..60 {
        let mut rogue = device.connect().await;
        rogue.say(&FromAgent::Hello(hello("rogue", vec![offer(1, "web", ServiceKind::Http)]))).await;
        match rogue.control().await {
            Some(FromRelay::Welcome(_)) => welcomed += 1,
            Some(FromRelay::Refused { refusal: Refusal::Busy }) => busy += 1,
            other => panic!("{other:?}"),
        }
        held.push(rogue);
    }
    assert!(welcomed >= limits::LOGINS_AT_ONCE as usize && busy > 0, "{welcomed} welcomed, {busy} refused");
    let sessions = honest.bed.server.relay.sessions();
    let own = sessions.iter().filter(|session| session.device == device.registered.device).count();
    assert!(own <= limits::MAX_SESSIONS_PER_DEVICE, "{own}");
    honest.is_served().await;
}

/// A21: one key on two computers: the place goes back and forth a few times, then the key counts as copied.
#[tokio::test]
async fn a_copied_key_is_noticed() {
    let honest = Honest::new("").await;
    let device = Device::of(&honest.bed).await;
    let mut outcomes = Vec::new();
    let mut held = Vec::new();
    for number in 0..10 {
        let (instance, from) =
            if number % 2 == 0 { ("here", [127, 0, 0, 1]) } else { ("there", [127, 0, 0, 2]) };
        let mut rogue = device.connect_from(from.into()).await;
        rogue.say(&FromAgent::Hello(hello(instance, vec![offer(1, "web", ServiceKind::Http)]))).await;
        outcomes.push(match rogue.control().await {
            Some(FromRelay::Welcome(_)) => "welcome",
            Some(FromRelay::Refused { refusal: Refusal::InUseElsewhere }) => "copied",
            other => panic!("{other:?}"),
        });
        held.push(rogue);
    }
    let copied = outcomes.iter().position(|outcome| *outcome == "copied");
    assert_eq!(copied, Some(1 + limits::TAKEOVERS), "{outcomes:?}");
    honest.is_served().await;
}

/// A27 in our own protocol: too much of anything ends the session soon, and costs the others nothing.
#[tokio::test]
async fn floods_of_frames_end_the_session_that_sends_them() {
    let honest = Honest::new("").await;
    let device = Device::of(&honest.bed).await;
    let message =
        FromAgent::Services { services: vec![offer(1, "web", ServiceKind::Http)] }.encode().unwrap();
    for (what, kind, payload) in [
        ("PINGs", FrameKind::Ping, vec![1; 8]),
        ("GOAWAYs", FrameKind::GoAway, vec![0; 8]),
        ("messages", FrameKind::Control, message),
    ] {
        let mut rogue = device.session().await;
        let start = Instant::now();
        for _ in 0..200 {
            rogue.send(0, kind, &payload).await;
        }
        soon(what, rogue.until_closed()).await;
        figure(format!("a flood of {what}: closed after {} ms", start.elapsed().as_millis()));
        honest.is_served().await;
    }
}

/// A raw port is for raw bytes: a service that becomes HTTP takes its port with it.
#[tokio::test]
async fn a_port_does_not_lead_past_the_checks_of_http_when_its_service_becomes_http() {
    let honest = Honest::new("").await;
    let device = Device::of(&honest.bed).await;
    let mut rogue = device.connect().await;
    rogue.say(&FromAgent::Hello(hello("rogue", vec![offer(1, "s", ServiceKind::Tcp)]))).await;
    let Some(FromRelay::Welcome(welcome)) = rogue.control().await else { panic!() };
    let petit_engine::proto::control::GrantOutcome::Registered { url, .. } = &welcome.services[0].outcome
    else {
        panic!()
    };
    let address = url.as_str().strip_prefix("tcp://").unwrap().to_owned();
    let mut before = TcpStream::connect(&address).await.unwrap();
    before.write_all(b"x").await.unwrap();
    rogue.visited().await;
    rogue.say(&FromAgent::Services { services: vec![offer(2, "s", ServiceKind::Http)] }).await;
    while !matches!(rogue.control().await.unwrap(), FromRelay::Services { .. }) {}
    // Closed, or reset at once; never passed on.
    if let Ok(mut tcp) = TcpStream::connect(&address).await {
        let _ = tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(soon("the end", tcp.read(&mut [0; 16])).await.unwrap_or(0), 0);
    }
}

/// The server grants windows beyond 16 MiB only to a client that has said that it bears them: another one would end the
/// session.
#[tokio::test]
async fn wide_windows_are_for_clients_that_bear_them() {
    for (features, least, most) in [(&[][..], 12 << 20, 16 << 20), (&["wide"][..], (16 << 20) + 1, 32 << 20)]
    {
        let bed = Bed::start().await;
        let device = Device::of(&bed).await;
        let mut rogue = device.connect().await;
        let hello = Hello {
            features: features.iter().copied().map(Text::lossy).collect(),
            ..hello("rogue", vec![offer(1, "web", ServiceKind::Http)])
        };
        rogue.say(&FromAgent::Hello(hello)).await;
        let ping = loop {
            let (header, payload) = rogue.next().await.unwrap();
            if header.kind == FrameKind::Ping {
                break payload;
            }
        };
        tokio::time::sleep(Duration::from_millis(200)).await;
        rogue.send(0, FrameKind::Pong, &ping).await;
        match rogue.control().await {
            Some(FromRelay::Welcome(welcome)) => {
                let in_use: Vec<&str> = welcome.features.iter().map(Text::as_str).collect();
                assert_eq!(in_use, features, "and they are told so");
            }
            other => panic!("{other:?}"),
        }
        let (reading, mut read) = watch::channel(0);
        let (visitor, asked) =
            (bed.visitor(), request(&host(&device.registered.id), "GET", "/", Empty::<Bytes>::new()));
        let visit = tokio::spawn(async move {
            let mut body = visitor.open(asked).await.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                reading.send_modify(|read| *read += frame.into_data().unwrap().len() as u64);
            }
        });
        let (stream, open) = rogue.visited().await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
        rogue.send(stream, FrameKind::Data, head).await;
        let credit = open.window - head.len() as u32;
        let widest = widest_window(rogue.io(), stream, credit, &mut read, 400_000_000).await;
        assert!((least..=most).contains(&widest), "{features:?}: {widest}");
        visit.abort();
    }
}
