//! The access log: a line for each visit of whatever kind, and nothing in it that could be a secret.

use bytes::Bytes;
use http_body_util::Empty;
use petit_tests::bed::{Bed, BedClient, server_config};
use petit_tests::scripted::{self, Manner};
use petit_tests::service::Service;
use petit_tests::{soon, visitor};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn bed(setting: &str) -> Bed {
    Bed::with_config(&server_config(&format!("max_services = 4\n{setting}"))).await
}

/// The lines of the access log, once there are so many.
async fn lines(bed: &Bed, count: usize) -> Vec<String> {
    let path = bed.server.folder.access_log();
    soon("the lines of the access log", async {
        loop {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count && text.ends_with('\n') {
                assert_eq!(lines.len(), count, "{text}");
                return lines;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

async fn host(client: &BedClient, service: &str) -> String {
    let url = client.url(service).await;
    let (_, host) = url.split_once("://").unwrap();
    host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned()
}

#[tokio::test]
async fn requests_websockets_raw_tcp_and_failures_have_a_line_each() {
    let bed = bed("access_log = \"json\"").await;
    let web = scripted::raw(|head, mut tcp| async move {
        let answer = if head.starts_with("GET /socket") {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        } else {
            tcp.read_exact(&mut [0; 7]).await.unwrap();
            "HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
        };
        tcp.write_all(answer.as_bytes()).await.unwrap();
        let (mut read, mut write) = tcp.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    })
    .await;
    let echo = Service::tcp_echo("hi").await;
    let client = bed.client_with(&[("web", web.address(), "http"), ("db", echo.address(), "tcp")]).await;
    let host = host(&client, "web").await;

    let answer = bed.visitor().post(&host, "/orders/7?token=hunter2", "a body!").await;
    assert_eq!(answer.status, 201);
    let posted = json(&lines(&bed, 1).await[0]);
    assert_eq!(posted["protocol"], "http/1.1");
    assert_eq!((&posted["method"], &posted["path"]), (&Value::from("POST"), &Value::from("/orders/7")));
    assert_eq!((&posted["status"], &posted["end"]), (&Value::from(201), &Value::from("whole")));
    assert_eq!((&posted["bytes_up"], &posted["bytes_down"]), (&Value::from(7), &Value::from(5)));
    assert_eq!((&posted["name"], &posted["visitor"]), (&Value::from("web"), &Value::from("127.0.0.1")));
    assert_eq!(posted["service"], host.split('.').next().unwrap());
    assert_eq!(posted["client"], client.registered.device.to_string());
    assert_eq!(posted["hop"], Value::Null);
    let (took, answered) = (posted["took_us"].as_u64().unwrap(), posted["answered_us"].as_u64().unwrap());
    assert!(posted["placed_us"].as_u64().unwrap() <= answered && answered <= took, "{posted}");

    let mut tcp = bed.visitor().tcp().await;
    let asks = format!(
        "GET /socket HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(asks.as_bytes()).await.unwrap();
    assert!(scripted::head(&mut tcp).await.unwrap().starts_with("HTTP/1.1 101"));
    tcp.write_all(b"0123456789").await.unwrap();
    tcp.read_exact(&mut [0; 10]).await.unwrap();
    drop(tcp);
    let socket = json(&lines(&bed, 2).await[1]);
    assert_eq!((&socket["protocol"], &socket["status"]), (&Value::from("websocket"), &Value::from(101)));
    assert_eq!((&socket["bytes_up"], &socket["bytes_down"]), (&Value::from(10), &Value::from(10)));

    let url = client.url("db").await;
    let mut tcp = TcpStream::connect(url.strip_prefix("tcp://").unwrap()).await.unwrap();
    tcp.write_all(b"abc").await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut back = String::new();
    soon("the echo", tcp.read_to_string(&mut back)).await.unwrap();
    assert_eq!(back, "hiabc");
    let raw = json(&lines(&bed, 3).await[2]);
    assert_eq!((&raw["protocol"], &raw["status"]), (&Value::from("tcp"), &Value::Null));
    assert_eq!((&raw["name"], &raw["end"]), (&Value::from("db"), &Value::from("whole")));
    assert_eq!((&raw["bytes_up"], &raw["bytes_down"]), (&Value::from(3), &Value::from(5)));

    drop(web);
    let failed = bed.visitor().until("the service's end", &host, "/", |answer| answer.status == 502).await;
    let failure = json(&lines(&bed, 4).await[3]);
    assert_eq!((&failure["status"], &failure["hop"]), (&Value::from(502), &Value::from("service")));
    assert_eq!(failure["end"], failed.petit_error().unwrap());
    assert_eq!(failure["request"], failed.json()["request"], "the line of an answer is found by its ID");

    let all = lines(&bed, 4).await.concat();
    assert!(!all.contains("hunter2") && !all.contains("Sec-"), "{all}");
}

#[tokio::test]
async fn an_answer_without_a_body_is_whole_whatever_length_it_names_and_whichever_version_is_spoken() {
    for (manner, kind) in [(Manner::h1(), "http"), (Manner::h2(), "h2")] {
        let bed = bed("access_log = \"json\"").await;
        let service = scripted::service(manner, |request| async move {
            let status = if request.method() == "HEAD" { 200 } else { 304 };
            let answer = hyper::Response::builder().status(status).header("content-length", "1000");
            // Over HTTP/2 its end is a frame of its own.
            let (_, body) = scripted::written();
            answer.body(body).unwrap()
        })
        .await;
        let client = bed.client_with(&[("web", service.address(), kind)]).await;
        let host = host(&client, "web").await;
        for (method, status) in [("HEAD", 200), ("GET", 304)] {
            let mut newer = bed.visitor().connect_h2().await;
            let asked = visitor::h2_request(&host, method, "/", Empty::<Bytes>::new());
            let newer = visitor::whole(newer.send_request(asked).await.unwrap()).await;
            let asked = visitor::request(&host, method, "/", Empty::<Bytes>::new());
            let older = bed.visitor().send(asked).await;
            for answer in [newer, older] {
                assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0), "{kind} {method}");
            }
        }
        let ends = lines(&bed, 4).await.iter().map(|line| json(line)["end"].clone()).collect::<Vec<_>>();
        assert_eq!(ends, ["whole"; 4], "{kind}");
    }
}

#[tokio::test]
async fn lines_for_people_say_the_same_in_words() {
    let bed = bed("access_log = \"text\"").await;
    let service = Service::http("web").await;
    let client = bed.client_with(&[("web", service.address(), "http")]).await;
    let host = host(&client, "web").await;
    assert_eq!(bed.visitor().get(&host, "/a%20b?secret").await.status, 404);
    let line = lines(&bed, 1).await.remove(0);
    let words: Vec<&str> = line.split(' ').collect();
    let id = host.split('.').next().unwrap();
    assert_eq!(words[1..9], ["127.0.0.1", id, "web", "http/1.1", "GET", "/a%20b", "404", "whole"], "{line}");
    assert!(words[0].ends_with('Z') && words[9] == "up=0" && words[10].starts_with("down="), "{line}");
    assert!(!line.contains("secret"), "{line}");
}

#[tokio::test]
async fn there_is_no_access_log_unless_the_operator_asks_for_one() {
    let bed = bed("").await;
    let service = Service::http("web").await;
    let client = bed.client_with(&[("web", service.address(), "http")]).await;
    let host = host(&client, "web").await;
    assert_eq!(bed.visitor().get(&host, "/").await.status, 200);
    assert!(!bed.server.folder.access_log().exists());
}
