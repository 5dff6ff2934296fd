//! WebSockets.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::StatusCode;
use hyper_util::rt::TokioIo;
use petit_tests::bed::Bed;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{Visitor, host, request};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub(crate) type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

pub(crate) async fn connect(visitor: Visitor, host: &str, target: &str) -> Result<Socket, StatusCode> {
    let mut asked = request(host, "GET", target, Empty::<Bytes>::new());
    let key = generate_key();
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", key.as_str()),
    ] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    let mut answer = visitor.open(asked).await;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(answer.status());
    }
    assert_eq!(answer.headers()["sec-websocket-accept"], derive_accept_key(key.as_bytes()).as_str());
    let upgraded = soon("the upgrade", hyper::upgrade::on(&mut answer)).await.unwrap();
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await)
}

#[tokio::test]
async fn messages_of_all_kinds_come_back() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let mut socket = connect(bed.visitor(), &host(&client.id()), "/ws").await.unwrap();
    let large: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 249) as u8).collect();
    for message in
        [Message::text("héllo"), Message::binary(vec![0, 255]), Message::binary(large), Message::text("")]
    {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(soon("the echo", socket.next()).await.unwrap().unwrap(), message);
    }
    socket.send(Message::Ping(Bytes::from_static(b"p"))).await.unwrap();
    assert_eq!(
        soon("a pong", socket.next()).await.unwrap().unwrap(),
        Message::Pong(Bytes::from_static(b"p"))
    );
    socket.close(None).await.unwrap();
    while soon("the close", socket.next()).await.is_some() {}
    service.until_open(0).await;
}

#[tokio::test]
async fn many_sockets_keep_their_messages_apart() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(connect(bed.visitor(), &host(&client.id()), "/ws").await.unwrap());
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.send(Message::text(format!("number {number}"))).await.unwrap();
    }
    for (number, socket) in sockets.iter_mut().enumerate().rev() {
        assert_eq!(
            soon("an echo", socket.next()).await.unwrap().unwrap(),
            Message::text(format!("number {number}"))
        );
    }
}

#[tokio::test]
async fn a_service_that_says_no_is_heard_and_a_visitor_who_leaves_is_noticed() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host = host(&client.id());
    assert_eq!(connect(bed.visitor(), &host, "/status/403").await.unwrap_err(), StatusCode::FORBIDDEN);
    let socket = connect(bed.visitor(), &host, "/ws").await.unwrap();
    service.until_sockets(1).await;
    drop(socket);
    service.until_sockets(0).await;
    let address = service.stop().await;
    assert!(address.port() > 0);
    assert_eq!(connect(bed.visitor(), &host, "/ws").await.unwrap_err(), StatusCode::BAD_GATEWAY);
}
