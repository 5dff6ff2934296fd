//! `petit-release/1`: hands out a file of the release that the vendor passes on, to a device that is registered.
//!
//! What the files are is not looked at: they are signed, and whoever fetches them looks at that. A download is bounded by its
//! progress and not by its time; each reads a piece when the one before is on its way, so that it holds two pieces at most,
//! whatever the file's length. When the relay leaves, downloads are cut: they go on at the next process.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use petit_engine::exchange;
use petit_engine::limits;
use petit_engine::name::DeviceId;
use petit_engine::net::tls;
use petit_engine::net::wire::Wire;
use petit_engine::proto::control::{Fetch, FetchAnswer, FetchRefusal, FromFetcher, Message};
use petit_engine::secret::PublicKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tracing::Instrument;

use super::RelayShared;
use super::admission::Ticket;
use super::releases::ReleaseFile;

type Tls = TlsStream<Wire<TcpStream>>;

/// Serves one request for a file.
pub(super) async fn run(shared: &Arc<RelayShared>, tls: Tls, peer: SocketAddr, ticket: &mut Ticket) {
    let Some(key) = tls::peer_key(tls.get_ref().1) else { return };
    let Some(device) = shared.access.device(&key) else { return };
    let place = shared.downloads.enter(device, shared.places.visitor(peer.ip()));
    match &place {
        Some(_) => ticket.settle_as_client(),
        None => ticket.stay_pending_to_enrol(),
    }
    let span = tracing::info_span!("release", client = %device);
    let request = Request { shared, key, device, has_place: place.is_some() };
    tokio::select! {
        outcome = request.serve(tls).instrument(span) => {
            if let Err(error) = outcome {
                tracing::debug!(%device, %peer, %error, "a download has ended before its end");
            }
        }
        () = shared.leaving.closes(|| false) => {}
    }
}

struct Request<'a> {
    shared: &'a RelayShared,
    key: PublicKey,
    device: DeviceId,
    has_place: bool,
}

impl Request<'_> {
    async fn serve(&self, mut tls: Tls) -> io::Result<()> {
        let request = exchange::receive(&mut tls, limits::MAX_ENROL_BYTES);
        let request = tokio::time::timeout(limits::FIRST_MESSAGE, request).await??;
        let (answer, from, file) = match request {
            Ok(FromFetcher::Fetch(wanted)) => {
                tracing::debug!(target = %wanted.target, file = %wanted.file, from = wanted.from, "asked for");
                let from = wanted.from;
                let (answer, file) = self.answer(wanted).await;
                (answer, from, file)
            }
            Err(_) => (FetchAnswer::Refused { cause: FetchRefusal::Protocol }, 0, None),
        };
        let payload = answer.encode().map_err(io::Error::other)?;
        tokio::time::timeout(limits::FIRST_MESSAGE, exchange::send(&mut tls, &payload)).await??;
        if let Some(file) = file {
            self.send(&mut tls, file.as_ref(), from).await?;
        }
        tokio::time::timeout(limits::DOWNLOAD_STALLED, tls.shutdown()).await??;
        // The device closes when it has all of it; closing first could take the rest with it.
        let drained = async { while tls.read(&mut [0; 256]).await.is_ok_and(|n| n > 0) {} };
        let _ = tokio::time::timeout(limits::DOWNLOAD_STALLED, drained).await;
        Ok(())
    }

    async fn answer(&self, wanted: Fetch) -> (FetchAnswer, Option<Arc<dyn ReleaseFile>>) {
        let refused = |cause| (FetchAnswer::Refused { cause }, None);
        let Some(releases) = self.shared.releases.as_ref() else { return (FetchAnswer::Nothing {}, None) };
        if !self.has_place {
            return refused(FetchRefusal::Busy);
        }
        let from = wanted.from;
        match releases.open(self.device, wanted).await {
            Ok(None) => (FetchAnswer::Nothing {}, None),
            Ok(Some(file)) if from > file.length() => refused(FetchRefusal::NotThere),
            Ok(Some(file)) => (FetchAnswer::File { length: file.length() }, Some(file)),
            Err(cause) => refused(cause),
        }
    }

    /// Sends a file from a place on, as long as its device is registered and takes it.
    async fn send(&self, tls: &mut Tls, file: &dyn ReleaseFile, from: u64) -> io::Result<()> {
        let mut at = from;
        while at < file.length() {
            if self.shared.access.device(&self.key) != Some(self.device) {
                return Err(io::Error::other("the device is not registered any more"));
            }
            let mut piece = file.read(at).await?;
            let left = usize::try_from(file.length() - at).unwrap_or(usize::MAX);
            piece.truncate(left);
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // What TLS has taken is no progress, but it takes no more than two pieces.
            tokio::time::timeout(limits::DOWNLOAD_STALLED, tls.write_all(&piece)).await??;
            at += u64::try_from(piece.len()).unwrap_or_default();
        }
        Ok(())
    }
}
