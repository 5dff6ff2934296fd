//! An agent on its way from one process to the next.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use petit_client::status::Connection;
use petit_relay::{Farewell, Leave, Relay};
use petit_tests::bed::{Bed, BedClient, client_config, server_config, until_counted};
use petit_tests::chaos::{Chaos, Trouble};
use petit_tests::logs::until_logged;
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Hands the next connection on. What the server says once TLS is agreed waits for `release`.
async fn next(
    listener: &TcpListener,
    server: SocketAddr,
    release: oneshot::Receiver<()>,
) -> tokio::task::JoinHandle<()> {
    let (mut client, _) = soon("a connection", listener.accept()).await.unwrap();
    tokio::spawn(async move {
        let mut server = TcpStream::connect(server).await.unwrap();
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (has_answered, is_agreed) = (AtomicBool::new(false), AtomicBool::new(false));
        let there = async {
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                // What the client says to the server's part of the handshake ends the handshake.
                is_agreed.fetch_or(has_answered.load(Ordering::Relaxed), Ordering::Relaxed);
                to_server.write_all(&bytes[..count]).await.unwrap();
            }
        };
        let back = async {
            let mut release = Some(release);
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
                if is_agreed.load(Ordering::Relaxed)
                    && let Some(release) = release.take()
                {
                    let _ = release.await;
                }
                has_answered.store(true, Ordering::Relaxed);
                to_client.write_all(&bytes[..count]).await.unwrap();
            }
        };
        tokio::join!(there, back);
    })
}

#[tokio::test]
async fn a_session_that_ends_while_the_next_one_is_being_welcomed_costs_that_one_nothing() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut invite = bed.invite().await;
    let enrolment = {
        let (release, released) = oneshot::channel();
        release.send(()).unwrap();
        let server = bed.server.tls;
        invite.server = front.local_addr().unwrap().to_string().parse().unwrap();
        let services = [("web", service.address(), "http")];
        let connections = async {
            let enrolling = next(&front, server, released).await;
            let (release, released) = oneshot::channel();
            release.send(()).unwrap();
            (enrolling, next(&front, server, released).await)
        };
        tokio::join!(BedClient::new(&invite, &services), connections)
    };
    let (client, (_enrolling, first)) = enrolment;
    client.until_green("web").await;

    // The server is about to go, and its agent dials anew; then the server stays, as the next process would serve.
    let relay: Relay = bed.server.relay.clone();
    let farewell =
        Farewell { leave: Leave::Move, goodbye: Duration::from_secs(40), limit: Duration::from_secs(40) };
    // A visitor, so that it does not leave at once.
    let _visitor = bed.visitor().tcp().await;
    let leaving = tokio::spawn({
        let relay = relay.clone();
        async move { relay.leave(farewell).await }
    });
    let (release, released) = oneshot::channel();
    let _second = next(&front, bed.server.tls, released).await;
    leaving.abort();
    let _ = leaving.await;
    relay.stay();
    soon("the server to welcome the new session", async {
        while relay.sessions().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let asked = tokio::spawn({
        let (visitor, host) = (bed.visitor(), host(&client.id()));
        async move { visitor.get(&host, "/").await }
    });
    until_counted(&relay, "a request in the new session", |counts| counts.requests > 0).await;
    first.abort();
    let is_offline = |connection: &Connection| !matches!(connection, Connection::Online { .. });
    client
        .until("the client to know that the old session has ended", |status| is_offline(&status.connection))
        .await;
    release.send(()).unwrap();
    assert_eq!(asked.await.unwrap().status, 200);
    client.until_green("web").await;
}

/// Over a line on which a session takes its time to begin.
#[tokio::test]
async fn a_session_is_kept_until_its_client_has_moved_though_nothing_is_under_way() {
    let service = Service::http("s").await;
    let line = Chaos::before("127.0.0.1:1".parse().unwrap()).await;
    let config = server_config(&format!("tunnel_address = \"localhost:{}\"", line.address().port()));
    let server = Program::server_with(&config).await;
    server.run(["start"]).await.ok();
    line.retarget(server.status().await["tls"].as_str().unwrap().parse().unwrap());
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _tunnel = client.up().await;
    client.until_green().await;
    let since = client.status().await["connection"]["since"].clone();

    line.set_both(Trouble { latency: Duration::from_millis(300), ..Trouble::default() });
    server.run(["restart"]).await.ok();
    until_logged(&client.dir().join("logs/client.log"), "session{id=2").await;
    until_logged(&server.dir().join("logs/server.log"), "stopped; another process serves").await;
    client.until_green().await;
    assert_eq!(client.status().await["connection"]["since"], since, "it has never been without a session");
}
