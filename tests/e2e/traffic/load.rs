//! Many at once.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Empty, Full};
use petit_tests::bed::Bed;
use petit_tests::conformance::carried;
use petit_tests::service::Service;
use petit_tests::visitor::{h2_request, host, request, whole};
use petit_tests::{row, soon};

const MANY: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_requests_are_all_answered() {
    let rows = [
        row!(Load, "1,000 slow requests at once, each on a connection of its own (HTTP/1.1)"),
        row!(Load, "1,000 slow requests at once on 10 connections (HTTP/2), at an HTTP/2 service"),
        row!(Load, "A quick request beside 1,000 slow ones"),
    ];
    let bed = Bed::start().await;
    let visitor = bed.visitor();
    let h1 = Service::http("quick").await;
    let client = bed.client_of(h1.address(), "http", "").await;
    let host_of_h1 = Arc::new(host(&client.id()));
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..MANY {
        // One after the other: a connection whose request comes late is closed.
        let (mut sender, host) = (visitor.connect().await, Arc::clone(&host_of_h1));
        slow.spawn(async move {
            let asked = request(&host, "GET", "/wait", Empty::<Bytes>::new());
            whole(soon("an answer", sender.send_request(asked)).await.unwrap()).await.text()
        });
    }
    h1.until_waiting(MANY).await;
    assert_eq!(visitor.get(&host_of_h1, "/").await.text(), "quick");
    h1.let_go();
    assert!(slow.join_all().await.iter().all(|text| text == "done"));

    let h2 = Service::h2("quick").await;
    let client = bed.client_of(h2.address(), "h2", "").await;
    let host = Arc::new(host(&client.id()));
    let mut slow = tokio::task::JoinSet::new();
    for number in 0..MANY / 100 {
        let sender = visitor.connect_h2().await;
        for waiting in 1..=100 {
            let (mut sender, host) = (sender.clone(), Arc::clone(&host));
            slow.spawn(async move {
                let asked = h2_request(&host, "GET", "/wait", Full::<Bytes>::default());
                whole(soon("an answer", sender.send_request(asked)).await.unwrap()).await.text()
            });
            if waiting == 1 {
                // The others find the connection to the service that this one has made.
                h2.until_waiting(100 * number + 1).await;
            }
        }
        h2.until_waiting(100 * (number + 1)).await;
    }
    assert_eq!(visitor.get(&host, "/").await.text(), "quick");
    assert!(h2.accepted() < 20, "{} connections for a thousand requests of HTTP/2", h2.accepted());
    h2.let_go();
    assert!(slow.join_all().await.iter().all(|text| text == "done"));
    carried(rows);
}
