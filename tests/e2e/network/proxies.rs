//! The way out through real proxies: tinyproxy speaks HTTP CONNECT, microsocks speaks SOCKS5.

use std::net::SocketAddr;
use std::process::Stdio;

use petit_client::status::{BrokenAt, Connection, Light};
use petit_engine::cause::Cause;
use petit_tests::bed::{Bed, BedClient, client_config};
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::host;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// A proxy as a process.
struct Proxy {
    address: SocketAddr,
    _child: Child,
    _dir: TempDir,
}

/// A port that is free at this moment. A proxy that cannot choose one by itself is given it.
async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

impl Proxy {
    async fn tinyproxy(more: &str) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port().await);
        let path = dir.path().join("tinyproxy.conf");
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nLogFile \"{0}/log\"\nPidFile \"{0}/pid\"\n{more}\n",
            dir.path().display()
        );
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("tinyproxy");
        command.args(["-d", "-c"]).arg(&path);
        Self::start(command, port, dir).await
    }

    async fn microsocks(login: &[&str]) -> Self {
        let port = free_port().await;
        let mut command = Command::new("microsocks");
        command.args(["-i", "127.0.0.1", "-p", &port.to_string()]).args(login);
        Self::start(command, port, tempfile::tempdir().unwrap()).await
    }

    async fn start(mut command: Command, port: u16, dir: TempDir) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().expect("the proxy is installed");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        soon("the proxy to listen", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Self { address, _child: child, _dir: dir }
    }
}

/// Registers and connects with a proxy in the config.
async fn client_through(bed: &Bed, service: &Service, proxy: &str) -> BedClient {
    let invite = bed.invite().await;
    let config = client_config(&[("web", service.address(), "http")]);
    let config = config.replace("[client]", &format!("[client]\nproxy = \"{proxy}\""));
    BedClient::with_config(&invite, &config).await
}

#[tokio::test]
async fn the_tunnel_goes_through_http_and_socks_proxies_with_and_without_a_login() {
    let bed = Bed::start().await;
    let service = Service::http("through a proxy").await;
    let open = Proxy::tinyproxy("").await;
    let locked = Proxy::tinyproxy("BasicAuth anna s3cret").await;
    let socks = Proxy::microsocks(&[]).await;
    let locked_socks = Proxy::microsocks(&["-u", "anna", "-P", "s3cret"]).await;
    for proxy in [
        format!("http://{}", open.address),
        format!("http://anna:s3cret@{}", locked.address),
        format!("socks5://{}", socks.address),
        format!("socks5h://anna:s3cret@{}", locked_socks.address),
    ] {
        let client = client_through(&bed, &service, &proxy).await;
        client.until_green("web").await;
        assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.text(), "through a proxy", "{proxy}");
    }
}

#[tokio::test]
async fn a_proxy_that_says_no_is_named_with_its_reason() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let locked = Proxy::tinyproxy("BasicAuth anna s3cret").await;
    let strict = Proxy::tinyproxy("ConnectPort 1").await;
    let locked_socks = Proxy::microsocks(&["-u", "anna", "-P", "s3cret"]).await;
    let nobody = free_port().await;
    for (proxy, expected) in [
        (format!("http://{}", locked.address), Cause::ProxyLogin),
        (format!("http://anna:wrong@{}", locked.address), Cause::ProxyLogin),
        (format!("http://{}", strict.address), Cause::ProxyRefused),
        (format!("socks5://{}", locked_socks.address), Cause::ProxyLogin),
        (format!("http://127.0.0.1:{nobody}"), Cause::ProxyUnreachable),
    ] {
        client.client.switch(false).await;
        client.until("the client to be off", |status| status.connection == Connection::Off).await;
        let config = client_config(&[("web", service.address(), "http")]);
        let config = config.replace("[client]", &format!("[client]\nproxy = \"{proxy}\""));
        std::fs::write(client.config(), config).unwrap();
        client.client.reload().await.unwrap();
        client.client.switch(true).await;
        let status = client.until_light("web", Light::Red).await;
        let at = status.services[0].broken.as_ref().unwrap().at;
        assert_eq!(at, BrokenAt::Connection(expected), "{proxy}");
    }
}

#[tokio::test]
async fn the_environment_names_the_proxy_and_its_exceptions_and_the_doctor_says_which() {
    let server = Program::server().await;
    let _running = server.up().await;
    let service = Service::http("s").await;
    let proxy = Proxy::tinyproxy("").await;
    let url = format!("http://anna:t0psecret@{}", proxy.address);
    // By its name the server is no exception; loopback addresses would be by many people's NO_PROXY.
    let client = Program::client().env("HTTPS_PROXY", &url).env("NO_PROXY", "intranet.example");
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let running = client.up().await;
    client.until_green().await;
    let said = client.run(["doctor"]).await.ok();
    let address = proxy.address;
    assert!(said.out.contains(&format!("http://{address} leads to localhost:")), "{said:?}");
    assert!(!format!("{said:?}").contains("t0psecret"), "{said:?}");
    running.kill().await;

    let direct = client.env("NO_PROXY", "localhost");
    let _running = direct.up().await;
    direct.until_green().await;
    let said = direct.run(["doctor"]).await.ok();
    assert!(said.out.contains("none on the way"), "{said:?}");
}
