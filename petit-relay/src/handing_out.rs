//! `petit-release/1`: hands out a file of the release that the vendor passes on, to a device that is registered.
//!
//! What the files are is not looked at: they are signed, and whoever fetches them looks at that. A download is bounded by its
//! progress and not by its time, and ends where another one needs its place ([`Downloads`](super::downloads)); each reads a
//! piece when the one before is on its way, so that it holds two pieces at most, whatever the file's length. The signed
//! documents are small, in memory, and need no place: who asks for them stays pending, and makes way as such. When the
//! relay leaves, downloads are cut: they go on at the next process.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use petit_engine::exchange;
use petit_engine::limits;
use petit_engine::net::tls;
use petit_engine::net::wire::Wire;
use petit_engine::proto::control::{BUNDLE_FILE, Fetch, FetchAnswer, FetchRefusal, FromFetcher, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tracing::Instrument;

use super::RelayShared;
use super::admission::Ticket;
use super::downloads::{DownloadPlace, Newcomer};
use super::releases::ReleaseFile;

type Tls = TlsStream<Wire<TcpStream>>;

/// Serves one request for a file.
pub(super) async fn run(shared: &Arc<RelayShared>, tls: Tls, peer: SocketAddr, ticket: &mut Ticket) {
    let Some(key) = tls::peer_key(tls.get_ref().1) else { return };
    let Some(device) = shared.access.device(&key).filter(|device| shared.is_welcome(&key, *device)) else {
        return;
    };
    let newcomer = Newcomer { device, key, network: shared.places.visitor(peer.ip()) };
    // Whoever dawdles over the request occupies nothing that others wait for.
    ticket.stay_pending_to_enrol();
    let span = tracing::info_span!("release", client = %device);
    let request = Request { shared, newcomer };
    tokio::select! {
        outcome = request.serve(tls, ticket).instrument(span) => {
            if let Err(error) = outcome {
                tracing::debug!(%device, %peer, %error, "a download has ended before its end");
            }
        }
        () = shared.leaving.closes(|| false) => {}
    }
}

struct Request<'a> {
    shared: &'a RelayShared,
    newcomer: Newcomer,
}

/// What is sent of a file.
struct Sending<'a> {
    file: Arc<dyn ReleaseFile>,
    from: u64,
    /// `None`: it needs none.
    place: Option<DownloadPlace<'a>>,
}

impl<'a> Request<'a> {
    async fn serve(&self, mut tls: Tls, ticket: &mut Ticket) -> io::Result<()> {
        let request = exchange::receive(&mut tls, limits::MAX_ENROL_BYTES);
        let request = tokio::time::timeout(limits::FIRST_MESSAGE, request).await??;
        let answer = match request {
            Ok(FromFetcher::Fetch(wanted)) => {
                tracing::debug!(target = %wanted.target, file = %wanted.file, from = wanted.from, "asked for");
                self.answer(wanted).await
            }
            Err(_) => Err(FetchAnswer::Refused { cause: FetchRefusal::Protocol }),
        };
        let sending = match answer {
            Ok(sending) => sending,
            Err(answer) => return say(&mut tls, &answer).await,
        };
        let Some(place) = &sending.place else { return sending.deliver(&mut tls).await };
        ticket.settle_as_client();
        tokio::select! {
            outcome = sending.deliver(&mut tls) => outcome,
            () = place.ended() => Err(io::Error::other("another one has its place, or the device is not registered any more")),
        }
    }

    /// What is sent, or why nothing is.
    async fn answer(&self, wanted: Fetch) -> Result<Sending<'a>, FetchAnswer> {
        let refused = |cause| FetchAnswer::Refused { cause };
        let releases = self.shared.releases.as_ref().ok_or(FetchAnswer::Nothing {})?;
        let (from, needs_place) = (wanted.from, wanted.file.as_str() != BUNDLE_FILE);
        // A disk that hangs is no reason to wait for ever.
        let opened =
            tokio::time::timeout(limits::DOWNLOAD_STALLED, releases.open(self.newcomer.device, wanted)).await;
        let opened = opened.unwrap_or(Err(FetchRefusal::Unreadable)).map_err(refused)?;
        let file = opened.ok_or(FetchAnswer::Nothing {})?;
        if from > file.length() {
            return Err(refused(FetchRefusal::NotThere));
        }
        // Who has all of it keeps nobody else out.
        let place = match needs_place && from < file.length() {
            true => {
                let place = self.shared.downloads.enter(&self.newcomer, Instant::now());
                let place = place.ok_or(refused(FetchRefusal::Busy))?;
                // Whoever is kept out from now on loses the place; who was before has to be looked at here.
                if !self.shared.is_welcome(&self.newcomer.key, self.newcomer.device) {
                    return Err(refused(FetchRefusal::Busy));
                }
                Some(place)
            }
            false => None,
        };
        Ok(Sending { file, from, place })
    }
}

/// Sends an answer that nothing follows.
async fn say(tls: &mut Tls, answer: &FetchAnswer) -> io::Result<()> {
    send_answer(tls, answer).await?;
    tokio::time::timeout(limits::FIRST_MESSAGE, tls.shutdown()).await??;
    drain(tls, limits::ENROL_LINGER).await;
    Ok(())
}

async fn send_answer(tls: &mut Tls, answer: &FetchAnswer) -> io::Result<()> {
    let payload = answer.encode().map_err(io::Error::other)?;
    tokio::time::timeout(limits::FIRST_MESSAGE, exchange::send(tls, &payload)).await??;
    Ok(())
}

/// Waits until the device closes, which it does when it has all of it; closing first could take the rest with it.
async fn drain(tls: &mut Tls, limit: Duration) {
    let drained = async { while tls.read(&mut [0; 256]).await.is_ok_and(|n| n > 0) {} };
    let _ = tokio::time::timeout(limit, drained).await;
}

impl Sending<'_> {
    /// Sends a file from a place on, for as long as its device takes it.
    async fn deliver(&self, tls: &mut Tls) -> io::Result<()> {
        let length = self.file.length();
        send_answer(tls, &FetchAnswer::File { length }).await?;
        let mut at = self.from;
        while at < length {
            let left = usize::try_from(length - at).unwrap_or(usize::MAX);
            if let Some(place) = &self.place {
                place.may_send(left.min(limits::DOWNLOAD_PIECE_BYTES)).await;
            }
            let mut piece = tokio::time::timeout(limits::DOWNLOAD_STALLED, self.file.read(at)).await??;
            piece.truncate(left);
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // What TLS has taken is no progress, but it takes no more than two pieces.
            tokio::time::timeout(limits::DOWNLOAD_STALLED, tls.write_all(&piece)).await??;
            if let Some(place) = &self.place {
                place.sent(piece.len());
            }
            at += u64::try_from(piece.len()).unwrap_or_default();
        }
        tokio::time::timeout(limits::DOWNLOAD_STALLED, tls.shutdown()).await??;
        drain(tls, limits::DOWNLOAD_STALLED).await;
        Ok(())
    }
}
