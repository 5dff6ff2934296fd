//! Which addresses are this machine's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// True when packets for `ip` do not leave this machine: to itself it speaks from the address it speaks to, or from
/// another of loopback's. (That one can be bound says less: Linux has `ip_nonlocal_bind`.)
pub(super) fn is_of_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback() || source_towards(ip).is_ok_and(|source| source == ip)
}

/// The address that this machine speaks from to another. Nothing is sent.
pub(crate) fn source_towards(ip: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((ip, DISCARD))?;
    Ok(socket.local_addr()?.ip())
}

/// Any port will do to ask for the way.
const DISCARD: u16 = 9;
