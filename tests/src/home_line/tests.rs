use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::soon;

/// A connection from the customer to the vendor over the path: the customer's end, and the vendor's.
async fn connection(line: &HomeLine) -> (Chaos, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let modem = line.to(listener.local_addr().unwrap()).await;
    let address = modem.address();
    let near =
        line.customer.run(async move { TcpStream::connect(address).await.unwrap().into_std().unwrap() });
    let near = TcpStream::from_std(near.await).unwrap();
    let (far, _) = soon("the connection", listener.accept()).await.unwrap();
    (modem, near, far)
}

/// How long `count` bytes take from one end to the other.
async fn time(from: &mut TcpStream, to: &mut TcpStream, count: usize) -> Duration {
    let (sent, mut received) = (vec![7; count], vec![0; count]);
    let start = Instant::now();
    let (written, read) =
        tokio::join!(from.write_all(&sent), soon("the bytes", to.read_exact(&mut received)));
    written.unwrap();
    read.unwrap();
    assert!(received == sent);
    start.elapsed()
}

#[test]
fn a_path_is_as_long_and_as_wide_as_it_says_up_and_down() {
    for path in [Path::DSL, Path::SATELLITE, Path::FIBRE] {
        on_home_line(path, async |line| {
            let (_modem, mut customer, mut vendor) = connection(&line).await;
            let there = time(&mut customer, &mut vendor, 1).await;
            let back = time(&mut vendor, &mut customer, 1).await;
            let round_trip = there + back;
            let slack = Duration::from_millis(40);
            assert!((path.round_trip..path.round_trip + slack).contains(&round_trip), "{round_trip:?}");
            let half_a_second = Duration::from_millis(500);
            let up = time(&mut customer, &mut vendor, path.downloaded_in(half_a_second) as usize).await;
            let down = time(&mut vendor, &mut customer, path.uploaded_in(half_a_second) as usize).await;
            for took in [up, down] {
                let line_time = took.saturating_sub(path.round_trip / 2);
                assert!(
                    (half_a_second * 9 / 10..half_a_second * 3 / 2).contains(&line_time),
                    "{path:?}: {took:?}"
                );
            }
        });
    }
}

#[test]
fn a_sender_is_held_up_by_a_receiver_that_takes_nothing_before_a_megabyte() {
    on_home_line(Path::DSL, async |line| {
        let (_modem, customer, _vendor) = connection(&line).await;
        let mut taken = 0;
        let mut last = Instant::now();
        // The kernel takes some more as long as the line drains into the receiver's buffer.
        while last.elapsed() < Duration::from_secs(2) {
            match customer.try_write(&[7; 4096]) {
                Ok(count) => (taken, last) = (taken + count, Instant::now()),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        assert!((100_000..1_000_000).contains(&taken), "{taken} bytes");
    });
}

#[test]
fn hosts_are_in_networks_of_their_own_and_leave_nothing_behind() {
    let namespace = || std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
    let here = namespace();
    let mut used = BTreeSet::new();
    on_home_line(Path::FIBRE, async |line| {
        used.insert(namespace());
        used.insert(line.customer.run(async move { namespace() }).await);
        assert_eq!(line.modem.run(async move { namespace() }).await, namespace(), "beside the vendor");
        let program = async {
            let inside = tokio::process::Command::new("readlink").arg("/proc/self/ns/net").output().await;
            String::from_utf8(inside.unwrap().stdout).unwrap()
        };
        used.insert(
            line.customer
                .run(program)
                .await
                .trim()
                .trim_matches(|c: char| !c.is_ascii_digit())
                .parse()
                .unwrap(),
        );
    });
    assert!(used.len() == 2 && !used.contains(&here), "{used:?} beside {here}");
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let left = tasks.filter_map(|task| std::fs::metadata(task.unwrap().path().join("ns/net")).ok());
    assert!(left.map(|namespace| namespace.ino()).all(|namespace| !used.contains(&namespace)));
}

#[test]
#[should_panic(expected = "seen by the customer")]
fn a_fault_at_the_customer_is_the_tests() {
    on_home_line(Path::FIBRE, async |line| line.customer.run(async { panic!("seen by the customer") }).await);
}
