use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// One direction on a paused clock: what is written at one end, what arrives at the other, the orders.
struct Bench {
    near: DuplexStream,
    far: DuplexStream,
    orders: watch::Sender<Orders>,
    _pump: JoinSet<io::Result<()>>,
}

fn bench(there: Trouble) -> Bench {
    bench_with(1 << 20, there)
}

/// With ends that hold so many bytes.
fn bench_with(held: usize, there: Trouble) -> Bench {
    let (near, near_end) = duplex(held);
    let (far_end, far) = duplex(held);
    let target = "127.0.0.1:1".parse().unwrap();
    let orders = Orders { target, refuse: false, there, back: Trouble::default() };
    let (orders, receiver) = watch::channel(orders);
    let mut pumps = JoinSet::new();
    pumps.spawn(async move {
        let (accepted, there, back) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let seen = Seen { accepted, there, back, open: watch::Sender::new(0) };
        pump(near_end, far_end, Direction::There, receiver, &seen).await
    });
    Bench { near, far, orders, _pump: pumps }
}

async fn read(far: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    far.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test(start_paused = true)]
async fn latency_delays_and_does_not_slow_down() {
    let mut bench = bench(Trouble::latency(40 * MS));
    let start = Instant::now();
    bench.near.write_all(&[7; 500_000]).await.unwrap();
    assert_eq!(read(&mut bench.far, 500_000).await, [7; 500_000]);
    assert_eq!(start.elapsed(), 40 * MS);
}

