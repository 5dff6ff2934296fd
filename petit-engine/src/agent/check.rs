//! The health check of a private service on a connection to it: does it speak what it should, as far as that can be
//! found out without a visitor's request.
//!
//! A connection that is accepted proves that somebody listens, and nothing of what would be answered. A service of
//! HTTP/2 says so before it is asked anything: a server begins with its SETTINGS (RFC 9113 §3.4). One of HTTP/1.1 is
//! asked only when a visitor has got no proper answer, by the request that means nothing but that (`OPTIONS *`,
//! RFC 9110 §9.3.7). Raw TCP has nothing that could be asked.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::local::{Local, NotConnected, ServiceSpec, connect_with};
use crate::cause::ServiceCause;
use crate::limits;
use crate::proto::control::ServiceKind;

/// What a service's answers begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Anything,
    Http1,
    Http2,
}

/// RFC 9113 §3.4: what a client begins with, and an empty SETTINGS frame.
const H2_BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A GOAWAY frame without an error: nothing more comes.
const H2_END: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Type and stream of an HTTP/2 frame end here (RFC 9113 §4.1).
const H2_FRAME_HEAD_BYTES: usize = 9;
const H1_BEGIN: &[u8] = b"HTTP/1.";

impl Speaks {
    pub(super) fn of(service: &ServiceSpec) -> Self {
        match (service.kind, service.options.h2) {
            (ServiceKind::Tcp, _) => Self::Anything,
            (ServiceKind::Http, false) => Self::Http1,
            (ServiceKind::Http, true) => Self::Http2,
        }
    }

    /// True when an answer can begin with `bytes`, as far as they go.
    pub(super) fn is_answer(self, bytes: &[u8]) -> bool {
        match self {
            Self::Anything => true,
            Self::Http1 => H1_BEGIN.iter().zip(bytes).all(|(wanted, found)| wanted == found),
            // RFC 9113 §3.4: a server begins with a SETTINGS frame (type 4, stream 0).
            Self::Http2 => bytes.get(3).is_none_or(|kind| *kind == 4),
        }
    }

    /// How many bytes show whether something is an answer.
    fn least_bytes(self) -> usize {
        match self {
            Self::Anything => 0,
            Self::Http1 => H1_BEGIN.len(),
            Self::Http2 => H2_FRAME_HEAD_BYTES,
        }
    }
}

/// What a check asks of a service that it is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Nothing: that it accepts is all that can be known of it, or all that there is doubt about.
    Nothing,
    /// Whether it speaks HTTP/2.
    Http2,
    /// Whether it answers a request of HTTP/1.1.
    Http1,
}

impl Question {
    /// What there is to be asked of a service. `is_suspect`: a visitor has got no proper answer from it.
    pub(super) fn to(speaks: Speaks, is_suspect: bool) -> Self {
        match speaks {
            Speaks::Http2 => Self::Http2,
            Speaks::Http1 if is_suspect => Self::Http1,
            Speaks::Http1 | Speaks::Anything => Self::Nothing,
        }
    }
}

/// Connects to a service and looks whether it speaks what was set up, as far as it says so before it is asked for
/// anything: one of HTTP/2 does.
///
/// # Errors
/// Why it was not reached, or what is wrong with what it says.
///
/// # Cancel safety
/// Cancelling closes the connection.
pub async fn check(service: &ServiceSpec) -> Result<(), ServiceCause> {
    let mut local: Local = connect_with(service, None).await.map_err(|cause| match cause {
        NotConnected::Service(cause) => cause,
        NotConnected::NoDescriptors => ServiceCause::Unreachable,
    })?;
    ask(&mut local, Question::to(Speaks::of(service), false), service).await
}

