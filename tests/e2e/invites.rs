//! What an invite says, and where its link leads.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Uri;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use petit_tests::authority::Authority;
use petit_tests::bed::server_config_under;
use petit_tests::process::Program;
use petit_tests::visitor::{Answer, Visitor, request, tls, whole};

/// The example of the README: its DNS record and its certificate are for `*.example.com`.
#[tokio::test]
async fn invites_of_a_new_server_lead_to_a_name_that_its_dns_record_covers() {
    let server = Program::uninitialised_server();
    let said = server.run(["init", "--endpoint", "https://REGID.example.com"]).await.ok().out;
    assert!(said.contains("connect to tunnel.example.com:8453"), "{said}");
    assert!(
        said.contains("Lead all names *.example.com to this computer (DNS), and let port 8453 in"),
        "{said}"
    );
    let invite = server.run(["invite", "--json"]).await.ok().json();
    assert_eq!(invite["server"], "tunnel.example.com:8453");
    let link = invite["link"].as_str().unwrap();
    assert!(link.starts_with("https://tunnel.example.com/enroll#v1."), "{link}");
    let app_link = invite["app_link"].as_str().unwrap();
    assert_eq!(app_link.split_once('#').unwrap().1, link.split_once('#').unwrap().1);
    assert!(app_link.starts_with("petit://enroll#v1."), "{app_link}");
    let said = server.run(["invite"]).await.ok().out;
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("#v1.")).collect();
    assert!(lines[0].starts_with("https://") && lines[1].starts_with("petit://"), "{said}");
    let said = server.run(["invite", "--alias", "tunnel"]).await;
    assert!(said.exit == 2 && said.err.contains("invites lead there"), "{said:?}");
}

#[tokio::test]
async fn an_invites_link_leads_to_a_page_that_says_what_to_do() {
    // On one machine, where visitors come by plain HTTP.
    let server = Program::server().await;
    let running = server.up().await;
    let link: Uri = server.invite([""; 0]).await.split_once('#').unwrap().0.parse().unwrap();
    let status = server.status().await;
    let front: SocketAddr = status["http"].as_str().unwrap().parse().unwrap();
    assert_eq!((link.scheme_str(), link.port_u16()), (Some("http"), Some(front.port())));
    let authority = link.authority().unwrap().as_str();
    let answer = Visitor::new(front).get(authority, link.path()).await;
    assert_is_page(&answer);
    assert_is_page(&Visitor::new(front).get("localhost", "/enroll").await);
    for (host, path) in [("nobody.localhost", "/enroll"), (authority, "/"), (authority, "/enroll/x")] {
        assert_eq!(Visitor::new(front).get(host, path).await.status, 404, "{host}{path}");
    }
    running.kill().await;

    // In the world, where they come by HTTPS: on the port that the endpoint names.
    let config =
        server_config_under("bed.test", "").replace("http://REGID.bed.test:0", "https://REGID.bed.test:8443");
    let server = Program::server_with(&config).await;
    let folder = server.dir().join("certificates");
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new();
    authority.vouch_for(&["*.bed.test"]).write(&folder, "server");
    let _running = server.up().await;
    let link = server.invite([""; 0]).await;
    assert!(link.starts_with("https://tunnel.bed.test:8443/enroll#"), "{link}");
    let address = server.status().await["tls"].as_str().unwrap().parse().unwrap();
    let tls = tls(address, &authority.roots(), "tunnel.bed.test", &["http/1.1"]).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    let asked = request("tunnel.bed.test:8443", "GET", "/enroll", Empty::<Bytes>::new());
    assert_is_page(&whole(sender.send_request(asked).await.unwrap()).await);
}

/// The page, with nothing in it that could read the invite or pass it on.
#[track_caller]
fn assert_is_page(answer: &Answer) {
    assert_eq!(answer.status, 200);
    let text = answer.text();
    for said in ["This is an invite for Petit", "Dies ist eine Einladung", "petit-client register"] {
        assert!(text.contains(said), "{said}");
    }
    for active in ["<script", "<link", "<img", "<form", "href", "src=", "onload"] {
        assert!(!text.contains(active), "{active}");
    }
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let style = text.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = data_encoding::BASE64.encode(&petit_engine::secret::sha256(style.as_bytes()));
    assert!(policy.contains(&hash), "the style is the one that may be used");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    assert_eq!(answer.headers["cache-control"], "no-store");
}