#[tokio::test(start_paused = true)]
async fn bandwidth_is_kept_to_and_order_with_it() {
    let mut bench = bench(Trouble { latency: 10 * MS, ..Trouble::bytes_per_second(100_000) });
    let start = Instant::now();
    let sent: Vec<u8> = (0..50_000_u32).map(|i| (i % 251) as u8).collect();
    bench.near.write_all(&sent).await.unwrap();
    assert_eq!(read(&mut bench.far, 50_000).await, sent);
    let took = start.elapsed();
    assert!((510 * MS..520 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_takes_what_waits_and_the_line_is_no_faster_for_it() {
    for (queue, sent_after) in [(0, 80 * MS..100 * MS), (20_000, Duration::ZERO..MS)] {
        let trouble = Trouble { latency: 10 * MS, queue, ..Trouble::bytes_per_second(100_000) };
        let mut bench = bench_with(1000, trouble);
        let start = Instant::now();
        let writing = async {
            bench.near.write_all(&[7; 10_000]).await.unwrap();
            start.elapsed()
        };
        let (sent, _) = tokio::join!(writing, read(&mut bench.far, 10_000));
        assert!(sent_after.contains(&sent), "{queue} bytes of queue: {sent:?}");
        let took = start.elapsed();
        assert!((110 * MS..115 * MS).contains(&took), "{queue} bytes of queue: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_takes_nothing_holds_up_its_sender_once_the_line_is_full() {
    // A flight of 1,000 bytes, 20,000 that wait, a piece, and what the two ends hold.
    let trouble = Trouble { latency: 10 * MS, queue: 20_000, ..Trouble::bytes_per_second(100_000) };
    let mut bench = bench_with(4096, trouble);
    let mut taken = 0;
    while let Ok(count) = tokio::time::timeout(60_000 * MS, bench.near.write(&[7; 1000])).await {
        taken += count.unwrap();
    }
    assert!((29_000..=31_000).contains(&taken), "{taken}");
    read(&mut bench.far, taken).await;
    bench.near.write_all(b"goes on").await.unwrap();
    assert_eq!(read(&mut bench.far, 7).await, b"goes on");
}

#[tokio::test(start_paused = true)]
async fn less_latency_overtakes_nothing() {
    let mut bench = bench(Trouble::latency(40 * MS));
    bench.near.write_all(b"first").await.unwrap();
    tokio::time::sleep(MS).await;
    bench.orders.send_modify(|orders| orders.there = Trouble::default());
    bench.near.write_all(b"second").await.unwrap();
    assert_eq!(read(&mut bench.far, 11).await, b"firstsecond");
}

#[tokio::test(start_paused = true)]
async fn slices_arrive_one_by_one() {
    let mut bench = bench(Trouble { slice: Some(3), ..Trouble::default() });
    bench.near.write_all(b"abcdefgh").await.unwrap();
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    while pieces.concat().len() < 8 {
        let mut piece = vec![0; 100];
        let count = bench.far.read(&mut piece).await.unwrap();
        piece.truncate(count);
        pieces.push(piece);
    }
    assert_eq!(pieces, [&b"abc"[..], b"def", b"gh"]);
}

#[tokio::test(start_paused = true)]
async fn held_bytes_wait_and_arrive() {
    let mut bench = bench(Trouble::flow(Flow::Held));
    bench.near.write_all(b"patience").await.unwrap();
    let early = tokio::time::timeout(1000 * MS, bench.far.read_u8()).await;
    assert!(early.is_err(), "nothing passes while the line is held");
    bench.orders.send_modify(|orders| orders.there = Trouble::default());
    assert_eq!(read(&mut bench.far, 8).await, b"patience");
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_gives_nothing_back() {
    let mut bench = bench(Trouble::flow(Flow::Lost));
    bench.near.write_all(b"gone").await.unwrap();
    tokio::time::sleep(MS).await;
    bench.orders.send_modify(|orders| orders.there = Trouble::default());
    bench.near.write_all(b"gone too").await.unwrap();
    bench.near.shutdown().await.unwrap();
    let later = tokio::time::timeout(60_000 * MS, bench.far.read_u8()).await;
    assert!(later.is_err(), "neither bytes nor an end arrive");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_sending_can_be_late() {
    let mut bench = bench(Trouble { late_end: 300 * MS, ..Trouble::latency(10 * MS) });
    let start = Instant::now();
    bench.near.write_all(b"last words").await.unwrap();
    bench.near.shutdown().await.unwrap();
    assert_eq!(read(&mut bench.far, 10).await, b"last words");
    assert_eq!(start.elapsed(), 10 * MS);
    assert_eq!(bench.far.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(start.elapsed(), 310 * MS);
}

/// A proxy with one connection through it: who has connected, and who was connected to.
async fn proxied() -> (Chaos, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let chaos = Chaos::before(listener.local_addr().unwrap()).await;
    let near = TcpStream::connect(chaos.address()).await.unwrap();
    let (far, _) = crate::soon("the connection", listener.accept()).await.unwrap();
    chaos.until_open(1).await;
    (chaos, near, far)
}

#[tokio::test]
async fn a_reset_comes_after_exactly_so_many_bytes() {
    let (chaos, mut near, mut far) = proxied().await;
    chaos.set(Direction::There, Trouble { reset_after: Some(10), ..Trouble::default() });
    near.write_all(b"0123456789abcdef").await.unwrap();
    let mut got = Vec::new();
    let end = crate::soon("the reset", far.read_to_end(&mut got)).await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(got, b"0123456789");
    assert_eq!(chaos.carried(Direction::There), 10);
    chaos.until_open(0).await;
}

#[tokio::test]
async fn one_side_finishes_and_still_gets_its_answer() {
    let (chaos, mut near, mut far) = proxied().await;
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    far.write_all(b"answer").await.unwrap();
    drop(far);
    let mut answer = Vec::new();
    crate::soon("the answer", near.read_to_end(&mut answer)).await.unwrap();
    assert_eq!((got, answer), (b"question".to_vec(), b"answer".to_vec()));
    chaos.until_open(0).await;
}

#[tokio::test]
async fn cut_closes_and_reset_resets_on_both_sides() {
    let (chaos, mut near, mut far) = proxied().await;
    chaos.cut();
    assert_eq!(crate::soon("the end", near.read(&mut [0; 1])).await.unwrap(), 0);
    assert_eq!(crate::soon("the end", far.read(&mut [0; 1])).await.unwrap(), 0);
    let (chaos, mut near, mut far) = proxied().await;
    chaos.reset();
    assert!(crate::soon("the reset", near.read(&mut [0; 1])).await.is_err());
    assert!(crate::soon("the reset", far.read(&mut [0; 1])).await.is_err());
    chaos.until_open(0).await;
}

#[tokio::test]
async fn a_lost_connection_says_nothing_and_later_ones_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let chaos = Chaos::before(listener.local_addr().unwrap()).await;
    let mut ends = Vec::new();
    for _ in 0..2 {
        let near = TcpStream::connect(chaos.address()).await.unwrap();
        ends.push((near, crate::soon("the connection", listener.accept()).await.unwrap().0));
        chaos.until_open(ends.len()).await;
        if ends.len() == 1 {
            chaos.lose();
        }
    }
    let mut heard = Vec::new();
    for (near, far) in &mut ends {
        near.write_all(b"x").await.unwrap();
        heard.push(tokio::time::timeout(200 * MS, far.read_u8()).await.is_ok());
    }
    assert_eq!(heard, [false, true]);
    chaos.reset();
    assert!(crate::soon("the reset", ends[0].1.read(&mut [0; 1])).await.is_err());
}

#[tokio::test]
async fn refused_connections_never_reach_the_target() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let chaos = Chaos::before(listener.local_addr().unwrap()).await;
    chaos.refuse(true);
    let mut refused = TcpStream::connect(chaos.address()).await.unwrap();
    assert!(crate::soon("the reset", refused.read(&mut [0; 1])).await.is_err());
    chaos.heal();
    let _near = TcpStream::connect(chaos.address()).await.unwrap();
    crate::soon("the connection", listener.accept()).await.unwrap();
    assert_eq!(chaos.accepted(), 1);
}

#[tokio::test]
async fn a_target_that_is_not_there_is_a_reset_and_a_new_one_is_reached() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let chaos = Chaos::before(gone).await;
    let mut near = TcpStream::connect(chaos.address()).await.unwrap();
    assert!(crate::soon("the reset", near.read(&mut [0; 1])).await.is_err());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    chaos.retarget(listener.local_addr().unwrap());
    let _near = TcpStream::connect(chaos.address()).await.unwrap();
    crate::soon("the connection", listener.accept()).await.unwrap();
}
