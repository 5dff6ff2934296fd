//! A client with as many services as one can have: what all of them do at once is no flood to anybody.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use petit_client::status::{Light, Status};
use petit_engine::limits;
use petit_server::registry::Actor;
use petit_tests::bed::Bed;
use petit_tests::service::Service;
use petit_tests::visitor::{host, request};
use tokio::task::JoinHandle;

/// A download at a visitor's pace, who does something else beside it.
struct Download {
    going_on: JoinHandle<hyper::Error>,
}

impl Download {
    fn of(mut body: Incoming) -> Self {
        let going_on = tokio::spawn(async move {
            loop {
                match body.frame().await {
                    Some(Ok(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Some(Err(error)) => return error,
                    None => panic!("the end of something endless"),
                }
            }
        });
        Self { going_on }
    }

    async fn goes_on(self) {
        if self.going_on.is_finished() {
            panic!("the download was cut: {}", self.going_on.await.unwrap());
        }
        self.going_on.abort();
    }
}

/// True when all services but the first one have a light.
fn all_others(status: &Status, light: Light) -> bool {
    status.services.iter().skip(1).all(|service| service.light == light)
}

#[tokio::test]
async fn all_services_of_a_machine_that_goes_down_take_nothing_along() {
    let bed = Bed::with(&format!("max_services = {}", limits::MAX_SERVICES)).await;
    let (healthy, doomed) = (Service::http("healthy").await, Service::http("doomed").await);
    let names: Vec<String> = (1..limits::MAX_SERVICES).map(|number| format!("service-{number}")).collect();
    let others = names.iter().map(|name| (name.as_str(), doomed.address(), "http"));
    let services: Vec<_> = std::iter::once(("web", healthy.address(), "http")).chain(others).collect();
    let client = bed.client_with(&services).await;
    // A download of the healthy one goes on meanwhile, in the first session that there is.
    let endless = request(&host(&client.id()), "GET", "/bytes/100000000000", Empty::<Bytes>::new());
    let download = Download::of(bed.visitor().open(endless).await.into_body());
    let status = client.until("all to be green", |status| all_others(status, Light::Green)).await;
    let hosts = status.services.iter().skip(1).map(|service| host(&service.id.unwrap()));
    let hosts: Vec<String> = hosts.collect();

    let address = doomed.address();
    drop(doomed);
    let mut visits = tokio::task::JoinSet::new();
    for host in hosts {
        let visitor = bed.visitor();
        visits.spawn(async move { visitor.get(&host, "/").await.petit_error() });
    }
    for error in visits.join_all().await {
        assert_eq!(error.as_deref(), Some("service-down"));
    }
    client.until("all but one to be red", |status| all_others(status, Light::Red)).await;
    // One round of probes later they are there again.
    let _doomed = Service::http_on("back", address).await;
    client.until("all to be green again", |status| all_others(status, Light::Green)).await;

    download.goes_on().await;
}

#[tokio::test]
async fn a_client_with_more_aliases_than_fit_into_a_message_comes_online_and_knows_them_all() {
    let bed = Bed::with(&format!("max_services = {}", limits::MAX_SERVICES)).await;
    let service = Service::http("many names").await;
    let names: Vec<String> = (0..limits::MAX_SERVICES).map(|number| format!("service-{number}")).collect();
    let services: Vec<_> = names.iter().map(|name| (name.as_str(), service.address(), "http")).collect();
    let client = bed.client_with(&services).await;
    let status = client.until("all to be green", |status| all_others(status, Light::Green)).await;
    // As many as one service can have, and some for each of the others: several messages' worth.
    let first = status.services[0].id.unwrap();
    let mut given = 0;
    let refused = loop {
        let alias = format!("alias-{given:04}-{}", "x".repeat(25)).parse().unwrap();
        match bed.server.directory.add_alias(first, alias, false, Actor::Operator).await {
            Ok(()) => given += 1,
            Err(refused) => break refused,
        }
    };
    assert!(given > 200 && refused.to_string().contains(&format!("has {given} aliases")), "{refused}");
    for (number, service) in status.services.iter().enumerate().skip(1) {
        for alias in 0..3 {
            let alias = format!("service-{number}-alias-{alias}-{}", "y".repeat(20)).parse().unwrap();
            bed.server.directory.add_alias(service.id.unwrap(), alias, false, Actor::Operator).await.unwrap();
        }
    }
    let knows_all = |status: &Status| {
        let aliases: usize = status.services.iter().map(|service| service.aliases.len()).sum();
        aliases == given + 3 * (limits::MAX_SERVICES - 1)
    };
    client.until("to know all while it is online", knows_all).await;
    // And from the start.
    let client = client.restarted().await;
    client.until_online().await;
    client.until("to know all after a new start", knows_all).await;
    client.until("all to be green", |status| all_others(status, Light::Green)).await;
}
