//! Who a session belongs to: stale sessions, copies, peers that break the protocol.

use std::sync::Arc;
use std::time::Duration;

use petit_client::status::Connection;
use petit_engine::agent::{Agent, AgentConfig, AgentState, Direct, ServiceSpec};
use petit_engine::cause::Cause;
use petit_engine::invite::Invite;
use petit_engine::limits;
use petit_engine::mux::{self, MuxEvent, Role};
use petit_engine::net::dial::{self, DialRoute};
use petit_engine::net::tls;
use petit_engine::proto::control::{
    FromAgent, FromRelay, GrantOutcome, Hello, Message, Offer, Options, Refusal, ServiceKind, Text, Vitae,
};
use petit_engine::secret::PrivateKey;
use petit_tests::bed::Bed;
use petit_tests::process::Program;
use petit_tests::rogue::Device;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::host;

/// An agent without the rest of a client, so that several can have one key.
fn agent(invite: &Invite, key: &PrivateKey, service: &Service) -> Agent {
    let config = AgentConfig {
        server: invite.server.clone(),
        route: DialRoute::default(),
        pins: invite.pins.clone(),
        key: key.clone(),
        software: Text::lossy("test"),
        device_name: Text::lossy("test"),
        vitae: Vitae::new(),
        services: vec![ServiceSpec::plain(
            "web".parse().unwrap(),
            ServiceKind::Http,
            service.address().to_string().parse().unwrap(),
        )],
        connections: limits::SERVICE_CONNECTIONS,
    };
    Agent::start(config, Arc::new(Direct)).unwrap()
}

async fn until(agent: &Agent, what: &str, is_it: impl Fn(AgentState) -> bool) {
    let mut view = agent.view();
    soon(what, view.wait_for(|view| is_it(view.state))).await.unwrap();
}

#[tokio::test]
async fn a_newer_session_of_the_same_key_takes_over_at_once_and_the_older_one_does_not_fight() {
    let bed = Bed::start().await;
    let (a, b) = (Service::http("A").await, Service::http("B").await);
    let invite = bed.invite().await;
    let key = PrivateKey::generate().unwrap();
    let registered = petit_engine::agent::enrol(&invite, &DialRoute::default(), &key, "t", &Text::lossy("t"))
        .await
        .unwrap();
    let host = host(&registered.id);
    let online = |state| matches!(state, AgentState::Online { .. });
    let (older, newer) = (agent(&invite, &key, &a), agent(&invite, &key, &b));
    older.switch(true).await;
    until(&older, "the first to be online", online).await;
    assert_eq!(bed.visitor().get(&host, "/").await.text(), "A");

    newer.switch(true).await;
    until(&newer, "the second to be online", online).await;
    assert_eq!(
        bed.visitor().get(&host, "/").await.text(),
        "B",
        "the stale session's place was taken at once"
    );
    let elsewhere = |state| matches!(state, AgentState::Waiting { cause: Cause::InUseElsewhere, .. });
    until(&older, "the first to know", elsewhere).await;
    // It asks, and takes nothing.
    older.reconnect_now().await;
    until(&older, "the first to be told again", elsewhere).await;
    assert_eq!(bed.visitor().get(&host, "/").await.text(), "B");
    // When the other one is gone, it is let in.
    newer.stop().await;
    soon("the first to be back", async {
        while !online(older.view().borrow().state) {
            older.reconnect_now().await;
            let mut view = older.view();
            view.borrow_and_update();
            view.changed().await.unwrap();
        }
    })
    .await;
    assert_eq!(bed.visitor().get(&host, "/").await.text(), "A");
}

fn hello(services: Vec<Offer>) -> Hello {
    Hello {
        protocol: 1,
        features: vec![],
        software: Text::lossy("rogue"),
        device_name: Text::lossy("rogue"),
        instance: Text::lossy("rogue"),
        takeover: true,
        only: true,
        max_streams: 10,
        window: 65_536,
        vitae: Vitae::new(),
        services,
    }
}

