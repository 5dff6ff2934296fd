//! One app per config file: the second start hands its request to the first one and ends.
//!
//! A file lock decides, which the kernel frees whatever happens to its holder; a small socket beside it carries the
//! request. The invite of a link goes this way too, and so never stays in a process's arguments.

use std::time::Duration;

use petit_client::folder::Folder;
use petit_host::BoxFuture;
use petit_host::control::client::{CallError, Client};
use petit_host::control::server::Listener;
use petit_host::control::{ApiProblem, Handler, Reply, Request};
use petit_host::lock::{Lock, LockError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;

use super::contract::{Opening, Page};

/// How long the first one may take to answer. It answers at once, unless it hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// What a start is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartRequest {
    /// Be there, in the tray (started with the session).
    Nothing,
    /// Show the window.
    Show(Opening),
    /// Go online.
    Start,
    /// Go offline.
    Stop,
    /// End.
    Quit,
}

/// The form in which a request travels.
#[derive(Serialize, Deserialize)]
struct Sent {
    what: String,
    page: Option<Page>,
    invite: Option<String>,
    /// Lets the window come to the front on Wayland.
    token: Option<String>,
}

/// A request that came from another start.
#[derive(Debug)]
pub struct Received {
    /// What is wanted.
    pub wanted: StartRequest,
    /// Lets the window come to the front on Wayland.
    pub token: Option<String>,
}

/// What a start came to.
pub enum First {
    /// This is the first one: it holds the lock.
    Yes(Lock),
    /// Another one was there and has taken the request over.
    No,
}

/// Why a start came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum SingleError {
    /// The first one is there but says nothing.
    #[error("Petit is running{} but does not answer", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Silent {
        /// Which process.
        pid: Option<u32>,
    },
    /// The lock cannot be taken.
    #[error(transparent)]
    Lock(LockError),
}

fn lock(folder: &Folder) -> std::path::PathBuf {
    folder.path().join("app.lock")
}

fn socket(folder: &Folder) -> std::path::PathBuf {
    folder.path().join("app.sock")
}

/// Takes the lock, or hands the request to whoever has it.
///
/// # Errors
/// [`SingleError`].
pub async fn first(
    folder: &Folder,
    wanted: &StartRequest,
    token: Option<String>,
) -> Result<First, SingleError> {
    let limit = tokio::time::Instant::now() + ANSWER_LIMIT;
    loop {
        let pid = match Lock::take(&lock(folder)) {
            Ok(lock) => return Ok(First::Yes(lock)),
            Err(LockError::Held { pid, .. }) => pid,
            Err(error @ (LockError::Io { .. } | LockError::OfService { .. })) => {
                return Err(SingleError::Lock(error));
            }
        };
        let socket = Client::new(&socket(folder));
        let sent = serde_json::to_value(sent(wanted, token.clone())).unwrap_or_default();
        let handed = tokio::time::timeout_at(limit, socket.call("POST", "/wish", Some(&sent))).await;
        match handed {
            Ok(Ok(_)) => return Ok(First::No),
            // It is just starting, or just ending: one of both will be over in a moment.
            Ok(Err(CallError::NotRunning | CallError::Broken(_))) if tokio::time::Instant::now() < limit => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(Err(_)) | Err(_) => return Err(SingleError::Silent { pid }),
        }
    }
}

fn sent(wanted: &StartRequest, token: Option<String>) -> Sent {
    let (what, opening) = match wanted {
        StartRequest::Nothing => ("nothing", None),
        StartRequest::Show(opening) => ("show", Some(opening.clone())),
        StartRequest::Start => ("start", None),
        StartRequest::Stop => ("stop", None),
        StartRequest::Quit => ("quit", None),
    };
    let page = opening.as_ref().map(|opening| opening.page);
    Sent { what: what.to_owned(), page, invite: opening.and_then(|opening| opening.invite), token }
}

/// Opens the socket on which later starts hand over what they want. Call with the lock held.
///
/// # Errors
/// When the system refuses.
pub fn listen(folder: &Folder) -> std::io::Result<(Listening, mpsc::Receiver<Received>)> {
    let listener = Listener::bind(&socket(folder))?;
    let (requests, received) = mpsc::channel(8);
    let task = tokio::spawn(listener.serve(std::sync::Arc::new(StartHandler { requests })));
    Ok((Listening { task }, received))
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Listening {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct StartHandler {
    requests: mpsc::Sender<Received>,
}

impl Handler for StartHandler {
    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
            if (request.method.as_str(), path.as_slice()) != ("POST", &["wish"]) {
                return Reply::Error(ApiProblem::not_found());
            }
            let Ok(sent) = serde_json::from_value::<Sent>(request.body) else {
                return Reply::Error(ApiProblem::new(400, "bad_wish", "the wish was not understood"));
            };
            let wanted = match sent.what.as_str() {
                "nothing" => StartRequest::Nothing,
                "start" => StartRequest::Start,
                "stop" => StartRequest::Stop,
                "quit" => StartRequest::Quit,
                _ => StartRequest::Show(Opening { page: sent.page.unwrap_or_default(), invite: sent.invite }),
            };
            let _ = self.requests.send(Received { wanted, token: sent.token }).await;
            Reply::Json(json!({ "pid": std::process::id() }))
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_start_hands_over_and_the_third_is_first_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        let wanted = StartRequest::Show(Opening { page: Page::Logs, invite: Some("x".into()) });
        let First::Yes(lock) = first(&folder, &wanted, None).await.unwrap() else {
            panic!("nobody is there")
        };
        let (listening, mut received) = listen(&folder).unwrap();
        let handed = first(&folder, &wanted, Some("token".into())).await.unwrap();
        assert!(matches!(handed, First::No));
        let received = received.recv().await.unwrap();
        assert_eq!((received.wanted, received.token.as_deref()), (wanted.clone(), Some("token")));
        drop((listening, lock));
        assert!(matches!(first(&folder, &wanted, None).await.unwrap(), First::Yes(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_answer_is_told_from_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        let _held = Lock::take(&lock(&folder)).unwrap();
        let error = first(&folder, &StartRequest::Nothing, None).await.err().unwrap();
        let us = Some(std::process::id());
        assert!(matches!(error, SingleError::Silent { pid } if pid == us), "{error}");
    }
}
