//! A vendor's server that means its clients no good. It has the server's key, so only what it hands out can tell.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use petit_engine::exchange;
use petit_engine::limits;
use petit_engine::net::tls::{self, KnownKeys};
use petit_engine::proto::control::{BUNDLE_FILE, Fetch, FetchAnswer, FromFetcher, Message};
use petit_engine::secret::{PrivateKey, PublicKey};
use petit_host::update::Bundle;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What is said to a request: bytes, and then nothing more.
#[derive(Clone)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    holds: bool,
}

impl Answer {
    pub(super) fn raw(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), holds: false }
    }

    pub(super) fn of(answer: FetchAnswer, behind: &[u8]) -> Self {
        use petit_engine::proto::frame::{FrameKind, Header};
        let payload = answer.encode().unwrap();
        let header = Header { stream: 0, kind: FrameKind::Control, length: payload.len() };
        Self { bytes: [&header.encode()[..], &payload, behind].concat(), holds: false }
    }

    pub(super) fn file(bytes: &[u8]) -> Self {
        Self::of(FetchAnswer::File { length: bytes.len() as u64 }, bytes)
    }

    /// The connection stays open then.
    pub(super) fn and_hold(self) -> Self {
        Self { holds: true, ..self }
    }
}

type Script = Box<dyn Fn(&Fetch) -> Answer + Send>;

pub(super) struct Hostile {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Fetch>>>,
    serving: JoinHandle<()>,
}

impl Hostile {
    pub(super) async fn start(key: PrivateKey) -> Self {
        struct All;
        impl KnownKeys for All {
            fn knows(&self, _: &PublicKey) -> bool {
                true
            }
        }
        let tls = TlsAcceptor::from(tls::release_server(&key, Arc::new(All)).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let nothing: Script = Box::new(|_| Answer::of(FetchAnswer::Nothing {}, &[]));
        let (script, asked) = (Arc::new(Mutex::new(nothing)), Arc::<Mutex<Vec<Fetch>>>::default());
        let (said, noted) = (Arc::clone(&script), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (tls, script, asked) = (tls.clone(), Arc::clone(&said), Arc::clone(&noted));
                connections.spawn(async move {
                    let Ok(mut tls) = tls.accept(tcp).await else { return };
                    let Ok(Ok(FromFetcher::Fetch(wanted))) =
                        exchange::receive(&mut tls, limits::MAX_ENROL_BYTES).await
                    else {
                        return;
                    };
                    let answer = script.lock().unwrap()(&wanted);
                    asked.lock().unwrap().push(wanted);
                    let _ = tls.write_all(&answer.bytes).await;
                    let _ = tls.flush().await;
                    if answer.holds {
                        std::future::pending::<()>().await;
                    }
                    let _ = tls.shutdown().await;
                });
            }
        });
        Self { address, script, asked, serving }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers in this way from now on.
    pub(super) fn set(&self, script: impl Fn(&Fetch) -> Answer + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// Hands out what lies in a folder, as a server does.
    pub(super) fn honest(&self, folder: &Path) {
        let folder: PathBuf = folder.to_owned();
        self.set(move |wanted| {
            if wanted.file.as_str() == BUNDLE_FILE {
                return Answer::file(&serde_json::to_vec(&Bundle::read(&folder).unwrap()).unwrap());
            }
            let file = std::fs::read(folder.join(wanted.file.as_str())).unwrap();
            let length = file.len() as u64;
            Answer::of(FetchAnswer::File { length }, &file[wanted.from as usize..])
        });
    }

    /// What it was asked for.
    pub(super) fn asked(&self) -> Vec<Fetch> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
