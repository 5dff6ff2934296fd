//! How often, how many at the same time, and how much.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use petit_tests::scripted::{self, AnyBody, Manner};
use petit_tests::soon;
use petit_tests::visitor::{Answer, h2_on, request, whole};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::super::fronts::{Doors, FRONTS, Front, https};
use super::Programs;

fn is_too_many(answer: &Answer) -> bool {
    answer.petit_error().as_deref() == Some("too-many-requests")
}

#[tokio::test]
async fn whoever_comes_more_often_than_the_policy_allows_is_told_at_each_front_when_to_come_back() {
    const BURST: u64 = 40;
    let it = Programs::open("").await;
    let burst = BURST.to_string();
    it.run(["policy", "set", "few", "--services", "default", "--rate", "1", "--burst", &burst]).await;
    let (doors, before) = (&it.doors, it.web.requests());
    // On one connection.
    let mut h2 = h2_on(doors.secure("127.0.0.2", "h2").await).await;
    let refused = soon("the end of what is allowed", async {
        loop {
            let asked = https(&doors.host, "/", Empty::<Bytes>::new());
            let answer = whole(h2.send_request(asked).await.unwrap()).await;
            if answer.status != 200 {
                return answer;
            }
        }
    })
    .await;
    assert!(is_too_many(&refused) && refused.status == 429, "{}", refused.status);
    let seconds: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    assert!(it.web.requests() - before >= BURST);
    // As on all others: one a second gets in, and there are more in a second than that.
    for front in FRONTS {
        let refused = async {
            loop {
                let answer = front.ask_from("127.0.0.2", doors, &[]).await;
                if answer.status.as_u16() >= 300 {
                    return answer;
                }
            }
        };
        let refused = soon("a refusal", refused).await;
        assert!(is_too_many(&refused) && refused.headers.contains_key("retry-after"), "{front:?}");
        assert!(front.ask_from("127.0.0.3", doors, &[]).await.status.as_u16() < 300, "{front:?}");
    }
    soon("raw TCP to be reset", async { while it.greeted("127.0.0.4").await.is_some() {} }).await;
    assert!(it.greeted("127.0.0.5").await.is_some(), "another address has a rate of its own");
    it.run(["policy", "set", "few", "--rate", "none", "--burst", "none"]).await;
    for _ in 0..BURST / 4 {
        assert_eq!(Front::Https1.ask_from("127.0.0.2", doors, &[]).await.status, 200);
    }
}

#[tokio::test]
async fn so_many_visits_of_a_service_may_be_under_way_whatever_they_are() {
    let it = Programs::open("").await;
    let limits = ["--concurrent", "2", "--per", "service"];
    let set = [&["policy", "set", "few", "--services", "default"][..], &limits].concat();
    it.server.run(set).await.ok();
    let doors = &it.doors;
    let mut h2 = h2_on(doors.secure("127.0.0.1", "h2").await).await;
    let waiting = h2.send_request(https(&doors.host, "/wait", Empty::<Bytes>::new()));
    let waiting = tokio::spawn(async move { whole(waiting.await.unwrap()).await });
    it.web.until_waiting(1).await;
    let tls = doors.secure("127.0.0.1", "http/1.1").await;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let asked = Request::get("/ws")
        .header("host", &doors.host)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = soon("the WebSocket", sender.send_request(asked)).await.unwrap();
    assert_eq!(answer.status(), 101);
    let upgraded = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    for front in FRONTS {
        assert!(is_too_many(&front.ask(doors, &[]).await), "{front:?}");
    }
    assert!(it.greeted("127.0.0.1").await.is_some(), "another service is counted for itself");

    // What is over makes room: the request, and then the WebSocket.
    it.web.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done");
    let gets_in = async || while is_too_many(&Front::Https2.ask(doors, &[]).await) {};
    soon("room for one", gets_in()).await;
    drop(socket);
    let wait = |doors: Doors| async move {
        let asked = || request(&doors.host, "GET", "/wait", Empty::<Bytes>::new());
        while is_too_many(&doors.plain.send(asked()).await) {}
    };
    let both = [doors, doors].map(|doors| tokio::spawn(wait(doors.clone())));
    it.web.until_waiting(2).await;
    it.web.let_go();
    for one in both {
        one.await.unwrap();
    }

    // Of raw TCP, too.
    let until_greeted = async |from: &str| {
        soon("a greeting", async {
            loop {
                if let Some(tcp) = it.greeted(from).await {
                    return tcp;
                }
            }
        })
        .await
    };
    let (first, _second) = (until_greeted("127.0.0.1").await, until_greeted("127.0.0.2").await);
    assert!(it.greeted("127.0.0.3").await.is_none());
    drop(first);
    until_greeted("127.0.0.3").await;
}

