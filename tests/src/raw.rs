//! Bytes as they are: a service that writes down what it is sent, one that answers with whatever a test wants, and
//! a visitor who sends what no library would.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A service that reads requests strictly, writes down their bytes, and answers each with `200 ok`.
pub struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    serving: JoinHandle<()>,
}

impl Recorder {
    /// Starts one.
    pub async fn start() -> Self {
        let seen = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let recording = Arc::clone(&seen);
        let (address, serving) = serve(move |mut tcp| {
            let seen = Arc::clone(&recording);
            async move {
                let mut bytes = Vec::new();
                while let Some(request) = next_request(&mut tcp, &mut bytes).await {
                    let close = request.windows(17).any(|w| w.eq_ignore_ascii_case(b"connection: close"));
                    seen.lock().unwrap().push(request);
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if tcp.write_all(answer).await.is_err() || close {
                        return;
                    }
                }
                // What is no request is written down, too.
                if !bytes.is_empty() {
                    seen.lock().unwrap().push(bytes);
                }
            }
        })
        .await;
        Self { address, seen, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was sent since the last look, request by request.
    pub fn take(&self) -> Vec<String> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Reads one request from a connection; `rest` holds what was read beyond it. `None` at the end, or when what
/// came is no request.
async fn next_request(tcp: &mut TcpStream, rest: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(length) = request_length(rest) {
            return Some(rest.drain(..length).collect());
        }
        let mut buffer = vec![0; 4096];
        match tcp.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => rest.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The length of the request at the front; `None` while it is not whole.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("transfer-encoding:") == Some("chunked") {
        let end = bytes[head..].windows(5).position(|window| window == b"0\r\n\r\n")? + 5;
        return Some(head + end);
    }
    let length: usize = field("content-length:").map_or(Some(0), |length| length.parse().ok())?;
    (bytes.len() >= head + length).then_some(head + length)
}

/// What a scripted service does after its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Closes.
    Close,
    /// Resets the connection.
    Reset,
    /// Keeps the connection open and says nothing more.
    Hold,
}

/// A service that answers every request with the same bytes.
pub struct Scripted {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Scripted {
    /// Starts one.
    pub async fn answering(answer: impl Into<Vec<u8>>, then: Then) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        let (address, serving) = serve(move |mut tcp| {
            let answer = Arc::clone(&answer);
            async move {
                let mut rest = Vec::new();
                // An end-to-end probe asks for nothing, and is answered with nothing.
                if next_request(&mut tcp, &mut rest).await.is_none() {
                    return;
                }
                let _ = tcp.write_all(&answer).await;
                match then {
                    Then::Close => drop(tcp.shutdown().await),
                    Then::Reset => drop(tcp.set_zero_linger()),
                    Then::Hold => while tcp.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {},
                }
            }
        })
        .await;
        Self { address, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve<F>(connection: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((tcp, _)) = accepted else { return };
                    let _ = tcp.set_nodelay(true);
                    connections.spawn(connection(tcp));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    });
    (address, serving)
}

/// What became of raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Everything that came back.
    pub bytes: Vec<u8>,
    /// The connection was closed by the other side.
    pub closed: bool,
}

impl Outcome {
    /// The status codes of the answers, in their order.
    pub fn statuses(&self) -> Vec<u16> {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let mut statuses = Vec::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find("HTTP/1.") {
            rest = &rest[at + 9..];
            statuses.extend(rest.get(..3).and_then(|code| code.parse::<u16>().ok()));
        }
        statuses
    }

    /// As text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Sends bytes and reads until the other side closes, or has been quiet for `quiet` after its answer: a
/// connection that is kept open says nothing more.
pub async fn exchange(front: SocketAddr, bytes: &[u8], quiet: Duration) -> Outcome {
    let mut tcp = TcpStream::connect(front).await.unwrap();
    let _ = tcp.write_all(bytes).await;
    let mut outcome = Outcome { bytes: Vec::new(), closed: false };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        // The first answer may take as long as it likes.
        let limit = if outcome.bytes.is_empty() { crate::PATIENCE } else { quiet };
        match tokio::time::timeout(limit, tcp.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => {
                outcome.closed = true;
                return outcome;
            }
            Ok(Ok(count)) => outcome.bytes.extend_from_slice(&buffer[..count]),
            Err(_) => return outcome,
        }
    }
}