/// Asks a service that is connected to, and judges how its answer begins, within [`limits::SERVICE_ANSWERS`].
///
/// # Errors
/// [`ServiceCause::NoAnswer`] or [`ServiceCause::NotHttp`].
pub(super) async fn ask<L>(local: &mut L, what: Question, service: &ServiceSpec) -> Result<(), ServiceCause>
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let (speaks, begin, end): (_, Vec<u8>, &[u8]) = match what {
        Question::Nothing => return Ok(()),
        Question::Http2 => (Speaks::Http2, H2_BEGIN.to_vec(), H2_END),
        Question::Http1 => (Speaks::Http1, options_of(service).into_bytes(), b""),
    };
    let asking = async {
        local.write_all(&begin).await?;
        local.flush().await?;
        first_bytes(local, speaks.least_bytes()).await
    };
    let said = tokio::time::timeout(limits::SERVICE_ANSWERS, asking).await;
    let said = said.map_err(|_| ServiceCause::NoAnswer)?.unwrap_or_default();
    if said.is_empty() {
        // It has closed, or broken off: one of HTTP/2 had something to say before, and does not speak it.
        return Err(if what == Question::Http2 { ServiceCause::NotHttp } else { ServiceCause::NoAnswer });
    }
    if !speaks.is_answer(&said) || said.len() < speaks.least_bytes() {
        return Err(ServiceCause::NotHttp);
    }
    // It has answered; that it is left is said for its own log's sake.
    let _ = tokio::time::timeout(limits::SERVICE_ANSWERS, async {
        local.write_all(end).await?;
        local.shutdown().await
    })
    .await;
    Ok(())
}

/// The first bytes that come, so many or all that there are.
async fn first_bytes<L: AsyncRead + Unpin>(local: &mut L, count: usize) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    match local.take(count as u64).read_to_end(&mut said).await {
        // What was said before it broke off is what it says.
        Err(error) if said.is_empty() => Err(error),
        Ok(_) | Err(_) => Ok(said),
    }
}

/// The request that is about the server and no resource of it.
fn options_of(service: &ServiceSpec) -> String {
    let target = service.target.to_string();
    let host = service.options.host.as_ref().map_or(target.as_str(), |host| host.as_str());
    format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\nUser-Agent: petit\r\nConnection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ServiceSpec {
        ServiceSpec::plain("web".parse().unwrap(), ServiceKind::Http, "localhost:3000".parse().unwrap())
    }

    /// What a check finds of a service that says this when it is asked, and then closes.
    async fn found(what: Question, says: &[u8]) -> Result<(), ServiceCause> {
        let (mut local, mut service) = tokio::io::duplex(1000);
        let answering = async {
            let mut asked = [0; 200];
            assert!(service.read(&mut asked).await.unwrap() > 0);
            service.write_all(says).await.unwrap();
            service.shutdown().await.unwrap();
        };
        let spec = spec();
        tokio::join!(ask(&mut local, what, &spec), answering).0
    }

    #[tokio::test]
    async fn only_a_settings_frame_is_the_beginning_of_http2() {
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
        for (says, expected) in [
            (&settings[..], Ok(())),
            (b"\0\0\0\x04\0\0\0\0\0", Ok(())),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", Err(ServiceCause::NotHttp)),
            (b"HTT", Err(ServiceCause::NotHttp)),
            (b"\0\0\0\x07\0\0\0\0\0", Err(ServiceCause::NotHttp)),
            (b"", Err(ServiceCause::NotHttp)),
        ] {
            assert_eq!(found(Question::Http2, says).await, expected, "{says:?}");
        }
    }

    #[tokio::test]
    async fn any_status_is_an_answer_to_a_service_that_is_asked_whether_it_answers() {
        for (says, expected) in [
            (&b"HTTP/1.1 405 Method Not Allowed\r\n\r\n"[..], Ok(())),
            (b"HTTP/1.0 500 No\r\n\r\n", Ok(())),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Err(ServiceCause::NotHttp)),
            (b"", Err(ServiceCause::NoAnswer)),
        ] {
            assert_eq!(found(Question::Http1, says).await, expected, "{says:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_takes_a_question_and_says_nothing_gives_no_answer() {
        for what in [Question::Http1, Question::Http2] {
            let (mut local, _service) = tokio::io::duplex(1000);
            assert_eq!(ask(&mut local, what, &spec()).await, Err(ServiceCause::NoAnswer));
        }
    }

    #[test]
    fn a_service_is_asked_no_more_than_there_is_doubt_about() {
        for (speaks, is_suspect, expected) in [
            (Speaks::Anything, true, Question::Nothing),
            (Speaks::Http1, false, Question::Nothing),
            (Speaks::Http1, true, Question::Http1),
            (Speaks::Http2, false, Question::Http2),
            (Speaks::Http2, true, Question::Http2),
        ] {
            assert_eq!(Question::to(speaks, is_suspect), expected);
        }
        assert!(options_of(&spec()).starts_with("OPTIONS * HTTP/1.1\r\nHost: localhost:3000\r\n"));
    }
}
