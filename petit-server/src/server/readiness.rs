//! Whether visitors and clients get in, as whoever watches over the server asks every few seconds: so it looks at nothing
//! that there are many of.

use petit_engine::cause::FrontCause;
use petit_engine::proto::control::FrontState;
use petit_relay::FrontKind;

use super::{Phase, Server};
use crate::api::NotReady;

impl Server {
    /// Why no visitors and log-ins are taken, if so.
    pub fn not_ready(&self) -> Option<NotReady> {
        let listeners = [FrontKind::PlainSocket(self.http), FrontKind::TlsSocket(self.tls)];
        let listeners = listeners.map(|kind| (self.relay.front(&kind), kind));
        not_ready(self.phase(), &listeners)
    }
}

/// Why no visitors and log-ins are taken. A registry that is gone is no reason: what is known is served from memory, and
/// whoever stands in front would turn all of it away.
fn not_ready(phase: Phase, listeners: &[(FrontState, FrontKind)]) -> Option<NotReady> {
    match phase {
        Phase::Stopping { .. } | Phase::Replaced { .. } => return Some(NotReady::Stopping),
        Phase::Running | Phase::Restarting => {}
    }
    listeners.iter().find_map(|(state, kind)| match (state, kind) {
        (FrontState::Failed(cause), FrontKind::PlainSocket(address) | FrontKind::TlsSocket(address))
            if is_of_the_socket(*cause) =>
        {
            Some(NotReady::Listener { address: *address })
        }
        _ => None,
    })
}

/// True where a socket takes no requests. A certificate that visitors do not accept keeps customers' clients out of
/// nothing: whoever stands in front must not turn them away for it.
fn is_of_the_socket(cause: FrontCause) -> bool {
    match cause {
        FrontCause::ConnectionRefused | FrontCause::NoAnswer | FrontCause::Listener => true,
        FrontCause::NameNotFound
        | FrontCause::NoTls
        | FrontCause::CertificateName
        | FrontCause::CertificateExpired
        | FrontCause::CertificateUntrusted
        | FrontCause::Redirected
        | FrontCause::Gateway
        | FrontCause::OtherHost
        | FrontCause::OtherServer => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_server_is_ready_while_it_serves_and_its_own_sockets_take_requests() {
        let (plain, tls): (SocketAddr, SocketAddr) =
            ("127.0.0.1:80".parse().unwrap(), "[::]:443".parse().unwrap());
        let sockets = |of_plain, of_tls| {
            [(of_plain, FrontKind::PlainSocket(plain)), (of_tls, FrontKind::TlsSocket(tls))]
        };
        let failed = FrontState::Failed(FrontCause::Listener);
        let expired = FrontState::Failed(FrontCause::CertificateExpired);
        let until = Instant::now();
        for (phase, of_plain, of_tls, expected) in [
            (Phase::Running, FrontState::Passed, FrontState::Passed, None),
            // It has just begun: nothing is known to be wrong.
            (Phase::Running, FrontState::Checking, FrontState::Checking, None),
            (Phase::Restarting, FrontState::Passed, FrontState::Checking, None),
            (Phase::Running, failed, FrontState::Passed, Some(NotReady::Listener { address: plain })),
            (Phase::Running, FrontState::Passed, failed, Some(NotReady::Listener { address: tls })),
            (Phase::Running, FrontState::Passed, expired, None),
            (Phase::Stopping { until }, FrontState::Passed, FrontState::Passed, Some(NotReady::Stopping)),
            (Phase::Replaced { until }, FrontState::Passed, failed, Some(NotReady::Stopping)),
        ] {
            assert_eq!(not_ready(phase, &sockets(of_plain, of_tls)), expected, "{phase:?}");
        }
    }
}
