//! Several addresses: of one name, and of one server.

use std::time::Instant;

use petit_engine::limits;
use petit_tests::bed::{Bed, BedClient, client_config};
use petit_tests::chaos::{Chaos, Flow, Trouble};
use petit_tests::service::Service;
use petit_tests::visitor::host;

use super::through;

/// A client that has come by one way when its config names a second one.
struct TwoWays {
    bed: Bed,
    _service: Service,
    first: Chaos,
    second: Chaos,
    client: BedClient,
}

impl TwoWays {
    async fn new() -> Self {
        let bed = Bed::start().await;
        let service = Service::http("by the second way").await;
        let (first, second) = (Chaos::before(bed.server.tls).await, Chaos::before(bed.server.tls).await);
        let invite = through(&bed, &first).await;
        let services = [("web", service.address(), "http")];
        let client = BedClient::new(&invite, &services).await;
        client.until_green("web").await;
        let config = client_config(&services)
            .replace("[client]", &format!("[client]\naddresses = [\"{}\"]", second.address()));
        std::fs::write(client.config(), config).unwrap();
        client.client.reload().await.unwrap();
        Self { bed, _service: service, first, second, client }
    }
}

#[tokio::test]
async fn the_next_address_is_tried_when_the_first_leads_nowhere() {
    let TwoWays { bed, first, second, client, _service } = TwoWays::new().await;
    assert_eq!(second.accepted(), 0, "whoever is connected stays so");
    first.refuse(true);
    first.reset();
    client.until("the second way", |_| second.accepted() > 0).await;
    client.until_online().await;
    let answer = bed.visitor().until("requests to pass", &host(&client.id()), "/", |a| a.status == 200).await;
    assert_eq!(answer.text(), "by the second way");
}

/// A way that takes what it is sent and gives nothing back, which no system reports: it gets its share of the time
/// that an attempt may take, and then it is the next one's turn.
#[tokio::test]
async fn the_next_address_is_tried_when_the_first_is_silent() {
    let TwoWays { bed, first, second, client, _service } = TwoWays::new().await;
    first.set_both(Trouble::flow(Flow::Lost));
    let start = Instant::now();
    first.reset();
    client.until("the second way", |_| second.accepted() > 0).await;
    let turn = start.elapsed();
    client.until_online().await;
    let answer = bed.visitor().until("requests to pass", &host(&client.id()), "/", |a| a.status == 200).await;
    assert_eq!(answer.text(), "by the second way");
    assert!(first.accepted() > 1, "the first one was tried again");
    // Half of the time for two ways; the delay before an attempt is of less than a second at first.
    assert!(turn >= limits::DIAL / 2 && turn < limits::DIAL, "{turn:?}");
}
