//! What changes while visitors are connected.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use petit_tests::soon;
use petit_tests::visitor::{h2_on, request, whole};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::super::fronts::{Doors, Front, https, with};
use super::Programs;
use crate::traffic::websocket::socket;

/// A visitor's connections to a service, which stay open.
struct Connections {
    host: String,
    plain: http1::SendRequest<Empty<Bytes>>,
    h1: http1::SendRequest<Empty<Bytes>>,
    h2: http2::SendRequest<Empty<Bytes>>,
}

impl Connections {
    async fn open(doors: &Doors) -> Self {
        let plain = doors.plain.connect().await;
        let tls = doors.secure("127.0.0.1", "http/1.1").await;
        let (h1, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        let h2 = h2_on(doors.secure("127.0.0.1", "h2").await).await;
        Self { host: doors.host.clone(), plain, h1, h2 }
    }

    /// What a visitor gets on each of them, which is the same.
    async fn get(&mut self, key: Option<&str>) -> (u16, String) {
        let fields: Vec<(&str, &str)> = key.map(|key| ("petit-key", key)).into_iter().collect();
        let asked = || with(request(&self.host, "GET", "/", Empty::<Bytes>::new()), &fields);
        let plain = whole(soon("an answer", self.plain.send_request(asked())).await.unwrap()).await;
        let h1 = whole(soon("an answer", self.h1.send_request(asked())).await.unwrap()).await;
        let asked = with(https(&self.host, "/", Empty::<Bytes>::new()), &fields);
        let h2 = whole(soon("an answer", self.h2.send_request(asked)).await.unwrap()).await;
        let [plain, h1, h2] =
            [plain, h1, h2].map(|answer| (answer.status.as_u16(), answer.petit_error().unwrap_or_default()));
        assert_eq!((&plain, &h1), (&h1, &h2));
        h2
    }
}

fn good() -> (u16, String) {
    (200, String::new())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn what_a_command_changes_holds_for_the_next_request_of_connections_that_are_open() {
    let it = Programs::open("").await;
    let mut open = Connections::open(&it.doors).await;
    let tcp = TcpStream::connect(it.doors.plain.front()).await.unwrap();
    let mut websocket = socket(tcp, &it.doors.host, "/ws").await;
    let mut raw = TcpStream::connect(it.tcp).await.unwrap();
    raw.read_exact(&mut [0; 5]).await.unwrap();
    assert_eq!(open.get(None).await, good());

    let first = it.create_key("billing", []).await["key"].as_str().unwrap().to_owned();
    it.run(["policy", "set", "cloud", "--services", "default", "--key", "billing"]).await;
    assert_eq!(open.get(None).await, refused(401, "key-required"));
    assert_eq!(open.get(Some(&first)).await, good());

    // Another secret: both are good for a while, and then the second one.
    let second = it.create_key("billing", ["--rotate", "--overlap", "1h"]).await;
    let second = second["key"].as_str().unwrap().to_owned();
    for key in [&first, &second] {
        assert_eq!(open.get(Some(key)).await, good());
    }
    let third = it.create_key("billing", ["--rotate", "--overlap", "0s"]).await;
    let third = third["key"].as_str().unwrap().to_owned();
    for key in [&first, &second] {
        assert_eq!(open.get(Some(key)).await, refused(401, "key-refused"));
    }
    assert_eq!(open.get(Some(&third)).await, good());

    it.run(["policy", "set", "cloud", "--from", "192.0.2.0/24"]).await;
    assert_eq!(open.get(Some(&third)).await, refused(403, "address-not-allowed"));
    it.run(["policy", "set", "cloud", "--from", "any"]).await;
    assert_eq!(open.get(Some(&third)).await, good());
    it.run(["key", "revoke", "billing", "--yes"]).await;
    assert_eq!(open.get(Some(&third)).await, refused(401, "key-refused"));

    // What was let in goes on.
    websocket.send(Message::text("still here")).await.unwrap();
    let echo = soon("an echo", websocket.next()).await.unwrap().unwrap();
    assert_eq!(echo, Message::text("still here"));
    raw.write_all(b"still here").await.unwrap();
    let mut back = [0; 10];
    soon("an echo", raw.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"still here");
    it.run(["policy", "remove", "cloud", "--yes"]).await;
    assert_eq!(open.get(None).await, good());
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_good_until_the_moment_that_was_said_and_no_longer() {
    let it = Programs::open("").await;
    let first = it.create_key("billing", []).await["key"].as_str().unwrap().to_owned();
    it.run(["policy", "set", "cloud", "--services", "default", "--key", "billing"]).await;
    let get = async |key: &str| {
        let answer = Front::Https2.ask(&it.doors, &[("petit-key", key)]).await;
        (answer.status.as_u16(), answer.petit_error().unwrap_or_default())
    };
    let rotated = it.create_key("billing", ["--rotate", "--overlap", "3s"]).await;
    let until = rotated["previous_until"].as_u64().unwrap();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    soon("the end of the overlap", async {
        loop {
            let before = now();
            let got = get(&first).await;
            if got == good() {
                assert!(before <= until, "good after its time");
            } else {
                assert_eq!(got, refused(401, "key-refused"));
                assert!(now() >= until, "refused before its time");
                return;
            }
        }
    })
    .await;
    assert_eq!(get(rotated["key"].as_str().unwrap()).await, good());
}

#[tokio::test]
async fn a_policy_of_the_config_file_that_only_counts_refuses_nobody_until_it_is_enforced() {
    let it = Programs::open("").await;
    let key = it.create_key("billing", []).await["key"].as_str().unwrap().to_owned();
    let mut open = Connections::open(&it.doors).await;
    let config = std::fs::read_to_string(it.server.config()).unwrap();
    let reload = async |policy: &str| {
        std::fs::write(it.server.config(), format!("{config}{policy}")).unwrap();
        it.run(["reload"]).await;
    };
    let policy =
        "[[policy]]\nname = \"cloud\"\nservices = [\"default\"]\nkeys = [\"billing\"]\nenforce = false\n";
    reload(policy).await;
    let expected = [
        (None, None, Some("key-required")),
        (Some("wrong"), None, Some("key-refused")),
        (Some(key.as_str()), Some("billing"), None),
    ];
    for (number, (shown, name, would_refuse)) in expected.into_iter().enumerate() {
        assert_eq!(open.get(shown).await, good());
        let told = it.web.seen("petit-visitor");
        assert_eq!(told, name.map(|name| format!("key={name}")));
        for line in &it.visits(3 * number + 3).await[3 * number..] {
            assert_eq!((line["key"].as_str(), line["would_refuse"].as_str()), (name, would_refuse), "{line}");
        }
    }
    reload(&policy.replace("false", "true")).await;
    assert_eq!(open.get(None).await, refused(401, "key-required"));
    assert_eq!(open.get(Some("wrong")).await, refused(401, "key-refused"));
    assert_eq!(open.get(Some(&key)).await, good());
    reload("").await;
    assert_eq!(open.get(None).await, good());
}
