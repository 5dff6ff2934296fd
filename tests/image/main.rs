//! The container images, as registries read them and as container engines run them.
//!
//! `cargo xtask test image` makes them of the programs that all tests share.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assert by failing"
)]

mod container;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use http_body_util::Empty;
use hyper::body::Bytes;
use petit_tests::authority::Authority;
use petit_tests::bed::client_config;
use petit_tests::process::{Program, Said};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{Visitor, request, whole};
use serde_json::Value;
use tokio::process::Command;

use self::container::{Bundle, Container, image, images, layout};

const PROGRAMS: [&str; 2] = ["petit-server", "petit-client"];

/// What skopeo says of an image.
async fn inspect(source: &str, more: &[&str]) -> Value {
    let mut command = Command::new("skopeo");
    command.arg("inspect").args(more).arg(source);
    container::run(&mut command, "").await.ok().json()
}

#[tokio::test]
async fn registries_read_what_the_images_say() {
    for program in PROGRAMS {
        let source = format!("oci:{}:{}", layout().display(), image(program));
        let said = inspect(&source, &[]).await;
        assert_eq!(said["Os"], "linux");
        let labels = &said["Labels"];
        for (label, expected) in [("version", env!("CARGO_PKG_VERSION")), ("licenses", "MIT OR Apache-2.0")] {
            assert_eq!(labels[format!("org.opencontainers.image.{label}")], expected);
        }
        let config = inspect(&source, &["--config"]).await;
        let run = &config["config"];
        assert_eq!(run["User"], "65532:65532");
        assert_eq!(run["Entrypoint"][0], format!("/usr/bin/{program}"));
        assert_eq!((&run["Cmd"][0], &run["StopSignal"]), (&"run".into(), &"SIGTERM".into()));
        assert_eq!(config["created"], said["Created"]);
        let index = inspect(&source, &["--raw"]).await;
        assert_eq!(index["manifests"][0]["platform"]["os"], "linux");
        // The file for those who have no registry, as Docker and as everybody else reads it.
        let file = images().join(format!("{}.tar", image(program).replace(':', "-")));
        for kind in ["docker-archive", "oci-archive"] {
            let loaded = inspect(&format!("{kind}:{}", file.display()), &["--config"]).await;
            assert_eq!(loaded, config, "{kind}");
        }
    }
}

