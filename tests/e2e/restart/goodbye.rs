//! What a server that leaves says to whom it carries.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use petit_engine::proto::control::{FromAgent, FromRelay, GrantOutcome, GrantRefusal, ServiceKind};
use petit_engine::proto::frame::FrameKind;
use petit_relay::{Farewell, Leave, Relay};
use petit_tests::bed::Bed;
use petit_tests::rogue::{Device, offer};
use petit_tests::scripted::Manner;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{host, request, sum, whole};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::traffic::events::{event, service, subscribe};
use crate::traffic::websocket::{agreeing, socket};
use crate::upgrade::connect;

/// Has the bed's relay leave, saying goodbye at once.
pub(super) fn leave(bed: &Bed, leave: Leave) -> JoinHandle<()> {
    let relay: Relay = bed.server.relay.clone();
    let farewell = Farewell { leave, goodbye: Duration::ZERO, limit: Duration::from_secs(40) };
    tokio::spawn(async move { relay.leave(farewell).await })
}

#[tokio::test]
async fn websockets_are_told_that_the_server_goes_away() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let mut idle = connect(bed.visitor(), &host(&client.id()), "/ws").await.unwrap();
    let mut busy = connect(bed.visitor(), &host(&client.id()), "/ws").await.unwrap();
    busy.send(Message::text("before")).await.unwrap();
    assert_eq!(soon("the echo", busy.next()).await.unwrap().unwrap(), Message::text("before"));
    assert_eq!(bed.server.relay.under_way().websockets, 2);
    let start = Instant::now();
    let left = leave(&bed, Leave::Stop);
    for socket in [&mut idle, &mut busy] {
        match soon("a close frame", socket.next()).await {
            Some(Ok(Message::Close(Some(close)))) => assert_eq!(close.code, CloseCode::Away),
            other => panic!("no close frame: {other:?}"),
        }
        // A connection that were cut would be an error.
        assert!(soon("the end", socket.next()).await.is_none());
    }
    service.until_sockets(0).await;
    soon("the server to have left", left).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "nothing was left to wait for: {:?}", start.elapsed());
}

#[tokio::test]
async fn the_service_behind_a_websocket_is_told_too() {
    let bed = Bed::start().await;
    let (told, mut heard) = mpsc::channel(1);
    let service = agreeing(move |_, tcp| {
        let told = told.clone();
        async move {
            let mut socket = WebSocketStream::from_raw_socket(tcp, Role::Server, None).await;
            told.send(socket.next().await).await.unwrap();
            while socket.next().await.is_some() {}
        }
    })
    .await;
    let client = bed.client_of(service.address(), "http", "").await;
    let mut socket = socket(bed.visitor().tcp().await, &host(&client.id()), "/").await;
    let left = leave(&bed, Leave::Stop);
    match soon("a close frame at the service", heard.recv()).await.unwrap() {
        Some(Ok(Message::Close(Some(close)))) => assert_eq!(close.code, CloseCode::Away),
        other => panic!("no close frame: {other:?}"),
    }
    while soon("the end", socket.next()).await.is_some_and(|message| message.is_ok()) {}
    soon("the server to have left", left).await.unwrap();
}

#[tokio::test]
async fn sides_that_do_not_answer_the_goodbye_are_not_waited_for() {
    let bed = Bed::start().await;
    let service = agreeing(|_, tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
    })
    .await;
    let client = bed.client_of(service.address(), "http", "").await;
    let socket = socket(bed.visitor().tcp().await, &host(&client.id()), "/").await;
    let start = Instant::now();
    soon("the server to have left", leave(&bed, Leave::Stop)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    drop((socket, service));
}

#[tokio::test]
async fn event_streams_end_behind_a_whole_event() {
    for manner in [Manner::h1(), Manner::h2()] {
        for h2 in [false, true] {
            let bed = Bed::start().await;
            let kind = if manner.h2 { "h2" } else { "http" };
            let (service, mut pens) = service(manner.clone()).await;
            let client = bed.client_of(service.address(), kind, "").await;
            let mut idle = subscribe(&bed, &client, h2).await.into_body();
            let (idle_pen, _) = pens.recv().await.unwrap();
            event(&idle_pen, &mut idle, 1).await;
            let mut cut = subscribe(&bed, &client, h2).await.into_body();
            let (cut_pen, _) = pens.recv().await.unwrap();
            assert!(cut_pen.write("data: one half").await);
            assert_eq!(
                soon("half an event", cut.frame()).await.unwrap().unwrap().into_data().unwrap(),
                "data: one half"
            );
            assert_eq!(bed.server.relay.under_way().event_streams, 2);
            let left = leave(&bed, Leave::Stop);
            let rest = soon("the end of the idle one", idle.collect()).await;
            assert!(rest.unwrap().to_bytes().is_empty(), "a clean end");
            assert!(cut_pen.write(" and the other\n\n").await);
            let rest = soon("the end of the other", cut.collect()).await;
            assert_eq!(rest.unwrap().to_bytes(), " and the other\n\n");
            soon("the service to notice", cut_pen.unread()).await;
            soon("the server to have left", left).await.unwrap();
            drop(service);
        }
    }
}

