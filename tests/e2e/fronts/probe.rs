//! What a client is told that knows nothing of fronts: its probes begin at the server's own front.

use std::sync::Arc;

use petit_engine::proto::control::{FromAgent, FromRelay, Hop, ProbeResult};
use petit_relay::{Access, Relay};
use petit_tests::bed::Bed;
use petit_tests::rogue::{Device, Rogue};
use tokio::net::TcpListener;

/// Asks for a probe of `web`, as clients of version 0.1.0 do.
async fn probe(session: &mut Rogue, probe: u32) -> ProbeResult {
    session.say(&FromAgent::Probe { probe, service: 1 }).await;
    loop {
        match session.control().await {
            Some(FromRelay::Probed { probe: answered, result }) if answered == probe => return result,
            Some(_) => {}
            None => panic!("the session has ended"),
        }
    }
}

#[tokio::test]
async fn a_probe_does_not_pass_where_visitors_do_not_get_in() {
    let bed = Bed::start().await;
    let config =
        petit_tests::untried::relay(bed.server.folder.read_key().unwrap(), bed.server.endpoint().clone());
    let relay =
        Relay::start(config, Arc::new(bed.server.directory.clone()) as Arc<dyn Access>, None, None).unwrap();
    let mut device = Device::of(&bed).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    device.go_to(listener.local_addr().unwrap());
    relay.serve_tls(listener);
    let mut session = device.session().await;
    // Nobody listens for visitors.
    assert_eq!(probe(&mut session, 1).await.broken, Some(Hop::Front));
    relay.serve_http(TcpListener::bind("127.0.0.1:0").await.unwrap());
    relay.try_fronts().await;
    // Now it comes to the client, which does not answer it.
    let result = probe(&mut session, 2).await;
    assert!(matches!(result.broken, Some(Hop::Service(_))), "{result:?}");
    assert!(result.front_us.is_some());
}