#[tokio::test]
async fn an_image_holds_the_program_what_it_reads_and_what_it_is_made_of() {
    for program in PROGRAMS {
        let bundle = Bundle::of(program).await;
        let file = |path: &str| {
            std::fs::read(bundle.root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let bom: Value =
            serde_json::from_slice(&file(&format!("usr/share/doc/{program}/sbom.cdx.json"))).unwrap();
        assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
        assert_eq!(bom["metadata"]["component"]["name"], program);
        let named = |name: &str| bom["components"].as_array().unwrap().iter().any(|it| it["name"] == name);
        assert!(named("petit-engine") && named("rustls") && named("aws-lc-sys"));
        assert!(!named("proptest") && !named("petit-tests"), "tests are not built in");
        assert_eq!(named("sqlx"), program == "petit-server");
        let authorities = String::from_utf8(file("etc/ssl/certs/ca-certificates.crt")).unwrap();
        assert!(authorities.matches("-----BEGIN CERTIFICATE-----").count() > 50);
        file(&format!("usr/share/doc/{program}/LICENSE-MIT"));
        let notices = String::from_utf8(file(&format!("usr/share/doc/{program}/THIRD-PARTY.txt"))).unwrap();
        assert!(notices.contains("\nrustls ") && notices.contains("Copyright (c) Tokio Contributors"));
        // Nothing to look around with.
        let names = std::fs::read_dir(bundle.root().join("usr/bin")).unwrap();
        assert_eq!(names.map(|name| name.unwrap().file_name()).collect::<Vec<_>>(), [program]);
    }
}

/// The settings that a cluster is given, with ports that the system chooses, on this machine alone.
fn settings() -> String {
    let text = include_str!("../../packaging/kubernetes/server.toml");
    let ports = "secure_proxy_port = 0\nsecure_bind = \"127.0.0.1\"\nproxy_port = 0\ntcp_ports = \"0-0\"";
    [("secure_proxy_port = 443", ports), ("https://REGID.example.com", "http://REGID.localhost:0")]
        .into_iter()
        .fold(text.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
}

/// What docs/deploy.md has certbot do with a renewed certificate for a container.
fn deploy_hook() -> &'static str {
    let page = include_str!("../../docs/deploy.md");
    let (_, hook) = page.split_once("\n--deploy-hook '").expect("a line of its own");
    hook.split('\'').next().unwrap()
}

/// What a visitor sends who has the first key.
fn with_key(host: &str, path: &str, key: &str) -> hyper::Request<Empty<Bytes>> {
    let mut request = request(host, "GET", path, Empty::new());
    request.headers_mut().insert("petit-key", key.parse().unwrap());
    request
}

async fn visitor_of(server: &Container<'_>) -> Visitor {
    let status = server.exec(&["status", "--json"]).await.ok().json();
    Visitor::new(status["http"].as_str().unwrap().parse().unwrap())
}

async fn invite(server: &Container<'_>) -> String {
    server.exec(&["invite", "--json"]).await.ok().json()["link"].as_str().unwrap().to_owned()
}

/// The ports that the system has chosen are its own from now on: clients know where it is.
async fn keep_ports(server: &Container<'_>, config: &Path) {
    let status = server.exec(&["status", "--json"]).await.ok().json();
    let text = std::fs::read_to_string(config).unwrap();
    let text = [("http", "\nproxy_port"), ("tls", "\nsecure_proxy_port")].into_iter().fold(
        text,
        |text, (way, key)| {
            let address: SocketAddr = status[way].as_str().unwrap().parse().unwrap();
            text.replace(&format!("{key} = 0"), &format!("{key} = {}", address.port()))
        },
    );
    std::fs::write(config, text).unwrap();
}

fn assert_says(said: &Said, exit: i32, text: &str) {
    assert!(said.exit == exit && format!("{}{}", said.out, said.err).contains(text), "{said:?}");
}

/// Set up in a volume, run without rights, used, asked how it is, stopped, killed, and started again.
#[tokio::test]
async fn a_server_in_a_container_works_from_its_first_start_to_a_start_after_a_crash() {
    let mut bundle = Bundle::of("petit-server").await;
    let folder = bundle.volume().join("server");
    let config = folder.join("config.toml");
    // As the two containers do that are run before, each time.
    let settings = settings();
    for (put, key) in
        [("is in place", "server.key (made)"), ("nothing was changed", "server.key (there already)")]
    {
        assert_says(&bundle.once(&["config", "put", "-"], &settings).await, 0, put);
        assert_says(&bundle.once(&["init", "--hide-key"], "").await, 0, key);
    }
    let wrong = settings.replace("secure_bind", "secure_bound");
    let refused = bundle.once(&["config", "put", "-"], &wrong).await;
    assert_says(&refused, 1, "standard input:");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), settings);
    let service = Service::http("from behind the wall").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();

    let server = bundle.start(&["run"]);
    server.until("--ready").await;
    assert_says(&server.exec(&["check", "--live"]).await, 0, "The server is alive.");
    keep_ports(&server, &config).await;
    let level = settings.replace("[server]\n", "[server]\nlog_level = \"debug\"\n");
    let put = server.exec_with(&["config", "put", "-"], &level).await;
    assert_says(&put, 0, "The config file is in force.");
    keep_ports(&server, &config).await;
    let key = server.exec(&["key", "create", "default", "--rotate", "--json"]).await.ok().json();
    let key = key["key"].as_str().unwrap().to_owned();
    client.run_with(["register"], &invite(&server).await).await.ok();
    let _running = client.up().await;
    let host = format!("{}.localhost", client.until_green().await["services"][0]["id"].as_str().unwrap());
    let visitor = visitor_of(&server).await;
    assert_eq!(visitor.send(with_key(&host, "/", &key)).await.text(), "from behind the wall");
    assert_eq!(visitor.send(request(&host, "GET", "/", Empty::<Bytes>::new())).await.status, 401);

    // A secret with a certificate, which is changed.
    for version in ["first", "second"] {
        let name = format!("{version}.localhost");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec![name.clone()]).unwrap().self_signed(&key).unwrap();
        server.put_certificate(version, &certificate.pem(), &key.serialize_pem());
        let status = async || server.exec(&["status", "--json"]).await.ok().json();
        soon(version, async { while status().await["certificates"][0]["names"][0] != name {} }).await;
        assert_eq!(status().await["certificates"].as_array().unwrap().len(), 1);
    }

    // As docs/deploy.md has certbot copy one. The folder of a secret is not the operator's own.
    let renewed = tempfile::tempdir().unwrap();
    let name = "renewed.localhost";
    let pair = Authority::new().vouch_for(&[name]).write(renewed.path(), "made");
    std::fs::rename(pair.0, renewed.path().join("fullchain.pem")).unwrap();
    std::fs::rename(pair.1, renewed.path().join("privkey.pem")).unwrap();
    let hook =
        deploy_hook().replace("/srv/petit/certificates/", &server.certificates().display().to_string());
    let mut shell = Command::new("sh");
    shell.args(["-c", &hook]).env("RENEWED_LINEAGE", renewed.path());
    container::run(&mut shell, "").await.ok();
    let is_shown = async || {
        let status = server.exec(&["status", "--json"]).await.ok().json();
        status["certificates"].as_array().unwrap().iter().any(|shown| shown["names"][0] == name)
    };
    soon("a renewed certificate to be shown", async { while !is_shown().await {} }).await;
    let mode = std::fs::metadata(server.certificates().join("privkey.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    // SIGTERM: what is under way is finished first, and meanwhile nobody is to be sent here.
    let waiting = tokio::spawn({
        let asked = with_key(&host, "/wait", &key);
        async move { whole(visitor.open(asked).await).await }
    });
    service.until_waiting(1).await;
    server.signal("TERM").await;
    soon("the server to stop", async { while server.exec(&["check", "--ready"]).await.exit == 0 {} }).await;
    let said = server.exec(&["check", "--ready"]).await;
    assert_says(&said, 1, "the server is not ready: it is stopping");
    assert_says(&server.exec(&["check", "--live"]).await, 0, "alive");
    service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done");
    assert_says(&server.end().await, 0, "");

    // Killed, with its lock and socket in the volume: the next one begins all the same, and the client comes back.
    let server = bundle.start(&["run"]);
    server.until("--ready").await;
    server.signal("KILL").await;
    assert_eq!(server.end().await.exit, 137);
    for left in ["server.lock", "server.sock"] {
        assert!(folder.join(left).exists(), "{left}");
    }
    let server = bundle.start(&["run"]);
    server.until("--ready").await;
    client.until("to be back", |status| status["connection"]["state"] == "online").await;
    assert_eq!(visitor.send(with_key(&host, "/", &key)).await.text(), "from behind the wall");
    server.signal("TERM").await;
    assert_says(&server.end().await, 0, "");
}

/// Registered by a command of its own, run without rights, and ready as long as it is connected.
#[tokio::test]
async fn a_client_in_a_container_makes_a_service_reachable() {
    let server = Program::server().await;
    let up = server.up().await;
    let service = Service::http("beside the container").await;
    let mut bundle = Bundle::of("petit-client").await;
    let at = service.address().to_string();
    let register = ["register", "--invite-file", "-", "--key-store", "file", "--service", &at];
    bundle.once(&register, &server.invite([""; 0]).await).await.ok();

    let client = bundle.start(&["run"]);
    client.until("--ready").await;
    assert_says(&client.exec(&["check", "--live"]).await, 0, "The client is alive.");
    let status = client.exec(&["status", "--json"]).await.ok().json();
    let host = format!("{}.localhost", status["services"][0]["id"].as_str().unwrap());
    assert_eq!(server.visitor().await.get(&host, "/").await.text(), "beside the container");
    server.run(["stop"]).await.ok();
    assert_eq!(up.exit().await, 0);
    soon("the client to be away", async { while client.exec(&["check", "--ready"]).await.exit == 0 {} })
        .await;
    assert_says(&client.exec(&["check", "--ready"]).await, 1, "the client is not ready: ");
    assert_says(&client.exec(&["check", "--live"]).await, 0, "alive");
    client.signal("TERM").await;
    assert_says(&client.end().await, 0, "");
}
