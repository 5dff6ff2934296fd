//! A server that has been taken over, or plays tricks: what can it make a customer's client do?

use std::time::Duration;

use petit_client::status::Connection;
use petit_engine::invite::Invite;
use petit_engine::limits;
use petit_engine::name::{DeviceId, RegisteredId};
use petit_engine::proto::control::{
    EnrolAnswer, FromRelay, Grant, GrantOutcome, Message, PROTOCOL, PublicUrl, Text, Vitae, Welcome,
};
use petit_engine::proto::frame::{FrameKind, GoAway, HEADER_BYTES, Header, Open, Reset, ResetCode};
use petit_engine::secret::{InviteId, InviteSecret, PrivateKey};
use petit_tests::bed::{BedClient, client_config};
use petit_tests::process::{Program, Running};
use petit_tests::rogue::widest_window;
use petit_tests::service::Service;
use petit_tests::soon;
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A server whose every word the test chooses. Its key is the one of the invite.
pub(crate) struct Hostile {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    id: RegisteredId,
    key: PrivateKey,
}

pub(crate) struct Session(pub(crate) TlsStream<TcpStream>);

impl Hostile {
    pub(crate) async fn new() -> Self {
        let key = PrivateKey::generate().unwrap();
        // It lets anybody in.
        let config = petit_engine::net::tls::enrol_server(&key).unwrap();
        let mut config = (*config).clone();
        config.alpn_protocols =
            vec![petit_engine::net::tls::ALPN_TUNNEL.to_vec(), petit_engine::net::tls::ALPN_ENROL.to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            listener,
            acceptor: std::sync::Arc::new(config).into(),
            id: RegisteredId::random().unwrap(),
            key,
        }
    }

    pub(crate) async fn accept(&self) -> Session {
        loop {
            let (tcp, _) = soon("the client to come", self.listener.accept()).await.unwrap();
            if let Ok(tls) = self.acceptor.accept(tcp).await {
                return Session(tls);
            }
        }
    }

    pub(crate) fn invite(&self) -> Invite {
        Invite {
            server: self.listener.local_addr().unwrap().to_string().parse().unwrap(),
            pins: vec![self.key.public().fingerprint()],
            id: InviteId(petit_engine::secret::random_bytes().unwrap()),
            secret: InviteSecret::random().unwrap(),
            not_after: std::time::SystemTime::now() + Duration::from_secs(600),
            vendor: None,
        }
    }

    /// Registers whoever comes next.
    pub(crate) async fn enrol(&self) {
        let mut enrolling = self.accept().await;
        enrolling.next_of(FrameKind::Control).await.unwrap();
        let answer = EnrolAnswer::Enrolled {
            device: DeviceId::random().unwrap(),
            service: "web".parse().unwrap(),
            id: self.id,
            url: self.url(),
        };
        enrolling.send(0, FrameKind::Control, &answer.encode().unwrap()).await;
    }

    /// A client that is registered here and offers a service.
    async fn client(&self, service: &Service) -> BedClient {
        let (invite, services) = (self.invite(), [("web", service.address(), "http")]);
        tokio::join!(BedClient::new(&invite, &services), self.enrol()).0
    }

    /// The same as a program that runs, behind these words.
    async fn program(&self, service: &Service, words: &[&str]) -> (Program, Running) {
        let client = Program::client().behind(words);
        std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
        let link = self.invite().to_link();
        let (said, ()) = tokio::join!(
            client.run_with(["register", "--key-store", "file"], link.expose_secret()),
            self.enrol()
        );
        said.ok();
        let running = client.up().await;
        (client, running)
    }

    fn url(&self) -> PublicUrl {
        format!("http://{}.localhost", self.id).try_into().unwrap()
    }

    /// Welcomes whoever comes; returns the number that the client gave to its service.
    async fn session(&self) -> (Session, u16) {
        self.session_with(&[]).await
    }

    /// With these features in use.
    async fn session_with(&self, features: &[&str]) -> (Session, u16) {
        let mut session = self.accept().await;
        let (_, hello) = session.next_of(FrameKind::Control).await.expect("a hello");
        let hello: serde_json::Value = serde_json::from_slice(&hello).unwrap();
        let service = hello["services"][0]["service"].as_u64().unwrap() as u16;
        let outcome = GrantOutcome::Registered { id: self.id, url: self.url(), aliases: vec![] };
        let welcome = FromRelay::Welcome(Welcome {
            protocol: PROTOCOL,
            features: features.iter().copied().map(Text::lossy).collect(),
            software: Text::lossy("hostile"),
            device: DeviceId::random().unwrap(),
            window: 65_536,
            now: 0,
            vitae: Vitae::new(),
            services: vec![Grant { service, name: "web".parse().unwrap(), outcome }],
            kept: vec![],
        });
        session.send(0, FrameKind::Control, &welcome.encode().unwrap()).await;
        (session, service)
    }
}

