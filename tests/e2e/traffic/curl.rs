//! curl and h2load as visitors, in every version of HTTP that they speak.

use std::net::SocketAddr;

use petit_tests::authority::Authority;
use petit_tests::bed::Bed;
use petit_tests::conformance::carried;
use petit_tests::pattern::Pattern;
use petit_tests::program::{curl, run, run_with};
use petit_tests::row;
use petit_tests::service::Service;
use petit_tests::visitor::host;
use tokio::process::Command;

/// The body, then the version of the answer and the count of connections that were opened.
const VERSION: [&str; 2] = ["--write-out", "|%{http_version}|%{num_connects}"];

#[tokio::test]
async fn curl_gets_its_answers_in_every_version() {
    let rows = [
        row!(Versions, "curl --http1.1 and --http1.0"),
        row!(Versions, "curl --http2-prior-knowledge (HTTP/2 without TLS)"),
        row!(Versions, "curl --http2 over TLS (ALPN), and --http1.1 over TLS"),
    ];
    let upgrade = row!(Versions, "curl --http2 without TLS (Upgrade: h2c)");
    let authority = Authority::new();
    let bed = Bed::https(&authority).await;
    let service = Service::http("an answer").await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = format!("{}.bed.localhost", client.id());
    let file = bed.dir.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    for (scheme, flag, version) in [
        ("http", "--http1.1", "1.1"),
        ("http", "--http1.0", "1"),
        ("http", "--http2-prior-knowledge", "2"),
        ("http", "--http2", "1.1"),
        ("https", "--http2", "2"),
        ("https", "--http1.1", "1.1"),
    ] {
        let front = if scheme == "https" { bed.server.tls } else { bed.server.http };
        let mut command = curl(front);
        command.args(VERSION).arg(flag).arg("--cacert").arg(&file).arg(format!("{scheme}://{host}/"));
        let said = run(command).await.ok();
        assert_eq!(said.out, format!("an answer|{version}|1"), "{scheme} {flag}");
        assert_eq!(service.seen("x-forwarded-proto").as_deref(), Some(scheme));
        assert_eq!(service.seen("host"), Some(host.clone()));
        // The service is asked in its own version, and never to change it.
        for field in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(service.seen(field), None, "{scheme} {flag}");
        }
    }
    carried(rows);
    upgrade.instead("answered in HTTP/1.1, as RFC 9110 §7.8 allows; RFC 9113 has retired this upgrade");
}

#[tokio::test]
async fn curl_sends_bodies_of_all_framings() {
    let rows =
        [row!(Bodies, "Upload of known length, of unknown length, as a form, in HTTP/1.1 and HTTP/2 (curl)")];
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client_of(service.address(), "http", "").await;
    let url = format!("http://{}/sum", host(&client.id()));
    let body: String = (0..100_000).map(|number| format!("{number} ")).collect();
    let sum = {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
        data_encoding::HEXLOWER.encode(digest.as_ref())
    };
    let file = bed.dir.path().join("body");
    std::fs::write(&file, &body).unwrap();
    let path = file.to_str().unwrap();
    for flag in ["--http1.1", "--http2-prior-knowledge"] {
        let ways = [["--data-binary", &format!("@{path}")], ["--upload-file", "-"], ["--upload-file", path]];
        for way in ways {
            let mut command = curl(bed.http());
            command.arg(flag).args(way).args(["--request", "POST", &url]);
            let input = if way[1] == "-" { body.as_str() } else { "" };
            let said = run_with(command, input).await.ok();
            assert_eq!(said.out, format!("{} {sum}", body.len()), "{flag} {way:?}");
            let length = service.seen("content-length");
            let chunked = service.seen("transfer-encoding");
            match way[1] {
                "-" => assert_eq!((length, chunked.as_deref()), (None, Some("chunked"))),
                _ => assert_eq!((length, chunked), (Some(body.len().to_string()), None)),
            }
        }
        let mut command = curl(bed.http());
        command.args([flag, "--form", &format!("file=@{path}"), &url]);
        let said = run(command).await.ok();
        let length = service.seen("content-length").unwrap();
        assert!(said.out.starts_with(&format!("{length} ")), "{said:?}");
        assert!(service.seen("content-type").unwrap().starts_with("multipart/form-data; boundary="));
    }
    carried(rows);
}

/// Runs h2load and returns its counts of requests: all, succeeded.
async fn load(front: SocketAddr, url: &str, more: &[&str]) -> (u64, u64) {
    let mut command = Command::new("h2load");
    command.arg(format!("--connect-to={front}")).args(more).arg(url);
    let said = run(command).await.ok();
    let line = said.out.lines().find(|line| line.starts_with("requests: ")).expect("a line of counts");
    let count = |name: &str| {
        let before = line.split(name).next().unwrap().trim_end();
        before.rsplit([' ', ',']).next().unwrap().parse().unwrap()
    };
    let codes = said.out.lines().find(|line| line.starts_with("status codes: ")).unwrap();
    assert!(codes.contains(" 0 4xx, 0 5xx"), "{said:?}");
    (count(" total"), count(" succeeded"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2load_gets_an_answer_to_every_request() {
    let rows = [
        row!(Load, "h2load: 3,000 requests on 4 connections with 50 streams each, HTTP/2 without TLS"),
        row!(Load, "h2load: 3,000 requests on 4 connections with 50 streams each, HTTP/2 over TLS"),
        row!(Load, "h2load: 3,000 requests on 50 connections, HTTP/1.1"),
    ];
    let authority = Authority::new();
    let bed = Bed::https(&authority).await;
    let service = Service::http("s").await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = format!("{}.bed.localhost", client.id());
    let before = service.requests();
    let many = ["--requests=3000", "--clients=4", "--max-concurrent-streams=50"];
    let url = format!("http://{host}/bytes/1000");
    assert_eq!(load(bed.http(), &url, &many).await, (3000, 3000));
    let secure = format!("https://{host}/bytes/1000");
    assert_eq!(load(bed.server.tls, &secure, &many).await, (3000, 3000));
    let many = ["--h1", "--requests=3000", "--clients=50"];
    assert_eq!(load(bed.http(), &url, &many).await, (3000, 3000));
    assert_eq!(service.requests() - before, 9000, "no request was sent twice");
    // What arrives is what was sent.
    let answer = bed.visitor().get(&host, "/bytes/1000").await;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &answer.body);
    assert_eq!(data_encoding::HEXLOWER.encode(digest.as_ref()), Pattern::sum(1000));
    carried(rows);
}
