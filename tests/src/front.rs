//! What stands in front of a server at its public address: a proxy that a test can break in all the ways in which
//! proxies break, and any other server that may be found there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Does {
    /// Hands it on as it is.
    HandsOn(SocketAddr),
    /// Hands it on under another host.
    ChangesHost(SocketAddr, String),
    /// Answers by itself.
    Answers(String),
    /// Answers with a text, and then goes on with zeros for ever.
    NeverEnds(String),
    /// Takes the request and says nothing.
    IsSilent,
}

/// Something that listens at a public address.
pub struct Front {
    pub address: SocketAddr,
    does: watch::Sender<Does>,
    tls: watch::Sender<Option<Arc<ServerConfig>>>,
    seen: watch::Sender<Vec<Vec<u8>>>,
    resumed: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Front {
    /// Listens; until told otherwise it speaks plain HTTP and answers with 503.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (does, _) = watch::channel(Does::Answers(answer("503 Service Unavailable", "")));
        let (tls, seen) = (watch::Sender::new(None), watch::Sender::new(Vec::new()));
        let (told, shown, heard) = (does.clone(), tls.clone(), seen.clone());
        let resumed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&resumed);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else { continue };
                let (does, seen, resumed) = (told.borrow().clone(), heard.clone(), Arc::clone(&counted));
                let tls: Option<Arc<ServerConfig>> = shown.borrow().clone();
                tokio::spawn(async move {
                    let _ = match tls {
                        None => serve(tcp, does, &seen).await,
                        Some(config) => match TlsAcceptor::from(config).accept(tcp).await {
                            Ok(tls) => {
                                let is_resumed =
                                    tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                                resumed.fetch_add(usize::from(is_resumed), Ordering::Relaxed);
                                serve(tls, does, &seen).await
                            }
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        Self { address, does, tls, seen, resumed, accepting }
    }

    /// Speaks TLS from here on.
    pub fn shows(&self, config: Arc<ServerConfig>) {
        self.tls.send_replace(Some(config));
    }

    /// Does something else from here on.
    pub fn now(&self, does: Does) {
        self.does.send_replace(does);
    }

    /// How many TLS connections went on where an earlier one had ended, so that no certificate was shown.
    pub fn resumed(&self) -> usize {
        self.resumed.load(Ordering::Relaxed)
    }

    /// Waits for a request; returns the head of the first one.
    pub async fn until_seen(&self) -> Vec<u8> {
        let mut seen = self.seen.subscribe();
        let seen = crate::soon("a request at the front", seen.wait_for(|seen| !seen.is_empty())).await;
        seen.unwrap().first().unwrap().clone()
    }

    /// Nothing listens there any more.
    pub async fn close(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
    }
}

/// A whole answer without a body.
pub fn answer(status: &str, fields: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}content-length: 0\r\n\r\n")
}

async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(
    mut tcp: IO,
    does: Does,
    seen: &watch::Sender<Vec<Vec<u8>>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await?);
    }
    seen.send_modify(|seen| seen.push(head.clone()));
    match does {
        Does::HandsOn(to) => hand_on(tcp, to, &head).await,
        Does::ChangesHost(to, host) => {
            let text = String::from_utf8_lossy(&head).into_owned();
            let is_host = |line: &&str| line.to_ascii_lowercase().starts_with("host:");
            let old = text.lines().find(is_host).unwrap_or_default().to_owned();
            hand_on(tcp, to, text.replace(&old, &format!("Host: {host}")).as_bytes()).await
        }
        Does::Answers(answer) => {
            tcp.write_all(answer.as_bytes()).await?;
            tcp.shutdown().await
        }
        Does::NeverEnds(answer) => {
            tcp.write_all(answer.as_bytes()).await?;
            loop {
                tcp.write_all(&[b'0'; 4096]).await?;
            }
        }
        Does::IsSilent => tcp.read_u8().await.map(drop),
    }
}

async fn hand_on<IO: AsyncRead + AsyncWrite + Unpin>(
    mut tcp: IO,
    to: SocketAddr,
    head: &[u8],
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    server.write_all(head).await?;
    copy_bidirectional(&mut tcp, &mut server).await.map(drop)
}
