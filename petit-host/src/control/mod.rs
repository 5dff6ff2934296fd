//! Local control: HTTP/1.1 with JSON over a Unix socket that only its owner can open.
//!
//! [`server`] listens and asks a [`Handler`], [`client`] calls, [`api`] makes types of both. There is no TCP port: a web
//! page or another user of the computer has nothing to connect to.

pub mod api;
pub mod client;
#[cfg(all(test, target_os = "linux"))]
mod hostile;
pub mod server;
#[cfg(windows)]
#[path = "pipe.rs"]
mod socket;
#[cfg(unix)]
#[path = "unix.rs"]
mod socket;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::BoxFuture;

/// One request to the running program.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST` or `DELETE`.
    pub method: String,
    /// Path segments, decoded: `/clients/abc` is `["clients", "abc"]`.
    pub path: Vec<String>,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// The JSON body; `Null` when there is none.
    pub body: Value,
}

impl Request {
    /// From a method, a target such as `/clients?all=1`, and a body.
    pub fn new(method: &str, target: &str, body: Value) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(name), percent_decode(value))
        });
        let (path, query) = (segments.map(percent_decode).collect(), query.collect());
        Self { method: method.to_owned(), path, query, body }
    }

    /// The first query parameter of a name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The answer to a request.
#[derive(Debug)]
pub enum Reply {
    /// A JSON value.
    Json(Value),
    /// JSON as text: a large answer that was written away from the threads that serve.
    Text(String),
    /// It could not be done.
    Error(ApiProblem),
    /// Server-sent events: the value now, and every change of it.
    Events(Box<dyn Changes>),
}

/// A value that changes, as it goes over the socket. It is made JSON when somebody reads it, and not before.
pub trait Changes: std::fmt::Debug + Send {
    /// The value now; what is so later is a change of it.
    fn now(&mut self) -> Value;

    /// Waits for a change. False when there will be none any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn changed(&mut self) -> BoxFuture<'_, bool>;
}

impl<T: Serialize + std::fmt::Debug + Send + Sync> Changes for watch::Receiver<T> {
    fn now(&mut self) -> Value {
        serde_json::to_value(&*self.borrow_and_update()).unwrap_or_default()
    }

    fn changed(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(async { Self::changed(self).await.is_ok() })
    }
}

/// Why a request could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiProblem {
    /// HTTP status.
    pub status: u16,
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl ApiProblem {
    /// The word for a request that another process answers from now on, on the same socket. Nothing was done; the
    /// calling side asks again by itself.
    pub const MOVED: &str = "moved";

    /// See [`ApiProblem::MOVED`].
    pub fn moved() -> Self {
        Self::new(409, Self::MOVED, "another process has taken over; ask it")
    }

    /// A problem.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// No such path, or not with this method.
    pub fn not_found() -> Self {
        Self::new(
            404,
            "not_found",
            "the running program does not know this request; are both of one version?",
        )
    }

    fn to_json(&self) -> Value {
        json!({ "error": { "code": self.code, "message": self.message } })
    }

    fn from_json(status: u16, body: &Value) -> Self {
        let text = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str);
        let message = text("message").unwrap_or("the running program gave no reason");
        Self::new(status, text("code").unwrap_or("failed"), message)
    }
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. It may take its time; other requests are answered meanwhile.
    fn handle(&self, request: Request) -> BoxFuture<'_, Reply>;
}

