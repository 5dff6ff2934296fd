//! Services behind TLS: who is trusted to be one, and what happens to all others; and the host that a service sees.

use std::net::SocketAddr;
use std::sync::Arc;

use petit_client::status::{BrokenAt, Light};
use petit_engine::cause::ServiceCause;
use petit_tests::authority::{Authority, Identity};
use petit_tests::bed::{Bed, service_config};
use petit_tests::conformance::carried;
use petit_tests::process::Program;
use petit_tests::scripted::{self, Manner, text};
use petit_tests::service::Service;
use petit_tests::visitor::host;
use petit_tests::{row, soon};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// A service behind TLS that says which protocol was agreed upon, as its ALPN has it.
async fn service(identity: &Identity, h2: bool) -> Service {
    let tls = Some(identity.server(if h2 { &["h2"] } else { &["http/1.1"] }));
    scripted::service(Manner { h2, tls }, |request| async move {
        hyper::Response::new(text(format!("{:?}", request.version())))
    })
    .await
}

fn localhost(service: &Service) -> String {
    format!("localhost:{}", service.address().port())
}

#[tokio::test]
async fn a_service_is_whoever_was_set_up_to_be_it() {
    let rows = [
        row!(ServiceTls, "Trusted by a CA file (tls_ca), HTTP/1.1 and HTTP/2"),
        row!(
            ServiceTls,
            "Trusted by its fingerprint (tls_fingerprint): self-signed, whatever its name and dates"
        ),
        row!(ServiceTls, "A certificate for another name than the target's (tls_name)"),
    ];
    let bed = Bed::start().await;
    let authority = Authority::new();
    let file = bed.dir.path().join("private-ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let ca = format!("tls_ca = \"{}\"", file.display());
    let known = authority.vouch_for(&["localhost"]);
    let by_address = authority.vouch_for(&["127.0.0.1"]);
    let elsewhere = authority.vouch_for(&["shop.internal"]);
    let alone = Identity::self_signed(&["whatever.example"]);
    let expired = Identity::expired(&["localhost"]);
    let pinned = |identity: &Identity| format!("tls_fingerprint = \"{}\"", identity.fingerprint());
    for (kind, says) in [("http", "HTTP/1.1"), ("h2", "HTTP/2.0")] {
        let named = format!("{ca}\ntls_name = \"shop.internal\"");
        for (identity, by_name, more) in [
            (&known, true, ca.clone()),
            (&by_address, false, ca.clone()),
            (&elsewhere, true, named),
            (&alone, true, pinned(&alone)),
            (&expired, true, pinned(&expired)),
        ] {
            let service = service(identity, kind == "h2").await;
            let target = if by_name { localhost(&service) } else { service.address().to_string() };
            let client = bed.client_of(target, kind, &more).await;
            assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.text(), says, "{more}");
            client.until_green("web").await;
        }
    }
    carried(rows);
}

#[tokio::test]
async fn nobody_else_is_trusted() {
    let rows = [
        row!(
            ServiceTls,
            "Another authority, name, fingerprint, an expired certificate, or no TLS at all: 502 service-tls"
        ),
        row!(ServiceTls, "The light of such a service is red, and says why"),
    ];
    let bed = Bed::start().await;
    let (authority, other) = (Authority::new(), Authority::new());
    let file = bed.dir.path().join("private-ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let ca = format!("tls_ca = \"{}\"", file.display());
    let stranger = Identity::self_signed(&["localhost"]);
    let wrong_pin = format!("tls_fingerprint = \"{}\"", Identity::self_signed(&["localhost"]).fingerprint());
    for (identity, more, why) in [
        (other.vouch_for(&["localhost"]), &ca, "another authority"),
        (authority.vouch_for(&["elsewhere.example"]), &ca, "another name"),
        (authority.expired(&["localhost"]), &ca, "expired"),
        (Identity::self_signed(&["localhost"]), &ca, "self-signed"),
        (stranger, &wrong_pin, "another fingerprint"),
        (authority.vouch_for(&["localhost"]), &"tls = true".to_owned(), "no authority of the computer's"),
    ] {
        let service = service(&identity, false).await;
        let client = bed.client_of(localhost(&service), "http", more).await;
        let answer = bed.visitor().get(&host(&client.id()), "/").await;
        assert_eq!(
            (answer.status.as_u16(), answer.petit_error().as_deref()),
            (502, Some("service-tls")),
            "{why}: {answer:?}"
        );
        let status = client.until_light("web", Light::Red).await;
        let broken = status.services[0].broken.clone().unwrap().at;
        assert_eq!(broken, BrokenAt::Service(ServiceCause::Untrusted), "{why}");
    }
    let plain = Service::http("plain").await;
    let client = bed.client_of(localhost(&plain), "http", &ca).await;
    let answer = bed.visitor().get(&host(&client.id()), "/").await;
    assert_eq!((answer.status.as_u16(), answer.petit_error().as_deref()), (502, Some("service-tls")));
    let status = client.until_light("web", Light::Red).await;
    assert_eq!(status.services[0].broken.clone().unwrap().at, BrokenAt::Service(ServiceCause::NotTls));
    carried(rows);
}

