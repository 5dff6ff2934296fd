//! The same of the real programs: policies by commands and config file, visitors over plain HTTP and TLS, HTTP/1.1 and
//! HTTP/2, WebSockets and raw TCP.

mod addresses;
mod changes;
mod keys;
mod limits;

use std::net::SocketAddr;

use petit_tests::authority::Authority;
use petit_tests::bed::{HTTPS_DOMAIN, client_config, server_config_under};
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::Visitor;
use serde_json::Value;

use super::fronts::Doors;

/// A vendor's server with a certificate, and a customer's client with a service of each kind.
struct Programs {
    _running: (Running, Running),
    server: Program,
    _client: Program,
    web: Service,
    grpc: Service,
    _echo: Service,
    /// Where visitors of `web` come in.
    doors: Doors,
    /// Where those of `grpc` do, which speaks HTTP/2.
    grpc_doors: Doors,
    /// Where those of the service of raw TCP do.
    tcp: SocketAddr,
}

impl Programs {
    /// A server as `init` makes it, and the key that it has said.
    async fn keyed() -> (Self, String) {
        let (server, authority) = server("");
        let said = server.run(["init", "--json"]).await.ok().json();
        (Self::with(server, &authority, "").await, said["visitor_key"].as_str().unwrap().to_owned())
    }

    /// A server that asks nothing of anybody, with more settings.
    async fn open(more: &str) -> Self {
        let (server, authority) = server(more);
        server.run(["init", "--open"]).await.ok();
        Self::with(server, &authority, "").await
    }

    /// The same, with one more service of HTTP, whose host is returned.
    async fn open_with(upload: SocketAddr) -> (Self, Doors) {
        let (server, authority) = server("");
        server.run(["init", "--open"]).await.ok();
        let more = format!("[[client.service]]\nname = \"upload\"\ntarget = \"{upload}\"\nkind = \"http\"\n");
        let this = Self::with(server, &authority, &more).await;
        let clients = this.server.run(["clients", "list", "--json"]).await.ok().json();
        let services = clients["clients"][0]["services"].as_array().unwrap();
        let upload = services.iter().find(|service| service["name"] == "upload").unwrap();
        let host = format!("{}.{HTTPS_DOMAIN}", upload["id"].as_str().unwrap());
        let doors = Doors { host, ..this.doors.clone() };
        (this, doors)
    }

    async fn with(server: Program, authority: &Authority, more: &str) -> Self {
        let up = server.up().await;
        let (web, grpc, echo) =
            (Service::http("web").await, Service::h2("grpc").await, Service::tcp_echo("ready").await);
        let client = Program::client();
        let services =
            [("web", web.address(), "http"), ("grpc", grpc.address(), "h2"), ("db", echo.address(), "tcp")];
        std::fs::write(client.config(), client_config(&services) + more).unwrap();
        client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
        let connected = client.up().await;
        let all_green = |status: &Value| {
            status["services"].as_array().unwrap().iter().all(|service| service["light"] == "green")
        };
        let status = client.until("green lights", all_green).await;
        let of = |number: usize, what: &str| status["services"][number][what].as_str().unwrap().to_owned();
        let address = server.status().await;
        let address = |front: &str| address[front].as_str().unwrap().parse().unwrap();
        let host = |number| format!("{}.{HTTPS_DOMAIN}", of(number, "id"));
        let doors = Doors {
            plain: Visitor::new(address("http")),
            tls: address("tls"),
            roots: authority.roots(),
            host: host(0),
        };
        let grpc_doors = Doors { host: host(1), ..doors.clone() };
        let port = of(2, "url").rsplit_once(':').unwrap().1.parse().unwrap();
        let tcp = ([127, 0, 0, 1], port).into();
        let _running = (up, connected);
        Self { _running, server, _client: client, web, grpc, _echo: echo, doors, grpc_doors, tcp }
    }

    /// Runs a command of the server that has to go well.
    async fn run<const N: usize>(&self, arguments: [&str; N]) -> String {
        self.server.run(arguments).await.ok().out
    }

    /// A key of a name, as its holder sends it.
    async fn create_key<const N: usize>(&self, name: &str, more: [&str; N]) -> Value {
        let arguments = [&["key", "create", name, "--json"][..], &more].concat();
        self.server.run(arguments).await.ok().json()
    }

    /// The lines of the access log, once there are so many.
    async fn visits(&self, count: usize) -> Vec<Value> {
        let path = self.server.dir().join("logs/access.log");
        soon("the lines of the access log", async {
            loop {
                let text = std::fs::read_to_string(&path).unwrap();
                if text.lines().count() >= count && text.ends_with('\n') {
                    let lines: Vec<Value> =
                        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                    assert_eq!(lines.len(), count, "{text}");
                    return lines;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// A server with a certificate for the names of its services, before `init`; and who vouches for it.
fn server(more: &str) -> (Program, Authority) {
    let (server, authority) = (Program::uninitialised_server(), Authority::new());
    let config =
        server_config_under(HTTPS_DOMAIN, &format!("max_services = 4\naccess_log = \"json\"\n{more}"));
    std::fs::write(server.config(), config).unwrap();
    let certificates = server.dir().join("certificates");
    std::fs::create_dir_all(&certificates).unwrap();
    authority.vouch_for(&[&format!("*.{HTTPS_DOMAIN}")]).write(&certificates, "server");
    (server, authority)
}