#[tokio::test]
async fn a_download_is_no_event_stream_and_comes_to_its_end() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let asked = request(&host(&client.id()), "GET", "/bytes/30000000", Empty::<Bytes>::new());
    let mut download = bed.visitor().open(asked).await.into_body();
    soon("the first bytes", download.frame()).await.unwrap().unwrap();
    let left = leave(&bed, Leave::Stop);
    client
        .until("the client to know", |status| {
            !matches!(status.connection, petit_client::status::Connection::Online { .. })
        })
        .await;
    let (rest, _) = soon("the download", sum(download)).await.unwrap();
    assert!(rest > 20_000_000, "all of it: {rest}");
    soon("the server to have left", left).await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_refuses_connections_while_a_download_comes_to_its_end() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client =
        bed.client_with(&[("web", service.address(), "http"), ("raw", service.address(), "tcp")]).await;
    let raw = client.url("raw").await;
    let raw = raw.rsplit(':').next().unwrap().parse().unwrap();
    let asked = request(&host(&client.id()), "GET", "/bytes/30000000", Empty::<Bytes>::new());
    let mut download = bed.visitor().open(asked).await.into_body();
    soon("the first bytes", download.frame()).await.unwrap().unwrap();
    let left = leave(&bed, Leave::Stop);
    for port in [bed.server.http.port(), bed.server.tls.port(), raw] {
        let refused = async {
            // A task that has accepted until now may hold its socket for another moment.
            while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        soon("a connection to be refused", refused).await;
    }
    assert!(!left.is_finished(), "the download is still under way");
    let (rest, _) = soon("the download", sum(download)).await.unwrap();
    assert!(rest > 20_000_000, "all of it: {rest}");
    soon("the server to have left", left).await.unwrap();
}

#[tokio::test]
async fn what_has_no_end_of_its_own_is_told_that_its_client_goes_away() {
    let bed = Bed::start().await;
    let sockets = Service::http("s").await;
    let (events, mut pens) = service(Manner::h1()).await;
    let client =
        bed.client_with(&[("web", sockets.address(), "http"), ("events", events.address(), "http")]).await;
    let public =
        |url: String| url.strip_prefix("http://").unwrap().split([':', '/']).next().unwrap().to_owned();
    let (sockets_host, events_host) = (public(client.url("web").await), public(client.url("events").await));
    let mut idle = connect(bed.visitor(), &sockets_host, "/ws").await.unwrap();
    let asked = request(&events_host, "GET", "/", Empty::<Bytes>::new());
    let mut stream = bed.visitor().open(asked).await.into_body();
    let (pen, _) = soon("a subscription", pens.recv()).await.unwrap();
    event(&pen, &mut stream, 1).await;
    let start = Instant::now();
    client.client.switch(false).await;
    let told = async {
        match soon("a close frame", idle.next()).await {
            Some(Ok(Message::Close(Some(close)))) => assert_eq!(close.code, CloseCode::Away),
            other => panic!("no close frame: {other:?}"),
        }
        assert!(soon("the end", idle.next()).await.is_none());
    };
    let ended = async {
        let rest = soon("the end of the events", stream.collect()).await;
        assert!(rest.unwrap().to_bytes().is_empty(), "a clean end");
    };
    tokio::join!(told, ended);
    assert!(start.elapsed() >= petit_engine::limits::CLIENT_GOODBYE, "they have had their time");
    sockets.until_sockets(0).await;
    soon("the service to notice", pen.unread()).await;
}

