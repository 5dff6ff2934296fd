//! Registering a device: one request on a connection of its own.

#![warn(clippy::wildcard_enum_match_arm, reason = "what follows from each case is decided here, one by one")]

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::cause::Cause;
use crate::exchange::{self, BadMessage};
use crate::invite::Invite;
use crate::limits;
use crate::name::{DeviceId, RegisteredId, ServerAddr, ServiceName};
use crate::net::dial::{self, DialError, DialRoute};
use crate::net::tls;
use crate::proto::control::{
    Enrol, EnrolAnswer, EnrolRefusal, FromDevice, Message, PROTOCOL, SecretText, Text,
};
use crate::secret::PrivateKey;

/// What a device is told when it has been registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The server's name for it.
    pub device: DeviceId,
    /// The service that the invite was made for.
    pub service: ServiceName,
    /// That service's registered ID.
    pub id: RegisteredId,
    /// That service's public address.
    pub url: String,
}

/// Why a device was not registered.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The server was not reached, or is not the one of the invite. The secret was not sent.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The server said no.
    #[error("{server} refused the invite: {refusal}")]
    Refused { server: ServerAddr, refusal: EnrolRefusal },
    /// The connection broke before the answer. Asking again with the same key is safe and gets the same answer.
    #[error("the connection to {server} broke before it had answered; trying again is safe")]
    NoAnswer {
        server: ServerAddr,
        /// What happened.
        source: io::Error,
    },
    /// What came was no answer that this version understands. Whether the device is registered is open; asking again
    /// with the same key is safe.
    #[error("{server} has answered with something that is no answer to a registration")]
    BadAnswer {
        server: ServerAddr,
        /// What is wrong with it.
        source: BadMessage,
    },
    /// The key cannot be used.
    #[error("the device key cannot be used for TLS")]
    Key(#[source] rustls::Error),
}

impl EnrolError {
    /// What a screen may know of a failure to reach the server; `None` when the server has decided.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Dial(error) => Some(error.cause()),
            Self::NoAnswer { .. } => Some(Cause::Lost),
            Self::BadAnswer { .. } | Self::Key(_) => Some(Cause::Protocol),
            Self::Refused { .. } => None,
        }
    }
}

/// Registers the device that holds `key` with an invite. Repeating it with the same key and invite is safe.
///
/// The secret leaves only after the server has proved to hold a key that the invite pins.
///
/// # Errors
/// [`EnrolError`].
///
/// # Cancel safety
/// Cancelling leaves it open whether the device is registered; repeat it to find out.
pub async fn enrol(
    invite: &Invite,
    route: &DialRoute,
    key: &PrivateKey,
    device_name: &str,
    software: &Text<64>,
) -> Result<Registered, EnrolError> {
    let server = &invite.server;
    let config = tls::client(key, invite.pins.clone(), tls::ALPN_ENROL).map_err(EnrolError::Key)?;
    let mut tls = dial::dial(server, route, config, limits::DIAL).await?;
    let request = FromDevice::Enrol(Enrol {
        protocol: PROTOCOL,
        invite: Text::lossy(&invite.id.to_string()),
        secret: SecretText::from_hex(invite.secret.expose()),
        device_name: Text::lossy(device_name),
        software: software.clone(),
    });
    let no_answer = |source| EnrolError::NoAnswer { server: server.clone(), source };
    let payload = Zeroizing::new(request.encode().map_err(|error| no_answer(io::Error::other(error)))?);
    let answer = tokio::time::timeout(limits::DIAL, ask(&mut tls, &payload)).await;
    let answer = match answer {
        Ok(answer) => answer
            .map_err(no_answer)?
            .map_err(|source| EnrolError::BadAnswer { server: server.clone(), source })?,
        Err(_) => return Err(no_answer(io::ErrorKind::TimedOut.into())),
    };
    match answer {
        EnrolAnswer::Enrolled { device, service, id, url } => {
            Ok(Registered { device, service, id, url: url.as_str().to_owned() })
        }
        EnrolAnswer::Refused { cause } => Err(EnrolError::Refused { server: server.clone(), refusal: cause }),
    }
}

/// Sends the request's frame and reads the frame that answers it.
async fn ask<IO>(tls: &mut IO, payload: &[u8]) -> io::Result<Result<EnrolAnswer, BadMessage>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    exchange::send(tls, payload).await?;
    let answer = exchange::receive(tls, limits::MAX_ENROL_BYTES).await?;
    let _ = tls.shutdown().await;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::proto::frame::{FrameKind, HEADER_BYTES, Header};

    /// What becomes of a request that is answered with these bytes, after which the connection ends.
    async fn answered(answer: &[u8]) -> io::Result<Result<EnrolAnswer, BadMessage>> {
        let (mut near, mut far) = tokio::io::duplex(4096);
        let server = async {
            let mut request = [0; HEADER_BYTES + 2];
            far.read_exact(&mut request).await.unwrap();
            far.write_all(answer).await.unwrap();
            drop(far);
        };
        tokio::join!(ask(&mut near, b"{}"), server).0
    }

    fn frame(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
        let stream = u32::from(kind == FrameKind::Data);
        let mut frame = Header { stream, kind, length: payload.len() }.encode().to_vec();
        frame.extend_from_slice(payload);
        frame
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_one_is_told_from_a_connection_that_breaks() {
        let refused = frame(FrameKind::Control, br#"{"type":"refused","cause":"used"}"#);
        assert!(matches!(answered(&refused).await, Ok(Ok(EnrolAnswer::Refused { .. }))));
        let unknown = frame(FrameKind::Control, br#"{"type":"enrolled"}"#);
        assert!(matches!(answered(&unknown).await, Ok(Err(BadMessage::Message(_)))));
        let data = frame(FrameKind::Data, b"x");
        assert!(matches!(answered(&data).await, Ok(Err(BadMessage::Unexpected { .. }))));
        let long = frame(FrameKind::Control, &[b' '; limits::MAX_ENROL_BYTES + 1]);
        assert!(matches!(answered(&long[..HEADER_BYTES]).await, Ok(Err(BadMessage::Unexpected { .. }))));
        assert!(matches!(answered(b"HTTP/1.1 400 Bad Request").await, Ok(Err(BadMessage::Frame(_)))));
        for cut in [0, 3, HEADER_BYTES, refused.len() - 1] {
            assert!(answered(&refused[..cut]).await.is_err(), "it broke after {cut} bytes");
        }
    }
}
