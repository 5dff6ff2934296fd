//! WebSockets, message by message and byte by byte.

use std::ops::ControlFlow;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use petit_tests::bed::{Bed, until_counted};
use petit_tests::chaos::{Chaos, Flow, Trouble};
use petit_tests::conformance::carried;
use petit_tests::scripted;
use petit_tests::service::Service;
use petit_tests::visitor::host;
use petit_tests::{row, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The upgrade, byte by byte; what the service sent behind its 101 stays in the connection.
pub(super) async fn upgraded(mut tcp: TcpStream, host: &str, path: &str) -> TcpStream {
    let asked = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"
    );
    tcp.write_all(asked.as_bytes()).await.unwrap();
    let head = soon("the upgrade", scripted::head(&mut tcp)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains(&derive_accept_key(KEY.as_bytes())), "{head}");
    tcp
}

pub(crate) async fn socket(tcp: TcpStream, host: &str, path: &str) -> WebSocketStream<TcpStream> {
    WebSocketStream::from_raw_socket(upgraded(tcp, host, path).await, Role::Client, None).await
}

/// A service that agrees to every upgrade and then does what a test says.
pub(crate) async fn agreeing<F>(
    then: impl Fn(String, TcpStream) -> F + Clone + Send + Sync + 'static,
) -> Service
where
    F: Future<Output = ()> + Send + 'static,
{
    scripted::raw(move |head, mut tcp| {
        let then = then.clone();
        async move {
            let accept = derive_accept_key(KEY.as_bytes());
            let agreed = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: b\r\n\r\n"
            );
            tcp.write_all(agreed.as_bytes()).await.unwrap();
            then(head, tcp).await;
        }
    })
    .await
}

/// Every code that may stand in a close frame (RFC 6455 §7.4, and the registry of IANA) but 1014, which tungstenite
/// does not know; it passes with the frames that pass as they are.
fn close_codes() -> Vec<u16> {
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999].into()
}

