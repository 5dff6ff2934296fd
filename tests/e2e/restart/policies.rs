//! What the old process still serves is held to the policies of the new one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use petit_tests::soon;
use petit_tests::visitor::request;

use super::{Whole, gone, is_there};

/// Connections that the old process has, each of which carries one more request: enough for those that come before it has
/// heard of a change.
const KEPT: usize = 100;
const SECOND: Duration = Duration::from_secs(1);

/// A connection that has carried a request, and is kept open.
struct Kept(SendRequest<Empty<Bytes>>);

impl Kept {
    async fn new(whole: &Whole, key: &str) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(whole.visitor.tcp().await)).await.unwrap();
        tokio::spawn(connection);
        let mut kept = Self(sender);
        assert_eq!(kept.ask(whole, key).await.0, 200);
        kept
    }

    /// The status, and whether it is said to be the last answer of the connection.
    async fn ask(&mut self, whole: &Whole, key: &str) -> (u16, bool) {
        let mut asked = request(&whole.host, "GET", "/", Empty::new());
        asked.headers_mut().insert("petit-key", key.parse().unwrap());
        soon("the connection", self.0.ready()).await.unwrap();
        let answer = soon("an answer", self.0.send_request(asked)).await.unwrap();
        let is_last = answer.headers().get("connection").is_some_and(|field| field == "close");
        let status = answer.status().as_u16();
        answer.into_body().collect().await.unwrap();
        (status, is_last)
    }
}

/// A server with a policy that asks for a key, connections to the old process, and the new one that serves.
async fn restarted(kept: &mut Vec<Kept>) -> (Whole, String, u32) {
    let whole = Whole::start("").await;
    let made = whole.server.run(["key", "create", "billing", "--json"]).await.ok().json();
    let key = made["key"].as_str().unwrap().to_owned();
    whole.server.run(["policy", "set", "cloud", "--services", "default", "--key", "billing"]).await.ok();
    whole
        .server
        .run(["policy", "set", "local", "--services", "default-tcp", "--from", "127.0.0.1"])
        .await
        .ok();
    for _ in 0..KEPT {
        kept.push(Kept::new(&whole, &key).await);
    }
    let old = whole.pid().await;
    // Twice, so that the one that is changed is not the successor of the one that has the connections.
    whole.server.run(["restart"]).await.ok();
    whole.server.run(["restart"]).await.ok();
    assert!(is_there(old) && whole.pid().await != old);
    (whole, key, old)
}

/// Asks on one connection after another until an answer is another one; within a second of the change.
async fn until(kept: &mut Vec<Kept>, whole: &Whole, key: &str, (before, status): (u16, u16)) {
    let start = Instant::now();
    loop {
        let (found, is_last) = kept.pop().expect("a connection that is held to it").ask(whole, key).await;
        assert!(is_last, "it is the old process that answers");
        if found == status {
            break;
        }
        assert_eq!(found, before);
    }
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_revoked_key_lets_nobody_in_at_the_old_process_either() {
    let mut kept = Vec::new();
    let (whole, key, old) = restarted(&mut kept).await;
    assert_eq!(kept.pop().unwrap().ask(&whole, &key).await, (200, true), "as before");
    whole.server.run(["key", "revoke", "billing", "--yes"]).await.ok();
    until(&mut kept, &whole, &key, (200, 401)).await;
    drop(kept);
    soon("the old process to end", gone(old)).await;
}

#[tokio::test]
async fn a_policy_that_is_changed_is_in_force_at_the_old_process_too() {
    let mut kept = Vec::new();
    let (whole, key, _) = restarted(&mut kept).await;
    whole.server.run(["policy", "set", "cloud", "--from", "203.0.113.7"]).await.ok();
    until(&mut kept, &whole, &key, (200, 403)).await;
    whole.server.run(["policy", "set", "cloud", "--from", "any"]).await.ok();
    until(&mut kept, &whole, &key, (403, 200)).await;
    // Others than before, by a name that the old process has never heard of.
    let id = whole.host.split('.').next().unwrap();
    whole.server.run(["policy", "set", "acme", "--services", "acme", "--from", "203.0.113.7"]).await.ok();
    whole.server.run(["addalias", id, "acme"]).await.ok();
    until(&mut kept, &whole, &key, (200, 403)).await;
}