#[tokio::test]
async fn a_raw_tcp_port_is_not_opened_by_a_server_that_leaves() {
    for leave_how in [Leave::Stop, Leave::Move] {
        let bed = Bed::start().await;
        let device = Device::of(&bed).await;
        let mut agent = device.session().await;
        // Something is under way, so that the server does not leave at once.
        let asked = request(&host(&device.registered.id), "GET", "/", Empty::<Bytes>::new());
        let visitor = bed.visitor();
        let waiting = tokio::spawn(async move { whole(visitor.open(asked).await).await });
        let (stream, _) = agent.visited().await;
        let left = leave(&bed, leave_how);
        agent.next_of(FrameKind::GoAway).await.expect("a farewell");
        let services = vec![offer(1, "web", ServiceKind::Http), offer(2, "raw", ServiceKind::Tcp)];
        agent.say(&FromAgent::Services { services }).await;
        let Some(FromRelay::Services { services, .. }) = agent.control().await else { panic!("no answer") };
        let raw = services.iter().find(|grant| grant.service == 2).unwrap();
        // The device says that it knows none of what came later, and hears a word that it knows.
        assert_eq!(raw.outcome, GrantOutcome::Refused { cause: GrantRefusal::StoreFailed }, "{leave_how:?}");
        agent.send(stream, FrameKind::Data, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(waiting.await.unwrap().text(), "ok");
        drop(agent);
        soon("the server to have left", left).await.unwrap();
    }
}

#[tokio::test]
async fn while_another_process_takes_over_idle_connections_to_older_clients_are_closed_before_they_are_away()
{
    let bed = Bed::start().await;
    // It does not say that it can begin its next session before it leaves this one.
    let device = Device::of(&bed).await;
    let mut agent = device.session().await;
    let asked = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", host(&device.registered.id));
    let mut kept = bed.visitor().tcp().await;
    kept.write_all(asked.as_bytes()).await.unwrap();
    let (stream, _) = agent.visited().await;
    agent.send(stream, FrameKind::Data, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        assert!(soon("the answer", kept.read_buf(&mut answer)).await.unwrap() > 0);
    }
    let start = Instant::now();
    let left = leave(&bed, Leave::Move);
    // The next request would be told that the client is away. Who finds the connection closed opens another one,
    // which the other process takes.
    assert_eq!(soon("the end", kept.read_buf(&mut answer)).await.unwrap(), 0);
    assert!(start.elapsed() < Duration::from_secs(20), "not when the server has left: {:?}", start.elapsed());
    agent.next_of(FrameKind::GoAway).await.expect("a farewell");
    drop(agent);
    soon("the server to have left", left).await.unwrap();
}

#[tokio::test]
async fn while_another_process_takes_over_a_kept_connection_is_served_once_more() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host = host(&client.id());
    let mut kept = bed.visitor().connect().await;
    let asked = || request(&host, "GET", "/", Empty::<Bytes>::new());
    let first = whole(soon("an answer", kept.send_request(asked())).await.unwrap()).await;
    assert_eq!((first.status, first.headers.get("connection")), (StatusCode::OK, None));
    let left = leave(&bed, Leave::Move);
    tokio::task::yield_now().await; // it has begun to leave
    // The agent cannot get to another process here, and goes on with the session that it has.
    let waiting = tokio::spawn({
        let asked = request(&host, "GET", "/wait", Empty::<Bytes>::new());
        let answer = kept.send_request(asked);
        async move { whole(soon("an answer", answer).await.unwrap()).await }
    });
    service.until_waiting(1).await;
    service.let_go();
    let last = waiting.await.unwrap();
    assert_eq!((last.status, last.headers["connection"].to_str().unwrap()), (StatusCode::OK, "close"));
    soon("the relay to have left", left).await.unwrap();
}

#[tokio::test]
async fn a_relay_that_stays_after_all_serves_as_before() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host = host(&client.id());
    let open = request(&host, "GET", "/wait", Empty::<Bytes>::new());
    let visitor = bed.visitor();
    let waiting = tokio::spawn(async move { whole(visitor.open(open).await).await });
    service.until_waiting(1).await;
    let leaving = leave(&bed, Leave::Move);
    // Nobody accepts: the connection waits in the queue.
    let early = tokio::spawn({
        let host = host.clone();
        async move { visitor.get(&host, "/").await }
    });
    tokio::task::yield_now().await;
    leaving.abort();
    let _ = leaving.await;
    bed.server.relay.stay();
    assert_eq!(early.await.unwrap().status, StatusCode::OK);
    assert_eq!(visitor.get(&host, "/").await.status, StatusCode::OK);
    service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done", "what was under way has gone on");
    let mut socket = connect(bed.visitor(), &host, "/ws").await.unwrap();
    socket.send(Message::text("on")).await.unwrap();
    assert_eq!(soon("the echo", socket.next()).await.unwrap().unwrap(), Message::text("on"));
}
