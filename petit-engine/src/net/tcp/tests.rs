//! Whichever address answers, and what is told when none does.

use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;

use super::*;

#[test]
fn families_take_turns() {
    let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (a, b, c) = (parse("192.0.2.1:1"), parse("192.0.2.2:1"), parse("192.0.2.3:1"));
    let (x, y) = (parse("[2001:db8::1]:1"), parse("[2001:db8::2]:1"));
    assert_eq!(alternate(vec![x, y, a, b, c]), [x, a, y, b, c]);
    assert_eq!(alternate(vec![a, b, x]), [a, x, b]);
    assert_eq!(alternate(vec![]), []);
}

/// An address that answers nothing, not even with a refusal: a listener whose queue is full. Silent as long as what
/// comes with it is kept.
pub(crate) async fn silent() -> (SocketAddr, Vec<tokio::task::JoinHandle<io::Result<TcpStream>>>, TcpListener)
{
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    loop {
        let mut queuing = tokio::spawn(TcpStream::connect(address));
        let answered = tokio::time::timeout(4 * limits::NEXT_ADDRESS, &mut queuing).await.is_ok();
        queued.push(queuing);
        if !answered {
            return (address, queued, listener);
        }
    }
}

#[tokio::test]
async fn an_address_that_is_silent_does_not_hold_up_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap();
    let (silent, _queue, _full) = silent().await;
    let start = Instant::now();
    // The system gives a silent address up after two minutes.
    let connected = tokio::time::timeout(20 * limits::NEXT_ADDRESS, connect_any(vec![silent, good], None));
    let tcp = connected.await.expect("the second address was tried beside the first").unwrap();
    assert_eq!(tcp.peer_addr().unwrap(), good);
    assert!(start.elapsed() >= limits::NEXT_ADDRESS, "the first one had its time");
}

#[tokio::test]
async fn without_room_for_another_socket_addresses_are_tried_one_after_the_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap();
    let (silent, _queue, _full) = silent().await;
    let more = Arc::new(Semaphore::new(0));
    let connecting = connect_any(vec![silent, good], Some(&more));
    let mut connecting = std::pin::pin!(tokio::time::timeout(20 * limits::NEXT_ADDRESS, connecting));
    let early = tokio::time::timeout(4 * limits::NEXT_ADDRESS, &mut connecting).await;
    assert!(early.is_err(), "the second address was tried beside the first");
    more.add_permits(1);
    let tcp = connecting.await.expect("it was tried once there was room").unwrap();
    assert_eq!(tcp.peer_addr().unwrap(), good);
}

#[tokio::test]
async fn when_all_fail_a_refusal_is_what_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let (address, error) = connect_any(vec![closed], None).await.unwrap_err().unwrap();
    assert_eq!((address, error.kind()), (closed, io::ErrorKind::ConnectionRefused));
    assert!(connect_any(vec![], None).await.unwrap_err().is_none());
}
