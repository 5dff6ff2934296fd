//! A session that two programs of the first released version had, played to today's: an end that negotiates nothing
//! must get nothing that it does not know.
//!
//! The recording is made and checked by `cargo xtask test old`, with those programs themselves.

use petit_engine::name::RegisteredId;
use petit_engine::proto::control::{FromAgent, FromRelay, Message};
use petit_engine::proto::frame::{FrameKind, Header, Open, Purpose};
use petit_tests::bed::{Bed, BedClient};
use petit_tests::pattern::Pattern;
use petit_tests::recorded::{Side, fields};
use petit_tests::rogue::Device;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::host;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::strangers::server::Hostile;

/// Whoever knows `known` can read a message with these fields.
#[track_caller]
fn assert_known(message: &Value, known: &Value) {
    let known = fields(known);
    for field in fields(message) {
        assert!(known.contains(&field), "{field} is new in {message}");
    }
}

#[test]
fn every_frame_of_the_older_version_is_read() {
    let mut seen = Vec::new();
    for side in [Side::Agent, Side::Relay] {
        for (header, payload) in side.recorded().frames() {
            seen.push(header.kind);
            match header.kind {
                FrameKind::Control => {
                    let again = match side {
                        Side::Agent => FromAgent::decode(&payload).unwrap().encode().unwrap(),
                        Side::Relay => FromRelay::decode(&payload).unwrap().encode().unwrap(),
                    };
                    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
                    assert_known(&value(&again), &value(&payload));
                }
                FrameKind::Open => {
                    assert_eq!(Open::decode(&payload).unwrap().encode()[..], payload);
                }
                FrameKind::Data
                | FrameKind::Fin
                | FrameKind::Rst
                | FrameKind::Window
                | FrameKind::Ping
                | FrameKind::Pong
                | FrameKind::GoAway => {}
            }
        }
    }
    for kind in [FrameKind::Control, FrameKind::Open, FrameKind::Data, FrameKind::Fin, FrameKind::GoAway] {
        assert!(seen.contains(&kind), "{kind:?} was recorded");
    }
}

/// The frames of a stream behind its OPEN.
fn of_stream(frames: &[(Header, Vec<u8>)], stream: u32) -> Vec<(FrameKind, Vec<u8>)> {
    let of_it = frames.iter().filter(|(header, _)| header.stream == stream && header.kind != FrameKind::Open);
    of_it.map(|(header, payload)| (header.kind, payload.clone())).collect()
}

/// The stream of the first visitor in the recording.
fn first_visit() -> u32 {
    let frames = Side::Relay.recorded().frames();
    let mut opens = frames.iter().filter(|(header, _)| header.kind == FrameKind::Open);
    let is_visit = |payload: &[u8]| Open::decode(payload).unwrap().purpose == Purpose::Visit;
    opens.find(|(_, payload)| is_visit(payload)).unwrap().0.stream
}

#[tokio::test]
async fn todays_server_says_nothing_new_to_a_client_that_negotiates_nothing() {
    let bed = Bed::start().await;
    let device = Device::of(&bed).await;
    let recorded = Side::Agent.recorded();
    let mut agent = device.connect().await;
    let hello = recorded.frames().remove(0).1;
    agent.send(0, FrameKind::Control, &hello).await;
    let (_, welcome) = agent.next_of(FrameKind::Control).await.unwrap();
    let welcome: Value = serde_json::from_slice(&welcome).unwrap();
    assert_eq!(welcome["type"], "welcome");
    assert_known(&welcome, &Side::Relay.recorded().message("welcome"));

    // A probe is answered in the older version's words.
    agent.say(&FromAgent::Probe { probe: 1, service: 1 }).await;
    let (stream, open) = agent.visited().await;
    assert_eq!(open.purpose, Purpose::Probe);
    let probe = recorded.frames().into_iter().filter(|(header, _)| header.stream != 0);
    let (kind, end) = probe.map(|(header, payload)| (header.kind, payload)).next().unwrap();
    agent.send(stream, kind, &end).await;
    let (_, probed) = agent.next_of(FrameKind::Control).await.unwrap();
    assert_known(&serde_json::from_slice(&probed).unwrap(), &Side::Relay.recorded().message("probed"));

    // A visitor gets the answer that the older agent carried.
    let id: RegisteredId =
        welcome["services"][0]["outcome"]["registered"]["id"].as_str().unwrap().parse().unwrap();
    let visitor = bed.visitor();
    let asking = tokio::spawn(async move { visitor.get(&host(&id), "/").await });
    let (stream, open) = agent.visited().await;
    assert_eq!((open.service, open.purpose), (1, Purpose::Visit));
    for (kind, payload) in of_stream(&recorded.frames(), first_visit()) {
        agent.send(stream, kind, &payload).await;
    }
    let answer = soon("the answer", asking).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "web".to_owned()));
}

