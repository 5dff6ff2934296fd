//! Raw TCP services: a port of their own, any protocol.

use petit_tests::bed::{Bed, BedClient, server_config};
use petit_tests::service::Service;
use petit_tests::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn port_of(client: &BedClient, service: &str) -> String {
    let url = client.url(service).await;
    url.strip_prefix("tcp://").expect("a TCP address").to_owned()
}

async fn connect(client: &BedClient) -> TcpStream {
    TcpStream::connect(port_of(client, "db").await).await.unwrap()
}

#[tokio::test]
async fn a_service_that_speaks_first_is_heard_and_an_echo_comes_back() {
    let bed = Bed::start().await;
    let service = Service::tcp_echo("welcome\n").await;
    let client = bed.client_with(&[("db", service.address(), "tcp")]).await;
    let mut tcp = connect(&client).await;
    let mut greeting = [0; 8];
    soon("the greeting, before a word was said", tcp.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(&greeting, b"welcome\n");
    let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 241) as u8).collect();
    let (mut read, mut write) = tcp.into_split();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    soon("all of it", read.read_to_end(&mut back)).await.unwrap();
    assert!(back == expected, "what was sent came back, though the sender had finished");
    writer.await.unwrap();
    service.until_open(0).await;
}

#[tokio::test]
async fn a_visitor_who_breaks_off_is_noticed_by_the_service() {
    let bed = Bed::start().await;
    let service = Service::tcp_echo("hi").await;
    let client = bed.client_with(&[("db", service.address(), "tcp")]).await;
    client.until_green("db").await;
    service.until_open(0).await;
    let mut tcp = connect(&client).await;
    tcp.read_exact(&mut [0; 2]).await.unwrap();
    service.until_open(1).await;
    drop(tcp);
    service.until_open(0).await;
}

#[tokio::test]
async fn a_service_that_is_down_is_a_reset_and_not_a_clean_end() {
    let bed = Bed::start().await;
    let service = Service::tcp_echo("hi").await;
    let client = bed.client_with(&[("db", service.address(), "tcp")]).await;
    client.until_green("db").await;
    let address = service.stop().await;
    let mut tcp = connect(&client).await;
    let error = soon("the reset", tcp.read(&mut [0; 8])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let again = Service::start_again("hi", address).await;
    let mut tcp = connect(&client).await;
    soon("the greeting", tcp.read_exact(&mut [0; 2])).await.unwrap();
    drop(again);
}

#[tokio::test]
async fn a_port_ends_with_its_service() {
    let bed = Bed::start().await;
    let service = Service::tcp_echo("hi").await;
    let client = bed.client_with(&[("db", service.address(), "tcp")]).await;
    let port = port_of(&client, "db").await;
    drop(TcpStream::connect(&port).await.unwrap());
    client.client.remove(&"db".parse().unwrap()).await.unwrap();
    soon("the port to close", async {
        while TcpStream::connect(&port).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_tcp_service_is_no_web_site() {
    let bed = Bed::start().await;
    let service = Service::tcp_echo("hi").await;
    let client = bed.client_with(&[("db", service.address(), "tcp")]).await;
    let answer = bed.visitor().get(&petit_tests::visitor::host(&client.id()), "/").await;
    assert_eq!((answer.status.as_u16(), answer.petit_error()), (421, Some("not-http".into())));
}

#[tokio::test]
async fn an_operator_who_gives_no_ports_is_obeyed() {
    let bed = Bed::with("").await;
    let service = Service::tcp_echo("hi").await;
    let mut none = bed.server.config.clone();
    none.tcp_ports = None;
    bed.server.apply(&none);
    let client = bed.client_with(&[("db", service.address(), "tcp")]).await;
    let status = client.until_light("db", petit_client::status::Light::Red).await;
    let broken = status.services[0].broken.clone().unwrap().at;
    let expected = petit_engine::proto::control::GrantRefusal::NoPort;
    assert_eq!(broken, petit_client::status::BrokenAt::Server(expected));
}

#[tokio::test]
async fn a_service_whose_port_is_still_in_use_gets_it_when_it_is_free() {
    let before = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = before.local_addr().unwrap().port();
    let bed = Bed::with_config(&server_config("").replace("\"0-0\"", &format!("\"{port}-{port}\""))).await;
    let service = Service::tcp_echo("hi").await;
    let client = bed.client_with(&[("db", service.address(), "tcp")]).await;
    let status = client.until_light("db", petit_client::status::Light::Red).await;
    let broken = status.services[0].broken.clone().unwrap().at;
    let expected = petit_engine::proto::control::GrantRefusal::PortBusy;
    assert_eq!(broken, petit_client::status::BrokenAt::Server(expected));
    drop(before);
    let mut greeting = [0; 2];
    soon("the greeting", connect(&client).await.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(&greeting, b"hi");
}