impl Session {
    pub(crate) async fn send(&mut self, stream: u32, kind: FrameKind, payload: &[u8]) {
        let mut bytes = Header { stream, kind, length: payload.len() }.encode().to_vec();
        bytes.extend_from_slice(payload);
        let _ = self.0.write_all(&bytes).await;
        let _ = self.0.flush().await;
    }

    pub(crate) async fn next(&mut self) -> Option<(Header, Vec<u8>)> {
        let mut header = [0; HEADER_BYTES];
        soon("a frame", self.0.read_exact(&mut header)).await.ok()?;
        let header = Header::decode(header).unwrap();
        let mut payload = vec![0; header.length];
        soon("a payload", self.0.read_exact(&mut payload)).await.ok()?;
        Some((header, payload))
    }

    pub(crate) async fn next_of(&mut self, kind: FrameKind) -> Option<(Header, Vec<u8>)> {
        let found = async {
            loop {
                let (header, payload) = self.next().await?;
                if header.kind == kind {
                    return Some((header, payload));
                }
            }
        };
        soon("a frame of a kind", found).await
    }

    /// Waits until the client has ended the session for what was said, and not for its silence.
    async fn until_closed_for(mut self, what: &str) {
        let closed = async { while self.next().await.is_some() {} };
        tokio::time::timeout(limits::DEAD_AFTER / 2, closed).await.expect(what);
    }
}

/// A64: there is no way to name another target. A service is a number that the client gave; anything else is
/// refused, or ends the session; and the client's machine is asked for nothing.
#[tokio::test]
async fn a_server_cannot_make_a_client_connect_to_anything_but_its_services() {
    let service = Service::http("private").await;
    let hostile = Hostile::new().await;
    let client = hostile.client(&service).await;
    // Numbers that were never announced.
    let (mut session, number) = hostile.session().await;
    for (stream, service) in [(1, number + 1), (2, 0), (3, u16::MAX)] {
        session.send(stream, FrameKind::Open, &Open { service, ..Open::default() }.encode()).await;
        let (header, payload) = session.next_of(FrameKind::Rst).await.unwrap();
        let code = Reset::decode(&payload).unwrap().code;
        assert_eq!((header.stream, code), (stream, ResetCode::ServiceUnknown));
    }
    drop(session);
    // Words that the protocol does not have.
    let mut later = Open { service: number, ..Open::default() }.encode().to_vec();
    later.extend(b"169.254.169.254:80");
    let mut other_purpose = Open { service: number, ..Open::default() }.encode();
    other_purpose[2] = 9;
    for (what, kind, stream, payload) in [
        ("another target", FrameKind::Control, 0, br#"{"type":"open","target":"169.254.169.254:80"}"#.to_vec()),
        ("a file", FrameKind::Control, 0, br#"{"type":"services","services":[],"path":"/etc/passwd"}"#.to_vec()),
        ("a command", FrameKind::Control, 0, br#"{"type":"run","command":"id"}"#.to_vec()),
        ("another purpose", FrameKind::Open, 1, other_purpose.to_vec()),
        ("a link to click", FrameKind::Control, 0, format!(
            r#"{{"type":"services","services":[{{"service":{number},"name":"web","outcome":{{"registered":{{"id":"{}","url":"javascript:alert(1)","aliases":[]}}}}}}]}}"#,
            hostile.id
        ).into_bytes()),
        ("one service twice", FrameKind::Control, 0, {
            let grant = format!(r#"{{"service":{number},"name":"web","outcome":{{"refused":{{"cause":"too_many"}}}}}}"#);
            format!(r#"{{"type":"services","services":[{grant},{grant}],"kept":[]}}"#).into_bytes()
        }),
        ("a stream in the wrong order", FrameKind::Data, 1, vec![1]),
    ] {
        let (mut session, _) = hostile.session().await;
        session.send(stream, kind, &payload).await;
        session.until_closed_for(what).await;
    }
    // What a later version may add to an OPEN is not looked at, so it leads nowhere else.
    let before = service.requests();
    let (mut session, _) = hostile.session().await;
    session.send(1, FrameKind::Open, &later).await;
    session.send(1, FrameKind::Data, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let (_, answer) = session.next_of(FrameKind::Data).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).ends_with("private"));
    assert_eq!(service.requests(), before + 1);
    let status = client.client.status().await;
    assert!(!matches!(status.connection, Connection::Stopped { .. }), "it keeps trying");
}

/// A flood of streams: the client holds what it has announced that it would, and its service is not overrun.
#[tokio::test]
async fn a_server_that_opens_without_end_gets_no_more_than_the_client_has_room_for() {
    let service = Service::http("private").await;
    let hostile = Hostile::new().await;
    let _client = hostile.client(&service).await;
    let (mut session, number) = hostile.session().await;
    let open = Open { service: number, ..Open::default() }.encode();
    for stream in 1..=20_000_u32 {
        let mut bytes = Header { stream, kind: FrameKind::Open, length: open.len() }.encode().to_vec();
        bytes.extend(open);
        if session.0.write_all(&bytes).await.is_err() {
            break;
        }
    }
    let _ = session.0.flush().await;
    // It refuses, or ends the session; it comes back and serves.
    let ended = tokio::time::timeout(Duration::from_secs(30), session.next_of(FrameKind::Rst)).await.unwrap();
    if let Some((_, payload)) = ended {
        assert_eq!(Reset::decode(&payload).unwrap().code, ResetCode::Refused);
    }
    drop(session);
    let (mut session, number) = hostile.session().await;
    let open = Open { service: number, ..Open::default() }.encode();
    session.send(1, FrameKind::Open, &open).await;
    session.send(1, FrameKind::Data, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let (_, answer) = session.next_of(FrameKind::Data).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).ends_with("private"));
}

/// The same in session after session: a client has so many connections to its services over all of them, and keeps
/// descriptors for whoever asks it something and for its next session.
#[tokio::test]
async fn a_server_that_opens_in_session_after_session_leaves_a_client_its_descriptors() {
    const DESCRIPTORS: usize = 512;
    let most = DESCRIPTORS - limits::DESCRIPTORS_KEPT_BACK as usize;
    // It is never done with anybody.
    let service =
        Service::speaking(
            "sink",
            |mut tcp| async move { while let Ok(1..) = tcp.read(&mut [0; 1024]).await {} },
        )
        .await;
    let hostile = Hostile::new().await;
    let limit = format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}");
    let (client, _running) = hostile.program(&service, &["prlimit", &limit]).await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let (mut session, number) = hostile.session().await;
        let open = Open { service: number, ..Open::default() }.encode();
        for stream in 1..=300 {
            session.send(stream, FrameKind::Open, &open).await;
            session.send(stream, FrameKind::Data, b"GET / HTTP/1.1").await;
        }
        let away = GoAway { last_stream: 300, retry_after_ms: 0 };
        session.send(0, FrameKind::GoAway, &away.encode()).await;
        sessions.push(session);
    }
    let (_, payload) = sessions[1].next_of(FrameKind::Rst).await.unwrap();
    assert_eq!(Reset::decode(&payload).unwrap().code, ResetCode::NoRoom);
    let _next = hostile.session().await;
    let status = client.run(["status", "--json"]).await.json();
    assert!(status["connection"].is_object(), "{status}");
    service.until_open(most).await;
    assert_eq!(service.accepted(), most);
}

/// A stream that is kept for further requests is no way to a service that the customer does not offer any more.
#[tokio::test]
async fn a_kept_stream_does_not_lead_to_a_service_that_was_removed() {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let service = Service::http("private").await;
    let hostile = Hostile::new().await;
    let client = hostile.client(&service).await;
    let (mut session, number) = hostile.session().await;
    session.send(1, FrameKind::Open, &Open { service: number, ..Open::default() }.encode()).await;
    session.send(1, FrameKind::Data, REQUEST).await;
    let (_, answer) = session.next_of(FrameKind::Data).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).ends_with("private"));
    std::fs::write(client.config(), client_config(&[("other", service.address(), "http")])).unwrap();
    client.client.reload().await.unwrap();
    loop {
        let (_, message) =
            session.next_of(FrameKind::Control).await.expect("that it is not offered any more");
        if String::from_utf8_lossy(&message).contains(r#""type":"services""#) {
            break;
        }
    }
    session.send(1, FrameKind::Data, REQUEST).await;
    let (header, payload) = session.next_of(FrameKind::Rst).await.unwrap();
    assert_eq!((header.stream, Reset::decode(&payload).unwrap().code), (1, ResetCode::ServiceUnknown));
    assert_eq!(service.requests(), 1);
}

