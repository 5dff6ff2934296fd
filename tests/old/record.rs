//! What the older programs say to each other, below TLS: somebody between them who has the keys of both.

use std::sync::{Arc, Mutex};

use petit_engine::net::tls;
use petit_engine::secret::PrivateKey;
use petit_tests::pattern::Pattern;
use petit_tests::process::Program;
use petit_tests::recorded::{Recorded, Side, fields};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::request;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{both_work, client, server, service};

type Said = Arc<Mutex<Recorded>>;

/// Copies until the end, and keeps what it has copied.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, said: Said) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        said.lock().unwrap().0.extend_from_slice(&buffer[..count]);
        if to.write_all(&buffer[..count]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Stands in for both ends of the next session, and writes down what they say.
async fn record(listener: TcpListener, onward: String, keys: [PrivateKey; 2], said: [Said; 2]) {
    let [server_key, device_key] = keys;
    // The older server knows whom it lets in; this end takes anybody.
    let mut config = (*tls::enrol_server(&server_key).unwrap()).clone();
    config.alpn_protocols = vec![tls::ALPN_TUNNEL.to_vec()];
    let (tcp, _) = listener.accept().await.unwrap();
    let agent = TlsAcceptor::from(Arc::new(config)).accept(tcp).await.unwrap();
    let pins = vec![server_key.public().fingerprint()];
    let connector = TlsConnector::from(tls::client(&device_key, pins, tls::ALPN_TUNNEL).unwrap());
    let tcp = TcpStream::connect(&onward).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let relay = connector.connect(name, tcp).await.unwrap();
    let ((from_agent, to_agent), (from_relay, to_relay)) = (tokio::io::split(agent), tokio::io::split(relay));
    let [agent_said, relay_said] = said;
    tokio::join!(copy(from_agent, to_relay, agent_said), copy(from_relay, to_agent, relay_said));
}

fn key(program: &Program, name: &str) -> PrivateKey {
    PrivateKey::from_text(&std::fs::read(program.dir().join(name)).unwrap()).unwrap()
}

/// The recordings that other tests play are what these programs say. `PETIT_RECORD=write` makes them anew.
#[tokio::test]
async fn the_recorded_session_is_one_of_the_older_programs() {
    let web = Service::http("web").await;
    let line = Service::tcp_echo("hello: ").await;
    let server = server(true).await;
    let running = server.up().await;
    let client = client(true, &server, [&web, &line]).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = client.dir().join("registration.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let registration: serde_json::Value = serde_json::from_str(&text).unwrap();
    let onward = registration["server"].as_str().unwrap().to_owned();
    let here = listener.local_addr().unwrap().to_string();
    std::fs::write(&file, text.replace(&onward, &here)).unwrap();
    let said: [Said; 2] = [Said::default(), Said::default()];
    let keys = [key(&server, "server.key"), key(&client, "device.key")];
    let recording = tokio::spawn(record(listener, onward, keys, said.clone()));

    let _client = client.up().await;
    let status = both_work(&client, "green").await;
    let host = format!("{}.localhost", service(&status, "web")["id"].as_str().unwrap());
    let visitor = server.visitor().await;
    assert_eq!(visitor.get(&host, "/").await.text(), "web");
    let answer = visitor.send(request(&host, "POST", "/sum", Pattern::new(20_000))).await;
    assert_eq!(answer.text(), format!("20000 {}", Pattern::sum(20_000)));
    server.run(["stop"]).await.ok();
    assert_eq!(running.exit().await, 0);
    soon("the end of the session", recording).await.unwrap();

    for (side, said) in [Side::Agent, Side::Relay].into_iter().zip(said) {
        let said = said.lock().unwrap().clone();
        if std::env::var_os("PETIT_RECORD").is_some() {
            std::fs::create_dir_all(side.file().parent().unwrap()).unwrap();
            std::fs::write(side.file(), &said.0).unwrap();
        }
        let kinds = |recorded: &Recorded| {
            let mut kinds: Vec<String> = recorded
                .frames()
                .iter()
                .map(|(header, _)| format!("{:?}", header.kind))
                // These come when they come.
                .filter(|kind| !["Ping", "Pong", "Window"].contains(&kind.as_str()))
                .collect();
            kinds.sort();
            kinds.dedup();
            kinds
        };
        assert_eq!(kinds(&said), kinds(&side.recorded()), "{side:?}");
        let first = if side == Side::Agent { "hello" } else { "welcome" };
        assert_eq!(fields(&said.message(first)), fields(&side.recorded().message(first)));
    }
}
