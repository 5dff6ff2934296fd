//! The calling side of local control.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::ApiProblem;

/// So often is a program asked again that is just being replaced, which takes a moment.
const MOVED_TRIES: u32 = 100;
/// How long is waited before that.
const MOVED_PAUSE: Duration = Duration::from_millis(20);

/// How long an answer may take. The longest that is meant to take long is that of a restart, some 40 s: of whoever takes
/// longer it is to be known that it hangs, above all by root, who waits for a program that is not his.
const ANSWERED_WITHIN: Duration = Duration::from_mins(2);
/// An answer: the longest is a list of all clients, some 600 bytes each, of which there may be 100,000.
const MAX_ANSWER_BYTES: usize = 128 * 1024 * 1024;
/// One event: a whole status, of which 64 services are the most.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("it is not running")]
    NotRunning,
    /// The socket belongs to another user.
    #[error("the control socket {} belongs to another user", path.display())]
    NotAllowed { path: PathBuf },
    /// It answered that it could not do it.
    #[error(transparent)]
    Refused(ApiProblem),
    /// The connection broke, or the answer was none.
    #[error("the running program gave no answer")]
    Broken(#[source] io::Error),
}

/// Calls a running program.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    within: Duration,
}

impl Client {
    /// For the program that listens on `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), within: ANSWERED_WITHIN }
    }

    /// The same, for what may take longer, or must not take as long, as two minutes.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Sends one request and returns the JSON that answers it. While the program is being replaced by another
    /// process, the one that can answer is asked.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&self, method: &str, target: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let answered = async {
            let mut tries = 0;
            loop {
                match self.call_once(method, target, body).await {
                    Err(CallError::Refused(problem))
                        if problem.code == ApiProblem::MOVED && tries < MOVED_TRIES =>
                    {
                        tries += 1;
                        tokio::time::sleep(MOVED_PAUSE).await;
                    }
                    answer => return answer,
                }
            }
        };
        self.in_time(answered).await
    }

    async fn call_once(&self, method: &str, target: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let response = self.send(method, target, body).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let bytes = body.collect().await.map_err(broken)?.to_bytes();
        let value: Value = serde_json::from_slice(&bytes).map_err(broken)?;
        if status.is_success() {
            Ok(value)
        } else {
            Err(CallError::Refused(ApiProblem::from_json(status.as_u16(), &value)))
        }
    }

    /// Asks for a value and its changes.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn events(&self, target: &str) -> Result<Events, CallError> {
        let response = self.in_time(self.send("GET", target, None)).await?;
        Ok(Events { body: response.into_body(), rest: Vec::new(), looked_at: 0 })
    }

    async fn in_time<T>(&self, answered: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        match tokio::time::timeout(self.within, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(broken(format!("nothing came within {} s", self.within.as_secs()))),
        }
    }

    async fn send(
        &self,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, CallError> {
        let stream = super::socket::connect(&self.path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CallError::NotRunning,
            io::ErrorKind::PermissionDenied => CallError::NotAllowed { path: self.path.clone() },
            _ => CallError::Broken(error),
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, "petit")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(broken)?;
        sender.send_request(request).await.map_err(broken)
    }
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CallError {
    CallError::Broken(io::Error::other(error))
}

/// A value as it changes.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    /// Bytes of what is not whole yet: a letter may be cut anywhere.
    rest: Vec<u8>,
    /// So many of them have no end in them.
    looked_at: usize,
}

impl Events {
    /// The next value; `None` when the program has ended.
    ///
    /// # Errors
    /// [`CallError::Broken`].
    pub async fn next(&mut self) -> Result<Option<Value>, CallError> {
        const END: &[u8] = b"\n\n";
        loop {
            let new = self.rest.get(self.looked_at..).unwrap_or_default();
            if let Some(end) = new.windows(END.len()).position(|bytes| bytes == END) {
                let event: Vec<u8> = self.rest.drain(..self.looked_at + end + END.len()).collect();
                self.looked_at = 0;
                let data = event.strip_prefix(b"data: ").unwrap_or(&event);
                return serde_json::from_slice(data).map(Some).map_err(broken);
            }
            self.looked_at = self.rest.len().saturating_sub(1);
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.map_err(broken)?;
                    self.rest.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
                    if self.rest.len() > MAX_EVENT_BYTES {
                        return Err(broken("an event of it does not end"));
                    }
                }
            }
        }
    }
}
