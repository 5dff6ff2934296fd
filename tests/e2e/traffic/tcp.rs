//! Raw TCP: either side may finish first, and either may break off.

use petit_tests::bed::{Bed, BedClient};
use petit_tests::conformance::carried;
use petit_tests::service::Service;
use petit_tests::{row, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

async fn connect(client: &BedClient) -> TcpStream {
    let url = client.url("db").await;
    TcpStream::connect(url.strip_prefix("tcp://").unwrap()).await.unwrap()
}

/// A service whose connections the test holds.
async fn held() -> (Service, mpsc::Receiver<TcpStream>) {
    let (sender, connections) = mpsc::channel(8);
    let service = Service::speaking("held", move |tcp| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(tcp).await;
        }
    })
    .await;
    (service, connections)
}

/// A client with a service whose connections the test holds, and the two ends of one of them.
async fn ends(bed: &Bed, service: &Service, connections: &mut mpsc::Receiver<TcpStream>) -> Ends {
    let client = bed.client_with(&[("db", service.address(), "tcp")]).await;
    client.until_green("db").await;
    let mut visitor = connect(&client).await;
    visitor.write_all(b"?").await.unwrap();
    loop {
        // Trials of the whole way connect and say nothing.
        let mut tcp = soon("a connection", connections.recv()).await.unwrap();
        if matches!(tcp.read_u8().await, Ok(b'?')) {
            return Ends { _client: client, visitor, service: tcp };
        }
    }
}

struct Ends {
    _client: BedClient,
    visitor: TcpStream,
    service: TcpStream,
}

/// Sends a megabyte while the other side reads it.
async fn pass(from: &mut TcpStream, to: &mut TcpStream) {
    let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 241) as u8).collect();
    let mut received = vec![0; sent.len()];
    let (written, read) =
        tokio::join!(from.write_all(&sent), soon("the bytes", to.read_exact(&mut received)));
    written.unwrap();
    read.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn a_side_that_has_finished_still_hears_the_other() {
    let rows = [
        row!(Tcp, "The visitor finishes sending, and still gets a megabyte"),
        row!(Tcp, "The service finishes sending, and still gets a megabyte"),
    ];
    let (service, mut connections) = held().await;
    let bed = Bed::start().await;

    let Ends { visitor: mut here, service: mut there, _client } =
        ends(&bed, &service, &mut connections).await;
    pass(&mut here, &mut there).await;
    here.shutdown().await.unwrap();
    assert_eq!(soon("the end", there.read(&mut [0; 1])).await.unwrap(), 0);
    pass(&mut there, &mut here).await;
    there.shutdown().await.unwrap();
    assert_eq!(soon("the end", here.read(&mut [0; 1])).await.unwrap(), 0);

    let Ends { visitor: mut here, service: mut there, _client } =
        ends(&bed, &service, &mut connections).await;
    pass(&mut there, &mut here).await;
    there.shutdown().await.unwrap();
    assert_eq!(soon("the end", here.read(&mut [0; 1])).await.unwrap(), 0);
    pass(&mut here, &mut there).await;
    here.shutdown().await.unwrap();
    assert_eq!(soon("the end", there.read(&mut [0; 1])).await.unwrap(), 0);
    carried(rows);
}

#[tokio::test]
async fn a_side_that_breaks_off_is_no_clean_end_for_the_other() {
    let rows = [
        row!(Tcp, "A service that breaks off is a reset for the visitor"),
        row!(Tcp, "A visitor who breaks off is a closed connection for the service"),
    ];
    let (service, mut connections) = held().await;
    let bed = Bed::start().await;
    let reset = |tcp: TcpStream| {
        tcp.set_zero_linger().unwrap();
        drop(tcp);
    };

    let Ends { visitor: mut here, service: there, _client } = ends(&bed, &service, &mut connections).await;
    reset(there);
    let error = soon("the reset", here.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let Ends { visitor: here, service: mut there, _client } = ends(&bed, &service, &mut connections).await;
    reset(here);
    // A reset crosses the tunnel; the agent then drops the local connection.
    let end = soon("the end", there.read(&mut [0; 1])).await;
    assert!(end.as_ref().is_ok_and(|count| *count == 0) || end.is_err(), "{end:?}");
    carried(rows);
}

#[tokio::test]
async fn many_connections_of_one_service_are_kept_apart() {
    let row = row!(Tcp, "100 connections to one service at once, each with its own bytes");
    let service = Service::tcp_echo("hello\n").await;
    let bed = Bed::start().await;
    let client = bed.client_with(&[("db", service.address(), "tcp")]).await;
    client.until_green("db").await;
    let mut connections = tokio::task::JoinSet::new();
    for number in 0..100_u8 {
        let mut tcp = connect(&client).await;
        connections.spawn(async move {
            tcp.read_exact(&mut [0; 6]).await.unwrap();
            let mut sent = vec![number; 10_000];
            tcp.write_all(&sent).await.unwrap();
            tcp.shutdown().await.unwrap();
            let mut back = Vec::new();
            tcp.read_to_end(&mut back).await.unwrap();
            sent.truncate(back.len());
            assert!(back.len() == 10_000 && back == sent);
        });
    }
    soon("all of them", async { while connections.join_next().await.transpose().unwrap().is_some() {} })
        .await;
    row.carried();
}