#[tokio::test]
async fn every_close_code_arrives_whoever_closes() {
    let rows = [
        row!(WebSockets, "Every close code with its reason, the visitor closing"),
        row!(WebSockets, "Every close code with its reason, the service closing"),
        row!(WebSockets, "A close without a code, and a connection that ends without a close"),
    ];
    // Tells in a text how the visitor closed, or closes as the path says.
    let service = agreeing(|head, tcp| async move {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let mut socket = WebSocketStream::from_raw_socket(tcp, Role::Server, None).await;
        match path.trim_start_matches('/').parse::<u16>() {
            Ok(code) => {
                let reason = format!("reason {code} ü").into();
                let _ = socket.close(Some(CloseFrame { code: CloseCode::from(code), reason })).await;
                while let Some(Ok(_)) = socket.next().await {}
            }
            Err(_) if path == "/none" => {
                let _ = socket.close(None).await;
                while let Some(Ok(_)) = socket.next().await {}
            }
            Err(_) if path == "/gone" => {}
            // tungstenite answers a close with the same code and reason.
            Err(_) => while let Some(Ok(_)) = socket.next().await {},
        }
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());
    for code in close_codes() {
        let frame = CloseFrame { code: CloseCode::from(code), reason: format!("reason {code} ü").into() };
        for path in ["/echo".to_owned(), format!("/{code}")] {
            let mut socket = socket(bed.visitor().tcp().await, &host, &path).await;
            if path == "/echo" {
                socket.close(Some(frame.clone())).await.unwrap();
            }
            let closed = soon("the close", socket.next()).await.unwrap().unwrap();
            assert_eq!(closed, Message::Close(Some(frame.clone())), "{path}");
            assert!(soon("the end", socket.next()).await.is_none_or(|end| end.is_err()));
        }
    }
    let mut closed = socket(bed.visitor().tcp().await, &host, "/none").await;
    assert_eq!(soon("the close", closed.next()).await.unwrap().unwrap(), Message::Close(None));
    let mut gone = socket(bed.visitor().tcp().await, &host, "/gone").await;
    assert!(soon("the end", gone.next()).await.is_none_or(|end| end.is_err()));
    carried(rows);
}

/// Writes bytes and reads as many back.
async fn back_again(tcp: &mut TcpStream, sent: &[u8]) {
    let mut back = vec![0; sent.len()];
    let (mut read, mut write) = tcp.split();
    let (written, read) = tokio::join!(write.write_all(sent), soon("the echo", read.read_exact(&mut back)));
    written.unwrap();
    read.unwrap();
    assert!(back == sent, "the same bytes in the same order");
}

#[tokio::test]
async fn frames_pass_as_they_are() {
    let rows = [
        row!(
            WebSockets,
            "Frames pass byte for byte: masks, fragments, control frames between them, reserved bits and opcodes"
        ),
        row!(WebSockets, "The subprotocol and extensions that the service chose"),
    ];
    // What comes is sent back as it came, whatever it is.
    let service = agreeing(|head, mut tcp| async move {
        assert!(head.to_lowercase().contains("sec-websocket-protocol: a, b"), "{head}");
        let (mut read, mut write) = tcp.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let mut tcp = upgraded(bed.visitor().tcp().await, &host(&client.id()), "/").await;
    let frame = |first: u8, payload: &[u8]| {
        let mut frame = vec![first, 0x80 | payload.len() as u8, 1, 2, 3, 4];
        frame.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    };
    // A text in three fragments with a ping and a pong between them; reserved bits; opcodes nobody has defined.
    for first in [0x01, 0x00, 0x89, 0x00, 0x8a, 0x80, 0xc1, 0xf2, 0x83, 0x8b, 0x88] {
        back_again(&mut tcp, &frame(first, b"payload")).await;
    }
    back_again(&mut tcp, &frame(0x88, &[&1014_u16.to_be_bytes()[..], b"bad gateway"].concat())).await;
    // One frame, byte by byte, and one of which the length says more than anybody will ever send.
    for byte in frame(0x82, b"slowly") {
        back_again(&mut tcp, &[byte]).await;
    }
    let huge = [&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 9, 9, 9, 9][..], &[7; 100_000]]
        .concat();
    back_again(&mut tcp, &huge).await;
    carried(rows);
}

#[tokio::test]
async fn messages_may_be_as_large_as_both_ends_like() {
    let rows = [
        row!(WebSockets, "A message of 16 MiB each way"),
        row!(WebSockets, "A message in 10,000 fragments"),
        row!(WebSockets, "Pings and pongs, from either side, with their payloads"),
    ];
    let service = agreeing(|_, tcp| async move {
        let mut socket = WebSocketStream::from_raw_socket(tcp, Role::Server, None).await;
        socket.send(Message::Ping(Bytes::from_static(b"are you there?"))).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            let flow = match message {
                Message::Pong(payload) => socket.send(Message::text(format!("pong {payload:?}"))).await,
                Message::Text(_) | Message::Binary(_) => socket.send(message).await,
                _ => Ok(()),
            };
            if let ControlFlow::Break(()) = flow.map_or(ControlFlow::Break(()), ControlFlow::Continue) {
                return;
            }
        }
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());
    let mut socket = socket(bed.visitor().tcp().await, &host, "/").await;
    let ping = soon("a ping", socket.next()).await.unwrap().unwrap();
    assert_eq!(ping, Message::Ping(Bytes::from_static(b"are you there?")));
    let heard = soon("what the service heard", socket.next()).await.unwrap().unwrap();
    assert_eq!(heard, Message::text("pong b\"are you there?\""));
    socket.send(Message::Ping(Bytes::from_static(b"and you?"))).await.unwrap();
    let pong = soon("a pong", socket.next()).await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"and you?")));

    let large: Vec<u8> = (0..16_u32 << 20).map(|i| (i % 249) as u8).collect();
    let (mut write, mut read) = socket.split();
    let sending = write.send(Message::binary(large.clone()));
    let (sent, back) = tokio::join!(sending, soon("the echo", read.next()));
    sent.unwrap();
    assert!(back.unwrap().unwrap().into_data() == large);

    let mut tcp = upgraded(bed.visitor().tcp().await, &host, "/").await;
    let mut fragments = Vec::new();
    for number in 0..10_000_u32 {
        let first = if number == 0 {
            0x01
        } else if number == 9_999 {
            0x80
        } else {
            0x00
        };
        fragments.extend([first, 0x81, 0, 0, 0, 0, b'a' + (number % 26) as u8]);
    }
    tcp.write_all(&fragments).await.unwrap();
    let mut socket = WebSocketStream::from_raw_socket(tcp, Role::Client, None).await;
    let whole = loop {
        match soon("the message", socket.next()).await.unwrap().unwrap() {
            Message::Text(text) => break text,
            other => assert!(other.is_ping(), "{other:?}"),
        }
    };
    assert!(whole.len() == 10_000 && whole.starts_with("abcdef"));
    carried(rows);
}

