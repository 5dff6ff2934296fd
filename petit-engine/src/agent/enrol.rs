//! Registering a device: one request on a connection of its own.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::cause::Cause;
use crate::invite::Invite;
use crate::limits;
use crate::name::{DeviceId, RegisteredId, ServerAddr, ServiceName};
use crate::net::dial::{self, DialError, Dialled, Way};
use crate::net::tls;
use crate::proto::control::{
    Enrol, EnrolAnswer, EnrolRefusal, FromDevice, Message, PROTOCOL, SecretText, Text,
};
use crate::proto::frame::{HEADER_BYTES, Header, Kind};
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
    Refused {
        /// Who.
        server: ServerAddr,
        /// Why.
        refusal: EnrolRefusal,
    },
    /// The connection broke before the answer. Asking again with the same key is safe and gets the same answer.
    #[error("the connection to {server} broke before it had answered; trying again is safe")]
    NoAnswer {
        /// Who.
        server: ServerAddr,
        /// What happened.
        source: io::Error,
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
            Self::Key(_) => Some(Cause::Protocol),
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
    way: &Way,
    key: &PrivateKey,
    device_name: &str,
    software: &Text<64>,
) -> Result<Registered, EnrolError> {
    let server = &invite.server;
    let config = tls::client(key, invite.pins.clone(), tls::ALPN_ENROL).map_err(EnrolError::Key)?;
    let mut tls = dial::dial(server, way, config, limits::DIAL).await?;
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
        Ok(answer) => answer.map_err(no_answer)?,
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
async fn ask(tls: &mut Dialled, payload: &[u8]) -> io::Result<EnrolAnswer> {
    let header = Header { stream: 0, kind: Kind::Control, length: payload.len() };
    tls.write_all(&header.encode()).await?;
    tls.write_all(payload).await?;
    tls.flush().await?;
    let mut header = [0; HEADER_BYTES];
    tls.read_exact(&mut header).await?;
    let header = Header::decode(header).map_err(io::Error::other)?;
    if header.kind != Kind::Control || header.length > limits::MAX_ENROL_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; header.length];
    tls.read_exact(&mut answer).await?;
    let _ = tls.shutdown().await;
    EnrolAnswer::decode(&answer).map_err(io::Error::other)
}
