//! Bytes carried between a stream and a local connection: nothing is left behind in a buffer on the way.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_end_of_what_was_said_gets_through_tls_to_a_reader_that_paused() {
    // Lengths around what TLS and the connection hold: the end of each meets them in another state.
    for length in (40..=120).step_by(4).map(|kilobytes| kilobytes * 1024 + 7) {
        let (relay, mut agent) = pair(1 << 20);
        let mut there = relay.mux.open(Open::default()).unwrap();
        let mut here = agent.accepted().await;
        let (mut local, mut service) = tls_pair(4096).await;
        let carrying =
            tokio::spawn(async move { carry(&mut here, &mut local, Until::BothFinish, &mut ()).await });
        let said = pattern(length, 1);
        there.write_all(&said).await.unwrap();
        // The service reads nothing until everything has come to rest (only then does a paused clock go on).
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Nor does it see an end: the visitor waits for its answer.
        let mut seen = vec![0; length];
        let read = tokio::time::timeout(Duration::from_secs(10), service.read_exact(&mut seen)).await;
        assert!(read.is_ok(), "of {length} bytes the last ones were not sent");
        assert!(seen == said);
        carrying.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_to_the_local_side_before_gets_through_too() {
    let (relay, mut agent) = pair(1 << 16);
    let _there = relay.mux.open(Open::default()).unwrap();
    let mut here = agent.accepted().await;
    let (mut local, mut service) = tls_pair(4096).await;
    // TLS takes all of it at once, and the connection only a part of that.
    let said = pattern(30_000, 2);
    local.write_all(&said).await.unwrap();
    let carrying =
        tokio::spawn(async move { carry(&mut here, &mut local, Until::BothFinish, &mut ()).await });
    let mut seen = vec![0; said.len()];
    let read = tokio::time::timeout(Duration::from_secs(10), service.read_exact(&mut seen)).await;
    assert!(read.is_ok(), "the last bytes were not sent");
    assert!(seen == said);
    carrying.abort();
}

/// A connection that holds so many bytes, carried to from a stream at an agent: the peer's end, the local far end.
async fn carried(buffer: usize) -> (Stream, DuplexStream, JoinHandle<Result<(), CarryError>>) {
    let (relay, mut agent) = pair(1 << 20);
    let there = relay.mux.open(Open::default()).unwrap();
    let mut here = agent.accepted().await;
    let (mut local, far) = tokio::io::duplex(buffer);
    let carrying = tokio::spawn(async move {
        let _keep = (relay, agent);
        carry(&mut here, &mut local, Until::BothFinish, &mut ()).await
    });
    (there, far, carrying)
}

#[tokio::test(start_paused = true)]
async fn what_was_said_to_its_end_arrives_though_the_one_who_said_it_has_left() {
    let (mut there, mut service, carrying) = carried(4096).await;
    let said = pattern(limits::SEND_BUFFER_BYTES, 3);
    there.write_all(&said).await.unwrap();
    there.shutdown().await.unwrap();
    drop(there);
    // By now the stream has ended in a reset, and nearly all of it still waits for the service.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut seen = Vec::new();
    service.read_to_end(&mut seen).await.unwrap();
    assert!(seen == said);
    carrying.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_not_said_to_its_end_does_not_come_to_one() {
    let (mut there, mut service, carrying) = carried(4096).await;
    there.write_all(&pattern(10_000, 4)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(there);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut seen = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(1), service.read_to_end(&mut seen)).await;
    assert!(matches!(carrying.await.unwrap(), Err(CarryError::Stream(_))), "after {} bytes", seen.len());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_one_who_takes_nothing_from_one_who_has_left() {
    let (mut there, _service, carrying) = carried(64).await;
    let start = tokio::time::Instant::now();
    there.write_all(&pattern(10_000, 5)).await.unwrap();
    there.shutdown().await.unwrap();
    drop(there);
    assert!(matches!(carrying.await.unwrap(), Err(CarryError::Local(_))));
    assert!(start.elapsed() >= limits::IDLE && start.elapsed() <= limits::IDLE + limits::PING_EVERY);
}
