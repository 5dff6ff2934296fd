//! Messages on a connection that is no session: one CONTROL frame for a question, and one for its answer.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::proto::control::{ControlError, Message};
use crate::proto::frame::{FrameError, FrameKind, HEADER_BYTES, Header};

/// Why what came is no message that was waited for.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// Its frame cannot be one.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Its frame is not one of a message, or is longer than it may be.
    #[error("a {kind:?} frame of {length} bytes, which is no answer")]
    Unexpected {
        /// What it is.
        kind: FrameKind,
        /// How long.
        length: usize,
    },
    /// Its message cannot be understood.
    #[error(transparent)]
    Message(#[from] ControlError),
}

/// Sends the payload of a message.
///
/// # Errors
/// When the connection breaks.
///
/// # Cancel safety
/// Not cancel safe: part of the frame may have gone.
pub async fn send(io: &mut (impl AsyncWrite + Unpin), payload: &[u8]) -> io::Result<()> {
    let header = Header { stream: 0, kind: FrameKind::Control, length: payload.len() };
    io.write_all(&header.encode()).await?;
    io.write_all(payload).await?;
    io.flush().await
}

/// Receives a message of so many bytes at most; what it was read from is wiped, as one may carry a secret.
///
/// # Errors
/// When the connection breaks, or ends before the message has.
///
/// # Cancel safety
/// Not cancel safe: part of the frame may have been read.
pub async fn receive<M: Message>(
    io: &mut (impl AsyncRead + Unpin),
    most: usize,
) -> io::Result<Result<M, BadMessage>> {
    let mut header = [0; HEADER_BYTES];
    io.read_exact(&mut header).await?;
    let Header { kind, length, .. } = match Header::decode(header) {
        Ok(header) => header,
        Err(error) => return Ok(Err(error.into())),
    };
    if kind != FrameKind::Control || length > most {
        return Ok(Err(BadMessage::Unexpected { kind, length }));
    }
    let mut payload = Zeroizing::new(vec![0; length]);
    io.read_exact(&mut payload).await?;
    Ok(M::decode(&payload).map_err(BadMessage::from))
}
