//! HTTPS visitors on the clients' port, HTTP/2 among them.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use petit_tests::bed::{Bed, server_config_under};
use petit_tests::service::{Pattern, Service};
use petit_tests::soon;
use petit_tests::visitor::{sum, whole};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server with a certificate for `*.bed.test`, and who trusts it.
async fn bed() -> (Bed, RootCertStore) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["*.bed.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("server.crt"), certificate.pem()).unwrap();
    std::fs::write(dir.path().join("server.key"), key.serialize_pem()).unwrap();
    let path = dir.path().display();
    let more = format!("certificate = \"{path}/server.crt\"\ncertificate_key = \"{path}/server.key\"");
    let bed = Bed::with_config(&server_config_under("bed.test", &more)).await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    (bed, roots)
}

async fn connect(
    bed: &Bed,
    roots: &RootCertStore,
    name: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(petit_engine::net::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(bed.server.tls).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), tcp).await
}

#[tokio::test]
async fn http2_and_http1_visitors_share_the_clients_port() {
    let (bed, roots) = bed().await;
    let service = Service::http("over TLS").await;
    let client = bed.client(&service).await;
    let host = format!("{}.bed.test", client.id());

    let tls = connect(&bed, &roots, &host, &["http/1.1"]).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", &host).body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(whole(sender.send_request(request).await.unwrap()).await.text(), "over TLS");
    assert_eq!(service.seen("x-forwarded-proto").as_deref(), Some("https"));

    let tls = connect(&bed, &roots, &host, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    // Many streams of one connection, bodies both ways, trailers of nobody's.
    let mut visits = tokio::task::JoinSet::new();
    for number in 0..50_u64 {
        let (mut sender, host) = (sender.clone(), host.clone());
        visits.spawn(async move {
            let length = number * 5001;
            let request = Request::get(format!("https://{host}/bytes/{length}"))
                .body(Full::<Bytes>::default())
                .unwrap();
            let answer = soon("an answer", sender.send_request(request)).await.unwrap();
            assert_eq!(sum(answer.into_body()).await.unwrap(), (length, Pattern::sum(length)));
            let body = Full::new(Bytes::from(vec![7; 1000]));
            let request = Request::post(format!("https://{host}/sum")).body(body).unwrap();
            let answer = soon("an answer", sender.send_request(request)).await.unwrap();
            assert!(answer.into_body().collect().await.unwrap().to_bytes().starts_with(b"1000 "));
        });
    }
    while let Some(visit) = visits.join_next().await {
        visit.unwrap();
    }
    assert_eq!(service.seen("host").as_deref(), Some(host.as_str()));

    // Another host than the certificate was asked for.
    let mut other = sender.clone();
    let request = Request::get("https://other.bed.test/").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(other.send_request(request).await.unwrap().status(), 421);
}

#[tokio::test]
async fn without_a_certificate_there_are_no_https_visitors_but_clients_all_the_same() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let _client = bed.client(&service).await;
    let error = connect(&bed, &RootCertStore::empty(), "x.bed.test", &["http/1.1"]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}
