//! Connections to services that are kept for the next request, and services that close them at the wrong moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use petit_tests::bed::{Bed, client_config};
use petit_tests::home_line::{Path, on_home_line};
use petit_tests::scripted;
use petit_tests::service::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A service's patience with an idle connection; gunicorn's default.
const IDLE: Duration = Duration::from_secs(2);
const BODY: &str = "paid once";

/// A service that closes a connection on which nobody has asked anything for [`IDLE`], and counts its orders.
async fn impatient(orders: Arc<AtomicU64>) -> Service {
    Service::speaking("impatient", move |mut tcp| {
        let orders = Arc::clone(&orders);
        async move {
            while let Ok(Some(head)) = tokio::time::timeout(IDLE, scripted::head(&mut tcp)).await {
                if head.starts_with("POST ") {
                    let mut body = [0; BODY.len()];
                    if tcp.read_exact(&mut body).await.is_err() {
                        return;
                    }
                    assert_eq!(body, BODY.as_bytes());
                    orders.fetch_add(1, Ordering::Relaxed);
                }
                if tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// What a service's close and a request may do to each other when they cross on a long line: nothing.
#[test]
fn an_order_that_crosses_with_the_close_of_a_kept_connection_is_taken_once() {
    on_home_line(Path::SATELLITE, async |line| {
        // From before the service has closed until the vendor knows.
        let moments: Vec<Duration> = (0..16).map(|n| Duration::from_millis(1300 + 60 * n)).collect();
        let (mut services, mut orders) = (Vec::new(), Vec::new());
        for _ in &moments {
            let count = Arc::<AtomicU64>::default();
            services.push(line.customer.run(impatient(Arc::clone(&count))).await);
            orders.push(count);
        }
        let names: Vec<String> =
            (0..moments.len()).map(|n| if n == 0 { "web".into() } else { format!("s{n}") }).collect();
        let config: Vec<_> = names
            .iter()
            .zip(&services)
            .map(|(name, service)| (name.as_str(), service.address(), "http"))
            .collect();
        let bed = Bed::start().await;
        let (_modem, client) = line.client_with(&bed, client_config(&config)).await;
        let visitor = bed.visitor();
        let visits = moments.iter().zip(&names).zip(&orders).map(|((moment, name), orders)| {
            let client = &client;
            async move {
                let url = client.url(name).await;
                let host = url.split("://").nth(1).unwrap().split(':').next().unwrap().to_owned();
                for round in 1..=3 {
                    assert_eq!(visitor.get(&host, "/").await.text(), "done");
                    // The moment is what is tested.
                    tokio::time::sleep(*moment).await;
                    let answer = visitor.post(&host, "/", BODY).await;
                    assert_eq!(answer.status, 200, "{moment:?} after the last answer: {}", answer.text());
                    assert_eq!(orders.load(Ordering::Relaxed), round, "each order once");
                }
            }
        });
        join_all(visits).await;
    });
}