/// Sends a request whose body is written bit by bit, and waits for the answer meanwhile.
async fn upload(front: Front, doors: &Doors, body: AnyBody) -> Answer {
    let answer = match front {
        Front::Https2 => {
            let asked = https_post(doors, body);
            h2_on(doors.secure("127.0.0.1", "h2").await).await.send_request(asked).await.unwrap()
        }
        _ => {
            let tls = doors.secure("127.0.0.1", "http/1.1").await;
            let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request(&doors.host, "POST", "/upload", body)).await.unwrap()
        }
    };
    whole(answer).await
}

fn https_post<B>(doors: &Doors, body: B) -> Request<B> {
    let mut asked = https(&doors.host, "/upload", body);
    *asked.method_mut() = Method::POST;
    asked
}

/// What a service hears of a body.
#[derive(Debug, PartialEq)]
enum Heard {
    Begun,
    Whole(usize),
    CutOff,
}

#[tokio::test]
async fn a_body_that_grows_too_long_is_refused_while_it_comes_and_never_looks_whole_to_the_service() {
    const MOST: usize = 64 << 10;
    let (tell, mut hear) = mpsc::unbounded_channel();
    let service = scripted::service(Manner::h1(), move |request| {
        let tell = tell.clone();
        async move {
            tell.send(Heard::Begun).unwrap();
            let body = request.into_body().collect().await;
            tell.send(body.map_or(Heard::CutOff, |body| Heard::Whole(body.to_bytes().len()))).unwrap();
            Response::new(scripted::text("thanks"))
        }
    })
    .await;
    let (it, doors) = Programs::open_with(service.address()).await;
    it.run(["policy", "set", "small", "--services", "default", "--max-body", "64KB"]).await;
    let mut next = async || soon("a word of the service", hear.recv()).await.unwrap();
    for front in [Front::Https1, Front::Https2] {
        // As long as it may be.
        let (pen, body) = scripted::written();
        let write = async move { assert!(pen.write(vec![b'x'; MOST]).await) };
        let (answer, ()) = tokio::join!(upload(front, &doors, body), write);
        assert_eq!(answer.text(), "thanks", "{front:?}");
        assert_eq!((next().await, next().await), (Heard::Begun, Heard::Whole(MOST)), "{front:?}");

        // Longer by a byte; and its end does not come before the answer.
        let (pen, body) = scripted::written();
        let write = async {
            assert!(pen.write(vec![b'x'; MOST]).await);
            assert_eq!(next().await, Heard::Begun, "{front:?}");
            assert!(pen.write("x").await);
        };
        let both = async { tokio::join!(upload(front, &doors, body), write) };
        let (answer, ()) = soon("an answer before the end", both).await;
        assert_eq!((answer.status.as_u16(), answer.petit_error().as_deref()), (413, Some("body-too-long")));
        assert_eq!(next().await, Heard::CutOff, "{front:?}");
        soon("nobody to read any more", pen.unread()).await;
    }

    // One that says how long it is to be is not waited for, and the service hears nothing of it.
    let (_pen, body) = scripted::written();
    let mut asked = https_post(&doors, body);
    asked.headers_mut().insert("content-length", (MOST + 1).into());
    let mut h2 = h2_on(doors.secure("127.0.0.1", "h2").await).await;
    let answer = soon("an answer", h2.send_request(asked)).await.unwrap();
    assert_eq!(answer.status(), 413);
    assert!(hear.try_recv().is_err());
}
