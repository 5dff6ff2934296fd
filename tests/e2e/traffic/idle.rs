//! Connections on which nothing happens for a while, as proxies and load balancers keep them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use petit_tests::bed::Bed;
use petit_tests::netns::Netns;
use petit_tests::service::Service;
use petit_tests::visitor::host;
use petit_tests::{scripted, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Longer than nginx and the load balancers of AWS keep a connection that they do not use.
const A_MINUTE_AND_MORE: Duration = Duration::from_secs(63);

/// One request of a visitor, on a connection that goes on.
async fn ask(tcp: &mut TcpStream, host: &str) {
    tcp.write_all(format!("POST /sum HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi").as_bytes())
        .await
        .unwrap();
    let head = soon("an answer", scripted::head(tcp)).await.expect("the connection is still there");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    tcp.read_exact(&mut vec![0; length.parse().unwrap()]).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_was_idle_for_a_minute_is_still_good() {
    let net = Netns::new().await;
    let gateway = net.gateway();
    let bed = Bed::with("proxy_bind = \"0.0.0.0\"").await;
    let front = SocketAddr::new(gateway, bed.http().port());
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let name = host(&client.id());
    let connect = async |from: IpAddr| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        socket.connect(front).await.unwrap()
    };
    // A stranger's, and one of a proxy on the same machine.
    let mut connections = [connect(gateway).await, connect([127, 0, 0, 1].into()).await];
    for tcp in &mut connections {
        ask(tcp, &name).await;
    }
    tokio::time::sleep(A_MINUTE_AND_MORE).await;
    for tcp in &mut connections {
        ask(tcp, &name).await;
    }
}
