//! A server that is restarted (R1): everybody is back at once, and not all at the same moment.

use std::time::{Duration, Instant};

use petit_tests::bed::{client_config, server_config};
use petit_tests::crowd::Crowd;
use petit_tests::figures::{Times, figure, rounds};
use petit_tests::process::Program;
use petit_tests::service::Service;

/// A server that finds its ports again.
async fn server() -> Program {
    let server = Program::server().await;
    std::fs::write(server.config(), server_config("")).unwrap();
    let running = server.up().await;
    let status = server.status().await;
    let port = |name: &str| status[name].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let config = std::fs::read_to_string(server.config()).unwrap();
    let config = config
        .replace("secure_proxy_port = 0", &format!("secure_proxy_port = {}", port("tls")))
        .replace("proxy_port = 0", &format!("proxy_port = {}", port("http")))
        .replace("localhost:0", &format!("localhost:{}", port("http")));
    std::fs::write(server.config(), config).unwrap();
    running.kill().await;
    server
}

#[tokio::test]
async fn one_client_is_back_within_a_second_or_so() {
    let server = server().await;
    let mut running = server.up().await;
    let service = Service::http("back").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    let (visitor, host) = (server.visitor().await, format!("{id}.localhost"));
    let mut times = Times::default();
    for round in 0..rounds(8, 200) {
        // Half of them politely, half of them not.
        if round % 2 == 0 {
            running.signal("TERM").await;
            running.exit().await;
        } else {
            running.kill().await;
        }
        running = server.up().await;
        let start = Instant::now();
        visitor.until("requests to pass again", &host, "/", |answer| answer.status == 200).await;
        times.add(start.elapsed());
    }
    assert!(times.percentile(50) <= Duration::from_secs(1), "{}", times.summary());
    assert!(times.percentile(99) <= Duration::from_secs(3), "{}", times.summary());
    figure(format!("R1 server restarted, requests pass after it listens: {}", times.summary()));
}

#[tokio::test]
async fn many_clients_are_all_back_soon() {
    let count = rounds(150, 2000);
    let server = server().await;
    let running = server.up().await;
    let service = Service::http("s").await;
    let crowd = Crowd::register(&server, service.address(), count).await;
    running.kill().await;
    crowd.all_offline().await;
    let again = server.up().await;
    let start = Instant::now();
    crowd.all_online().await;
    let took = start.elapsed();
    assert!(took <= Duration::from_secs(15), "{took:?}");
    figure(format!("R1 {count} clients all back {} ms after the server listens again", took.as_millis()));
    drop(again);
}
