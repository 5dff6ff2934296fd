//! Networks as customers have them: restarts, cables, sleep, roaming, proxies, boxes that look inside.

mod addresses;
mod half_open;
mod inspected;
mod proxies;
mod restart;
mod roam;
mod sleep;

use petit_engine::invite::Invite;
use petit_engine::name::ServerAddr;
use petit_tests::bed::{Bed, BedClient, client_config, server_config};
use petit_tests::chaos::Chaos;
use petit_tests::netns::Netns;
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use tokio::process::Child;

/// A client that reaches the bed's server through a network that misbehaves on demand.
async fn behind_chaos(bed: &Bed, service: &Service) -> (Chaos, BedClient) {
    let chaos = Chaos::before(bed.server.tls).await;
    let invite = through(bed, &chaos).await;
    let client = BedClient::new(&invite, &[("web", service.address(), "http")]).await;
    client.until_green("web").await;
    (chaos, client)
}

/// An invite whose server is reached through `chaos`.
async fn through(bed: &Bed, chaos: &Chaos) -> Invite {
    let server = ServerAddr::new("127.0.0.1", chaos.address().port()).unwrap();
    Invite { server, ..bed.invite().await }
}

/// A client and its service on a host of their own, behind a cable.
struct OwnHost {
    net: Netns,
    server: Program,
    client: Program,
    /// The host that visitors ask for.
    public: String,
    _running: (Running, Running),
    _service: Child,
}

impl OwnHost {
    async fn new() -> Self {
        let net = Netns::new().await;
        let server = Program::server().await;
        let config = server_config("").replace("secure_bind = \"127.0.0.1\"", "secure_bind = \"0.0.0.0\"");
        let tunnel = format!("tunnel_address = \"{}:1\"\n[server.vitae]", net.gateway());
        std::fs::write(server.config(), config.replace("[server.vitae]", &tunnel)).unwrap();
        let running = server.up().await;
        // The port is known only now.
        let status = server.status().await;
        let port = status["tls"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
        let text = std::fs::read_to_string(server.config()).unwrap();
        std::fs::write(server.config(), text.replace(":1\"", &format!(":{port}\""))).unwrap();
        server.run(["reload"]).await.ok();

        let (service, address) = net.service(env!("CARGO_BIN_EXE_petit-test-service")).await;
        let client = Program::client().on(&net);
        std::fs::write(client.config(), client_config(&[("web", address, "http")])).unwrap();
        client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
        let client_running = client.up().await;
        let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
        Self {
            net,
            server,
            client,
            public: format!("{id}.localhost"),
            _running: (running, client_running),
            _service: service,
        }
    }
}
