//! Raw TCP: either side may finish first, and either may break off.

use petit_tests::authority::Identity;
use petit_tests::bed::{Bed, BedClient, client_config};
use petit_tests::conformance::carried;
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::{row, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

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
        // End-to-end probes connect and say nothing.
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
        row!(Tcp, "A visitor who breaks off is a reset for the service"),
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
    let error = soon("the reset", there.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    carried(rows);
}

#[tokio::test]
async fn half_of_an_upload_looks_whole_to_no_service_though_petit_was_killed_in_the_middle_of_it() {
    let row = row!(Tcp, "An upload, or an answer, that is cut off by a kill of client or server is a reset");
    let (service, mut connections) = held().await;
    for killed in ["the client", "the server"] {
        let server = Program::server().await;
        let server_runs = server.up().await;
        let client = Program::client();
        std::fs::write(client.config(), client_config(&[("db", service.address(), "tcp")])).unwrap();
        client.run_with(["register"], &server.invite(["--service-name", "db"]).await).await.ok();
        let client_runs = client.up().await;
        let status = client.until_green().await;
        let url = status["services"][0]["url"].as_str().unwrap().to_owned();
        let mut here = TcpStream::connect(url.strip_prefix("tcp://").unwrap()).await.unwrap();
        here.write_all(b"?").await.unwrap();
        let mut there = loop {
            let mut tcp = soon("a connection", connections.recv()).await.unwrap();
            if matches!(tcp.read_u8().await, Ok(b'?')) {
                break tcp;
            }
        };
        pass(&mut here, &mut there).await;
        pass(&mut there, &mut here).await;
        let other = match killed {
            "the client" => {
                client_runs.kill().await;
                server_runs
            }
            _ => {
                server_runs.kill().await;
                client_runs
            }
        };
        for end in [&mut here, &mut there] {
            let error = soon("the reset", end.read(&mut [0; 1])).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{killed}");
        }
        drop(other);
    }
    row.carried();
}

#[tokio::test]
async fn what_was_uploaded_to_its_end_arrives_though_the_visitor_has_left() {
    let row = row!(Tcp, "An upload that came to its end arrives whole, though its visitor has left since");
    let (service, mut connections) = held().await;
    let bed = Bed::start().await;
    let Ends { visitor: mut here, service: mut there, _client } =
        ends(&bed, &service, &mut connections).await;
    // The service reads nothing before the visitor has left, who hears nothing of what it says.
    let sent: Vec<u8> = (0..150_000_u32).map(|i| (i % 239) as u8).collect();
    here.write_all(&sent).await.unwrap();
    here.shutdown().await.unwrap();
    drop(here);
    let mut received = Vec::new();
    soon("the upload", there.read_to_end(&mut received)).await.unwrap();
    assert!(received == sent);
    row.carried();
}

#[tokio::test]
async fn a_cut_off_upload_to_a_service_behind_tls_does_not_end_in_good_order() {
    let row = row!(Tcp, "An upload that is cut off is a reset for a service behind TLS, too");
    let bed = Bed::start().await;
    let identity = Identity::self_signed(&["db.internal"]);
    let acceptor = TlsAcceptor::from(identity.server(&["http/1.1"]));
    let (sender, mut connections) = mpsc::channel(8);
    let service = Service::speaking("tls", move |tcp| {
        let (sender, acceptor) = (sender.clone(), acceptor.clone());
        async move {
            if let Ok(tls) = acceptor.accept(tcp).await {
                let _ = sender.send(tls).await;
            }
        }
    })
    .await;
    let pin = format!("tls_fingerprint = \"{}\"", identity.fingerprint());
    let client = bed.client_of(service.address().to_string(), "tcp", &pin).await;
    client.until_green("web").await;
    let url = client.url("web").await;
    let mut here = TcpStream::connect(url.strip_prefix("tcp://").unwrap()).await.unwrap();
    here.write_all(b"half of it").await.unwrap();
    let mut there = loop {
        let mut tls = soon("a connection", connections.recv()).await.unwrap();
        if tls.read_exact(&mut [0; 10]).await.is_ok() {
            break tls;
        }
    };
    here.set_zero_linger().unwrap();
    drop(here);
    let error = soon("the reset", there.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    row.carried();
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