#[tokio::test]
async fn agents_that_break_the_protocol_lose_their_session_and_nobody_elses() {
    let bed = Bed::start().await;
    let service = Service::http("fine").await;
    let honest = bed.client(&service).await;
    let invite = bed.invite().await;
    let key = PrivateKey::generate().unwrap();
    let registered =
        petit_engine::agent::enrol(&invite, &DialRoute::default(), &key, "rogue", &Text::lossy("t"))
            .await
            .unwrap();
    assert_eq!(bed.server.relay.breach_of(&registered.device), None);
    let stolen = honest.id().to_string();
    let unknown =
        |bytes: usize| format!("a control message of {bytes} bytes that this version does not understand");
    let claim = format!(
        r#"{{"type":"services","services":[{{"service":1,"name":"web","kind":"http","health":"up","id":"{stolen}"}}]}}"#
    );
    let misplaced = FromAgent::Health { service: 1, health: petit_engine::cause::Health::Up };
    let messages = [
        ("not json at all".to_owned(), unknown(15)),
        (r#"{"type":"open"}"#.to_owned(), unknown(15)),
        // No field can claim another's identity, because there is no such field.
        (claim.clone(), unknown(claim.len())),
        (
            String::from_utf8(misplaced.encode().unwrap()).unwrap(),
            "another message where a hello has to be".to_owned(),
        ),
    ];
    for (message, rule) in messages {
        let config = tls::client(&key, invite.pins.clone(), tls::ALPN_TUNNEL).unwrap();
        let tls =
            dial::dial(&invite.server, &DialRoute::default(), config, Duration::from_secs(10)).await.unwrap();
        let (mux, driver, mut events) = mux::session(tls, Role::Agent, 65_536);
        let driver = tokio::spawn(driver);
        mux.send_control(message.as_bytes());
        let refused = soon("the refusal", events.recv()).await;
        let Some(MuxEvent::Control(payload)) = refused else { panic!("{refused:?}") };
        let refused = FromRelay::decode(&payload).unwrap();
        assert_eq!(refused, FromRelay::Refused { refusal: Refusal::Protocol }, "{message}");
        soon("the end", driver).await.unwrap();
        let breach = bed.server.relay.breach_of(&registered.device).unwrap();
        assert_eq!(breach.rule, rule, "{message}");
    }
    assert_eq!(bed.visitor().get(&host(&honest.id()), "/").await.text(), "fine");
}

#[tokio::test]
async fn the_operator_sees_which_rule_of_the_protocol_a_client_has_broken() {
    let server = Program::server().await;
    let _running = server.up().await;
    let mut invite = Invite::parse(&server.invite([""; 0]).await.into()).unwrap();
    invite.server = format!("127.0.0.1:{}", invite.server.port()).parse().unwrap();
    let device = Device::with(invite).await;
    let id = device.registered.device.to_string();
    let shown = server.run(["clients", "show", &id]).await.ok().out;
    assert!(!shown.contains("broke the protocol"), "{shown}");
    for (frame, rule) in [
        ([0, 0, 0, 0, 99, 0, 0, 0], "a frame of unknown kind 99"),
        ([0, 0, 0, 0, 6, 0, 0, 9], "a Ping frame of 9 bytes, which it cannot have"),
    ] {
        for is_welcomed in [false, true] {
            let mut rogue = if is_welcomed { device.session().await } else { device.connect().await };
            rogue.raw(&frame).await;
            rogue.until_closed().await;
            let said = format!("it broke the protocol: {rule} (");
            soon(&said, async {
                while !server.run(["clients", "show", &id]).await.ok().out.contains(&said) {}
            })
            .await;
        }
    }
    let log = std::fs::read_to_string(server.dir().join("logs/server.log")).unwrap();
    let ended = "the peer broke the protocol: a frame of unknown kind 99";
    assert!(log.contains(ended), "so does the log");
}

#[tokio::test]
async fn what_an_agent_offers_is_its_own() {
    let bed = Bed::start().await;
    let service = Service::http("mine").await;
    let honest = bed.client(&service).await;
    let invite = bed.invite().await;
    let key = PrivateKey::generate().unwrap();
    petit_engine::agent::enrol(&invite, &DialRoute::default(), &key, "rogue", &Text::lossy("t"))
        .await
        .unwrap();
    let config = tls::client(&key, invite.pins.clone(), tls::ALPN_TUNNEL).unwrap();
    let tls =
        dial::dial(&invite.server, &DialRoute::default(), config, Duration::from_secs(10)).await.unwrap();
    let (mux, driver, mut events) = mux::session(tls, Role::Agent, 65_536);
    let _driver = tokio::spawn(driver);
    // The same service name, and as many services as may be announced.
    let offers = (1..=64).map(|number| Offer {
        service: number,
        name: if number == 1 { "web".parse().unwrap() } else { format!("s{number}").parse().unwrap() },
        kind: ServiceKind::Http,
        health: petit_engine::cause::Health::Up,
        options: Options::default(),
    });
    let hello = FromAgent::Hello(hello(offers.collect())).encode().unwrap();
    mux.send_control(&hello);
    let Some(MuxEvent::Control(payload)) = soon("the welcome", events.recv()).await else { panic!() };
    let FromRelay::Welcome(welcome) = FromRelay::decode(&payload).unwrap() else { panic!() };
    let registered: Vec<_> = welcome
        .services
        .iter()
        .filter_map(|grant| match &grant.outcome {
            GrantOutcome::Registered { id, .. } => Some(*id),
            GrantOutcome::Refused { .. } => None,
        })
        .collect();
    assert_eq!(registered.len(), 16, "no more than the operator allows");
    assert!(!registered.contains(&honest.id()));
    assert_eq!(bed.visitor().get(&host(&honest.id()), "/").await.text(), "mine");
}

#[tokio::test]
async fn a_server_that_has_gone_is_waited_for_with_a_reason() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    bed.server.drain().await;
    let status = client
        .until("a refused connection", |status| {
            matches!(status.connection, Connection::Waiting { cause: Cause::ConnectionRefused, .. })
        })
        .await;
    let at = status.services[0].broken.as_ref().unwrap().at;
    assert_eq!(at, petit_client::status::BrokenAt::Connection(Cause::ConnectionRefused));
}
