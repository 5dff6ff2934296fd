//! An agent on its way from one process to the next.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use petit_client::status::Connection;
use petit_relay::{Farewell, Leave, Relay};
use petit_tests::bed::{Bed, BedClient, until_counted};
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
