//! What answers at the socket need not be ours: root asks services that run as users of their own.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{CallError, Client};

/// Somebody who does as he likes with each connection, until it is over for whoever asks.
struct Hostile {
    dir: tempfile::TempDir,
}

impl Hostile {
    fn new(answer: impl Fn(UnixStream) + Send + 'static) -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        let listener = UnixListener::bind(this.path()).unwrap();
        // It ends with the test's process.
        std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
        this
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("server.sock")
    }

    async fn asked(&self) -> Result<Value, CallError> {
        Client::new(&self.path()).within(Duration::from_millis(200)).call("GET", "/status", None).await
    }
}

fn says(error: &CallError) -> String {
    crate::cli::chain(error)
}

#[tokio::test]
async fn one_that_says_nothing_is_given_up() {
    let silent = Hostile::new(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let error = silent.asked().await.unwrap_err();
    assert!(says(&error).contains("nothing came within 0 s"), "{}", says(&error));
    let error = Client::new(&silent.path()).within(Duration::from_millis(200)).events("/events").await;
    assert!(matches!(error, Err(CallError::Broken(_))), "{error:?}");
}

#[tokio::test]
async fn one_that_takes_no_connection_is_given_up() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.sock");
    let (address, of_unix) = (SocketAddrUnix::new(&path).unwrap(), (AddressFamily::UNIX, SocketType::STREAM));
    let full = socket(of_unix.0, of_unix.1, None).unwrap();
    bind(&full, &address).unwrap();
    listen(&full, 0).unwrap();
    // The one that may wait.
    let first = socket(of_unix.0, of_unix.1, None).unwrap();
    connect(&first, &address).unwrap();
    let client = Client::new(&path).within(Duration::from_millis(200));
    let error = client.call("GET", "/status", None).await.unwrap_err();
    assert!(says(&error).contains("nothing came within"), "{}", says(&error));
}

#[tokio::test]
async fn an_answer_or_an_event_that_does_not_end_is_cut() {
    let endless = Hostile::new(|mut stream| {
        let mut head = [0; 4096];
        let length = stream.read(&mut head).unwrap();
        let is_event = String::from_utf8_lossy(&head[..length]).contains("/events");
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        let start: &[u8] = if is_event { b"6\r\ndata: \r\n" } else { b"1\r\n\"\r\n" };
        stream.write_all(start).unwrap();
        let chunk = [b"100000\r\n".as_slice(), &vec![b'a'; 0x10_0000], b"\r\n"].concat();
        // Until whoever asks goes away: he has to be first.
        while stream.write_all(&chunk).is_ok() {}
    });
    let client = Client::new(&endless.path());
    let error = client.call("GET", "/status", None).await.unwrap_err();
    assert!(says(&error).contains("length limit exceeded"), "{}", says(&error));
    let error = client.events("/events").await.unwrap().next().await.unwrap_err();
    assert!(says(&error).contains("does not end"), "{}", says(&error));
}

#[tokio::test]
async fn an_event_may_be_cut_anywhere() {
    let dribbling = Hostile::new(|mut stream| {
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        for byte in "data: \"Müller\"\n\ndata: 2\n\n".as_bytes() {
            stream.write_all(&[b"1\r\n".as_slice(), &[*byte], b"\r\n"].concat()).unwrap();
            stream.flush().unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let mut events = Client::new(&dribbling.path()).events("/events").await.unwrap();
    assert_eq!(events.next().await.unwrap(), Some(json!("Müller")));
    assert_eq!(events.next().await.unwrap(), Some(json!(2)));
    assert_eq!(events.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_link_to_the_socket_of_another_user_is_not_followed() {
    let us = rustix::process::geteuid();
    if !us.is_root() {
        // Only root asks for what is another's, and can make a folder that is.
        return;
    }
    let answers = Hostile::new(|mut stream| {
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue").unwrap();
    });
    assert_eq!(answers.asked().await.unwrap(), json!(true));
    // The folder of a service, which leads root to a socket of root's.
    let of_service = tempfile::tempdir().unwrap();
    let link = of_service.path().join("server.sock");
    std::os::unix::fs::symlink(answers.path(), &link).unwrap();
    std::os::unix::fs::chown(of_service.path(), Some(4711), Some(4711)).unwrap();
    let error = Client::new(&link).call("GET", "/status", None).await.unwrap_err();
    assert!(matches!(error, CallError::NotAllowed { .. }), "{error:?}");
}