/// A client grants windows beyond 16 MiB only to a server that has said that it bears them: another one would end the
/// session.
#[tokio::test]
async fn wide_windows_are_for_servers_that_bear_them() {
    for (features, least, most) in [(&[][..], 12 << 20, 16 << 20), (&["wide"][..], (16 << 20) + 1, 32 << 20)]
    {
        let (reading, mut read) = watch::channel(0);
        let service = Service::speaking("reader", move |mut tcp| {
            let (reading, mut buffer) = (reading.clone(), vec![0; 64 * 1024]);
            async move {
                while let Ok(count @ 1..) = tcp.read(&mut buffer).await {
                    reading.send_modify(|read| *read += count as u64);
                }
            }
        })
        .await;
        let hostile = Hostile::new().await;
        let _client = hostile.client(&service).await;
        let (mut session, number) = hostile.session_with(features).await;
        let (_, ping) = session.next_of(FrameKind::Ping).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        session.send(0, FrameKind::Pong, &ping).await;
        session.send(1, FrameKind::Open, &Open { service: number, ..Open::default() }.encode()).await;
        let widest =
            widest_window(&mut session.0, 1, limits::INITIAL_WINDOW_BYTES, &mut read, 400_000_000).await;
        assert!((least..=most).contains(&widest), "{features:?}: {widest}");
    }
}