#[tokio::test]
async fn a_visitor_who_has_only_finished_sending_still_hears_the_service() {
    let row =
        row!(WebSockets, "A visitor who has finished sending (FIN without close) still hears the service");
    let service = agreeing(|_, mut tcp| async move {
        scripted::gone(&mut tcp).await;
        tcp.write_all(&[0x81, 4, b'l', b'a', b's', b't']).await.unwrap();
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let mut tcp = upgraded(bed.visitor().tcp().await, &host(&client.id()), "/").await;
    tcp.shutdown().await.unwrap();
    let mut rest = Vec::new();
    soon("the last word", tcp.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, [0x81, 4, b'l', b'a', b's', b't']);
    row.carried();
}

#[tokio::test]
async fn a_service_that_does_not_become_a_websocket_is_named() {
    let rows = [row!(
        WebSockets,
        "A service that refuses, answers something else, or does not answer an upgrade in time: told to the visitor"
    )];
    let h2 = row!(WebSockets, "A WebSocket at a service of HTTP/2 (RFC 8441)");
    let bed = Bed::start().await;
    let ask = |host: String| {
        let asked = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        let visitor = bed.visitor();
        async move { String::from_utf8(visitor.raw(asked.as_bytes()).await).unwrap() }
    };
    for (said, heard) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 403 "),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 200 "),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: else\r\n\r\n", "HTTP/1.1 502 "),
        ("", "HTTP/1.1 504 "),
    ] {
        let service = scripted::raw(move |_, mut tcp| async move {
            tcp.write_all(said.as_bytes()).await.unwrap();
            scripted::gone(&mut tcp).await;
        })
        .await;
        let client = bed.client_of(service.address(), "http", "answer_within = \"1s\"").await;
        let answer = ask(host(&client.id())).await;
        assert!(answer.starts_with(heard), "{said:?}: {answer}");
        // What follows on the connection may be no HTTP.
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    carried(rows);
    let service = Service::h2("h2").await;
    let client = bed.client_of(service.address(), "h2", "").await;
    let answer = ask(host(&client.id())).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    h2.instead("502: WebSockets need a service of kind \"http\"");
}

#[tokio::test]
async fn a_websocket_counts_as_a_connection_for_as_long_as_it_is_one() {
    let bed = Bed::start().await;
    let service = Service::http("ws").await;
    let client = bed.client(&service).await;
    let connections = || bed.server.relay.counts().connections;
    let before = connections();
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = socket(bed.visitor().tcp().await, &host(&client.id()), "/ws").await;
        socket.send(Message::text("here")).await.unwrap();
        assert_eq!(soon("an echo", socket.next()).await.unwrap().unwrap(), Message::text("here"));
        sockets.push(socket);
    }
    assert_eq!(connections(), before + 3);
    drop(sockets);
    let relay = &bed.server.relay;
    until_counted(relay, "the end of the WebSockets", |counts| counts.connections <= before).await;
}

#[tokio::test]
async fn a_visitor_who_vanishes_is_given_up_and_one_who_pings_is_not() {
    use std::time::Duration;
    let row = row!(
        WebSockets,
        "A visitor who vanishes without a word is given up after the idle time; pings keep one alive"
    );
    const IDLE: Duration = Duration::from_secs(2);
    let bed = Bed::with_limits(|limits| limits.idle = IDLE).await;
    let service = Service::http("s").await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());
    let line = Chaos::before(bed.http()).await;
    let vanishing = TcpStream::connect(line.address()).await.unwrap();
    let _vanishing = socket(vanishing, &host, "/ws").await;
    let mut pinging = socket(bed.visitor().tcp().await, &host, "/ws").await;
    service.until_sockets(2).await;
    line.set_both(Trouble::flow(Flow::Lost));
    // As many pings as it takes until the other one has been given up.
    let pings = async {
        loop {
            pinging.send(Message::Ping(Bytes::new())).await.unwrap();
            soon("a pong", pinging.next()).await.unwrap().unwrap();
            tokio::time::sleep(IDLE / 8).await; // the pace of the pings, not a wait for anything
        }
    };
    tokio::select! {
        () = service.until_sockets(1) => {}
        () = pings => {}
    }
    pinging.send(Message::text("still here")).await.unwrap();
    let answer = loop {
        match soon("the echo", pinging.next()).await.unwrap().unwrap() {
            Message::Pong(_) => {}
            other => break other,
        }
    };
    assert_eq!(answer, Message::text("still here"));
    row.carried();
}
