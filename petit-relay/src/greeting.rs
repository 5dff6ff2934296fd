//! What a peer on the TLS port has come for, and the handshake with it.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use petit_engine::limits;
use petit_engine::net::tls;
use petit_engine::net::wire::Wire;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::admission::{Admission, Ticket};
use super::affinity::of_host;
use super::shared::RelayShared;
use super::{enrol, handing_out, ingress, session};

/// Reads a ClientHello and takes the connection where its ALPN and its server name belong.
pub(super) async fn greet(
    shared: Arc<RelayShared>,
    tcp: TcpStream,
    peer: SocketAddr,
    port: u16,
    ticket: Ticket,
) {
    // Whoever dawdles over the ClientHello occupies nothing that others wait for.
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp);
    let hello = tokio::time::timeout(limits::HANDSHAKE, hello);
    let Some(Ok(Ok(start))) = ticket.admission().unless_evicted(hello).await else { return };
    let until = Instant::now() + limits::HANDSHAKE;
    let hello = start.client_hello();
    let kind = PeerKind::of(&hello);
    let sni = hello.server_name().map(str::to_ascii_lowercase);
    let shard = match kind {
        PeerKind::Tunnel | PeerKind::Release => shared.shards.next(),
        PeerKind::Enrol => 0,
        PeerKind::Https => sni.as_deref().map_or(0, |name| of_host(&shared, name)),
    };
    let StartHandshake { accepted, io, .. } = start;
    let greeted = Greeted { kind, sni, peer, port, shard, until };
    let serving = Arc::clone(&shared);
    let serve = move |io| greeted.serve(serving, StartHandshake::from_parts(accepted, io), ticket);
    shared.shards.run(&shared.tasks, shard, io, serve).await;
}

/// A connection whose ClientHello has been read.
struct Greeted {
    kind: PeerKind,
    sni: Option<String>,
    peer: SocketAddr,
    port: u16,
    shard: usize,
    /// The handshake is to be through by then.
    until: Instant,
}

impl Greeted {
    async fn serve(self, shared: Arc<RelayShared>, start: StartHandshake<TcpStream>, mut ticket: Ticket) {
        let (peer, port, shard) = (self.peer, self.port, self.shard);
        let config = match self.kind {
            PeerKind::Tunnel => Some(Arc::clone(&shared.tunnel_tls)),
            PeerKind::Enrol => Some(Arc::clone(&shared.enrol_tls)),
            PeerKind::Release => Some(Arc::clone(&shared.release_tls)),
            PeerKind::Https => shared.https.read().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let Some(config) = config else {
            return tracing::debug!(%peer, "HTTPS visitor, but no certificate is configured");
        };
        let admission = Arc::clone(ticket.admission());
        // What serves a connection is on the heap, so that one whose handshake is under way does not have it.
        match self.kind {
            PeerKind::Tunnel => {
                let start = StartHandshake::from_parts(start.accepted, Wire::new(start.io));
                let Some(tls) = self.handshake(&shared, start, config, &admission).await else { return };
                ticket.settle_as_client();
                let Some(session) = session::run(shared, tls, peer, shard).map(Box::pin) else { return };
                session.await;
                drop(ticket);
            }
            PeerKind::Enrol => {
                let Some(tls) = self.handshake(&shared, start, config, &admission).await else { return };
                ticket.stay_pending_to_enrol();
                // An answer that does not arrive is asked for again.
                Box::pin(admission.unless_evicted(enrol::run(&shared, tls, peer))).await;
                drop(ticket);
            }
            PeerKind::Release => {
                let start = StartHandshake::from_parts(start.accepted, Wire::new(start.io));
                let Some(tls) = self.handshake(&shared, start, config, &admission).await else { return };
                let served = Box::pin(handing_out::run(&shared, tls, peer, &mut ticket));
                admission.unless_evicted(served).await;
                drop(ticket);
            }
            PeerKind::Https => {
                let Some(tls) = self.handshake(&shared, start, config, &admission).await else { return };
                if ticket.try_stay_pending_to_visit() {
                    let visitor =
                        ingress::Visitor { peer, transport: ingress::Transport::Tls { sni: self.sni }, port };
                    Box::pin(ingress::serve_tls(shared, tls, visitor, ticket)).await;
                }
            }
        }
    }

    /// The rest of the TLS handshake, when its turn has come. All of it is over in time, and when the room that the
    /// connection takes is wanted by another one.
    async fn handshake<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        shared: &RelayShared,
        start: StartHandshake<IO>,
        config: Arc<ServerConfig>,
        admission: &Admission,
    ) -> Option<TlsStream<IO>> {
        let agreed = async {
            let permit = shared.shards.handshake_permit(self.shard, admission.precedence()).await;
            // The keys are agreed upon in this call.
            let accept = start.into_stream(config).into_fallible();
            tokio::task::yield_now().await;
            drop(permit);
            match accept.await {
                Ok(tls) => Some(tls),
                Err((error, io)) => {
                    tracing::debug!(peer = %self.peer, %error, "TLS handshake failed");
                    part(io).await;
                    None
                }
            }
        };
        admission.unless_evicted(timeout_at(self.until, agreed)).await?.ok()?
    }
}

/// Ends a connection on which an alert was sent. What the peer has sent meanwhile (a client speaks before it knows
/// that it was refused) is read for a moment: left unread it would end the connection with a reset, which takes the
/// alert away with it, and the peer would not know why (RFC 1122 §4.2.2.13).
async fn part(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = io.shutdown().await;
    let rest = async { tokio::io::copy(&mut io.take(limits::REFUSED_BYTES), &mut tokio::io::sink()).await };
    let _ = tokio::time::timeout(limits::REFUSED, rest).await;
}

/// What a peer on the TLS port has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerKind {
    Tunnel,
    Enrol,
    Release,
    Https,
}

impl PeerKind {
    fn of(hello: &rustls::server::ClientHello<'_>) -> Self {
        let mut kind = Self::Https;
        for protocol in hello.alpn().into_iter().flatten() {
            match protocol {
                tls::ALPN_TUNNEL => kind = Self::Tunnel,
                tls::ALPN_ENROL => kind = Self::Enrol,
                tls::ALPN_RELEASE => kind = Self::Release,
                _ => {}
            }
        }
        kind
    }
}
