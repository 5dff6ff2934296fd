//! In which shard a visitor is served best: in that of the session which serves the host that it names.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;

use petit_engine::limits;
use petit_engine::name::VisitorHost;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::RelayShared;
use super::route::{Routed, decide};

/// The shard of the service that a plain visitor's first request names; the first one where there is none. Nothing
/// is taken from the connection. `None` when a visitor has said nothing for [`limits::HEAD`], and is not waited for
/// any longer.
pub(super) async fn of_visitor(shared: &RelayShared, tcp: &TcpStream) -> Option<usize> {
    if shared.shards.count() == 1 {
        return Some(0);
    }
    // The buffer is there while it is looked at, not while a visitor who says nothing is waited for.
    let look = poll_fn(|cx| {
        let mut bytes = [0; limits::PEEK_BYTES];
        let mut seen = ReadBuf::new(&mut bytes);
        tcp.poll_peek(cx, &mut seen).map_ok(|_| host(seen.filled()).map_or(0, |host| of_host(shared, host)))
    });
    tokio::time::timeout(limits::HEAD, look).await.ok()?.ok()
}

/// The shard of the service behind a host.
pub(super) fn of_host(shared: &RelayShared, host: &str) -> usize {
    if shared.shards.count() == 1 {
        return 0;
    }
    let Ok(host) = VisitorHost::parse(host) else { return 0 };
    let look = || match decide(&host, &shared.config.endpoint, shared.access.as_ref()) {
        Routed::Service { route, .. } => shared.registry.find(&route).map_or(0, |upstream| upstream.shard()),
        Routed::Unknown | Routed::Foreign => 0,
    };
    // A fault within is met, counted and told where the request is served.
    std::panic::catch_unwind(AssertUnwindSafe(look)).unwrap_or(0)
}

/// The value of the `Host` field in what is there of a request's head.
fn host(head: &[u8]) -> Option<&str> {
    let line = head.split(|byte| *byte == b'\n').skip(1).find(|line| {
        line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:")) && line.ends_with(b"\r")
    })?;
    std::str::from_utf8(line.get(5..)?).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_where_it_stands() {
        assert_eq!(
            host(b"GET / HTTP/1.1\r\nAccept: */*\r\nhOST: a.example.com:80 \r\n"),
            Some("a.example.com:80")
        );
        assert_eq!(host(b"GET / HTTP/1.1\r\nHost: a.example.c"), None, "half of one is none");
        assert_eq!(host(b"Host: a\r\n"), None, "no request");
        assert_eq!(host(b""), None);
        assert_eq!(host(b"GET / HTTP/1.1\r\nHost: \xff\r\n"), None);
    }
}
