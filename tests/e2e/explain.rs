//! What `petit-server explain` says that a visitor gets is what one gets.

use petit_tests::bed::client_config;
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::Visitor;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Asks until the answer contains a text: what a client finds is known to the server a moment later.
async fn until(server: &Program, url: &str, text: &str) -> String {
    soon(&format!("{url} to be explained as {text:?}"), async {
        loop {
            let said = server.run(["explain", url]).await.ok().out;
            if said.contains(text) {
                return said;
            }
        }
    })
    .await
}

/// The status and code that a visitor of a host gets.
async fn answer(visitor: Visitor, host: &str) -> String {
    let answer = visitor.get(host, "/").await;
    format!("{} with Petit-Error: {}", answer.status.as_u16(), answer.petit_error().unwrap_or_default())
}

#[tokio::test]
async fn what_is_explained_is_what_visitors_get() {
    let server = Program::server().await;
    let running = server.up().await;
    let (web, db) = (Service::http("s").await, Service::http("s").await);
    let client = Program::client();
    let services = [("web", web.address(), "http"), ("db", db.address(), "tcp")];
    std::fs::write(client.config(), client_config(&services)).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let connected = client.up().await;
    let both_green = |status: &serde_json::Value| {
        let services = status["services"].as_array().unwrap();
        services.len() == 2 && services.iter().all(|service| service["light"] == "green")
    };
    let status = client.until("two green lights", both_green).await;
    let of = |at: usize, key: &str| status["services"][at][key].as_str().unwrap().to_owned();
    let (id, tcp) = (of(0, "id"), of(1, "url"));
    let (host, visitor) = (format!("{id}.localhost"), server.visitor().await);
    let through = "A visitor's request goes through the tunnel to the service.";
    for url in [&id, &host, &of(0, "url"), &tcp] {
        let said = server.run(["explain", url]).await.ok().out;
        assert!(said.contains(through), "{url}: {said}");
    }
    assert_eq!(visitor.get(&host, "/").await.status, 200);

    // A service that is down.
    web.stop().await;
    db.stop().await;
    let down = answer(visitor, &host).await;
    assert_eq!(down, "502 with Petit-Error: service-down");
    let said = until(&server, &id, &format!("A visitor gets {down}.")).await;
    assert!(said.contains("cannot reach the service: nothing listens there"), "{said}");
    let port = tcp.strip_prefix("tcp://").unwrap();
    let read = TcpStream::connect(port).await.unwrap().read(&mut [0]).await;
    assert!(read.is_err(), "{read:?}");
    until(&server, &tcp, "A visitor's connection is reset at once.").await;

    // Names and ports that lead nowhere.
    for (url, expected) in [
        (format!("http://{host}:1/"), "A visitor's connection is refused, or ends at another program."),
        ("tcp://127.0.0.1:1".to_owned(), "No raw TCP service has port 1."),
        ("nobody.localhost".to_owned(), "A visitor gets 404 with Petit-Error: unknown-service."),
        ("other.example".to_owned(), "A visitor gets 421 with Petit-Error: misdirected."),
    ] {
        let said = server.run(["explain", &url]).await.ok().out;
        assert!(said.contains(expected), "{url}: {said}");
    }
    for (host, expected) in [("nobody.localhost", "404"), ("other.example", "421")] {
        assert!(answer(visitor, host).await.starts_with(expected), "{host}");
    }

    // A client that is away, and a server that does not run.
    connected.kill().await;
    let away = soon("the client to be away", async {
        loop {
            let away = answer(visitor, &host).await;
            if away.starts_with("503") {
                return away;
            }
        }
    })
    .await;
    assert_eq!(away, "503 with Petit-Error: client-away");
    until(&server, &id, &format!("A visitor gets {away}.")).await;
    running.kill().await;
    assert!(TcpStream::connect(visitor.front()).await.is_err());
    let said = server.run(["explain", &id]).await.ok().out;
    assert!(said.contains("A visitor's connection is refused"), "{said}");
}
