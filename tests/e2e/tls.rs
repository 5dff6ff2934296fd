//! HTTPS visitors on the clients' port, HTTP/2 among them.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use petit_tests::authority::Authority;
use petit_tests::bed::Bed;
use petit_tests::pattern::Pattern;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{h2_on, sum, tls as https, whole};
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn http2_and_http1_visitors_share_the_clients_port() {
    let authority = Authority::new();
    let bed = Bed::https(&authority).await;
    let roots = authority.roots();
    let service = Service::http("over TLS").await;
    let client = bed.client(&service).await;
    let host = format!("{}.bed.localhost", client.id());

    let tls = https(bed.server.tls, &roots, &host, &["http/1.1"]).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", &host).body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(whole(sender.send_request(request).await.unwrap()).await.text(), "over TLS");
    assert_eq!(service.seen("x-forwarded-proto").as_deref(), Some("https"));

    let tls = https(bed.server.tls, &roots, &host, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let sender = h2_on(tls).await;
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
    let request = Request::get("https://other.bed.localhost/").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(other.send_request(request).await.unwrap().status(), 421);
}

#[tokio::test]
async fn without_a_certificate_there_are_no_https_visitors_but_clients_all_the_same() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let _client = bed.client(&service).await;
    let error =
        https(bed.server.tls, &RootCertStore::empty(), "x.bed.localhost", &["http/1.1"]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn whoever_speaks_another_version_of_http_than_was_agreed_upon_gets_no_answer() {
    let authority = Authority::new();
    let bed = Bed::https(&authority).await;
    let roots = authority.roots();
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host = format!("{}.bed.localhost", client.id());
    let plain = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes();
    // The preface, and SETTINGS without a setting.
    let h2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for (agreed, said, is_answered) in [
        ("h2", &plain, false),
        ("http/1.1", &h2, false),
        ("h2", &h2, true),
        ("http/1.1", &plain, true),
        ("", &plain, true),
        ("", &h2, true),
    ] {
        let offered: &[&str] = if agreed.is_empty() { &[] } else { &[agreed] };
        let mut tls = https(bed.server.tls, &roots, &host, offered).await.unwrap();
        tls.write_all(said).await.unwrap();
        // The end of the connection, or whatever is said in answer.
        let first = soon("an answer or an end", tls.read_u8()).await;
        assert_eq!(first.is_ok(), is_answered, "{agreed:?} {:?}", String::from_utf8_lossy(said));
    }
}
