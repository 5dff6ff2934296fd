//! The certificate at the public address.

use std::path::Path;

use petit_client::hops::{HopName, HopState};
use petit_client::status::Status;
use petit_engine::cause::FrontCause;
use petit_engine::name::VisitorHost;
use petit_engine::proto::control::FrontState;
use petit_tests::authority::{Authority, Identity};
use petit_tests::bed::{Bed, BedClient};
use petit_tests::front::{Does, Front};
use petit_tests::service::Service;

use super::until_broken;

const NAMES: &str = "*.bed.localhost";

/// A server of HTTPS with a certificate, on which names under `bed.localhost` lead straight to it.
async fn bed(dir: &Path, identity: Option<&Identity>, authority: &Authority) -> Bed {
    let ca = dir.join("ca.crt");
    std::fs::write(&ca, authority.pem()).unwrap();
    let certificate = identity.map(|identity| {
        let (certificate, key) = identity.write(dir, "public");
        format!("certificate = \"{}\"\ncertificate_key = \"{}\"\n", certificate.display(), key.display())
    });
    Bed::with_config(&format!(
        "[server]\nproxy_port = 0\nsecure_bind = \"127.0.0.1\"\nsecure_proxy_port = 0\n{}\
         [server.fronts]\nca = \"{}\"\n[server.vitae]\nendpoint = \"https://REGID.bed.localhost:0\"\n",
        certificate.unwrap_or_default(),
        ca.display(),
    ))
    .await
}

async fn client(bed: &Bed, service: &Service) -> BedClient {
    bed.client_with(&[("web", service.address(), "http")]).await
}

#[tokio::test]
async fn a_certificate_for_the_names_is_green_with_every_hop() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let bed = bed(dir.path(), Some(&authority.vouch_for(&[NAMES])), &authority).await;
    let service = Service::http("s").await;
    let client = client(&bed, &service).await;
    let green = client.until_green("web").await;
    assert!(green.services[0].url.as_ref().unwrap().starts_with("https://"));
    let hops: Vec<HopName> = green.services[0].hops.iter().map(|hop| hop.hop).collect();
    assert!(hops.contains(&HopName::Certificate), "{hops:?}");
    assert!(green.services[0].hops.iter().all(|hop| hop.state == HopState::Works));
}

#[tokio::test]
async fn without_a_certificate_nobody_gets_in_by_https() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let bed = bed(dir.path(), None, &authority).await;
    let service = Service::http("s").await;
    let client = client(&bed, &service).await;
    let red = until_broken(&bed, &client, FrontCause::NoTls).await;
    assert_eq!(broken(&red), HopName::Certificate);
}

#[tokio::test]
async fn a_certificate_that_visitors_refuse_is_red_with_the_reason() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    // A proxy in front speaks TLS, as most do.
    let (dir, front) = (tempfile::tempdir().unwrap(), Front::new().await);
    let ca = dir.path().join("ca.crt");
    std::fs::write(&ca, authority.pem()).unwrap();
    let bed = Bed::with_config(&format!(
        "[server]\nproxy_port = 0\nsecure_bind = \"127.0.0.1\"\nsecure_proxy_port = 0\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [server.fronts]\nca = \"{}\"\n[server.vitae]\nendpoint = \"https://REGID.bed.localhost:{}\"\n",
        ca.display(),
        front.address.port(),
    ))
    .await;
    front.now(Does::HandsOn(bed.http()));
    let right = authority.vouch_for(&[NAMES]);
    front.shows(right.server(&["h2", "http/1.1"]));
    let service = Service::http("s").await;
    let client = client(&bed, &service).await;
    client.until_green("web").await;
    for (identity, cause) in [
        (authority.vouch_for(&["*.other.localhost"]), FrontCause::CertificateName),
        // A certificate for the domain alone leaves out what is under it.
        (authority.vouch_for(&["bed.localhost"]), FrontCause::CertificateName),
        (authority.expired(&[NAMES]), FrontCause::CertificateExpired),
        (stranger.vouch_for(&[NAMES]), FrontCause::CertificateUntrusted),
        (Identity::self_signed(&[NAMES]), FrontCause::CertificateUntrusted),
    ] {
        front.shows(identity.server(&["http/1.1"]));
        let red = until_broken(&bed, &client, cause).await;
        assert_eq!(broken(&red), HopName::Certificate, "{cause:?}");
        front.shows(right.server(&["http/1.1"]));
        bed.server.relay.try_fronts().await;
        client.until_green("web").await;
    }
    // A name that is tried again and again is shown the certificate each time.
    let host = VisitorHost::parse(&format!("acme.bed.localhost:{}", front.address.port())).unwrap();
    for _ in 0..3 {
        assert_eq!(bed.server.relay.try_host(&host).await, FrontState::Passed);
    }
    assert_eq!(front.resumed(), 0);
}

/// The first hop that is broken.
fn broken(status: &Status) -> HopName {
    status.services[0].hops.iter().find(|hop| hop.state == HopState::Broken).unwrap().hop
}

#[tokio::test]
async fn a_certificate_that_is_put_right_turns_the_light_without_a_restart() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let bed = bed(dir.path(), Some(&authority.expired(&[NAMES])), &authority).await;
    let service = Service::http("s").await;
    let client = client(&bed, &service).await;
    until_broken(&bed, &client, FrontCause::CertificateExpired).await;
    authority.vouch_for(&[NAMES]).write(dir.path(), "public");
    bed.server.reload(&bed.server.settings().in_force).unwrap();
    client.until_green("web").await;
}
