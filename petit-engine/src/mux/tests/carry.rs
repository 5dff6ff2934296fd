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
