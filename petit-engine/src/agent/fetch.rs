//! Fetching a file of a release: one request on a connection of its own, dialled as a session is.
//!
//! Nothing that comes is trusted: whoever asked looks at signatures and sums. Here is only seen to it that no more comes
//! than was announced, and that it does come.

use std::io;

use tokio::io::AsyncReadExt;

use super::session::verify_identity;
use crate::exchange::{self, BadMessage};
use crate::limits;
use crate::name::ServerAddr;
use crate::net::dial::{self, DialError, DialRoute, Dialled};
use crate::net::tls;
use crate::proto::control::{Fetch, FetchAnswer, FetchRefusal, FromFetcher, Message};
use crate::secret::{Fingerprint, PrivateKey};

/// Where files are fetched from, and by whom: as a session has it.
#[derive(Clone, Debug)]
pub struct Source {
    pub server: ServerAddr,
    pub route: DialRoute,
    pub pins: Vec<Fingerprint>,
    pub key: PrivateKey,
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server was not reached, or does not know this device.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The key cannot be used.
    #[error("the device key cannot be used for TLS")]
    Key(#[source] rustls::Error),
    /// The server knows this device, and is of a version that hands out no releases.
    #[error("{server} is of a version that hands out no releases")]
    NotSpoken { server: ServerAddr },
    /// The server said no.
    #[error("{server} hands out nothing: {refusal}")]
    Refused { server: ServerAddr, refusal: FetchRefusal },
    /// What came was no answer that this version understands.
    #[error("{server} has answered with something that is no answer to a question for a release")]
    BadAnswer { server: ServerAddr, source: BadMessage },
    /// The connection broke, or stood still.
    #[error("the connection to {server} broke, or stood still, while a release was fetched")]
    Broken { server: ServerAddr, source: io::Error },
}

impl FetchError {
    /// True when the same request may well have another end in a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Broken { .. } => true,
            Self::Dial(DialError::Tcp { .. } | DialError::Unanswered { .. } | DialError::Closed { .. }) => {
                true
            }
            Self::Refused { refusal, .. } => *refusal == FetchRefusal::Busy,
            Self::Dial(_) | Self::Key(_) | Self::NotSpoken { .. } | Self::BadAnswer { .. } => false,
        }
    }
}

/// Asks for a file; `None` when there is no release for this device.
///
/// # Errors
/// [`FetchError`].
///
/// # Cancel safety
/// Cancelling closes the connection.
pub async fn fetch(source: &Source, wanted: Fetch) -> Result<Option<Download>, FetchError> {
    let server = source.server.clone();
    let from = wanted.from;
    // On the heap: the way there takes much more than what comes then.
    let mut tls = Box::pin(connect(source)).await?;
    let broken = |source| broken(&server, source);
    let payload = FromFetcher::Fetch(wanted).encode().map_err(|error| broken(io::Error::other(error)))?;
    let asked = async {
        exchange::send(&mut tls, &payload).await?;
        exchange::receive(&mut tls, limits::MAX_ENROL_BYTES).await
    };
    let answer = in_time(limits::DIAL, asked).await.map_err(broken)?;
    match answer.map_err(|source| FetchError::BadAnswer { server: server.clone(), source })? {
        FetchAnswer::File { length } => {
            let piece = vec![0; limits::DOWNLOAD_PIECE_BYTES];
            Ok(Some(Download { server, tls, length, left: length.saturating_sub(from), piece }))
        }
        FetchAnswer::Nothing {} => Ok(None),
        FetchAnswer::Refused { cause } => Err(FetchError::Refused { server, refusal: cause }),
    }
}

/// Dials as a session does. A server of before does not know what was dialled for, and says so in one of several ways, none
/// of which is its alone; it is known by its knowing this device all the same.
async fn connect(source: &Source) -> Result<Dialled, FetchError> {
    let Source { server, route, pins, key } = source;
    let usual = tls::client(key, pins.clone(), tls::ALPN_RELEASE).map_err(FetchError::Key)?;
    let mut dialled = dial::dial(server, route, usual, limits::DIAL).await;
    if !route.require_pq && dialled.as_ref().is_err_and(DialError::is_before_server_hello) {
        let small = tls::small_client(key, pins.clone(), tls::ALPN_RELEASE).map_err(FetchError::Key)?;
        dialled = dial::dial(server, route, small, limits::DIAL).await;
    }
    let error = match dialled {
        Ok(tls) => return Ok(tls),
        Err(error) => error,
    };
    let may_be_old =
        matches!(error, DialError::NotPetit { .. } | DialError::Closed { .. } | DialError::Inspected { .. });
    if may_be_old && verify_identity(server, route, key, pins.clone()).await.is_ok() {
        return Err(FetchError::NotSpoken { server: server.clone() });
    }
    Err(error.into())
}

/// A file that comes in.
pub struct Download {
    server: ServerAddr,
    tls: Dialled,
    length: u64,
    left: u64,
    piece: Vec<u8>,
}

impl Download {
    /// Of the whole file, as the server says.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The next piece; `None` at the file's end, beyond which nothing is read.
    ///
    /// # Errors
    /// [`FetchError::Broken`], also when less than a piece comes within [`limits::DOWNLOAD_STALLED`].
    ///
    /// # Cancel safety
    /// Not cancel safe: what has come of a piece is lost.
    pub async fn piece(&mut self) -> Result<Option<&[u8]>, FetchError> {
        if self.left == 0 {
            return Ok(None);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.piece.len());
        let (piece, _) = self.piece.split_at_mut(most);
        let read = in_time(limits::DOWNLOAD_STALLED, self.tls.read_exact(piece)).await;
        read.map_err(|source| broken(&self.server, source))?;
        self.left = self.left.saturating_sub(u64::try_from(most).unwrap_or(u64::MAX));
        Ok(Some(piece))
    }
}

async fn in_time<T>(limit: std::time::Duration, it: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, it).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The first read is where TLS tells that a device is not known.
fn broken(server: &ServerAddr, source: io::Error) -> FetchError {
    match DialError::from_tls(server, source) {
        denied @ DialError::Denied { .. } => denied.into(),
        DialError::NotPetit { source, server } | DialError::Closed { source, server } => {
            FetchError::Broken { server, source }
        }
        other => other.into(),
    }
}