/// The programs: the computer's own authorities are those of `SSL_CERT_FILE`.
#[tokio::test]
async fn the_computers_own_authorities_are_asked() {
    let rows = [
        row!(ServiceTls, "Trusted by the computer's authorities (tls = true; SSL_CERT_FILE)"),
        row!(
            ServiceTls,
            "petit-client status and doctor name the one that is not trusted, and show its fingerprint"
        ),
    ];
    let authority = Authority::new();
    let trusted = service(&authority.vouch_for(&["localhost"]), false).await;
    let unknown = Identity::self_signed(&["localhost"]);
    let untrusted = service(&unknown, false).await;
    let server = Program::server().await;
    let _server = server.up().await;
    let client = Program::client();
    let file = client.dir().join("roots.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let client = client.env("SSL_CERT_FILE", file.to_str().unwrap());
    let second = format!(
        "tls = true\n[[client.service]]\nname = \"bad\"\ntarget = \"{}\"\ntls = true",
        localhost(&untrusted)
    );
    std::fs::write(client.config(), service_config(localhost(&trusted), "http", &second)).unwrap();
    client.run_with(["register"], &server.invite(["--service-name", "web"]).await).await.ok();
    let _client = client.up().await;
    let status = client
        .until("a green light and a red one", |status| {
            let light = |number: usize| status["services"][number]["light"].as_str();
            (light(0), light(1)) == (Some("green"), Some("red"))
        })
        .await;
    let visitor = server.visitor().await;
    let host = |number: usize| format!("{}.localhost", status["services"][number]["id"].as_str().unwrap());
    assert_eq!(visitor.get(&host(0), "/").await.text(), "HTTP/1.1");
    let answer = visitor.get(&host(1), "/").await;
    assert_eq!((answer.status.as_u16(), answer.petit_error().as_deref()), (502, Some("service-tls")));
    assert_eq!(answer.json()["service"], "bad");
    let said = client.run(["status"]).await;
    assert!(said.out.contains("✘ bad") && said.out.contains("its certificate is not trusted"), "{said:?}");
    let said = client.run(["doctor"]).await;
    assert!(said.out.contains("✔ service web") && said.out.contains("✘ service bad"), "{said:?}");
    assert!(said.out.contains(&unknown.fingerprint().replace(':', "")), "{said:?}");
    carried(rows);
}

#[tokio::test]
async fn a_raw_tcp_service_may_be_behind_tls_too() {
    let row = row!(
        ServiceTls,
        "A raw TCP service behind TLS: the visitor speaks without TLS, finishes first, and still hears all of it"
    );
    let bed = Bed::start().await;
    let identity = Identity::self_signed(&["localhost"]);
    let tls: Arc<ServerConfig> = identity.server(&[]);
    let service = Service::speaking("tls echo", move |tcp| {
        let acceptor = TlsAcceptor::from(Arc::clone(&tls));
        async move {
            let Ok(mut tls) = acceptor.accept(tcp).await else { return };
            let mut heard = Vec::new();
            if tls.read_to_end(&mut heard).await.is_ok() {
                let _ = tls.write_all(&heard).await;
                let _ = tls.shutdown().await;
            }
        }
    })
    .await;
    let pin = format!("tls_fingerprint = \"{}\"", identity.fingerprint());
    let client = bed.client_of(localhost(&service), "tcp", &pin).await;
    let url = client.url("web").await;
    let address: SocketAddr = url.strip_prefix("tcp://").unwrap().parse().unwrap();
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let sent = b"not a word of TLS".repeat(10_000);
    tcp.write_all(&sent).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut back = Vec::new();
    soon("all of it", tcp.read_to_end(&mut back)).await.unwrap();
    assert!(back == sent);
    row.carried();
}

#[tokio::test]
async fn an_answer_that_ends_without_a_goodbye_was_cut_off() {
    let whole =
        row!(ServiceTls, "An answer with a length arrives whole from a service that leaves out close_notify");
    let row = row!(
        ServiceTls,
        "An answer of unknown length that ends without TLS close_notify: an error for the visitor"
    );
    let bed = Bed::start().await;
    let identity = Identity::self_signed(&["localhost"]);
    let tls = identity.server(&[]);
    let service = Service::speaking("rude", move |tcp| {
        let acceptor = TlsAcceptor::from(Arc::clone(&tls));
        async move {
            let Ok(mut tls) = acceptor.accept(tcp).await else { return };
            if let Some(head) = scripted::head(&mut tls).await {
                let length = if head.starts_with("GET /whole ") { "Content-Length: 7\r\n" } else { "" };
                let _ = tls.write_all(format!("HTTP/1.1 200 OK\r\n{length}\r\nhalf of").as_bytes()).await;
                let _ = tls.flush().await;
                if head.starts_with("GET /polite ") {
                    let _ = tls.shutdown().await;
                }
            }
        }
    })
    .await;
    let pin = format!("tls_fingerprint = \"{}\"", identity.fingerprint());
    let client = bed.client_of(localhost(&service), "http", &pin).await;
    let host = host(&client.id());
    assert_eq!(bed.visitor().get(&host, "/polite").await.text(), "half of");
    for _ in 0..20 {
        assert_eq!(bed.visitor().get(&host, "/whole").await.text(), "half of");
    }
    whole.carried();
    let asked =
        petit_tests::visitor::request(&host, "GET", "/", http_body_util::Empty::<bytes::Bytes>::new());
    let body = bed.visitor().open(asked).await.into_body();
    let end = soon("the end", http_body_util::BodyExt::collect(body)).await;
    assert!(end.is_err(), "{end:?}");
    row.carried();
}

#[tokio::test]
async fn a_service_sees_the_host_that_was_set_up() {
    let rows = [
        row!(
            Messages,
            "Host at the service: the public one (preserve), the target's own (target), a fixed one"
        ),
        row!(Messages, "X-Forwarded-Host and Forwarded keep the public host, whatever Host the service sees"),
    ];
    let bed = Bed::start().await;
    for kind in ["http", "h2"] {
        let service = if kind == "h2" { Service::h2("s").await } else { Service::http("s").await };
        let target = localhost(&service);
        for (more, seen) in [
            ("", None),
            ("host = \"preserve\"", None),
            ("host = \"target\"", Some(target.as_str())),
            ("host = \"shop.internal\"", Some("shop.internal")),
            ("host = \"shop.internal:8080\"", Some("shop.internal:8080")),
        ] {
            let client = bed.client_of(&target, kind, more).await;
            let public = host(&client.id());
            let request = bed.visitor().get(&public, "/request").await.json();
            let seen = seen.unwrap_or(&public);
            if kind == "h2" {
                assert_eq!(request["target"], format!("http://{seen}/request"), "{more}");
            } else {
                assert_eq!(service.seen("host").as_deref(), Some(seen), "{more}");
            }
            assert_eq!(service.seen("x-forwarded-host"), Some(public.clone()), "{more}");
            let forwarded = format!("for=127.0.0.1;proto=http;host={public}");
            assert_eq!(service.seen("forwarded"), Some(forwarded), "{more}");
        }
    }
    carried(rows);
}
