//! What passes a tunnel, seen from outside, for any two programs that hold its ends.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pattern::Pattern;
use crate::soon;
use crate::visitor::{Visitor, request, sum};

/// A service in a client's status, by its name.
pub fn service<'a>(status: &'a Value, name: &str) -> &'a Value {
    let services = status["services"].as_array().unwrap();
    services.iter().find(|service| service["name"] == name).unwrap()
}

/// Small and large (`count` bytes), both ways, to the service `web`; and over the raw TCP of `line`, which says hello.
pub async fn everything_passes(visitor: &Visitor, status: &Value, count: u64) {
    let id = service(status, "web")["id"].as_str().unwrap();
    let host = format!("{id}.localhost");
    assert_eq!(visitor.get(&host, "/").await.text(), "web");
    let answer = visitor.send(request(&host, "POST", "/sum", Pattern::new(count))).await;
    assert_eq!(answer.text(), format!("{count} {}", Pattern::sum(count)), "up");
    let answer = visitor.open(request(&host, "GET", &format!("/bytes/{count}"), Pattern::new(0))).await;
    let down = sum(answer.into_body()).await.unwrap();
    assert_eq!(down, (count, Pattern::sum(count)), "down");
    let missing = visitor.get("aaaaaaaaaaaaaaaa.localhost", "/").await;
    assert_eq!((missing.status.as_u16(), missing.petit_error().as_deref()), (404, Some("unknown-service")));

    let line = service(status, "line")["url"].as_str().unwrap();
    let mut tcp = TcpStream::connect(line.strip_prefix("tcp://").unwrap()).await.unwrap();
    tcp.write_all(b"over the line").await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut heard = String::new();
    soon("the echo", tcp.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "hello: over the line");
}