/// Decodes `%41` in a path segment or query value; what is no valid escape stays as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Encodes everything but unreserved characters (RFC 3986 §2.3).
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::Arc;

    use super::client::{CallError, Client};
    use super::*;

    struct Echo(watch::Sender<Value>);

    impl Handler for Echo {
        fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
            Box::pin(async move {
                match request.path.first().map(String::as_str) {
                    Some("echo") => Reply::Json(json!({
                        "method": request.method,
                        "path": request.path,
                        "name": request.parameter("name"),
                        "body": request.body,
                    })),
                    Some("events") => Reply::Events(Box::new(self.0.subscribe())),
                    _ => Reply::Error(ApiProblem::not_found()),
                }
            })
        }
    }

    #[tokio::test]
    async fn requests_reach_the_handler_and_answers_come_back() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than a socket address can be.
        let deep = dir.path().join("x".repeat(80)).join("y".repeat(80));
        std::fs::create_dir_all(&deep).unwrap();
        let path = deep.join("client.sock");
        let values = watch::Sender::new(json!(1));
        let listener = server::Listener::bind(&path).unwrap();
        let serving = tokio::spawn(listener.serve(Arc::new(Echo(values.clone()))));

        let client = Client::new(&path);
        let reply = client.call("POST", "/echo/a%20b?name=x%26y", Some(&json!({"k": [1, 2]}))).await.unwrap();
        assert_eq!(
            reply,
            json!({"method": "POST", "path": ["echo", "a b"], "name": "x&y", "body": {"k": [1, 2]}})
        );
        let error = client.call("GET", "/nothing", None).await.unwrap_err();
        assert!(matches!(error, CallError::Refused(problem) if problem.code == "not_found"));

        let mut events = client.events("/events").await.unwrap();
        assert_eq!(events.next().await.unwrap(), Some(json!(1)));
        values.send_replace(json!({"two": 2}));
        assert_eq!(events.next().await.unwrap(), Some(json!({"two": 2})));
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        assert!(events.next().await.is_err() || events.next().await.is_ok_and(|event| event.is_none()));
    }

    #[tokio::test]
    async fn only_the_owner_can_open_it_and_a_left_over_socket_is_no_obstacle() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.sock");
        let client = Client::new(&path);
        assert!(matches!(client.call("GET", "/", None).await.unwrap_err(), CallError::NotRunning));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(matches!(client.call("GET", "/", None).await.unwrap_err(), CallError::NotRunning));
        let _listener = server::Listener::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// Answers with its number, or says that another process is asked.
    struct Process(u8, watch::Sender<Value>);

    impl Handler for Process {
        fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
            Box::pin(async move {
                match request.path.first().map(String::as_str) {
                    Some("events") => Reply::Events(Box::new(self.1.subscribe())),
                    Some("change") if self.0 == 1 => Reply::Error(ApiProblem::moved()),
                    _ => Reply::Json(json!(self.0)),
                }
            })
        }
    }

    #[tokio::test]
    async fn another_process_can_have_the_same_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.sock");
        let process = |number| Arc::new(Process(number, watch::Sender::new(json!(number))));
        let first = server::Listener::bind(&path).unwrap().spawn(process(1));
        let client = Client::new(&path);
        let mut events = client.events("/events").await.unwrap();
        assert_eq!(events.next().await.unwrap(), Some(json!(1)));

        let copy = first.copy().await.unwrap();
        first.set_ours(false);
        // Nobody takes connections at this moment: they wait.
        let early = tokio::spawn({
            let client = client.clone();
            async move { client.call("GET", "/", None).await }
        });
        tokio::task::yield_now().await;
        let second = server::Listener::inherit(&path, copy).unwrap().spawn(process(2));
        assert_eq!(early.await.unwrap().unwrap(), json!(2));
        assert_eq!(events.next().await.unwrap(), None, "whoever watches is told to look again");
        first.finish().await;
        assert_eq!(client.call("GET", "/", None).await.unwrap(), json!(2), "the file has stayed");
        second.finish().await;
        assert!(!path.exists(), "it goes with the last one");
    }

    /// Rings when it is asked, and answers when it may.
    struct Late(Arc<tokio::sync::Notify>, watch::Receiver<bool>);

    impl Handler for Late {
        fn handle(&self, _: Request) -> BoxFuture<'_, Reply> {
            Box::pin(async move {
                self.0.notify_one();
                self.1.clone().wait_for(|may| *may).await.unwrap();
                Reply::Json(json!("late"))
            })
        }
    }

    #[tokio::test]
    async fn a_process_that_was_replaced_can_wait_until_its_last_answers_are_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.sock");
        let (asked, may) = (Arc::new(tokio::sync::Notify::new()), watch::Sender::new(false));
        let late = Late(Arc::clone(&asked), may.subscribe());
        let control = server::Listener::bind(&path).unwrap().spawn(Arc::new(late));
        let answer = tokio::spawn(async move { Client::new(&path).call("GET", "/", None).await });
        asked.notified().await;
        control.set_ours(false);
        {
            let mut answered = std::pin::pin!(control.answered());
            for _ in 0..10 {
                tokio::select! {
                    biased;
                    () = &mut answered => panic!("the answer is not given yet"),
                    () = tokio::task::yield_now() => {}
                }
            }
            may.send_replace(true);
            answered.await;
        }
        drop(control);
        assert_eq!(answer.await.unwrap().unwrap(), json!("late"));
    }

    #[tokio::test]
    async fn a_request_that_another_process_answers_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.sock");
        let process = |number| Arc::new(Process(number, watch::Sender::new(json!(number))));
        let first = server::Listener::bind(&path).unwrap().spawn(process(1));
        let second = server::Listener::inherit(&path, first.copy().await.unwrap()).unwrap();
        // One that does not come to serve takes nothing away.
        drop(server::Listener::inherit(&path, first.copy().await.unwrap()).unwrap());
        let client = Client::new(&path);
        let asked = tokio::spawn(async move { client.call("POST", "/change", None).await });
        // It is asked of the first, again and again, until the second takes over.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        first.set_ours(false);
        let _second = second.spawn(process(2));
        assert_eq!(asked.await.unwrap().unwrap(), json!(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_was_removed_and_opened_anew_meanwhile_is_not_taken_for_the_one_that_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.sock");
        let process = |number| Arc::new(Process(number, watch::Sender::new(json!(number))));
        let first = server::Listener::bind(&path).unwrap().spawn(process(1));
        let copy = first.copy().await.unwrap();
        let client = Client::new(&path);
        std::fs::remove_file(&path).unwrap();
        while client.call("GET", "/", None).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let _second = server::Listener::inherit(&path, copy).unwrap().spawn(process(2));
        first.set_ours(false);
        drop(first);
        while !matches!(client.call("GET", "/", None).await, Ok(answer) if answer == json!(2)) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_was_removed_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.sock");
        let process = Arc::new(Process(1, watch::Sender::new(json!(1))));
        let serving = server::Listener::bind(&path).unwrap().spawn(process);
        let client = Client::new(&path);
        assert!(client.call("GET", "/", None).await.is_ok());
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(client.call("GET", "/", None).await.unwrap_err(), CallError::NotRunning));
        while client.call("GET", "/", None).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        serving.finish().await;
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_or_no_json_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.sock");
        let listener = server::Listener::bind(&path).unwrap();
        let _serving = tokio::spawn(listener.serve(Arc::new(Echo(watch::Sender::new(json!(1))))));
        let client = Client::new(&path);
        let large = Value::String("x".repeat(server::MAX_BODY_BYTES));
        let error = client.call("POST", "/echo", Some(&large)).await.unwrap_err();
        assert!(matches!(error, CallError::Refused(problem) if problem.status == 413));
    }
}
