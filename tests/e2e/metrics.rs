//! Metrics, and whether the server lives and is ready, on an address of their own.

use petit_tests::bed::{client_config, server_config};
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::Visitor;
use serde_json::Value;

/// A server with metrics, a client of it with a service, and the service's host.
async fn bed(
    service: &Service,
) -> (Program, petit_tests::process::Running, Program, petit_tests::process::Running, String) {
    let server = Program::server_with(&server_config("metrics_bind = \"127.0.0.1:0\"")).await;
    let running = server.up().await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    let invite = server.invite([""; 0]).await;
    client.run_with(["register", "--share", "web"], &invite).await.ok();
    let connected = client.up().await;
    let status = client.until_green().await;
    let url = status["services"][0]["url"].as_str().unwrap().to_owned();
    let host = url.trim_start_matches("http://").split(':').next().unwrap().to_owned();
    (server, running, client, connected, host)
}

/// The status of a server that has metrics, and of which this is so.
async fn status_of(server: &Program, is_it: impl Fn(&Value) -> bool) -> Value {
    soon("a server with metrics", async {
        loop {
            let status = server.status().await;
            if !status["metrics"].is_null() && is_it(&status) {
                return status;
            }
        }
    })
    .await
}

/// Where a server's metrics are read.
async fn metrics_of(server: &Program) -> Visitor {
    let status = status_of(server, |_| true).await;
    Visitor::new(status["metrics"].as_str().unwrap().parse().unwrap())
}

async fn page(metrics: &Visitor) -> String {
    let answer = metrics.get("metrics", "/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    text
}

/// What `docs/metrics.md` lists, but for what a server without certificates does not have.
fn documented() -> Vec<String> {
    let rows = include_str!("../../docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()));
    names.filter(|name| !name.starts_with('/') && !name.starts_with("petit_certificate")).collect()
}

/// The value of one series.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

#[tokio::test]
async fn metrics_count_visits_and_clients_and_name_no_single_one_of_them() {
    let service = Service::http("s").await;
    let (server, running, client, connected, host) = bed(&service).await;
    let metrics = metrics_of(&server).await;
    let visitor = server.visitor().await;
    for _ in 0..3 {
        assert_eq!(visitor.get(&host, "/").await.status, 200);
    }
    let whole = r#"petit_visitor_requests_total{class="2xx",error=""}"#;
    // A visit is over when its visitor's connection lets go of it.
    let text = soon("three visits", async {
        loop {
            let text = page(&metrics).await;
            if value(&text, whole) == Some(3.0) {
                return text;
            }
        }
    })
    .await;
    for (series, expected) in [
        (r#"petit_clients{state="online"}"#, 1.0),
        (r#"petit_clients{state="away"}"#, 0.0),
        (r#"petit_clients{state="suspended"}"#, 0.0),
        ("petit_services", 1.0),
        (r#"petit_visitor_request_seconds_count{hop="service"}"#, 3.0),
        (r#"petit_visitor_request_seconds_bucket{le="+Inf",hop="queue"}"#, 3.0),
        (r#"petit_visitor_bytes_total{direction="down"}"#, 3.0),
        ("petit_faults_total", 0.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in {text}");
    }
    let id = client.status().await["device"].as_str().unwrap_or("no ID").to_owned();
    assert!(!text.contains(&host) && !text.contains(&id) && !text.contains("web"), "{text}");

    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let mut names: Vec<&str> = types.collect();
    names.sort_unstable();
    assert_eq!(names, documented());

    connected.kill().await;
    soon("a failed visit that is counted", async {
        let away = r#"petit_visitor_requests_total{class="5xx",error="client-away"}"#;
        while value(&page(&metrics).await, away).is_none() {
            visitor.get(&host, "/").await;
        }
    })
    .await;
    assert_eq!(value(&page(&metrics).await, r#"petit_clients{state="away"}"#), Some(1.0));
    running.kill().await;
}

#[tokio::test]
async fn nothing_else_is_served_there_and_a_restart_takes_the_address_along() {
    let service = Service::http("s").await;
    let (server, _running, _client, _connected, _) = bed(&service).await;
    let metrics = metrics_of(&server).await;
    for (target, status, text) in [
        ("/livez", 200, "ok\n"),
        ("/readyz", 200, "ok\n"),
        ("/", 404, "there are /metrics, /livez and /readyz here\n"),
        ("/status", 404, "there are /metrics, /livez and /readyz here\n"),
    ] {
        let answer = metrics.get("metrics", target).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, text.into()), "{target}");
    }
    assert_eq!(metrics.post("metrics", "/metrics", "x").await.status, 405);

    let began = value(&page(&metrics).await, "process_start_time_seconds").unwrap();
    let status = server.status().await;
    let (address, before) = (status["metrics"].as_str().unwrap().to_owned(), status["pid"].clone());
    let config = std::fs::read_to_string(server.config()).unwrap();
    std::fs::write(server.config(), config.replacen("127.0.0.1:0\"", &format!("{address}\""), 1)).unwrap();
    server.run(["restart"]).await.ok();
    let status = status_of(&server, |status| status["pid"] != before).await;
    assert_eq!(status["metrics"], address);
    assert!(value(&page(&metrics).await, "process_start_time_seconds").unwrap() >= began);
    server.run(["stop"]).await.ok();
}
