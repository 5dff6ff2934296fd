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
                // A visitor may stop reading for a while: a download that is paused, a pager at the end of its page.
                if super::dial::tune(&tcp, limits::IDLE).and_then(|()| keep_alive(&tcp)).is_ok() {
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

/// A visitor whose computer has vanished says nothing, and has nothing to answer; the kernel finds out.
fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    let keep_alive = socket2::TcpKeepalive::new().with_time(limits::TCP_KEEP_ALIVE);
    socket2::SockRef::from(tcp).set_tcp_keepalive(&keep_alive)
}

/// Errors that tell of the connection at the head of the queue, not of the listener (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
