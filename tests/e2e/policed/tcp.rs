//! Raw TCP, which carries no key.

use petit_relay::policy::{Enforcement, PolicyLimits, ServicePolicy};
use petit_relay::{Failure, Protocol, VisitEnd};
use petit_tests::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{World, asking_for, at_once, connect_from, connect_or_reset, from, is_reset, key, open, some};

impl World {
    fn tcp(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Waits until the port takes connections, or takes none any more.
    async fn until_listening(&self, is_listening: bool) {
        soon("the port", async {
            while TcpStream::connect(self.tcp()).await.is_ok() != is_listening {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

async fn echoes(tcp: &mut TcpStream) -> bool {
    let mut back = [0; 4];
    let written = tcp.write_all(b"ping").await;
    written.is_ok() && soon("an echo", tcp.read_exact(&mut back)).await.is_ok() && &back == b"ping"
}

#[tokio::test]
async fn raw_tcp_is_carried_for_addresses_that_are_listed_and_reset_for_others() {
    let mut world = World::start(Some(ServicePolicy { from: from(&["127.0.0.2"]), ..open() })).await;
    assert!(echoes(&mut connect_from("127.0.0.2", world.tcp()).await).await);
    let heard = world.next().await;
    assert_eq!((heard.protocol, heard.key), (Protocol::Tcp, None));

    is_reset("127.0.0.3", world.tcp()).await;
    assert_eq!(world.next().await.end, VisitEnd::Failed(Failure::AddressNotAllowed));
    assert_eq!(world.relay.counts().policies.refused, 1);
}

#[tokio::test]
async fn raw_tcp_has_the_limits_of_its_policy() {
    let limits = PolicyLimits { concurrent: Some(some(1)), ..at_once(3) };
    let mut world = World::start(Some(ServicePolicy { limits, ..open() })).await;
    let mut first = TcpStream::connect(world.tcp()).await.unwrap();
    assert!(echoes(&mut first).await);
    is_reset("127.0.0.1", world.tcp()).await;
    assert_eq!(world.next().await.end, VisitEnd::Failed(Failure::TooMany), "one is under way");
    drop(first);
    world.next().await;
    for _ in 0..2 {
        assert!(echoes(&mut TcpStream::connect(world.tcp()).await.unwrap()).await);
        world.next().await;
    }
    let beyond = async {
        while let Some(mut tcp) = connect_or_reset("127.0.0.1", world.tcp()).await
            && echoes(&mut tcp).await
        {
            world.next().await;
        }
    };
    soon("the end of what is allowed", beyond).await;
    assert_eq!(
        world.next().await.end,
        VisitEnd::Failed(Failure::TooMany),
        "three have come, and one a second"
    );
    let mut elsewhere = connect_from("127.0.0.2", world.tcp()).await;
    assert!(echoes(&mut elsewhere).await, "another address has limits of its own");
}

#[tokio::test]
async fn a_port_is_shut_while_its_policy_asks_for_a_key_and_names_no_addresses() {
    let (billing, _) = key("billing");
    let keys_alone = asking_for([billing]);
    let world = World::start(None).await;
    let id = world.relay.service_at_port(world.port).unwrap();
    world.until_listening(true).await;
    let mut under_way = TcpStream::connect(world.tcp()).await.unwrap();
    assert!(echoes(&mut under_way).await);

    world.set(Some(keys_alone.clone()));
    world.until_listening(false).await;
    assert_eq!(world.relay.shut_ports(), [id]);
    assert!(echoes(&mut under_way).await, "what was let in goes on");

    world.set(Some(ServicePolicy { from: from(&["127.0.0.0/8"]), ..keys_alone.clone() }));
    world.until_listening(true).await;
    assert_eq!(world.relay.shut_ports(), []);
    assert!(echoes(&mut TcpStream::connect(world.tcp()).await.unwrap()).await);

    world.set(Some(ServicePolicy { enforcement: Enforcement::CountOnly, ..keys_alone }));
    world.until_listening(true).await;
    assert!(echoes(&mut TcpStream::connect(world.tcp()).await.unwrap()).await);
}

#[tokio::test]
async fn a_client_that_comes_back_does_not_open_a_port_that_is_shut() {
    let (billing, _) = key("billing");
    let mut world = World::start(None).await;
    world.set(Some(asking_for([billing])));
    world.until_listening(false).await;
    let port = world.port;
    world.reconnected().await;
    assert_eq!(world.port, port);
    assert_eq!(world.relay.shut_ports().len(), 1);
    world.until_listening(false).await;
    world.set(None);
    world.until_listening(true).await;
    assert!(echoes(&mut TcpStream::connect(world.tcp()).await.unwrap()).await);
}