#[tokio::test]
async fn todays_client_serves_a_server_that_negotiates_nothing() {
    let web = Service::http("web").await;
    let line = Service::tcp_echo("hello: ").await;
    let relay = Hostile::new().await;
    let (invite, services) =
        (relay.invite(), [("web", web.address(), "http"), ("line", line.address(), "tcp")]);
    let (client, ()) = tokio::join!(BedClient::new(&invite, &services), relay.enrol());
    let mut session = relay.accept().await;
    let (_, hello) = session.next_of(FrameKind::Control).await.unwrap();
    let hello: Value = serde_json::from_slice(&hello).unwrap();
    assert_known(&hello, &Side::Agent.recorded().message("hello"));

    // Its questions and answers come as they come; all else is played.
    let frames = Side::Relay.recorded().frames();
    let is_played = |header: &Header, payload: &[u8]| match header.kind {
        FrameKind::Control => payload.starts_with(br#"{"type":"welcome""#),
        FrameKind::Open => Open::decode(payload).unwrap().purpose == Purpose::Visit,
        FrameKind::Data | FrameKind::Fin => true,
        // The end comes when all is answered.
        FrameKind::Ping | FrameKind::Pong | FrameKind::Window | FrameKind::Rst | FrameKind::GoAway => false,
    };
    let visit = first_visit();
    let played = frames
        .iter()
        .filter(|(header, payload)| is_played(header, payload) && [0, visit].contains(&header.stream));
    for (header, payload) in played {
        session.0.write_all(&header.encode()).await.unwrap();
        session.0.write_all(payload).await.unwrap();
    }
    session.0.flush().await.unwrap();

    // Two requests, one behind the other on one connection: for `/`, and for the sum of what was sent.
    let (web, sum) = ("\r\n\r\nwebHTTP/1.1 200 OK", format!("\r\n\r\n20000 {}", Pattern::sum(20_000)));
    let mut said = String::new();
    while !(said.contains(web) && said.ends_with(&sum)) {
        let (header, payload) = session.next().await.expect("the session goes on");
        assert!(header.kind != FrameKind::Rst, "{said}");
        if header.stream == visit && header.kind == FrameKind::Data {
            said.push_str(&String::from_utf8_lossy(&payload));
        }
    }

    // Nothing is said of what such a server does not tell.
    let status = client.client.status().await;
    assert!(status.services.iter().all(|service| service.admits.is_none()), "{:?}", status.services);

    // It is told to leave as the older version says that, closes, and comes again.
    for (header, payload) in frames.iter().filter(|(header, _)| {
        header.kind == FrameKind::GoAway || (header.kind == FrameKind::Rst && header.stream == visit)
    }) {
        session.send(header.stream, header.kind, payload).await;
    }
    let mut rest = Vec::new();
    soon("the end of the session", session.0.read_to_end(&mut rest)).await.unwrap();
    let mut again = relay.accept().await;
    let (_, hello) = again.next_of(FrameKind::Control).await.unwrap();
    assert_known(&serde_json::from_slice(&hello).unwrap(), &Side::Agent.recorded().message("hello"));
}
