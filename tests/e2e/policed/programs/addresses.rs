//! Where visitors come from.

use std::io::ErrorKind;

use petit_tests::{scripted, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::connect_or_reset;
use super::super::fronts::{FRONTS, Front};
use super::Programs;

impl Programs {
    /// The status that a visitor from an address gets at a front.
    async fn status_from(&self, front: Front, from: &str, forwarded: &[&str]) -> u16 {
        let fields: Vec<(&str, &str)> = forwarded.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let answer = front.ask_from(from, &self.doors, &fields).await;
        if answer.status == 403 {
            assert_eq!(answer.petit_error().as_deref(), Some("address-not-allowed"), "{front:?}");
        }
        answer.status.as_u16()
    }

    /// The connection of a visitor of raw TCP from an address whom the service has greeted; none where it was reset.
    pub(super) async fn greeted(&self, from: &str) -> Option<TcpStream> {
        let mut tcp = connect_or_reset(from, self.tcp).await?;
        let mut greeting = [0; 5];
        soon("a greeting or a reset", tcp.read_exact(&mut greeting)).await.ok()?;
        assert_eq!(&greeting, b"ready");
        Some(tcp)
    }
}

#[tokio::test]
async fn an_address_list_goes_by_the_connection_and_behind_a_trusted_proxy_by_what_that_says() {
    let it = Programs::open("trusted_proxies = [\"127.0.0.9\"]").await;
    let list = "127.0.0.2,203.0.113.0/24,2001:db8::/32";
    it.run(["policy", "set", "office", "--services", "default", "--from", list]).await;
    let good = |front: Front| if front.is_websocket() { 101 } else { 200 };
    for front in FRONTS {
        for (from, forwarded, is_let_in) in [
            ("127.0.0.2", &[][..], true),
            ("127.0.0.3", &[], false),
            // Nobody is believed, for better or worse.
            ("127.0.0.3", &["203.0.113.7"], false),
            ("127.0.0.2", &["198.51.100.1"], true),
            // But the proxy is, of which the last word counts.
            ("127.0.0.9", &["203.0.113.7"], true),
            ("127.0.0.9", &["2001:db8::7"], true),
            ("127.0.0.9", &["198.51.100.1, 203.0.113.7"], true),
            ("127.0.0.9", &["198.51.100.1", "203.0.113.7"], true),
            ("127.0.0.9", &["203.0.113.7, 198.51.100.1"], false),
            ("127.0.0.9", &["203.0.113.7", "198.51.100.1"], false),
            ("127.0.0.9", &["203.0.113.7, nobody knows"], false),
            ("127.0.0.9", &[], false),
        ] {
            let expected = if is_let_in { good(front) } else { 403 };
            let status = it.status_from(front, from, forwarded).await;
            assert_eq!(status, expected, "{front:?} from {from} for {forwarded:?}");
        }
    }
    assert_eq!(it.web.seen("x-forwarded-for").as_deref(), Some("198.51.100.1, 203.0.113.7, 127.0.0.9"));
    let refused = it.visits(12 * FRONTS.len()).await;
    let refused = refused.iter().filter(|line| line["end"] == "address-not-allowed");
    assert_eq!(refused.clone().count(), 6 * FRONTS.len());
    assert_eq!(refused.filter(|line| line["visitor"] == "198.51.100.1").count(), 2 * FRONTS.len());

    // Raw TCP has no room for a proxy's word.
    for (from, is_let_in) in [("127.0.0.2", true), ("127.0.0.3", false), ("127.0.0.9", false)] {
        assert_eq!(it.greeted(from).await.is_some(), is_let_in, "{from}");
    }
}

#[tokio::test]
async fn a_port_of_raw_tcp_is_shut_while_its_policy_asks_for_a_key_alone() {
    let (it, _) = Programs::keyed().await;
    let mut under_way = TcpStream::connect(it.tcp).await.unwrap();
    under_way.read_exact(&mut [0; 5]).await.unwrap();
    it.run(["policy", "set", "default-tcp", "--from", "127.0.0.2"]).await;
    assert!(it.greeted("127.0.0.2").await.is_some());
    assert!(it.greeted("127.0.0.3").await.is_none());
    it.run(["policy", "set", "default-tcp", "--from", "any", "--key", "default"]).await;
    let refused = Box::pin(async {
        loop {
            match TcpStream::connect(it.tcp).await {
                // Until it is shut it lets nobody in.
                Ok(mut tcp) => soon("the reset", scripted::gone(&mut tcp)).await,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                    return;
                }
            }
        }
    });
    soon("the port to be shut", refused).await;
    under_way.write_all(b"still here").await.unwrap();
    let mut back = [0; 10];
    soon("what was let in goes on", under_way.read_exact(&mut back)).await.unwrap();
    it.run(["policy", "set", "default-tcp", "--from", "127.0.0.0/8"]).await;
    soon("the port to be open", async {
        while TcpStream::connect(it.tcp).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(it.greeted("127.0.0.3").await.is_some());
}
