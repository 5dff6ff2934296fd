//! Boxes on the way that open TLS, and boxes that cannot bear it: named, never accepted.

use std::sync::Arc;

use petit_client::status::{BrokenAt, Connection, Light};
use petit_engine::agent::{EnrolError, enrol};
use petit_engine::cause::Cause;
use petit_engine::invite::Invite;
use petit_engine::name::ServerAddr;
use petit_engine::net::dial::{DialError, DialRoute};
use petit_engine::net::tls;
use petit_engine::proto::control::Text;
use petit_engine::secret::PrivateKey;
use petit_tests::bed::{Bed, BedClient};
use petit_tests::chaos::{self, Chaos, Flow, Trouble};
use petit_tests::service::Service;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::through;

/// A box that shows a certificate of its own for `name`, and reads what comes.
async fn inspecting_box(name: &str) -> (std::net::SocketAddr, Arc<std::sync::Mutex<Vec<u8>>>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Corp Web Shield CA");
    params.distinguished_name.push(DnType::OrganizationName, "Example Corp");
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    // Such a box agrees to whatever is asked.
    config.alpn_protocols = [tls::ALPN_TUNNEL, tls::ALPN_ENROL, b"http/1.1"].map(<[u8]>::to_vec).to_vec();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let reads = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (tcp, _): (TcpStream, _) = listener.accept().await.unwrap();
            let (acceptor, reads) = (acceptor.clone(), Arc::clone(&reads));
            tokio::spawn(async move {
                if let Ok(mut tls) = acceptor.accept(tcp).await {
                    let mut bytes = Vec::new();
                    let _ = tls.read_to_end(&mut bytes).await;
                    reads.lock().unwrap().extend(bytes);
                }
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn tls_inspection_is_named_with_its_issuer_and_nothing_is_told_to_it() {
    let bed = Bed::start().await;
    let (address, seen) = inspecting_box("localhost").await;
    let server = ServerAddr::new("localhost", address.port()).unwrap();
    let invite = Invite { server, ..bed.invite().await };
    let key = PrivateKey::generate().unwrap();
    let error = enrol(&invite, &DialRoute::default(), &key, "t", &Text::lossy("t")).await.unwrap_err();
    let EnrolError::Dial(DialError::Inspected { issuer, .. }) = &error else { panic!("{error}") };
    assert_eq!(issuer, "Corp Web Shield CA (Example Corp)");
    assert!(seen.lock().unwrap().is_empty(), "no byte of the invite's secret has left");
    // The box is on the way of somebody who is registered already.
    let service = Service::http("s").await;
    let chaos = Chaos::before(bed.server.tls).await;
    let client = {
        let through = through(&bed, &chaos).await;
        let server = ServerAddr::new("localhost", chaos.address().port()).unwrap();
        BedClient::new(&Invite { server, ..through }, &[("web", service.address(), "http")]).await
    };
    client.until_green("web").await;
    chaos.retarget(address);
    chaos.cut();
    let status = client.until_light("web", Light::Red).await;
    // The first thing that is known is that the connection broke; then the box shows itself.
    let inspected = |at| at == BrokenAt::Connection(Cause::Inspected);
    let broken = |status: &petit_client::status::Status| status.services[0].broken.as_ref().map(|b| b.at);
    let status = match broken(&status) {
        Some(at) if inspected(at) => status,
        _ => client.until("the box to be named", |status| broken(status).is_some_and(inspected)).await,
    };
    assert!(
        matches!(status.connection, Connection::Waiting { cause: Cause::Inspected, .. }),
        "it waits, and accepts nothing"
    );
    assert_eq!(status.inspected_by.as_deref(), Some("Corp Web Shield CA (Example Corp)"));
    // Without the box everything is as before.
    chaos.retarget(bed.server.tls);
    client.client.reconnect_now().await;
    client.until_green("web").await;
}

/// A box that drops a ClientHello of more than one packet: the post-quantum key share makes it that long.
#[tokio::test]
async fn a_box_that_cannot_bear_a_long_greeting_gets_a_short_one() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let (chaos, client) = super::behind_chaos(&bed, &service).await;
    let post_quantum = client.until_green("web").await;
    assert_eq!(post_quantum.post_quantum, Some(true), "the usual greeting is post-quantum");
    // Everything beyond the first 1,400 bytes of a connection resets it.
    chaos.set(chaos::Direction::There, Trouble { reset_after: Some(1400), ..Trouble::default() });
    chaos.reset();
    // A connection that is classical needs less than that to be welcomed, but not to live on: the box is there
    // for the greeting only.
    let small = client.until("a short greeting", |status| {
        let waits = matches!(status.connection, Connection::Waiting { .. } | Connection::Connecting);
        waits && chaos.accepted() >= 4
    });
    small.await;
    chaos.set(chaos::Direction::There, Trouble::flow(Flow::Passes));
    client.client.reconnect_now().await;
    client.until_green("web").await;
}
