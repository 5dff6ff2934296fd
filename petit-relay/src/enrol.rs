//! `petit-enroll/1`: one request, one answer, then the connection ends.

use std::net::SocketAddr;

use petit_engine::exchange;
use petit_engine::limits;
use petit_engine::net::tls;
use petit_engine::proto::control::{
    EnrolAnswer, EnrolRefusal, FromDevice, Message, PROTOCOL, PublicUrl, Text,
};
use petit_engine::secret::{InviteId, InviteSecret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{EnrolRequest, RelayShared};

/// Serves one enrolment. The key to register is the one that TLS has proved.
pub(super) async fn run(shared: &RelayShared, mut tls: TlsStream<TcpStream>, peer: SocketAddr) {
    let Some(key) = tls::peer_key(tls.get_ref().1) else { return };
    let request = exchange::receive(&mut tls, limits::MAX_ENROL_BYTES);
    let request = tokio::time::timeout(limits::FIRST_MESSAGE, request).await;
    let request = request.ok().and_then(Result::ok).and_then(Result::ok);
    let request = request.map(|request| {
        let FromDevice::Enrol(enrol) = request;
        let parts = (enrol.protocol == PROTOCOL)
            .then(|| Some((invite_id(&enrol.invite)?, InviteSecret::from_bytes(enrol.secret.to_bytes()?))))
            .flatten();
        parts.map(|(invite, secret)| EnrolRequest {
            key,
            invite,
            secret: secret.hash(),
            device_name: enrol.device_name,
            software: enrol.software,
            from: peer.ip(),
        })
    });
    let result = match request.flatten() {
        Some(_) if !shared.enrolling.may_try(peer.ip()) => {
            tracing::debug!(%peer, "too many failed enrolments from this address; it has to wait");
            Err(EnrolRefusal::Busy)
        }
        Some(request) => {
            let invite = request.invite;
            let result = shared.access.enrol(request).await;
            if matches!(result, Err(EnrolRefusal::Invalid)) {
                shared.enrolling.failed(peer.ip());
            }
            tracing::info!(%invite, %peer, ?result, "enrolment");
            result
        }
        None => {
            // Anybody can send what is none, as often as admission lets them.
            tracing::debug!(%peer, "enrolment request not understood");
            Err(EnrolRefusal::Protocol)
        }
    };
    let answer = match result {
        Ok(enrolled) => EnrolAnswer::Enrolled {
            device: enrolled.device,
            url: PublicUrl::own(shared.config.endpoint.url(enrolled.id.as_str())),
            service: enrolled.service,
            id: enrolled.id,
        },
        Err(cause) => EnrolAnswer::Refused { cause },
    };
    let _ = tokio::time::timeout(limits::FIRST_MESSAGE, write(&mut tls, &answer)).await;
}

fn invite_id(hex: &Text<32>) -> Option<InviteId> {
    data_encoding::HEXLOWER.decode(hex.as_str().as_bytes()).ok()?.try_into().ok().map(InviteId)
}

async fn write(tls: &mut TlsStream<TcpStream>, answer: &EnrolAnswer) -> std::io::Result<()> {
    exchange::send(tls, &answer.encode().map_err(std::io::Error::other)?).await?;
    tls.shutdown().await?;
    // The device closes when it has the answer; closing first could take the answer with it.
    let drained = async { while tls.read(&mut [0; 256]).await.is_ok_and(|n| n > 0) {} };
    let _ = tokio::time::timeout(limits::ENROL_LINGER, drained).await;
    Ok(())
}
