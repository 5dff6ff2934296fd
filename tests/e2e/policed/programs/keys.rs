//! Who shows the key, who does not, and what the service hears of it.

use petit_tests::soon;
use petit_tests::visitor::Answer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::fronts::{Doors, FRONTS};
use super::Programs;

/// What a visitor gets: the status, and the code of what Petit says.
fn got(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.petit_error().unwrap_or_default())
}

#[tokio::test]
async fn the_key_of_init_opens_each_front_and_the_service_is_told_its_name_by_petit_alone() {
    let (it, key) = Programs::keyed().await;
    let other = it.create_key("other", []).await["key"].as_str().unwrap().to_owned();
    let wrong = format!("{}x", &key[..key.len() - 1]);
    let forged = [
        ("petit-key", key.as_str()),
        ("petit-visitor", "key=root"),
        ("petit-visitor", "key=default"),
        ("petit-visitors", "key=root"),
        ("x-petit-visitor", "is nobody's word"),
    ];
    let mut visits = 0;
    for (doors, service, has_websockets) in [(&it.doors, &it.web, true), (&it.grpc_doors, &it.grpc, false)] {
        for front in FRONTS.into_iter().filter(|front| has_websockets || !front.is_websocket()) {
            let before = service.requests();
            for (fields, expected) in [
                (&[][..], "key-required"),
                (&[("petit-visitor", "key=default")], "key-required"),
                (&[("petit-key", wrong.as_str())], "key-refused"),
                (&[("petit-key", other.as_str())], "key-refused"),
                (&[("petit-key", key.as_str()), ("petit-key", key.as_str())], "key-refused"),
            ] {
                let answer = front.ask(doors, fields).await;
                assert_eq!(got(&answer), (401, expected.to_owned()), "{front:?}");
                assert_eq!(answer.headers["www-authenticate"], "Petit-Key", "{front:?}");
            }
            assert_eq!(service.requests(), before, "{front:?}: the service hears nothing of it");
            let answer = front.ask(doors, &forged).await;
            let good = if front.is_websocket() { 101 } else { 200 };
            assert_eq!(got(&answer), (good, String::new()), "{front:?}");
            assert_eq!(service.seen("petit-visitor").as_deref(), Some("key=default"), "{front:?}");
            for gone in ["petit-key", "petit-visitors"] {
                assert_eq!(service.seen(gone), None, "{front:?}");
            }
            assert!(service.seen("x-petit-visitor").is_some(), "{front:?}: others are handed on");
            visits += 6;
        }
    }
    // What came of each, and who it was; but no secret.
    let lines = it.visits(visits).await;
    for line in &lines {
        let is_let_in = line["status"].as_u64() < Some(300);
        assert_eq!(line["key"], if is_let_in { "default".into() } else { Value::Null }, "{line}");
        assert_eq!(line["end"].as_str().unwrap().starts_with("key-re"), !is_let_in, "{line}");
    }
    assert_eq!(lines.iter().filter(|line| line["key"] == "default").count(), visits / 6);
    let protocols = ["http/1.1", "h2", "websocket"];
    assert!(protocols.iter().all(|protocol| lines.iter().any(|line| line["protocol"] == *protocol)));
    for (path, text) in it.server.texts() {
        for secret in [&key, &other, &wrong] {
            assert!(!text.contains(secret.split_once('.').unwrap().1), "{}", path.display());
        }
    }
}

/// Sends a head with some lines over TLS, and reads the answer.
async fn spell(doors: &Doors, lines: &str) -> String {
    let mut tls = doors.secure("127.0.0.1", "http/1.1").await;
    let head = format!("GET /request HTTP/1.1\r\nHost: {}\r\n{lines}\r\n", doors.host);
    tls.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = soon("an answer", tls.read_to_string(&mut answer)).await;
    answer
}

#[tokio::test]
async fn no_spelling_of_a_visitors_own_word_of_who_he_is_gets_to_the_service() {
    let (it, key) = Programs::keyed().await;
    let forged = [
        "petit-visitor: key=root\r\n",
        "PETIT-VISITOR: key=root\r\n",
        "Petit-Visitor: key=root\r\npetit-Visitor:key=root\r\nPETIT-VISITOR:\r\n",
    ];
    for lines in forged {
        let answer =
            spell(&it.doors, &format!("{lines}PETIT-KEY: {key}\r\n{lines}Connection: close\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{lines:?}: {head}");
        let told: Value = serde_json::from_str(body).unwrap();
        let told = told["fields"].as_array().unwrap().iter();
        let told: Vec<_> = told.filter(|field| field[0].as_str().unwrap().contains("petit-")).collect();
        let names: Vec<&str> = told.iter().map(|field| field[0].as_str().unwrap()).collect();
        assert_eq!(names, ["petit-request", "petit-visitor"], "{lines:?}");
        assert_eq!(told[1][1], "key=default", "{lines:?}");
    }
    // What some servers would read as that name, and what would take Petit's own word away.
    let before = it.web.requests();
    for lines in
        ["Petit_Visitor: key=root\r\n", "PETIT.VISITOR: key=root\r\n", "Connection: close, petit-visitor\r\n"]
    {
        let answer = spell(&it.doors, &format!("Petit-Key: {key}\r\n{lines}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lines:?}: {answer}");
    }
    assert_eq!(it.web.requests(), before);
}

#[tokio::test]
async fn a_server_made_with_open_asks_nobody_and_tells_a_service_of_nobody() {
    let it = Programs::open("").await;
    let shown = it.create_key("billing", []).await["key"].as_str().unwrap().to_owned();
    for front in FRONTS {
        for fields in [&[][..], &[("petit-key", shown.as_str()), ("petit-visitor", "key=billing")]] {
            assert!(front.ask(&it.doors, fields).await.status.as_u16() < 300, "{front:?}");
            for name in ["petit-key", "petit-visitor"] {
                assert_eq!(it.web.seen(name), None, "{front:?}");
            }
        }
    }
    for line in it.visits(2 * FRONTS.len()).await {
        assert_eq!((&line["key"], &line["would_refuse"]), (&Value::Null, &Value::Null), "{line}");
    }
}
