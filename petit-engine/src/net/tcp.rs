//! From a host and a port to a TCP connection, whichever address answers first.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::limits;
use crate::name::ServerAddr;

/// Why no TCP connection came about.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The name did not resolve.
    Name(io::Error),
    /// No address answered; this is what became of the last one.
    Tcp(SocketAddr, io::Error),
}

impl ConnectError {
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Name(source) | Self::Tcp(_, source) => source,
        }
    }
}

/// Connects to whichever address of `target` answers first.
pub(crate) async fn connect(target: &ServerAddr) -> Result<TcpStream, ConnectError> {
    let addresses = resolve(target).await.map_err(ConnectError::Name)?;
    match connect_any(addresses, None).await {
        Ok(tcp) => Ok(tcp),
        Err(Some((address, source))) => Err(ConnectError::Tcp(address, source)),
        Err(None) => Err(ConnectError::Name(io::ErrorKind::NotFound.into())),
    }
}

/// The addresses of a target. The most frequent ones are known without asking anybody.
pub(crate) async fn resolve(target: &ServerAddr) -> io::Result<Vec<SocketAddr>> {
    let at = |ip: IpAddr| SocketAddr::new(ip, target.port());
    if let Ok(ip) = target.host().parse::<IpAddr>() {
        return Ok(vec![at(ip)]);
    }
    if target.host() == "localhost" {
        return Ok(vec![at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into())]);
    }
    Ok(tokio::net::lookup_host((target.host(), target.port())).await?.collect())
}

/// RFC 8305, "happy eyeballs": the families in turn, the next address as soon as one has failed or has not
/// answered for [`limits::NEXT_ADDRESS`]; whichever answers first is taken and the others are dropped. With `more`, an
/// attempt beside another one needs a permit of it, so that there are never more sockets than there may be.
///
/// # Errors
/// The last failure; `None` when there was no address.
pub async fn connect_any(
    addresses: Vec<SocketAddr>,
    more: Option<&Arc<Semaphore>>,
) -> Result<TcpStream, Option<(SocketAddr, io::Error)>> {
    let mut waiting = alternate(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut last = None;
    loop {
        let beside = more.filter(|_| !attempts.is_empty()).map(|more| Arc::clone(more).try_acquire_owned());
        let address = if matches!(beside, Some(Err(_))) { None } else { waiting.next() };
        match address {
            Some(address) => {
                attempts.spawn(async move {
                    let _held = beside;
                    (address, TcpStream::connect(address).await)
                });
            }
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let is_another = waiting.len() > 0;
        let next = tokio::select! {
            joined = attempts.join_next() => joined,
            () = tokio::time::sleep(limits::NEXT_ADDRESS), if is_another => continue,
        };
        match next {
            Some(Ok((_, Ok(tcp)))) => return Ok(tcp),
            // A refusal says more than a family that this machine does not have.
            Some(Ok((address, Err(error)))) => {
                let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
                if !last.as_ref().is_some_and(|(_, before)| refused(before)) || refused(&error) {
                    last = Some((address, error));
                }
            }
            Some(Err(_)) | None => {}
        }
    }
}

/// One of each family in turn, beginning with the family that the resolver put first.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut out = Vec::new();
    loop {
        let (one, other) = (first.next(), second.next());
        if one.is_none() && other.is_none() {
            return out;
        }
        out.extend(one.into_iter().chain(other));
    }
}

/// What every connection of ours wants: small frames at once.
///
/// No `TCP_USER_TIMEOUT`: it ends connections that work. Linux counts it from the first probe of a window that was
/// full, and forgets that probe only when the window has room for the whole next segment, up to 64 KiB. Measured with
/// a limit of 3 s: a peer that takes 50 KB in a second, without a pause, is given up after 3.3 s. Who is dead is
/// found by PINGs in a session, by keep-alive and retransmission with visitors.
///
/// # Errors
/// When the system refuses.
pub fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)
}

/// True when this process, or the whole computer, has as many files and connections open as it may.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    #[cfg(unix)]
    const CODES: [i32; 2] = [23, 24]; // ENFILE and EMFILE, on every Unix
    #[cfg(not(unix))]
    const CODES: [i32; 2] = [4, 10_024]; // ERROR_TOO_MANY_OPEN_FILES and WSAEMFILE
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

#[cfg(test)]
pub(crate) mod tests;
