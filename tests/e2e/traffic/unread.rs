//! curl uploads what Petit answers before it has read it: the answer arrives, in every version of HTTP.

use petit_tests::authority::Authority;
use petit_tests::bed::Bed;
use petit_tests::program::{curl, run};
use petit_tests::service::Service;

/// Whether a reset takes the answer away is chance. (It did 59 times of 60.)
const TRIES: usize = 10;
const BODY_BYTES: usize = 300_000;

#[tokio::test]
async fn curl_gets_the_answer_to_an_upload_that_petit_does_not_read() {
    let authority = Authority::new();
    let bed = Bed::https_with(&authority, "").await;
    let service = Service::http("s").await;
    let client = bed.client_of(service.address(), "http", "max_body = \"1KB\"").await;
    let host = format!("{}.bed.localhost", client.id());
    let nothing = Service::http("s").await.stop().await;
    let down = bed.client_of(nothing, "http", "").await;
    let down = format!("{}.bed.localhost", down.id());
    let (roots, body) = (bed.dir.path().join("ca.pem"), bed.dir.path().join("body"));
    std::fs::write(&roots, authority.pem()).unwrap();
    std::fs::write(&body, vec![b'x'; BODY_BYTES]).unwrap();
    let body = format!("@{}", body.display());
    let mut lost = Vec::new();
    for (scheme, version) in [
        ("https", "--http2"),
        ("http", "--http2-prior-knowledge"),
        ("https", "--http1.1"),
        ("http", "--http1.1"),
    ] {
        let front = if scheme == "https" { bed.server.tls } else { bed.server.http };
        for (host, field, code) in [
            ("nobody.bed.localhost", "X-Mine: 1", "unknown-service"),
            (&host, "X_Mine: 1", "bad-field"),
            (&host, "X-Mine: 1", "body-too-long"),
            (&down, "X-Mine: 1", "service-down"),
        ] {
            for _ in 0..TRIES {
                let mut command = curl(front);
                command.args([version, "--cacert"]).arg(&roots).args(["--header", field]);
                // It would wait for leave before it sends anything.
                command.args(["--header", "Expect:", "--data-binary", &body]);
                command.arg(format!("{scheme}://{host}/"));
                let said = run(command).await;
                if said.exit != 0 || !said.out.contains(&format!("\"code\":\"{code}\"")) {
                    lost.push(format!("{scheme} {version} {code}: {said:?}"));
                }
            }
        }
    }
    assert!(lost.is_empty(), "{} answers were lost:\n{}", lost.len(), lost.join("\n"));
}
