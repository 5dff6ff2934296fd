//! Accepting connections. The loop never waits for a peer: a connection gets a permit and a task of its own.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use crate::limits;

/// Listens on `address`; port 0 lets the system choose.
///
/// # Errors
/// When the address is taken or not this machine's, or the port needs rights that the process has not.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    // A restarted server takes its port back at once, without waiting for old connections to time out.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts for ever and hands each connection to `take` with the permit it holds while it lives.
///
/// Out of descriptors, it rests for [`limits::ACCEPT_PAUSE`] instead of spinning.
pub async fn accept(listener: &TcpListener, mut take: impl FnMut(TcpStream, SocketAddr)) {
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                if super::tcp::tune(&tcp).and_then(|()| keep_alive(&tcp)).is_ok() {
                    take(tcp, peer);
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections at the moment");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A visitor whose computer has vanished says nothing, and has nothing to answer; the kernel finds out, within some
/// ten minutes. One who has stopped reading (a download that is paused, a pager at the end of its page) answers.
fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    let keep_alive = socket2::TcpKeepalive::new().with_time(limits::TCP_KEEP_ALIVE);
    let keep_alive = keep_alive.with_interval(limits::TCP_KEEP_ALIVE);
    socket2::SockRef::from(tcp).set_tcp_keepalive(&keep_alive)
}

/// Errors that tell of the connection at the head of the queue, not of the listener (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// See [`tune`](crate::net::tcp::tune).
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_peer_may_take_what_is_sent_as_slowly_as_it_likes() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server =
            crate::name::ServerAddr::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
        let (sender, mut accepted) = tokio::sync::mpsc::channel(1);
        let accepting = accept(&listener, |tcp, _| sender.try_send(tcp).unwrap());
        let both = async {
            let dialled =
                crate::net::dial::reach(&server, &crate::net::dial::DialRoute::default()).await.unwrap();
            (dialled, accepted.recv().await.unwrap())
        };
        let (dialled, accepted) = tokio::select! {
            () = accepting => unreachable!(),
            both = both => both,
        };
        for tcp in [&dialled, &accepted] {
            assert_eq!(socket2::SockRef::from(tcp).tcp_user_timeout().unwrap(), None);
            assert!(tcp.nodelay().unwrap());
        }
        assert!(socket2::SockRef::from(&accepted).keepalive().unwrap());
    }
}
