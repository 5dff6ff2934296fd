//! What `petit-server explain` says that a visitor gets is what one gets.

use petit_tests::authority::Authority;
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
    // The reset may come before the connection is looked at for the first time.
    let read = async { TcpStream::connect(port).await?.read(&mut [0]).await }.await;
    let is_reset = |error: &std::io::Error| error.kind() != std::io::ErrorKind::ConnectionRefused;
    assert!(read.as_ref().is_err_and(is_reset), "{read:?}");
    until(&server, &tcp, "A visitor's connection is reset at once.").await;

    // Names and ports that lead nowhere.
    for (url, expected) in [
        (format!("http://{host}:1/"), "A visitor's connection is refused, or ends at another program."),
        ("tcp://127.0.0.1:1".to_owned(), "No raw TCP service has port 1."),
        ("nobody.localhost".to_owned(), "A visitor gets 404 with Petit-Error: unknown-service."),
        (
            "other.example".to_owned(),
            "Whoever comes here under that name gets 421 with Petit-Error: misdirected.",
        ),
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

#[tokio::test]
async fn only_what_was_tried_and_works_has_a_check_mark() {
    let server = Program::server().await;
    let running = server.up().await;
    let db = Service::tcp_echo("hello").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("db", db.address(), "tcp")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let connected = client.up().await;
    let url = client.until_green().await["services"][0]["url"].as_str().unwrap().to_owned();
    let (_, port) = url.rsplit_once(':').unwrap();
    let of_visitor = "A visitor's request goes through the tunnel to the service.";
    for (url, way_in, outcome) in [
        (url.clone(), "✔ public address: visitors get in, tried just now.", of_visitor),
        (format!("tcp://localhost:{port}"), "✔ public address: visitors get in, tried just now.", of_visitor),
        (
            format!("tcp://192.0.2.1:{port}"),
            "? public address: not tried, because it leads to a private address",
            "The request of whoever gets in goes through the tunnel to the service.",
        ),
        (
            format!("tcp://127.0.0.2:{port}"),
            "✘ public address: no connection to that host and port comes in at this server",
            "A visitor does not get in.",
        ),
    ] {
        let said = server.run(["explain", &url]).await.ok().out;
        assert!(said.contains(way_in) && said.contains(outcome), "{url}: {said}");
        assert!(said.contains("✔ tunnel: the client has answered through it just now."), "{url}: {said}");
        assert!(said.contains("✔ service: the client has connected to it just now"), "{url}: {said}");
    }
    let foreign = server.run(["explain", "other.example"]).await.ok().out;
    assert!(foreign.contains("? public address: not looked at"), "{foreign}");
    assert!(!foreign.contains('✔'), "{foreign}");

    // A client that stands still counts as connected for a while.
    connected.signal("STOP").await;
    let said = server.run(["explain", &url]).await.ok().out;
    assert!(said.contains("✘ tunnel: the client counts as connected, and has not answered"), "{said}");
    assert!(said.contains("A visitor's connection is reset at once."), "{said}");
    connected.signal("CONT").await;
    running.kill().await;
}

#[tokio::test]
async fn a_name_below_a_name_is_tried_itself_because_a_wildcard_need_not_cover_it() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let ca = dir.path().join("ca.crt");
    std::fs::write(&ca, authority.pem()).unwrap();
    let (certificate, key) = authority.vouch_for(&["*.bed.localhost"]).write(dir.path(), "public");
    let server = Program::server_with(&format!(
        "[server]\nproxy_port = 0\nsecure_bind = \"127.0.0.1\"\nsecure_proxy_port = 0\n\
         certificate = \"{}\"\ncertificate_key = \"{}\"\n[server.fronts]\nca = \"{}\"\n\
         [server.vitae]\nendpoint = \"https://REGID.bed.localhost:0\"\n",
        certificate.display(),
        key.display(),
        ca.display(),
    ))
    .await;
    let running = server.up().await;
    for (host, way_in, outcome) in [
        (
            "nobody.bed.localhost",
            "✔ public address: visitors get in, tried just now.",
            "A visitor gets 404 with Petit-Error: unknown-service.",
        ),
        (
            "a.b.nobody.bed.localhost",
            "✘ public address: the certificate shown is for another name.",
            "A visitor does not get in.",
        ),
    ] {
        let said = server.run(["explain", host]).await.ok().out;
        assert!(said.contains(way_in) && said.contains(outcome), "{host}: {said}");
    }
    running.kill().await;
}
