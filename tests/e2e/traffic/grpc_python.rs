//! gRPC between a service and a caller of the C implementation (Python's grpcio), neither of which knows of the
//! tunnel.

use std::net::SocketAddr;

use petit_tests::authority::{Authority, Identity};
use petit_tests::bed::{Bed, HTTPS_DOMAIN};
use petit_tests::conformance::carried;
use petit_tests::program::{Running, run, script};
use petit_tests::row;
use petit_tests::service::Service;
use petit_tests::visitor::host;

/// The service, and where it listens.
async fn serve(more: &[&std::path::Path]) -> (Running, SocketAddr) {
    let mut command = script("grpc_peer.py");
    command.arg("serve").args(more);
    let mut running = Running::start(command);
    let line = running.until("listening ").await;
    let port: u16 = line.trim_start_matches("listening ").parse().unwrap();
    (running, SocketAddr::from(([127, 0, 0, 1], port)))
}

const CHECKS: [&str; 8] = [
    "unary",
    "server_streaming",
    "client_streaming",
    "bidirectional",
    "errors",
    "deadline",
    "cancel",
    "many_at_once",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_implementation_of_grpc_finds_nothing_wrong() {
    let rows = [
        row!(Grpc, "grpcio, unary: metadata, binary metadata, gzip, a message of 8 MiB"),
        row!(Grpc, "grpcio, server streaming, client streaming, bidirectional turn by turn"),
        row!(Grpc, "grpcio, error statuses with details, at once and in mid-stream"),
        row!(
            Grpc,
            "grpcio, a deadline ends the call on both sides; a cancelled call is cancelled at the service"
        ),
        row!(Grpc, "grpcio, 300 calls at once"),
    ];
    let authority = Authority::new();
    let bed = Bed::https(&authority).await;
    let folder = bed.dir.path();
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let identity = Identity::self_signed(&["localhost"]);
    let (certificate, key) = identity.write(folder, "service");
    let pin = format!("tls_fingerprint = \"{}\"", identity.fingerprint());
    // Nothing in TLS, then everything.
    for tls in [false, true] {
        let files = if tls { vec![certificate.as_path(), key.as_path()] } else { Vec::new() };
        let (_serving, address) = serve(&files).await;
        let client = bed.client_of(address, "h2", if tls { &pin } else { "" }).await;
        let authority = format!("{}.{HTTPS_DOMAIN}", client.id());
        let front = if tls { bed.server.tls } else { bed.http() };
        let mut command = script("grpc_peer.py");
        command.args(["call", &front.to_string(), &authority]);
        if tls {
            command.arg(&ca);
        }
        let said = run(command).await.ok();
        let found: Vec<&str> = said.out.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
        assert_eq!(found, CHECKS, "{said:?}");
    }
    carried(rows);
}

#[tokio::test]
async fn petits_own_errors_are_statuses_for_grpc() {
    let row =
        row!(Grpc, "grpcio, Petit's own errors (service down, no such service): UNAVAILABLE, UNIMPLEMENTED");
    let bed = Bed::start().await;
    let service = Service::h2("s").await;
    let client = bed.client_of(service.address(), "h2", "").await;
    service.stop().await;
    let known = host(&client.id());
    for (authority, status) in [(known.as_str(), "UNAVAILABLE"), ("nobody.localhost", "UNIMPLEMENTED")] {
        let mut command = script("grpc_peer.py");
        command.args(["fail", &bed.http().to_string(), authority]);
        assert_eq!(run(command).await.ok().text(), format!("status {status}"), "{authority}");
    }
    row.carried();
}
